"""Particles without micrographs into the standard form: particles.star, links to stacks, dataset.json."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vitreous.data.fetch_record import FetchRecord
from vitreous.data.placing import place_files, refuse_own_folder
from vitreous.data.settings import CespedSettings, LocalSettings
from vitreous.errors import InputError
from vitreous.io.dataset_info import DatasetInfo
from vitreous.runtime.files import read_json, write_json
from vitreous.runtime.plural import plural

if TYPE_CHECKING:
    from vitreous.io.particles import ParticleSet

_log = logging.getLogger(__name__)
_POSES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")


def import_particles_of(
    folder_out: Path, settings: LocalSettings | CespedSettings, *, root: str | Path,
    fetched: FetchRecord | None = None,
) -> None:  # fmt: skip
    """Lay the particles that the settings name down at `folder_out`; `root`: where a relative folder lies."""
    known = settings.model_dump(include=set(DatasetInfo.model_fields) - {"source"})
    if isinstance(settings, LocalSettings):
        assert settings.particles is not None
        info = DatasetInfo(name=folder_out.name, source=f"local folder {settings.folder}", **known)
        star = Path(root) / settings.folder / settings.particles
        import_particles(folder_out, star, info, link=settings.link)
        return
    assert fetched is not None
    info = DatasetInfo(
        name=folder_out.name, accession=f"CESPED {settings.entry}", source=fetched.source, **known
    )
    import_halves(folder_out, fetched.folder, settings.halves, info, fetched)


def import_particles(
    folder_out: str | Path, source: Path, info: DatasetInfo, *, link: bool = True,
    fetched: FetchRecord | None = None,
) -> None:  # fmt: skip
    """Lay a particle STAR or .cs file and its stacks down at `folder_out`.

    Raises InputError for images that are not there or beyond their stack, boxes of several sizes, and a pixel
    size that differs from the file's by more than 1 %.
    """
    from vitreous.io.cryosparc import cs_to_particles, read_cs
    from vitreous.io.particles import read_particles

    is_cs = source.suffix.lower() == ".cs"
    particles = cs_to_particles(read_cs(source), file=source) if is_cs else read_particles(source)
    _write(Path(folder_out), [(particles, source)], info, link, fetched)


def import_halves(
    folder_out: str | Path, folder: Path, halves: Sequence[int], info: DatasetInfo,
    fetched: FetchRecord | None = None,
) -> list[int]:  # fmt: skip
    """Lay down those of the `halves` of a CESPED entry that are here; returns which.

    Half 0 becomes random subset 1, half 1 random subset 2. Raises InputError where none is here, where the
    halves differ in box or symmetry, and as `import_particles` does.
    """
    from vitreous.io.particles import read_particles

    parts, here, symmetries = [], [], set()
    for half in halves:
        star, stack = folder / f"particles_{half}.star", folder / f"particles_{half}.mrcs"
        if not (star.exists() and stack.exists()):
            _log.info("half %d is not here yet", half)
            continue
        particles = read_particles(star)
        table = particles.particles.assign(rlnRandomSubset=half + 1)
        parts.append((replace(particles, particles=table), star))
        here.append(half)
        about = folder / f"info_{half}.json"
        if about.exists():
            symmetries.add(str(read_json(about).get("symmetry", "")).upper())
    if not parts:
        found = ", ".join(str(half) for half in halves)
        raise InputError("no half of the entry is here", file=folder, found=found, todo="fetch it first")
    if len(symmetries) > 1:
        raise InputError("halves of different symmetry", file=folder, found=", ".join(sorted(symmetries)))
    said = {"symmetry": f"{next(iter(symmetries))}, as info_{here[0]}.json says"} if symmetries else {}
    halves_text = " and ".join(str(half) for half in here)
    said["halves"] = f"{halves_text} of {plural(len(halves), 'half', 'halves')} wanted"
    info = info.model_copy(update={"verified": {**info.verified, **said}})
    _write(Path(folder_out), parts, info, True, fetched)
    return here


def _write(
    folder_out: Path, parts: Sequence[tuple[ParticleSet, Path]], info: DatasetInfo, link: bool,
    fetched: FetchRecord | None,
) -> None:  # fmt: skip
    from vitreous.io.dataset import write_manifest
    from vitreous.io.particles import image_locations, write_particles

    if not any(len(particles) for particles, _ in parts):
        raise InputError("no particles in the file", file=parts[0][1], todo="name another file")
    located = [(particles, image_locations(particles, source)) for particles, source in parts]
    stacks = sorted({stack for _, places in located for stack, _ in places})
    names = _names(stacks)
    pixel_text = _check_pixels([particles for particles, _ in located], info, parts[0][1])
    box = _check_boxes(stacks)
    refuse_own_folder(folder_out, [*stacks, *(source for _, source in parts)])
    place_files(folder_out, {name: stack for stack, name in names.items()}, link=link)
    renamed = []
    for particles, places in located:
        images = [f"{index + 1:06d}@{names[stack]}" for stack, index in places]
        renamed.append(replace(particles, particles=particles.particles.assign(rlnImageName=images)))
    both = _joined(renamed)
    posed = all(label in both.particles for label in _POSES)
    said = {"particles": f"{plural(len(both), 'particle')} in {plural(len(stacks), 'stack')} of box {box}, "
            f"{'with' if posed else 'without'} poses", "pixel_size_A": pixel_text}  # fmt: skip
    write_particles(folder_out / "particles.star", both)
    write_json(
        folder_out / "dataset.json",
        info.model_copy(update={"verified": {**said, **info.verified}}).model_dump(),
    )
    write_manifest(folder_out, {names[stack]: fetched.origin(stack) for stack in stacks} if fetched else None)


def _names(stacks: Sequence[Path]) -> dict[Path, str]:
    """Where each stack goes below the dataset's folder: by name, or by path below what all have in common."""
    if len({stack.name for stack in stacks}) == len(stacks):
        return {stack: f"particles/{stack.name}" for stack in stacks}
    common = Path(os.path.commonpath([stack.parent for stack in stacks]))
    return {stack: f"particles/{stack.relative_to(common).as_posix()}" for stack in stacks}


def _check_pixels(sets: Sequence[ParticleSet], info: DatasetInfo, file: Path) -> str:
    from vitreous.io.particles import pixel_sizes_A

    if any("rlnImagePixelSize" not in one.optics for one in sets):
        return "not stated in the file; from the settings"
    for one in sets:
        for size_A in set(pixel_sizes_A(one).tolist()):
            if abs(size_A - info.pixel_size_A) > 0.01 * info.pixel_size_A:
                found, expected = f"{size_A:g} Å", f"{info.pixel_size_A:g} Å"
                raise InputError("pixel size differs from that of the file", file=file, found=found,
                                 expected=expected, todo="correct `pixel_size_A`")  # fmt: skip
    return "as the optics of the file say (within 1 %)"


def _check_boxes(stacks: Sequence[Path]) -> int:
    from vitreous.io.mrc import read_header

    boxes: dict[int, Path] = {}
    for stack in stacks:
        h, w = read_header(stack).shape[1:]
        if h != w:
            raise InputError("images are not square", file=stack, found=f"{w} x {h}")
        boxes.setdefault(h, stack)
    if len(boxes) > 1:
        found = ", ".join(f"{box} px in {stack.name}" for box, stack in boxes.items())
        raise InputError("particles of several box sizes", file=stacks[0].parent, found=found)
    return next(iter(boxes))


def _joined(sets: Sequence[ParticleSet]) -> ParticleSet:
    """The rows of all sets; optics groups that say the same become one."""
    import pandas as pd

    group = "rlnOpticsGroup"
    tables, rows, groups = [], [], dict[tuple[object, ...], int]()
    for one in sets:
        numbers = {}
        for row in one.optics.to_dict("records"):
            own = {str(label): value for label, value in row.items()}
            key = tuple(sorted(item for item in own.items() if not item[0].startswith(group)))
            if key not in groups:
                groups[key] = len(groups) + 1
                number = groups[key]
                rows.append({**row, group: number, "rlnOpticsGroupName": f"opticsGroup{number}"})
            numbers[row[group]] = groups[key]
        tables.append(one.particles.assign(**{group: one.particles[group].map(numbers)}))
    table = pd.concat(tables, ignore_index=True)
    return replace(sets[0], optics=pd.DataFrame(rows), particles=table)
