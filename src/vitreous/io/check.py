"""What a file is and what is wrong with it, in words, for any file of the field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from vitreous.errors import InputError, VitreousError
from vitreous.io.coordinates import coordinate_kind, read_coordinates
from vitreous.io.cryosparc import read_cs
from vitreous.io.micrograph import micrograph_shape, read_micrograph
from vitreous.io.mrc import open_bytes, read_header, validate
from vitreous.io.particles import DEFOCUS, GROUP, ParticleSet, image_locations, read_particles
from vitreous.io.star import Block, read_star
from vitreous.runtime.plural import plural

_OPTICS = {
    "rlnVoltage": "voltage", "rlnSphericalAberration": "Cs", "rlnAmplitudeContrast": "amplitude contrast",
    "rlnImagePixelSize": "pixel size",
}  # fmt: skip


@dataclass(frozen=True)
class Report:
    """What a file is (`kind`), what it holds (`facts`), what is wrong or doubtful (`faults`).

    `remarks` are odd and do no harm: the file is read as it should be.
    """

    kind: str
    facts: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def check_file(path: str | Path) -> Report:
    """Look at a file of any kind; a fault is told, never raised."""
    path = Path(path)
    try:
        return _checker(path)(path)
    except VitreousError as error:
        return Report(_name_by_ending(path), faults=[str(error)])


def _checker(path: Path) -> Callable[[Path], Report]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    last = suffixes[-1] if suffixes else ""
    if last == ".star":
        return _check_star
    if last == ".cs":
        return _check_cs
    if last in (".csv", ".tsv", ".box", ".cbox", ".coord", ".txt"):
        return _check_coordinates
    if last in (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dm3", ".dm4", ".eer"):
        return _check_picture
    if last in (".mrc", ".mrcs", ".map", ".ccp4", ".rec", ".st", ".gz", ".bz2"):
        return _check_mrc
    return _checker_by_content(path)


def _checker_by_content(path: Path) -> Callable[[Path], Report]:
    handle, _ = open_bytes(path)
    with handle:
        head = handle.read(256)
    if head.startswith(b"\x93NUMPY"):
        return _check_cs
    if b"data_" in head and b"\0" not in head:
        return _check_star
    if head.startswith((b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*")):
        return _check_picture
    if b"\0" not in head:
        raise InputError("unknown kind of file", file=path, found="text", todo="give it its usual ending")
    return _check_mrc


def _name_by_ending(path: Path) -> str:
    names = {"_check_star": "STAR", "_check_cs": "cryoSPARC records", "_check_coordinates": "coordinates"}
    names |= {"_check_picture": "image", "_check_mrc": "MRC"}
    try:
        return names[_checker(path).__name__]
    except VitreousError:
        return "file"


def _check_mrc(path: Path) -> Report:
    header = read_header(path)
    d, h, w = header.shape
    size = f"{w} x {h}" + (f" x {d}" if header.kind == "volume" else f", {d} images" if d > 1 else "")
    facts = [size, f"mode {header.mode} ({header.dtype.name}), {_endian(header.byte_order)}"]
    if header.pixel_size_A is not None:
        sizes = dict.fromkeys(f"{value:.4g}" for value in header.pixel_size_A)
        facts.append(f"pixel size {', '.join(sizes)} Å")
    if header.compression:
        facts.append(f"compressed ({header.compression})")
    return Report(f"MRC {header.kind}", facts, validate(path), header.remarks)


def _endian(order: str) -> str:
    return "little-endian" if order == "<" else "big-endian"


def _check_picture(path: Path) -> Report:
    h, w = micrograph_shape(path)
    image = read_micrograph(path)
    facts = [
        f"{w} x {h}",
        f"values {image.min():g} to {image.max():g}",
        "pixel size not stated by this format",
    ]
    return Report(f"{path.suffix[1:].upper()} image", facts)


def _check_star(path: Path) -> Report:
    blocks = read_star(path)
    facts = [_block_fact(name, block) for name, block in blocks.items()]
    if not path.read_bytes().endswith(b"\n"):
        return Report("STAR", facts, ["no newline at the end: the file may be truncated"])
    tables = [block for block in blocks.values() if isinstance(block, pd.DataFrame)]
    if not any("rlnImageName" in table for table in tables):
        return Report(_star_kind(blocks, tables), facts)
    try:
        particles = read_particles(path)
    except VitreousError as error:
        return Report("STAR particles", facts, [str(error)])
    version = "3.1 or later" if "optics" in blocks else "3.0"
    more, faults = _particle_facts(particles, path)
    return Report(f"STAR particles (RELION {version})", facts + more, faults)


def _star_kind(blocks: dict[str, Block], tables: list[pd.DataFrame]) -> str:
    if "micrographs" in blocks:
        return "STAR micrographs"
    listed = any(
        label in table for table in tables for label in ("rlnCoordinateX", "rlnMicrographCoordinates")
    )
    return "STAR coordinates" if listed else "STAR"


def _block_fact(name: str, block: Block) -> str:
    if isinstance(block, dict):
        return f"data_{name}: {plural(len(block), 'value')}"
    return f"data_{name}: {plural(len(block), 'row')} of {plural(block.shape[1], 'column')}"


def _particle_facts(particles: ParticleSet, path: Path) -> tuple[list[str], list[str]]:
    facts, faults = [], []
    counts = particles.particles[GROUP].value_counts().sort_index()
    facts.append(f"particles in optics groups: {', '.join(f'{group}: {n}' for group, n in counts.items())}")
    for label, name in _OPTICS.items():
        if label in particles.optics:
            values = ", ".join(f"{value:g}" for value in dict.fromkeys(particles.optics[label]))
            facts.append(f"{name} {values}")
        else:
            faults.append(f"{name} missing ({label})")
    missing = [label for label in DEFOCUS if label not in particles.particles]
    if missing:
        faults.append(f"no CTF: {', '.join(missing)} missing")
    if not len(particles):
        faults.append("no particles")
    try:
        stacks = {stack for stack, _ in image_locations(particles, path)}
        facts.append(f"{plural(len(stacks), 'stack')} found")
    except VitreousError as error:
        faults.append(str(error))
    return facts, faults


def _check_cs(path: Path) -> Report:
    records = read_cs(path)
    names = records.dtype.names or ()
    groups = sorted({name.split("/")[0] for name in names if "/" in name})
    size = f"{plural(len(records), 'record')} of {plural(len(names), 'field')}"
    facts = [size, f"groups: {', '.join(groups)}"]
    faults = []
    if "uid" not in names:
        faults.append("no uid")
    elif len(np.unique(records["uid"])) < len(records):
        faults.append("uid stands twice")
    if "blob/path" in names:
        facts.append(plural(len(np.unique(records["blob/path"])), "stack"))
        if "alignments3D/pose" not in names:
            faults.append("no 3D poses")
    for name in names:
        if records.dtype[name].base.kind == "f" and not np.isfinite(records[name]).all():
            faults.append(f"{name}: values that are not finite")
    return Report("cryoSPARC records", facts, faults)


def _check_coordinates(path: Path) -> Report:
    kind = coordinate_kind(path)
    picks = read_coordinates(path, kind=kind)
    facts = [f"{plural(len(picks), 'pick')} of {plural(picks['micrograph'].nunique(), 'micrograph')}"]
    faults = [] if len(picks) else ["no picks"]
    if len(picks):
        facts.append(
            f"x {picks['x'].min():g} to {picks['x'].max():g}, y {picks['y'].min():g} to {picks['y'].max():g}"
        )
    if picks["score"].notna().any():
        facts.append(f"scores {picks['score'].min():.4g} to {picks['score'].max():.4g}")
        if kind == "cbox":
            low = plural(int((picks["score"] < 0.3).sum()), "box", "boxes")
            faults.append(f"{low} below crYOLO's usual threshold 0.3: give a threshold")
    sizes = picks["diameter_px"].dropna().unique()
    if len(sizes):
        facts.append("boxes of " + ", ".join(f"{size:g}" for size in sizes[:5]) + " px")
    if kind == "box" and len(sizes):
        facts.append("read as corners (EMAN); `box-centre` reads centres; rows may count from the bottom")
    return Report(f"coordinates ({kind})", facts, faults)
