"""Picks written as the coordinate files of other programs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

from vitreous.errors import InputError
from vitreous.io.cryosparc import Records, write_picks_cs
from vitreous.io.frames import Shapes, flipped_rows
from vitreous.io.names import index_by_key
from vitreous.io.picks import write_picks
from vitreous.io.star import write_star
from vitreous.runtime.files import atomic_path, write_text

WRITTEN = ("star", "csv", "topaz", "cs", "relion", "cryoppp", "box", "cbox")


def write_coordinates(
    path: str | Path,
    picks: pd.DataFrame,
    kind: str,
    *,
    shapes: Shapes | None = None,
    box_px: int | None = None,
    flip_y: bool = False,
    exposures: Records | None = None,
) -> list[Path]:
    """Write picks (micrograph, x, y, score) for another program; the files written.

    star, csv, topaz and cs are one file; relion, cryoppp, box and cbox are a folder with a file a micrograph
    (of `shapes`, also where it has no picks). `flip_y` counts rows from the bottom. `box_px` is the box, or
    CryoPPP's diameter. Raises InputError where box_px or shapes are needed and not given.
    """
    path = Path(path)
    if kind in ("box", "cbox", "cryoppp") and not box_px:
        raise InputError("size of the box not given", file=path, found=kind, todo="state box_px")
    if flip_y:
        picks = flipped_rows(picks, shapes or {}, path, boxed=kind in ("box", "cbox"))
    if kind == "star":
        write_picks(path, picks)
    elif kind == "cs":
        write_picks_cs(path, picks, shapes or {}, exposures=exposures)
    elif kind in ("csv", "topaz"):
        _write_csv(path, picks, topaz=kind == "topaz")
    elif kind in ("relion", "cryoppp", "box", "cbox"):
        return _write_folder(
            path, picks, kind, list(shapes or dict.fromkeys(picks["micrograph"])), box_px or 0
        )
    else:
        expected = ", ".join(WRITTEN)
        raise InputError("unknown kind of coordinates", file=path, found=kind, expected=expected)
    return [path]


def _short(value: float) -> str:
    """A number with all its digits, whole ones without a point."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _write_csv(path: Path, picks: pd.DataFrame, topaz: bool) -> None:
    table = pd.DataFrame({"micrograph": picks["micrograph"]})
    table["x"], table["y"] = picks["x"].map(_short), picks["y"].map(_short)
    if "score" in picks and picks["score"].notna().any():
        table["score"] = picks["score"]
    if topaz:  # names without folder and ending
        table["micrograph"] = [PurePosixPath(name).stem for name in table["micrograph"]]
        table = table.rename(columns={"micrograph": "image_name", "x": "x_coord", "y": "y_coord"})
    with atomic_path(path) as part:
        table.to_csv(part, index=False, sep="\t" if topaz else ",")


def _write_folder(folder: Path, picks: pd.DataFrame, kind: str, names: list[str], box_px: int) -> list[Path]:
    endings = {"relion": "_autopick.star", "cryoppp": ".csv", "box": ".box", "cbox": ".cbox"}
    paths = []
    index_by_key(names)
    for name in names:
        rows = picks[picks["micrograph"] == name]
        path = folder / (PurePosixPath(name).stem + endings[kind])
        if kind == "relion":
            _write_picks_of_one(path, rows)
        else:
            write_text(path, "".join(f"{line}\n" for line in _lines(rows, kind, box_px)))
        paths.append(path)
    if kind == "relion":
        files = pd.Series([path.name for path in paths], dtype="str")
        listing = pd.DataFrame({"rlnMicrographName": pd.Series(names, dtype="str")})
        write_star(
            folder / "autopick.star", {"coordinate_files": listing.assign(rlnMicrographCoordinates=files)}
        )
        paths.append(folder / "autopick.star")
    return paths


def _write_picks_of_one(path: Path, picks: pd.DataFrame) -> None:
    """A block without name, as RELION has them: x, y and, where known, the score."""
    table = pd.DataFrame(
        {"rlnCoordinateX": picks["x"].astype(float), "rlnCoordinateY": picks["y"].astype(float)}
    )
    if "score" in picks and picks["score"].notna().any():
        table["rlnAutopickFigureOfMerit"] = picks["score"].astype(float)
    write_star(path, {"": table})


def _lines(picks: pd.DataFrame, kind: str, box_px: int) -> Iterator[str]:
    scores = picks["score"] if "score" in picks else pd.Series(math.nan, picks.index)
    rows = zip(picks["x"], picks["y"], scores, strict=True)
    if kind == "cryoppp":
        yield "X-Coordinate,Y-Coordinate,Diameter"
        yield from (f"{_short(x)},{_short(y)},{box_px}" for x, y, _ in rows)
        return
    corners = [(_short(x - box_px / 2), _short(y - box_px / 2), score) for x, y, score in rows]
    if kind == "box":
        scored = bool(scores.notna().any())
        yield from (
            f"{x}\t{y}\t{box_px}\t{box_px}" + (f"\t{score!r}" if scored else "") for x, y, score in corners
        )
        return
    yield from ("", "data_global", "", "_cbox_format_version 1.0", "", "data_cryolo", "", "loop_")
    labels = (
        "CoordinateX CoordinateY CoordinateZ Width Height Depth EstWidth EstHeight Confidence NumBoxes Angle"
    )
    yield from (f"_{label} #{number}" for number, label in enumerate(labels.split(), 1))
    for x, y, score in corners:
        confidence = "<NA>" if math.isnan(score) else repr(float(score))
        yield f"{x} {y} <NA> {box_px} {box_px} <NA> {box_px} {box_px} {confidence} <NA> <NA>"
    yield from ("", "data_cryolo_include", "", "loop_", "_slice_index #1", "")
