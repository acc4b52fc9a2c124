"""`vitreous init`: a configuration for a user's own micrographs, validated before it is written."""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from vitreous.cli.examples import examples
from vitreous.cli.options import AmplitudeContrast, Contrast, Cs, Diameter, Force, PixelSize, Trust, Voltage
from vitreous.errors import InputError, SettingsError, VitreousError
from vitreous.runtime.plural import plural


def register(app: typer.Typer) -> None:
    """Add this family's commands to the command line."""
    app.command(
        rich_help_panel="The workflow",
        epilog=examples(
            "vitreous init my_micrographs --pixel-size-A 1.5 --diameter-A 130",
            "vitreous init 'data/*.mrc' --pixel-size-A 1.5 --diameter-A 130 --symmetry D2 "
            "--voltage-kv 300 --cs-mm 2.7 --amplitude-contrast 0.1 --out data/vitreous.yaml",
        ),
    )(init)


@dataclass(frozen=True)
class Found:
    """What the micrographs are: the folder, globs below it, sizes with their counts, header pixel sizes."""

    folder: Path
    globs: list[str]
    count: int
    shapes: dict[tuple[int, int], int]
    header_pixel_A: list[float]
    faults: list[str]


def init(
    micrographs: Annotated[
        list[Path], typer.Argument(help="Folder, files or quoted glob of summed micrographs.")
    ],
    pixel_size_A: PixelSize,
    diameter_A: Diameter,
    symmetry: Annotated[str, typer.Option(help="Point group of the particle, as C1, D2, O.")] = "C1",
    voltage_kv: Voltage = None,
    cs_mm: Cs = None,
    amplitude_contrast: AmplitudeContrast = None,
    contrast: Contrast = "dark",
    coordinates: Annotated[
        Path | None, typer.Option(help="Folder or quoted glob of picks you have, to compare with.")
    ] = None,
    trust: Trust = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the data set and the run (default: the folder's).")
    ] = None,
    out: Annotated[Path, typer.Option(help="The configuration to write.")] = Path("vitreous.yaml"),
    force: Force = False,
) -> None:
    """Write a configuration for your own micrographs.

    No truth is needed: pixel size and diameter are enough for picks and particles.
    """
    from vitreous.cli.loose import common_folder, find_micrographs
    from vitreous.cli.options import refuse_overwriting
    from vitreous.config.load import load_file
    from vitreous.physics.symmetry import parse
    from vitreous.runtime.files import atomic_path

    refuse_overwriting(out, force)
    group = parse(symmetry).name
    files = find_micrographs(micrographs)
    whole = len(micrographs) == 1 and micrographs[0].is_dir()
    folder, globs = common_folder(files)
    folder, globs, picks = _with_coordinates(coordinates, folder, _endings(files) if whole else globs)
    found = look_at(files, folder, globs)
    _check(found, pixel_size_A, diameter_A, trust)
    optics = {"voltage_kv": voltage_kv, "cs_mm": cs_mm, "amplitude_contrast": amplitude_contrast}
    named = label(name or files[0].parent.name)
    dataset = dataset_lines(
        found,
        out.absolute().parent,
        optics,
        {"name": "particle", "diameter_A": diameter_A, "symmetry": group},
        pixel_size_A=pixel_size_A,
        contrast=contrast,
        coordinates=picks,
        trust=trust,
    )
    text = configuration(named, dataset, all(value is not None for value in optics.values()))
    with atomic_path(out) as part:
        part.write_text(text, encoding="utf-8")
        load_file(part)
    _say(found, optics)
    print(f"particle: {diameter_A:g} Å are {diameter_A / pixel_size_A:.0f} px at {pixel_size_A:g} Å a pixel")
    print(f"written: {out}\nnext: vitreous run {out} --dry-run, then vitreous run {out}")


def look_at(files: list[Path], folder: Path, globs: list[str]) -> Found:
    """Read every header; raises InputError where none of the files is a micrograph."""
    from vitreous.io.micrograph import micrograph_pixel_size_A, micrograph_shape

    shapes: dict[tuple[int, int], int] = {}
    sizes: list[float] = []
    faults: list[str] = []
    for path in files:
        try:
            shape = micrograph_shape(path)
            size = micrograph_pixel_size_A(path)
        except VitreousError as error:
            faults.append(str(error))
            continue
        shapes[shape] = shapes.get(shape, 0) + 1
        sizes += [] if size is None else [size]
    if not shapes:
        raise InputError("none of these files is a micrograph", file=folder, found=faults[0])
    return Found(folder, globs, len(files), shapes, sizes, faults)


def _check(found: Found, pixel_size_A: float, diameter_A: float, trust: str | None) -> None:
    """Refuse what the import of the micrographs would refuse later, and diameters that cannot be."""
    odd = [size for size in found.header_pixel_A if abs(size / pixel_size_A - 1) > 0.01]
    if odd and trust is None:
        raise SettingsError(
            f"another pixel size in {len(odd)} of {plural(found.count, 'header')}",
            place="--pixel-size-A",
            found=f"{odd[0]:.5g} Å in the header",
            expected=f"{pixel_size_A:g} Å",
            todo="say which is right: --trust settings or --trust header",
        )
    side = min(min(shape) for shape in found.shapes)
    diameter_px = diameter_A / pixel_size_A
    if not 4 <= diameter_px <= side / 2:
        raise SettingsError(
            "this diameter and pixel size do not fit the micrographs",
            place="--diameter-A",
            found=f"{diameter_px:.1f} px",
            expected=f"4 to {side // 2} px in micrographs of {side} px",
        )


def label(text: str) -> str:
    """A name of the configuration's form: lower-case letters, digits, hyphens."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return name if name and name not in ("raw", "truth", "given", "all") else "micrographs"


def _endings(files: list[Path]) -> list[str]:
    return sorted(
        {
            "*" + "".join(path.suffixes[-2:] if path.suffix in (".gz", ".bz2") else [path.suffix])
            for path in files
        }
    )


def batches(micrographs: int) -> int:
    """Batches for so many micrographs: at least 4 in each, at most 40 where 99 batches are enough."""
    return min(99, max(math.ceil(micrographs / 40), min(8, math.ceil(micrographs / 4))))


def _with_coordinates(
    coordinates: Path | None, folder: Path, globs: list[str]
) -> tuple[Path, list[str], list[str]]:
    """The folder that holds micrographs and coordinates, and the globs of both below it."""
    if coordinates is None:
        return folder, globs, []
    pattern = Path(os.path.abspath(coordinates / "*" if coordinates.is_dir() else coordinates))
    both = Path(os.path.commonpath([folder, pattern.parent]))
    inside = folder.relative_to(both)
    return both, [(inside / name).as_posix() for name in globs], [pattern.relative_to(both).as_posix()]


def _say(found: Found, optics: dict[str, float | None]) -> None:
    sizes = ", ".join(f"{count} of {w} x {h} px" for (h, w), count in sorted(found.shapes.items()))
    print(f"{plural(found.count, 'file')} in {found.folder}: {sizes}")
    if found.header_pixel_A:
        low, high = min(found.header_pixel_A), max(found.header_pixel_A)
        said = f"{low:.5g} Å" if high / low < 1.001 else f"{low:.5g} to {high:.5g} Å"
        print(f"pixel size in {plural(len(found.header_pixel_A), 'header')}: {said}")
    else:
        print("no header states a pixel size; yours is taken")
    for fault in found.faults[:5]:
        print(f"cannot be read: {fault}")
    if len(found.faults) > 5:
        print(f"and {len(found.faults) - 5} more")
    missing = [f"--{key.replace('_', '-')}" for key, value in optics.items() if value is None]
    if missing:
        print(f"no CTF without {', '.join(missing)}: picks and particles only")


def configuration(name: str, dataset: list[str], with_ctf: bool) -> str:
    """The text of a configuration: one data set (its lines), the blob picker, particles; CTF where asked."""
    lines = [
        "# Written by `vitreous init`. Each key is explained in config/README.md of vitreous; paths are",
        "# relative to this file. Add pickers or combinations and run again: only what is new is made.",
        f"run: {name}",
        "data_root: .",
        "dataset_root: datasets",
        "results_root: results",
        "",
        "datasets:",
        f"  {name}:",
        *(f"    {line}" for line in dataset),
        "",
        *(["ctf:", "  thon:", "    variant: thon", ""] if with_ctf else []),
        "pickers:",
        "  blob:",
        "    variant: blob",
        "",
        "matrix:",
        f"  - datasets: [{name}]",
        "    pickers: [blob]",
        *(["    ctf: [thon]"] if with_ctf else []),
        "    extract: true",
        "",
    ]
    return "\n".join(lines)


def dataset_lines(
    found: Found,
    base: Path,
    optics: dict[str, float | None],
    particle: dict[str, Any],
    *,
    pixel_size_A: float,
    contrast: str,
    coordinates: list[str],
    trust: str | None,
) -> list[str]:
    """The lines of a local data set's block; paths relative to `base` where the micrographs lie below it."""
    folder = found.folder.relative_to(base) if found.folder.is_relative_to(base) else found.folder
    whole = all(value is not None for value in optics.values())
    globs = json.dumps(found.globs, ensure_ascii=False)
    picks = json.dumps(coordinates, ensure_ascii=False)
    return [
        "source: local",
        f"folder: {json.dumps(folder.as_posix(), ensure_ascii=False)}",
        f"micrographs: {globs}  # {plural(found.count, 'file')}",
        f"coordinates: {picks}  # compared with ours"
        if coordinates
        else '# coordinates: ["picks/*.star"]  # picks you have: the report then says how many are found',
        f"pixel_size_A: {pixel_size_A!r}",
        *([f"trust: {trust}  # where headers state another pixel size"] if trust else []),
        *(
            f"# {key}:  # needed for CTF and maps" if value is None else f"{key}: {value!r}"
            for key, value in optics.items()
        ),
        f"contrast: {contrast}  # how protein looks in the micrographs as stored",
        f"batches: {batches(found.count)}  # jobs that each stage is split into",
        f"ctf: {'thon' if whole else 'null'}  # whose values go into the particles",
        "targets:",
        *(f"{'- ' if key == 'name' else '  '}{key}: {value}" for key, value in particle.items()),
    ]
