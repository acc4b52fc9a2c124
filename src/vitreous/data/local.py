"""A user's folder into the standard form of a dataset.

What is heavy is imported where it is used, since the Snakefile asks `local_files`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from vitreous.data.fetch_record import FetchRecord
from vitreous.data.placing import place_files, refuse_own_folder
from vitreous.data.settings import LocalSettings
from vitreous.errors import InputError, StageError, VitreousError
from vitreous.io.batches import batch_name, batch_of
from vitreous.io.names import index_by_key, match_names, micrograph_key
from vitreous.runtime.files import atomic_path
from vitreous.runtime.plural import plural

if TYPE_CHECKING:
    import pandas as pd

    from vitreous.io.particles import ParticleSet

Shapes = dict[str, tuple[int, int]]
_log = logging.getLogger(__name__)


def local_files(settings: LocalSettings, *, root: str | Path, coordinates: bool = True) -> list[Path]:
    """The micrographs of a local folder and, if asked, its coordinate and particle files, sorted.

    `root` is where a relative folder lies. Raises InputError where the folder or every micrograph is missing.
    """
    folder = Path(root) / settings.folder
    if not folder.is_dir():
        raise InputError("folder not found", file=folder, todo="correct `folder` (relative to data_root)")
    files = _matching(folder, settings.micrographs, settings.exclude)
    if settings.micrographs and not files:
        found = ", ".join(settings.micrographs)
        raise InputError("no micrograph matches", file=folder, found=found, todo="correct `micrographs`")
    if coordinates:
        files += coordinate_files(settings, root=root)
        files += [folder / settings.particles] if settings.particles else []
    return files


def coordinate_files(settings: LocalSettings, *, root: str | Path) -> list[Path]:
    """The coordinate files of a local folder; raises InputError where globs are given and none matches."""
    folder = Path(root) / settings.folder
    files = _matching(folder, settings.coordinates, [])
    if settings.coordinates and not files:
        found = ", ".join(settings.coordinates)
        raise InputError("no coordinate file matches", file=folder, found=found, todo="correct `coordinates`")
    return files


def import_local(
    folder_out: str | Path, settings: LocalSettings, *, root: str | Path, fetched: FetchRecord | None = None
) -> None:
    """Lay a local folder down in standard form: dataset.json, micrographs.star, images, truth, manifest.

    Of a folder that was `fetched` only the micrographs that its record names are taken. A micrograph that
    cannot be read is listed in failed.csv; what was checked and counted stands in dataset.json under
    `verified`. The same input gives the same bytes. Raises InputError for names, pixel sizes and coordinates
    that do not fit and where the source lies in the output folder, StageError where more than
    `max_failed_share` of the micrographs fail.
    """
    import pandas as pd

    from vitreous.io.dataset import DatasetInfo, write_batch, write_dataset

    folder_out = Path(folder_out)
    files = local_files(settings, root=root, coordinates=False)
    files = fetched.only(files) if fetched else files
    refuse_own_folder(folder_out, [*files, *coordinate_files(settings, root=root)])
    index_by_key(str(path) for path in files)
    sources, shapes, failed = _read_headers(files, settings)
    pixel_size_A, verified = _pixel_size(sources, settings)
    if failed:
        verified["micrographs"] = f"{len(failed)} of {len(files)} cannot be read: failed.csv"
    for stale in ("failed.csv", "truth/picks.star", "truth/micrographs.csv", "truth/particles.star"):
        (folder_out / stale).unlink(missing_ok=True)
    if failed:
        table = pd.DataFrame(sorted(failed.items()), columns=["micrograph", "error"])
        with atomic_path(folder_out / "failed.csv") as part:
            table.to_csv(part, index=False)
    particles = _particles(settings, root, shapes, verified)
    picks, annotated = _picks(settings, root, shapes, sources, pixel_size_A, particles, verified)
    place_files(folder_out, sources, link=settings.link)
    known = settings.model_dump(include=set(DatasetInfo.model_fields) - {"pixel_size_A", "source", "targets"})
    if fetched:
        verified |= fetched.doubts(settings) | fetched.left_out(files)
    info = DatasetInfo(
        name=folder_out.name,
        source=fetched.source if fetched else f"local folder {settings.folder}",
        pixel_size_A=pixel_size_A,
        targets=settings.targets,
        verified=verified,
        **known,
    )
    names = pd.DataFrame({"rlnMicrographName": pd.Series(list(sources), dtype="str")})
    origins = {name: fetched.origin(path) for name, path in sources.items()} if fetched else None
    write_dataset(
        folder_out, info, names, picks=picks, annotated=annotated, particles=particles, origins=origins
    )
    for index in range(settings.batches or 0):
        count = settings.batches or 0
        batch = [name for name, path in sources.items() if batch_of(path.stem, count) == index]
        write_batch(folder_out / batch_name(index, count), batch)


def _matching(folder: Path, globs: Iterable[str], exclude: Iterable[str]) -> list[Path]:
    found: set[Path] = set()
    for pattern in globs:
        try:
            found.update(path for path in folder.glob(pattern) if path.is_file())
        except (NotImplementedError, ValueError) as error:  # pathlib's, of an absolute pattern
            what = "glob must be relative to the folder"
            raise InputError(
                what, file=folder, found=pattern, todo="set `folder` to where it begins"
            ) from error
    excluded = tuple(exclude)
    return sorted(
        path
        for path in found
        if not any(fnmatch(path.relative_to(folder).as_posix(), pattern) for pattern in excluded)
    )


def _read_headers(
    files: list[Path], settings: LocalSettings
) -> tuple[dict[str, Path], Shapes, dict[str, VitreousError]]:
    """Name in the dataset → file, name → (h, w), and the files that cannot be read."""
    from vitreous.io.micrograph import micrograph_shape

    sources: dict[str, Path] = {}
    shapes: Shapes = {}
    failed: dict[str, VitreousError] = {}
    for path in files:
        name = f"micrographs/{path.name}"
        try:
            shapes[name] = micrograph_shape(path)
            sources[name] = path
        except VitreousError as error:
            _log.warning("micrograph left out: %s", error)
            failed[name] = error
    if len(failed) > settings.max_failed_share * len(files):
        first = next(iter(failed.values()))
        found = f"{len(failed)} of {len(files)}; the first: {first}"
        expected = f"at most {settings.max_failed_share:.0%}"
        raise StageError("too many micrographs cannot be read", found=found, expected=expected)
    return sources, shapes, failed


def _pixel_size(sources: Mapping[str, Path], settings: LocalSettings) -> tuple[float, dict[str, str]]:
    from vitreous.io.micrograph import agreed_pixel_size, micrograph_pixel_size_A

    stated, sizes, silent = settings.pixel_size_A, set(), 0
    for path in sources.values():
        header = micrograph_pixel_size_A(path)
        silent += header is None
        if header is not None or settings.trust == "header":
            sizes.add(agreed_pixel_size(header, stated, file=path, trust=settings.trust))
    if max(sizes, default=0) > 1.01 * min(sizes, default=0):
        found = f"{min(sizes):.5g} to {max(sizes):.5g} Å"
        raise InputError("micrographs of different pixel sizes", file=settings.folder, found=found)
    used = min(sizes) if sizes and settings.trust == "header" else stated
    said = len(sources) - silent
    how = f"trusted: {settings.trust}" if settings.trust else "within 1 %"
    text = (
        f"stated in {said} of {plural(len(sources), 'header')} ({how})"
        if said
        else "stated in no header; from the settings"
    )
    return used, {"pixel_size_A": text}


def _particles(
    settings: LocalSettings, root: str | Path, shapes: Shapes, verified: dict[str, str]
) -> ParticleSet | None:
    """The user's particles under the dataset's names; image names become absolute, or go if not found."""
    if settings.particles is None:
        return None
    from dataclasses import replace

    from vitreous.io.cryosparc import cs_to_particles, read_cs
    from vitreous.io.particles import image_locations, read_particles

    path = Path(root) / settings.folder / settings.particles
    is_cs = path.suffix.lower() == ".cs"
    particles = (
        cs_to_particles(read_cs(path), file=path, flip_y=settings.flip_y) if is_cs else read_particles(path)
    )
    table = particles.particles.copy()
    text = f"{plural(len(table), 'row')} read"
    if "rlnMicrographName" in table:
        matched, unmatched = match_names(table["rlnMicrographName"], index_by_key(shapes))
        _refuse_no_match(path, matched, unmatched, shapes)
        keep = table["rlnMicrographName"].isin(matched)
        table = (
            table[keep]
            .assign(rlnMicrographName=table["rlnMicrographName"].map(matched))
            .reset_index(drop=True)
        )
        text += f", {int((~keep).sum())} of micrographs that are not here"
    try:
        locations = image_locations(replace(particles, particles=table), path)
        table["rlnImageName"] = [f"{index + 1:06d}@{stack.absolute()}" for stack, index in locations]
    except InputError as error:
        _log.warning("particle images are not linked: %s", error)
        table = table.drop(columns="rlnImageName", errors="ignore")
        text += ", images not found"
    verified["particles"] = text
    return replace(particles, particles=table)


def _refuse_no_match(
    path: Path, matched: Mapping[str, str], unmatched: list[str], known: Iterable[str]
) -> None:
    if unmatched and not matched:
        expected = f"a name such as {micrograph_key(next(iter(known)))}"
        raise InputError("names match no micrograph", file=path, found=unmatched[0], expected=expected)


def _picks(
    settings: LocalSettings,
    root: str | Path,
    shapes: Shapes,
    sources: Mapping[str, Path],
    pixel_size_A: float,
    particles: ParticleSet | None,
    verified: dict[str, str],
) -> tuple[pd.DataFrame | None, set[str] | None]:
    """The picks inside the micrographs, and the names of the micrographs that they are complete for."""
    from vitreous.data.coordinates import check_frame, merged_coordinates, picks_of_particles

    files = coordinate_files(settings, root=root)
    if files:
        picks, annotated, text = merged_coordinates(files, settings, shapes)
    elif particles is not None and "rlnCoordinateX" in particles.particles:
        picks, annotated, text = picks_of_particles(particles, shapes)
    else:
        return None, None
    diameter_px = settings.targets[0].diameter_A / pixel_size_A if settings.targets else None
    text += "; " + check_frame(picks, sources, diameter_px, settings.contrast)
    verified["coordinates"] = text
    return picks, set(shapes) if settings.coordinates_complete else annotated
