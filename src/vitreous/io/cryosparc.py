"""cryoSPARC's .cs files: NumPy records, read without pickle; to RELION's conventions, back by uid.

Poses there are rotation vectors in radians (RELION's matrix is the transpose), shifts are pixels of
alignments3D/psize_A with RELION's sign, the defocus angle is in radians, image indices begin at 0.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitreous.errors import InputError
from vitreous.io.names import micrograph_key
from vitreous.io.particles import GROUP, ParticleSet
from vitreous.runtime.files import atomic_path

Records = NDArray[Any]


def read_cs(path: str | Path) -> Records:
    """The records (n,) of a .cs file; raises InputError for all but NumPy records, and never unpickles."""
    path = Path(path)
    try:
        with open(path, "rb") as handle:
            if handle.read(6) != b"\x93NUMPY":
                raise InputError(
                    "not a NumPy file", file=path, expected="a cryoSPARC .cs file with its header"
                )
            handle.seek(0)
            records = np.load(handle, allow_pickle=False)
    except OSError as error:
        raise InputError("file cannot be read", file=path, found=error.strerror or str(error)) from error
    except (ValueError, EOFError) as error:
        raise InputError("damaged or unsafe .cs file", file=path, found=str(error)) from error
    if records.dtype.names is None or records.ndim != 1:
        raise InputError(
            "no table of named fields", file=path, found=f"array {records.shape} {records.dtype}"
        )
    return records


def write_cs(path: str | Path, records: Records) -> None:
    """Write records as a .cs file, whole or not at all."""
    with atomic_path(path) as part, open(part, "wb") as handle:
        np.save(handle, records, allow_pickle=False)


def filter_cs(path_in: str | Path, keep_uid: Iterable[int], path_out: str | Path) -> int:
    """Copy the records whose uid is in `keep_uid`, in the order of the input and with every field; how many.

    Raises InputError for uids that the input does not have.
    """
    records = read_cs(path_in)
    _require(records, ("uid",), path_in)
    wanted = np.unique(np.fromiter((int(uid) for uid in keep_uid), dtype=np.uint64))
    unknown = wanted[~np.isin(wanted, records["uid"])]
    if len(unknown):
        raise InputError("uid not in the file", file=path_in, found=f"{len(unknown)}, the first {unknown[0]}")
    kept = records[np.isin(records["uid"], wanted)]
    write_cs(path_out, kept)
    return len(kept)


def join_cs(records: Records, passthrough: Records) -> Records:
    """Add to `records` the fields of cryoSPARC's passthrough file that they lack, matched by uid."""
    order = np.argsort(passthrough["uid"])
    where = np.searchsorted(passthrough["uid"], records["uid"], sorter=order).clip(max=max(len(order) - 1, 0))
    rows = order[where] if len(order) else where
    if len(records) and (not len(order) or (passthrough["uid"][rows] != records["uid"]).any()):
        raise InputError("passthrough file lacks particles", found=len(passthrough), expected=len(records))
    names = [name for name in passthrough.dtype.names or () if name not in (records.dtype.names or ())]
    dtype = np.dtype(
        [(name, records.dtype[name]) for name in records.dtype.names or ()]
        + [(name, passthrough.dtype[name]) for name in names]
    )
    joined = np.empty(len(records), dtype)
    for name in records.dtype.names or ():
        joined[name] = records[name]
    for name in names:
        joined[name] = passthrough[name][rows]
    return joined


def cs_to_particles(records: Records, *, file: str | Path = "records", flip_y: bool = False) -> ParticleSet:
    """RELION's tables of particle records; fields that are absent give no columns (said in the log).

    Raises InputError without blob/path, blob/idx. Poses need alignments3D; 2D alignments give none.
    """
    _require(records, ("blob/path", "blob/idx", "blob/psize_A"), file)
    names = set(records.dtype.names or ())
    table = pd.DataFrame()
    paths = [_path(value) for value in records["blob/path"]]
    table["rlnImageName"] = [
        f"{int(index) + 1:06d}@{path}" for index, path in zip(records["blob/idx"], paths, strict=True)
    ]
    if "location/micrograph_path" in names:
        table["rlnMicrographName"] = [_path(value) for value in records["location/micrograph_path"]]
    if "location/center_x_frac" in names:
        picks = cs_to_picks(records, file=file, flip_y=flip_y)
        table["rlnCoordinateX"], table["rlnCoordinateY"] = picks["x"], picks["y"]
    if "ctf/df1_A" in names:
        for label, field in (("rlnDefocusU", "ctf/df1_A"), ("rlnDefocusV", "ctf/df2_A")):
            table[label] = records[field].astype(float)
        table["rlnDefocusAngle"] = np.degrees(records["ctf/df_angle_rad"].astype(float))
        table["rlnPhaseShift"] = np.degrees(records["ctf/phase_shift_rad"].astype(float))
    if "alignments3D/pose" in names:
        _add_poses(table, records)
    else:
        logging.getLogger(__name__).warning("%s: no 3D poses (no alignments3D fields)", file)
    optics, groups = _optics(records, names)
    table[GROUP] = groups
    return ParticleSet(optics, table)


def cs_to_picks(records: Records, *, file: str | Path = "records", flip_y: bool = False) -> pd.DataFrame:
    """Picks (micrograph, x, y, score, diameter_px) of records with location fields, in pixels.

    `flip_y` counts rows from the other end (y → h − 1 − y): cryoSPARC's own micrographs are stored upside
    down against RELION's, imported ones are not.
    """
    fields = ["location/micrograph_path", "location/micrograph_shape"]
    fields += ["location/center_x_frac", "location/center_y_frac"]
    _require(records, fields, file)
    shapes = records["location/micrograph_shape"].astype(float)  # rows, columns
    # ASSUME: fraction = pixel index / size, index 0 the first pixel's centre (half a pixel is not documented)
    x = records["location/center_x_frac"].astype(float) * shapes[:, 1]
    y = records["location/center_y_frac"].astype(float) * shapes[:, 0]
    score = np.full(len(records), np.nan)
    if "pick_stats/ncc_score" in (records.dtype.names or ()):
        score = records["pick_stats/ncc_score"].astype(float)
    names = [_path(value) for value in records["location/micrograph_path"]]
    return pd.DataFrame(
        {
            "micrograph": pd.Series(names, dtype="str"),
            "x": x,
            "y": shapes[:, 0] - 1 - y if flip_y else y,
            "score": score,
            "diameter_px": np.nan,
        }
    )


def write_picks_cs(
    path: str | Path,
    picks: pd.DataFrame,
    shapes: Mapping[str, tuple[int, int]],
    *,
    exposures: Records | None = None,
) -> None:
    """Write picks with all location fields; `shapes` are (h, w) by micrograph.

    With cryoSPARC's `exposures` records, uid, path and group of the micrographs are theirs (matched by name);
    without, uids derive from the names. Raises InputError for a micrograph that has no shape or no exposure.
    """
    micrographs = {
        name: _micrograph_fields(name, shapes, exposures) for name in dict.fromkeys(picks["micrograph"])
    }
    rows = [micrographs[name] for name in picks["micrograph"]]
    longest = max((len(row[0]) for row in rows), default=1)
    dtype = [
        ("uid", "<u8"),
        ("location/micrograph_uid", "<u8"),
        ("location/exp_group_id", "<u4"),
        ("location/micrograph_path", f"S{longest}"),
        ("location/micrograph_shape", "<u4", (2,)),
        ("location/center_x_frac", "<f4"),
        ("location/center_y_frac", "<f4"),
        ("pick_stats/ncc_score", "<f4"),
    ]
    records = np.zeros(len(rows), dtype)
    scores = picks["score"].fillna(0.0) if "score" in picks else np.zeros(len(picks))
    columns = zip(rows, picks["x"], picks["y"], scores, strict=True)
    for number, ((name, uid, group, (h, w)), x, y, score) in enumerate(columns):
        key = _uid(f"{name.decode()}\t{x!r}\t{y!r}\t{number}")
        records[number] = (key, uid, group, name, (h, w), x / w, y / h, score)
    write_cs(path, records)


def _micrograph_fields(
    name: str, shapes: Mapping[str, tuple[int, int]], exposures: Records | None
) -> tuple[bytes, int, int, tuple[int, int]]:
    if name not in shapes:
        raise InputError("size of the micrograph unknown", found=name, expected="a micrograph of the dataset")
    if exposures is None:
        return name.encode(), _uid(name), 0, shapes[name]
    _require(exposures, ("uid", "micrograph_blob/path"), "exposures")
    keys = {micrograph_key(_path(value)): row for row, value in enumerate(exposures["micrograph_blob/path"])}
    if micrograph_key(name) not in keys:
        raise InputError("micrograph is not among the exposures", found=name)
    record = exposures[keys[micrograph_key(name)]]
    group = (
        int(record["micrograph_blob/exp_group_id"])
        if "micrograph_blob/exp_group_id" in record.dtype.names
        else 0
    )
    return bytes(record["micrograph_blob/path"]), int(record["uid"]), group, shapes[name]


def _uid(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def _path(value: bytes | str) -> str:
    text = value.decode() if isinstance(value, bytes) else str(value)
    return text.removeprefix(">")  # cryoSPARC marks paths relative to the project so


def _require(records: Records, fields: Iterable[str], file: str | Path) -> None:
    missing = [name for name in fields if name not in (records.dtype.names or ())]
    if missing:
        there = ", ".join(records.dtype.names or ())
        raise InputError(f"field missing: {', '.join(missing)}", file=file, found=there)


def _add_poses(table: pd.DataFrame, records: Records) -> None:
    angles = _euler_of_rotation_vectors(records["alignments3D/pose"].astype(float))
    for label, values in zip(("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), angles.T, strict=True):
        table[label] = values
    shifts = (
        records["alignments3D/shift"].astype(float) * records["alignments3D/psize_A"].astype(float)[:, None]
    )
    table["rlnOriginXAngst"], table["rlnOriginYAngst"] = shifts[:, 0], shifts[:, 1]
    if "alignments3D/split" in (records.dtype.names or ()):
        table["rlnRandomSubset"] = records["alignments3D/split"].astype(int) + 1


def _euler_of_rotation_vectors(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 3) rotation vectors in radians to (n, 3) RELION angles rot, tilt, psi in degrees.

    RELION's A is the transpose of the rotation R; A[2, 2] = cos(tilt), A[2, :2] = sin(tilt) (cos, sin)(rot),
    A[:2, 2] = sin(tilt) (−cos, sin)(psi).
    """
    angle = np.linalg.norm(vectors, axis=1)
    axis = vectors / np.where(angle == 0, 1, angle)[:, None]
    x, y, z = axis.T
    zero = np.zeros_like(x)
    cross = np.array([[zero, -z, y], [z, zero, -x], [-y, x, zero]]).transpose(2, 0, 1)
    sin, cos = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    rotation = cos * np.eye(3) + sin * cross + (1 - cos) * axis[:, :, None] * axis[:, None, :]
    a = rotation.transpose(0, 2, 1)
    tilt = np.arctan2(np.hypot(a[:, 2, 0], a[:, 2, 1]), a[:, 2, 2])
    rot = np.arctan2(a[:, 2, 1], a[:, 2, 0])
    psi = np.arctan2(a[:, 1, 2], -a[:, 0, 2])
    # at tilt 0 and 180° only one angle about z is defined: rot = 0 and psi takes all of it, as in RELION
    pole = np.hypot(a[:, 2, 0], a[:, 2, 1]) < 1e-6
    rot = np.where(pole, 0.0, rot)
    psi = np.where(pole, np.arctan2(-np.sign(a[:, 2, 2]) * a[:, 1, 0], a[:, 1, 1]), psi)
    return np.degrees(np.stack([rot, tilt, psi], axis=1))


def _optics(records: Records, names: set[str]) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """One optics group for each set of equal optics values, in order of appearance."""
    fields = {
        "rlnVoltage": "ctf/accel_kv",
        "rlnSphericalAberration": "ctf/cs_mm",
        "rlnAmplitudeContrast": "ctf/amp_contrast",
        "rlnImagePixelSize": "blob/psize_A",
    }
    # through text: 1.345 stored as float32 is 1.345, not 1.3450000286
    values = {
        label: np.array([float(str(value)) for value in records[field]])
        for label, field in fields.items()
        if field in names
    }
    rows = pd.DataFrame(values)
    rows["rlnImageSize"] = records["blob/shape"][:, 0].astype(int) if "blob/shape" in names else 0
    rows["exposure"] = records["ctf/exp_group_id"].astype(int) if "ctf/exp_group_id" in names else 0
    codes, kept = pd.factorize(pd.Series(list(rows.itertuples(index=False, name=None)), dtype=object))
    optics = pd.DataFrame(list(kept), columns=list(rows)).drop(columns="exposure")
    optics.insert(0, GROUP, np.arange(1, len(optics) + 1))
    optics.insert(0, "rlnOpticsGroupName", [f"opticsGroup{number}" for number in optics[GROUP]])
    optics["rlnImageDimensionality"] = 2
    return optics, codes + 1
