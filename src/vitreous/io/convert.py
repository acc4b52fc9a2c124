"""Particle and coordinate files from one program's form into another's, counting what is read and written."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pandas as pd

from vitreous.errors import InputError
from vitreous.io.coordinate_exports import WRITTEN
from vitreous.io.coordinates import coordinate_kind, read_coordinates, write_coordinates
from vitreous.io.cryosparc import Records, cs_to_particles, filter_cs, read_cs
from vitreous.io.micrograph import micrograph_shape
from vitreous.io.particles import ParticleSet, find_file, read_particles, write_particles
from vitreous.io.star import read_star
from vitreous.runtime.plural import plural

_IMAGES = (".mrc", ".map", ".png", ".jpg", ".jpeg", ".tif", ".tiff")


def convert_particles(
    path_in: str | Path, path_out: str | Path, *, template: str | Path | None = None, flip_y: bool = False
) -> list[str]:
    """Particles (.star of RELION 3.0 to 5, .cs) as RELION 3.1 .star, or as a .cs that filters `template`.

    A .cs is written only from the .cs that the particles come from (`template`): its records are kept whole,
    those of other particles are dropped. `flip_y` turns the coordinates read from a .cs. Says what was read
    and written.
    """
    path_in, path_out = Path(path_in), Path(path_out)
    particles = _read_any(path_in, flip_y)
    read = f"{plural(len(particles), 'particle')} read from {path_in}"
    if path_out.suffix.lower() != ".cs":
        write_particles(path_out, particles)
        return [read, f"{len(particles)} written to {path_out}"]
    if template is None:
        todo = "name the .cs file that the particles come from"
        raise InputError("a particle .cs is written as a filter of another", file=path_out, todo=todo)
    uids = matching_uids(read_cs(template), particles)
    written = filter_cs(template, uids, path_out)
    return [read, f"{plural(written, 'record')} of {template} kept in {path_out}"]


def matching_uids(records: Records, particles: ParticleSet) -> list[int]:
    """The uid of each particle, found by its image's file name and number.

    Raises InputError where a particle is not among the records, or where the name alone does not tell.
    """
    keys = [
        (PurePosixPath(path.decode()).name, int(index) + 1)
        for path, index in zip(records["blob/path"], records["blob/idx"], strict=True)
    ]
    uids = dict(zip(keys, map(int, records["uid"]), strict=True))
    if len(uids) < len(keys):
        raise InputError("stacks of the same name: particles cannot be told apart", found="blob/path")
    names = [str(name).partition("@") for name in particles.particles["rlnImageName"]]
    wanted = [(PurePosixPath(stack).name, int(number)) for number, _, stack in names]
    missing = [key for key in wanted if key not in uids]
    if missing:
        found = f"{len(missing)} of {len(wanted)}, the first {missing[0][1]}@{missing[0][0]}"
        raise InputError("particles are not in the .cs file", file=particles.source, found=found)
    return [uids[key] for key in wanted]


def convert_picks(
    path_in: str | Path,
    path_out: str | Path,
    *,
    kind_in: str = "auto",
    kind_out: str = "auto",
    flip_y_in: bool = False,
    flip_y_out: bool = False,
    micrographs: str | Path | None = None,
    box_px: int | None = None,
    min_score: float | None = None,
    exposures: str | Path | None = None,
) -> list[str]:
    """Coordinates of any kind as another kind; says what was read, left out and written.

    `micrographs` (a folder or a STAR file) gives names and sizes, needed to turn rows and to write .cs. With
    it, picks of micrographs that are not there are left out and named.
    """
    path_in, path_out = Path(path_in), Path(path_out)
    shapes = micrograph_shapes(micrographs) if micrographs else None
    picks = read_coordinates(path_in, micrograph_shapes=shapes, kind=kind_in, flip_y=flip_y_in)
    of = plural(picks["micrograph"].nunique(), "micrograph")
    said = [f"{plural(len(picks), 'pick')} of {of} read from {path_in}"]
    if shapes is not None and len(strange := sorted(set(picks["micrograph"]) - set(shapes))):
        picks = picks[picks["micrograph"].isin(list(shapes))]
        names = ", ".join(strange[:5])
        said.append(f"{plural(len(strange), 'micrograph')} not in {micrographs}: {names}")
    if min_score is not None:
        low = picks["score"] < min_score
        picks = picks[~low]
        said.append(f"{int(low.sum())} below {min_score:g} left out")
    kind = _kind_by_ending(path_out) if kind_out == "auto" else kind_out
    records = read_cs(exposures) if exposures else None
    files = write_coordinates(
        path_out, picks, kind, shapes=shapes, box_px=box_px, flip_y=flip_y_out, exposures=records
    )
    return [*said, f"{len(picks)} written to {path_out} ({kind}, {plural(len(files), 'file')})"]


def micrograph_shapes(source: str | Path) -> dict[str, tuple[int, int]]:
    """(h, w) of every micrograph of a folder (by file name) or of a STAR file (by its names)."""
    source = Path(source)
    if source.is_dir():
        files = {path.name: path for path in sorted(source.iterdir()) if path.suffix.lower() in _IMAGES}
    else:
        table = read_star(source).get("micrographs")
        if not isinstance(table, pd.DataFrame) or "rlnMicrographName" not in table:
            raise InputError(
                "no micrographs", file=source, expected="data_micrographs with rlnMicrographName"
            )
        files = {str(name): find_file(str(name), source) for name in table["rlnMicrographName"]}
    if not files:
        raise InputError("no micrographs", file=source, expected=", ".join(_IMAGES))
    return {name: micrograph_shape(path) for name, path in files.items()}


def holds_particles(path: str | Path) -> bool:
    """Whether a file is one of particles with images (and not of coordinates or micrographs)."""
    path = Path(path)
    if path.suffix.lower() == ".cs":
        return "blob/path" in (read_cs(path).dtype.names or ())
    if path.suffix.lower() != ".star":
        return False
    return any(
        isinstance(block, pd.DataFrame) and "rlnImageName" in block for block in read_star(path).values()
    )


def _read_any(path: Path, flip_y: bool) -> ParticleSet:
    if path.suffix.lower() == ".cs":
        return cs_to_particles(read_cs(path), file=path, flip_y=flip_y)
    return read_particles(path)


def _kind_by_ending(path: Path) -> str:
    kind = coordinate_kind(path) if path.suffix else ""
    if kind in ("star", "csv", "topaz", "cs"):
        return kind
    found, expected = path.suffix or "a folder", ", ".join(WRITTEN)
    raise InputError(
        "kind of output not stated", file=path, found=found, expected=expected, todo="state the kind"
    )
