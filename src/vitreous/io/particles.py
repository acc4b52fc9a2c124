"""Particles as RELION 3.1 and later hold them: an optics table and a particle table; 3.0 is converted.

Angles in degrees (rot, tilt, psi), origins and defocus in Å. Values that a file does not state are absent
from the tables, never invented: who needs them gets an InputError that names the column.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitreous.errors import InputError
from vitreous.io.mrc import MrcHeader, read_header
from vitreous.io.star import Block, read_star, require_columns, row_line, write_star
from vitreous.runtime.plural import plural

GROUP = "rlnOpticsGroup"
ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst")
DEFOCUS = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
_OPTICS = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast", "rlnImagePixelSize")
_MUST_BE_FINITE = (*ANGLES, *ORIGINS, *DEFOCUS, "rlnPhaseShift", "rlnCoordinateX", "rlnCoordinateY", *_OPTICS)
_IMAGE = re.compile(r"(\d+)@(.+)")


@dataclass(frozen=True)
class ParticleSet:
    """Particles (one row each, with rlnOpticsGroup) and the optics groups they belong to."""

    optics: pd.DataFrame
    particles: pd.DataFrame
    source: str = "particles"  # the file, for messages

    def __len__(self) -> int:
        """How many particles."""
        return len(self.particles)

    def subset(self, rows: Any) -> ParticleSet:
        """The particles of a boolean mask or of row numbers, in the order given; optics stay whole."""
        chosen = np.asarray(rows)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(int)
        return replace(self, particles=self.particles.iloc[chosen].reset_index(drop=True))


def read_particles(path: str | Path, require: Sequence[str] = ()) -> ParticleSet:
    """Read a particle STAR file of RELION 3.0 to 5; `require` names columns that one of the tables must have.

    Raises InputError, with the line, for an optics group that is not defined, an image name without
    `number@`, an index below 1, and numbers that are not finite.
    """
    path = Path(path)
    blocks = read_star(path)
    name, table = _particle_block(path, blocks)
    optics = blocks.get("optics")
    if isinstance(optics, dict):
        optics = pd.DataFrame({key: [value] for key, value in optics.items()})
    if optics is None:
        for label in (GROUP, *ORIGINS):
            if label in table:
                what = (
                    f"particles of RELION 3.1 ({label}) without data_optics: voltage and pixel size unknown"
                )
                raise InputError(what, file=path, expected="data_optics", todo="add the optics block")
        particles = _from_relion_30(table, str(path))
    else:
        particles = ParticleSet(optics, table, str(path))
    check_particles(particles, file=path, block=name)
    for label in require:
        if label not in particles.particles and label not in particles.optics:
            raise InputError("column missing", file=path, place=f"data_{name}", expected=label)
    if not len(particles):
        logging.getLogger(__name__).warning("%s: no particles", path)
    return particles


def write_particles(path: str | Path, particles: ParticleSet) -> None:
    """Write data_optics and data_particles, whole or not at all, after the same checks as on reading."""
    check_particles(particles, file=None)
    write_star(path, {"optics": particles.optics, "particles": particles.particles})


def check_particles(particles: ParticleSet, *, file: Path | None, block: str = "particles") -> None:
    """Raise InputError for the first fault: groups, image names, numbers not finite, pixel sizes of 0."""
    optics, table = particles.optics, particles.particles
    require_columns(optics, (GROUP,), file=particles.source, block="optics")
    require_columns(table, (GROUP,), file=particles.source, block=block)
    if optics[GROUP].duplicated().any():
        raise InputError("optics group stands twice", file=file, found=optics[GROUP].tolist())
    known = sorted(set(optics[GROUP]))
    unknown = ~table[GROUP].isin(known).to_numpy()
    _refuse_row(unknown, table, GROUP, "optics group is not in data_optics", file, block, expected=known)
    for label in _MUST_BE_FINITE:
        for part, name in ((optics, "optics"), (table, block)):
            if label in part:
                bad = ~np.isfinite(part[label].to_numpy(float))
                _refuse_row(bad, part, label, "not a finite number", file, name)
    if "rlnImagePixelSize" in optics:
        bad = optics["rlnImagePixelSize"].to_numpy(float) <= 0
        _refuse_row(bad, optics, "rlnImagePixelSize", "pixel size is not above 0", file, "optics")
    if "rlnImageName" in table:
        _check_image_names(table, file, block)


def pixel_sizes_A(particles: ParticleSet) -> NDArray[np.float64]:
    """The pixel size of each particle's image in Å (n,), by its optics group."""
    return _per_row(particles, "rlnImagePixelSize")


def ctf_columns(particles: ParticleSet) -> dict[str, NDArray[np.float64]]:
    """What the CTF of each particle needs: arrays (n,) named as the fields of `Ctf`, and pixel_size_A.

    Voltage, Cs, amplitude contrast and pixel size follow the row's optics group. Raises InputError naming the
    column that is missing; phase shift, B-factor and scale are 0, 0 and 1 where absent, as in RELION.
    """
    table = particles.particles
    require_columns(table, DEFOCUS, file=particles.source, block="particles")
    columns = dict(zip(("defocus_u_A", "defocus_v_A", "defocus_angle_deg"), DEFOCUS, strict=True))
    values = {name: table[label].to_numpy(float) for name, label in columns.items()}
    fields = ("voltage_kv", "cs_mm", "amplitude_contrast", "pixel_size_A")
    values |= {name: _per_row(particles, label) for name, label in zip(fields, _OPTICS, strict=True)}
    absent = {
        "phase_shift_deg": ("rlnPhaseShift", 0.0),
        "b_factor_A2": ("rlnCtfBfactor", 0.0),
        "scale": ("rlnCtfScalefactor", 1.0),
    }
    for name, (label, value) in absent.items():
        values[name] = table[label].to_numpy(float) if label in table else np.full(len(table), value)
    return values


def euler_angles(particles: ParticleSet) -> NDArray[np.float64]:
    """(n, 3) rot, tilt, psi in degrees; raises InputError where the particles have no 3D pose."""
    require_columns(particles.particles, ANGLES, file=particles.source, block="particles (no 3D pose)")
    return particles.particles[list(ANGLES)].to_numpy(float)


def origins_A(particles: ParticleSet) -> NDArray[np.float64]:
    """(n, 2) origins x, y in Å: the particle shows at the centre minus the origin; 0 where absent."""
    table = particles.particles
    zeros = np.zeros(len(table))
    return np.stack([table[label].to_numpy(float) if label in table else zeros for label in ORIGINS], axis=1)


def image_locations(particles: ParticleSet, star_path: str | Path) -> list[tuple[Path, int]]:
    """(stack, zero-based index) of each particle's image, checked against the length of the stack.

    A relative path counts from the folder of the STAR file or, as in RELION's jobs, from a folder above it.
    Where a stack's header says another pixel size than data_optics, which counts, the log says so.
    """
    star_path = Path(star_path)
    require_columns(particles.particles, ("rlnImageName",), file=star_path, block="particles")
    names = [_split_image(name) for name in particles.particles["rlnImageName"]]
    stacks: dict[str, MrcHeader] = {}
    for _, stack in names:
        if stack not in stacks:
            stacks[stack] = read_header(find_file(stack, star_path))
    for row, (index, stack) in enumerate(names):
        header = stacks[stack]
        if index > header.shape[0]:
            place, expected = f"particle {row + 1}", f"1 to {header.shape[0]} in {header.path.name}"
            raise InputError(
                "image beyond the stack", file=star_path, place=place, found=index, expected=expected
            )
    if "rlnImagePixelSize" in particles.optics:
        by_stack = dict(zip((stack for _, stack in names), pixel_sizes_A(particles).tolist(), strict=True))
        _say_other_pixel_sizes(stacks, by_stack, star_path)
    return [(stacks[stack].path, index - 1) for index, stack in names]


def _say_other_pixel_sizes(
    stacks: Mapping[str, MrcHeader], optics_A: Mapping[str, float], star_path: Path
) -> None:
    """Warn of stacks whose header differs by more than 1 % from the optics; many programs write 1.0 there."""
    said = {name: header.pixel_size_A[0] for name, header in stacks.items() if header.pixel_size_A}
    other = [name for name, size_A in said.items() if abs(size_A - optics_A[name]) > 0.01 * optics_A[name]]
    if other:
        logging.getLogger(__name__).warning(
            "%s: pixels of %.5g Å, as data_optics says, though the header of %s says %.5g Å (%s)",
            star_path, optics_A[other[0]], other[0], said[other[0]], plural(len(other), "such stack"),
        )  # fmt: skip


def find_file(name: str, star_path: str | Path) -> Path:
    """The file that a STAR file names: from its own folder, else from those above (RELION's project)."""
    folder = Path(star_path).absolute().parent
    for start in (folder, *folder.parents[:4]):
        if (start / name).is_file():
            return start / name
    raise InputError(
        "file named in the STAR file not found", file=star_path, found=name, expected=f"below {folder}"
    )


def _particle_block(path: Path, blocks: dict[str, Block]) -> tuple[str, pd.DataFrame]:
    tables = {
        name: block for name, block in blocks.items() if isinstance(block, pd.DataFrame) and name != "optics"
    }
    if "particles" in tables:
        return "particles", tables["particles"]
    for name, table in tables.items():
        if "rlnImageName" in table:
            return name, table
    found = ", ".join(f"data_{name}" for name in blocks)
    raise InputError("no particles", file=path, found=found, expected="a loop with rlnImageName")


def _from_relion_30(table: pd.DataFrame, file: str) -> ParticleSet:
    """Optics groups from columns that RELION 3.0 repeats in every row; origins from pixels to Å."""
    table = table.copy()
    if {"rlnDetectorPixelSize", "rlnMagnification"} <= set(table):
        # detector pixel in µm; 10⁴ Å are 1 µm
        pixel = 1e4 * table.pop("rlnDetectorPixelSize") / table.pop("rlnMagnification")
        table["rlnImagePixelSize"] = pixel.astype(float)
    for old, new in zip(("rlnOriginX", "rlnOriginY"), ORIGINS, strict=True):
        if old in table:
            if "rlnImagePixelSize" not in table:
                what, expected = "origins in pixels, pixel size unknown", "rlnMagnification"
                raise InputError(what, file=file, place=old, expected=expected)
            position = list(table).index(old)
            table.insert(position, new, table.pop(old) * table["rlnImagePixelSize"])
    there = [label for label in _OPTICS if label in table]
    keys = (
        table[there].round(6).drop_duplicates().reset_index(drop=True) if there else pd.DataFrame(index=[0])
    )
    optics = keys.astype(float)
    optics.insert(0, GROUP, np.arange(1, len(keys) + 1))
    optics.insert(0, "rlnOpticsGroupName", [f"opticsGroup{number}" for number in optics[GROUP]])
    particles = table.drop(columns=there)
    merged = table[there].round(6).merge(optics, how="left", on=there) if there else None
    particles[GROUP] = 1 if merged is None else merged[GROUP].to_numpy()
    missing = [label for label in _OPTICS if label not in table]
    if missing:
        logging.getLogger(__name__).warning("%s: no %s in this RELION 3.0 file", file, ", ".join(missing))
    return ParticleSet(optics, particles, file)


def _per_row(particles: ParticleSet, label: str) -> NDArray[np.float64]:
    require_columns(particles.optics, (label,), file=particles.source, block="optics")
    values = dict(zip(particles.optics[GROUP], particles.optics[label].astype(float), strict=True))
    return np.array([values[group] for group in particles.particles[GROUP]], dtype=float)


def _split_image(name: str) -> tuple[int, str]:
    match = _IMAGE.fullmatch(name)
    if match is None or int(match[1]) < 1:
        raise InputError("not an image name", found=name, expected="number@stack, numbers from 1")
    return int(match[1]), match[2]


def _check_image_names(table: pd.DataFrame, file: Path | None, block: str) -> None:
    matches = [_IMAGE.fullmatch(str(name)) for name in table["rlnImageName"]]
    bad = np.array([match is None or int(match[1]) < 1 for match in matches], dtype=bool)
    what, expected = "not an image name", "number@stack, numbers from 1"
    _refuse_row(bad, table, "rlnImageName", what, file, block, expected=expected)


def _refuse_row(
    bad: NDArray[np.bool_],
    table: pd.DataFrame,
    label: str,
    what: str,
    file: Path | None,
    block: str,
    **more: object,
) -> None:
    if not bad.any():
        return
    row = int(np.argmax(bad))
    line = row_line(file, block, row) if file is not None else None
    at = f"line {line}" if line is not None else f"row {row + 1}"
    more_rows = f" (and {plural(int(bad.sum()) - 1, 'more row')})" if bad.sum() > 1 else ""
    count = f"{table[label].iloc[row]}{more_rows}"
    raise InputError(what, file=file, place=f"{at}, column {label}", found=count, **more)  # type: ignore[arg-type]
