"""`vitreous extract`: particles cut out of micrographs of one's own, without a workflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitreous.cli.examples import examples
from vitreous.cli.options import (
    MAX_FAILED_SHARE,
    PANEL,
    AmplitudeContrast,
    Contrast,
    Cs,
    Device,
    Diameter,
    Force,
    MaxFailedShare,
    Micrographs,
    PixelSize,
    Seed,
    Threads,
    Trust,
    Verbose,
    Voltage,
    existing,
    refuse_overwriting,
    settings_of,
    stage_runtime,
)
from vitreous.errors import InputError
from vitreous.runtime.plural import plural

if TYPE_CHECKING:
    from vitreous.cli.loose import Loose


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command(
        rich_help_panel=PANEL,
        epilog=examples(
            "vitreous extract my_micrographs --picks picks.star --pixel-size-A 1.5 --diameter-A 130 "
            "--ctf ctf.star --out particles"
        ),
    )(extract)


def extract(
    micrographs: Micrographs,
    picks: Annotated[
        Path, typer.Option(help="Coordinates of any kind (STAR, CSV, .box, .cbox, .cs, Topaz).")
    ],
    pixel_size_A: PixelSize,
    diameter_A: Diameter,
    out: Annotated[Path, typer.Option(help="Folder for particles.star and stacks.")] = Path("particles"),
    ctf: Annotated[
        Path | None, typer.Option(help="STAR with the micrographs' CTF, as `vitreous ctf` writes it.")
    ] = None,
    poses: Annotated[
        Path | None, typer.Option(help="Particles with poses (STAR, .cs): each pick takes the nearest one's.")
    ] = None,
    box_px: Annotated[
        int | None, typer.Option(min=16, help="Side of the box (default: 1.6 diameters).")
    ] = None,
    rescale_A: Annotated[
        float | None,
        typer.Option("--rescale-A", min=0.01, help="Pixel size to rescale to, Å (default: none)."),
    ] = None,
    contrast: Contrast = "dark",
    flip_y: Annotated[
        bool, typer.Option("--flip-y", help="Rows of the picks count from the bottom.")
    ] = False,
    voltage_kv: Voltage = None,
    cs_mm: Cs = None,
    amplitude_contrast: AmplitudeContrast = None,
    trust: Trust = None,
    max_failed_share: MaxFailedShare = MAX_FAILED_SHARE,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = None,
    verbose: Verbose = False,
    force: Force = False,
) -> None:
    """Cut particles out of micrographs at picks.

    Protein bright, background of mean 0 and standard deviation 1, half-sets assigned.
    """
    from vitreous.cli.loose import dataset_of, name_as_given, names_from
    from vitreous.reconstruction.settings import ExtractionSettings
    from vitreous.reconstruction.stages import extract_batch

    star = out / "particles.star"
    refuse_overwriting(star, force)
    wanted = "none" if poses is None else "truth"
    settings = settings_of(ExtractionSettings, {"box_px": box_px, "pixel_size_A": rescale_A, "poses": wanted})
    runtime = stage_runtime(device, threads, seed, verbose)
    given = {"voltage_kv": voltage_kv, "cs_mm": cs_mm, "amplitude_contrast": amplitude_contrast}
    with dataset_of(
        micrographs,
        scratch=out,
        max_failed_share=max_failed_share,
        diameter_A=diameter_A,
        pixel_size_A=pixel_size_A,
        contrast=contrast,
        trust=trust,
        particles=None if poses is None else str(existing(poses).resolve()),
        **_optics(ctf, given),
    ) as loose:
        picked = _picks_of(picks, loose, flip_y)
        extract_batch(
            loose.batch,
            loose.folder,
            picked,
            None if ctf is None else _ctf_of(ctf, loose),
            star,
            settings=settings,
            max_failed_share=max_failed_share,
            provenance=out / "particles.provenance.json",
            runtime=runtime,
        )
        table = name_as_given(star, "particles", names_from(out, loose))
    _print_counts(star)
    print(f"{plural(len(table), 'particle')}: {star}")


def _print_counts(star: Path) -> None:
    """What became of the picks, as the stage counted it."""
    from vitreous.io.star import read_star

    counts: Any = read_star(star).get("vitreous_counts", {})
    said = [
        f"{label.lstrip('_').replace('_', ' ')} {count}"
        for label, count in dict(counts).items()
        if int(count)
    ]
    print(", ".join(said))


def _optics(ctf: Path | None, given: dict[str, float | None]) -> dict[str, float | None]:
    """Voltage, Cs and amplitude contrast: as given, else as the CTF file's optics say."""
    if ctf is None:
        return given
    from vitreous.io.star import read_star

    labels = {
        "voltage_kv": "rlnVoltage",
        "cs_mm": "rlnSphericalAberration",
        "amplitude_contrast": "rlnAmplitudeContrast",
    }
    table: Any = read_star(existing(ctf)).get("optics")
    found = {}
    for key, label in labels.items():
        has = table is not None and label in table and len(table)
        found[key] = given[key] if given[key] is not None else float(table[label][0]) if has else None
    return found


def _picks_of(file: Path, loose: Loose, flip_y: bool) -> Path:
    """The user's coordinates as picks of the data set; raises InputError where no name matches."""
    from vitreous.io.coordinates import read_coordinates
    from vitreous.io.micrograph import micrograph_shape
    from vitreous.io.picks import write_picks

    shapes = {name: micrograph_shape(path) for name, path in loose.files.items()}
    table = read_coordinates(existing(file), micrograph_shapes=shapes, flip_y=flip_y)
    known = table["micrograph"].isin(list(shapes))
    if len(table) and not known.any():
        first = Path(next(iter(shapes))).name
        raise InputError(
            "no pick is of these micrographs", file=file, found=table["micrograph"][0], expected=first
        )
    if not known.all():
        print(f"{plural(int((~known).sum()), 'pick')} of other micrographs left out")
    path = loose.folder.parent / "picks.star"
    loose.wording.aliases[path] = file
    write_picks(path, table[known].reset_index(drop=True))
    return path


def _ctf_of(file: Path, loose: Loose) -> Path:
    """The user's CTF table under the data set's names."""
    from vitreous.io.names import index_by_key, match_names
    from vitreous.io.star import read_star, write_star

    blocks = read_star(existing(file))
    table: Any = blocks.get("micrographs")
    if table is None or "rlnMicrographName" not in table:
        raise InputError("no CTF table", file=file, expected="data_micrographs with rlnMicrographName")
    matched, _ = match_names(table["rlnMicrographName"], index_by_key(loose.files))
    kept = table[table["rlnMicrographName"].isin(list(matched))].copy()
    kept["rlnMicrographName"] = kept["rlnMicrographName"].map(matched)
    path = loose.folder.parent / "ctf.star"
    loose.wording.aliases[path] = file
    write_star(path, {**blocks, "micrographs": kept.reset_index(drop=True)})
    return path
