"""Coordinate files of other programs: STAR, CSV (ours, CryoPPP), .box, .coord, .cbox, Topaz, .cs.

What comes out is always the particle's centre in pixels of the micrograph as stored, x = column, y = row.
What the files mean is not the same: .box and .cbox hold the corner with the smallest indices, and some
programs count rows from the bottom: `flip_y` turns those.
"""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitreous.errors import InputError
from vitreous.io.coordinate_exports import write_coordinates
from vitreous.io.cryosparc import cs_to_picks, read_cs
from vitreous.io.frames import Shapes, flipped_rows
from vitreous.io.names import index_by_key, match_names, micrograph_key
from vitreous.io.particles import find_file
from vitreous.io.star import Block, read_star
from vitreous.runtime.plural import plural

__all__ = ["KINDS", "boxed", "coordinate_kind", "read_coordinates", "write_coordinates"]

COLUMNS = ("micrograph", "x", "y", "score", "diameter_px")
KINDS = ("star", "csv", "box", "box-centre", "coord", "cbox", "topaz", "cs")
_BY_ENDING = {
    ".star": "star", ".csv": "csv", ".box": "box", ".coord": "coord", ".cbox": "cbox", ".cs": "cs",
    ".txt": "topaz", ".tsv": "topaz",
}  # fmt: skip
_X = ("x", "x-coordinate", "x_coord", "rlncoordinatex")
_Y = ("y", "y-coordinate", "y_coord", "rlncoordinatey")
_SCORE = ("score", "confidence", "rlnautopickfigureofmerit")
_NAME = ("micrograph", "image_name", "rlnmicrographname", "micrographs filename")


def read_coordinates(
    path: str | Path,
    *,
    micrograph_shapes: Shapes | None = None,
    flip_y: bool = False,
    kind: str = "auto",
    min_score: float | None = None,
) -> pd.DataFrame:
    """Picks (micrograph, x, y, score, diameter_px; NaN where absent) of a coordinate file of any kind.

    Files without names belong to the micrograph they are called after. With `micrograph_shapes` ((h, w) by
    name) names become those of the mapping where they match; `flip_y` needs them. Raises InputError with the
    line for text, missing or infinite numbers, and for `flip_y` where a height is unknown.
    """
    path = Path(path)
    kind = coordinate_kind(path) if kind == "auto" else kind
    if kind == "star":
        picks = _read_star_picks(path)
    elif kind == "cs":
        picks = cs_to_picks(read_cs(path), file=path)
    elif kind == "cbox":
        picks = _read_cbox(path)
    elif kind in ("csv", "topaz"):
        picks = _read_table(path, "," if kind == "csv" else "\t")
    elif kind in KINDS:
        picks = _read_boxes(path, centred=kind != "box")
    else:
        raise InputError("unknown kind of coordinates", file=path, found=kind, expected=", ".join(KINDS))
    picks = _named_as(picks, micrograph_shapes)
    if min_score is not None:
        picks = picks[~(picks["score"] < min_score)].reset_index(drop=True)
    if not len(picks):
        logging.getLogger(__name__).warning("%s: no picks", path)
    if flip_y:
        picks = flipped_rows(picks, micrograph_shapes or {}, path, boxed=boxed(picks, kind))
    return picks[list(COLUMNS)]


def boxed(picks: pd.DataFrame, kind: str) -> NDArray[np.bool_]:
    """Which picks (n,) were read as the corner of a box of some size."""
    return picks["diameter_px"].notna().to_numpy() & (kind in ("box", "cbox"))


def coordinate_kind(path: str | Path) -> str:
    """The kind of a coordinate file by its ending; raises InputError for an ending that none has."""
    suffix = Path(path).suffix.lower()
    if suffix not in _BY_ENDING:
        known = ", ".join(_BY_ENDING)
        raise InputError(
            "kind of coordinates not known by its ending", file=path, found=suffix, expected=known
        )
    return _BY_ENDING[suffix]


def _named_as(picks: pd.DataFrame, shapes: Shapes | None) -> pd.DataFrame:
    picks = picks.astype({"micrograph": "str"})
    if shapes:
        matched, _ = match_names(picks["micrograph"], index_by_key(shapes))
        picks["micrograph"] = picks["micrograph"].map(lambda name: matched.get(name, name))
    return picks


def _table(path: Path, rows: Sequence[tuple[int, str, float, float, float, float]]) -> pd.DataFrame:
    """Rows of (line, micrograph, x, y, score, diameter); refuses coordinates that are not finite."""
    for line, _, x, y, _, _ in rows:
        if not (math.isfinite(x) and math.isfinite(y)):
            raise InputError("coordinate is not finite", file=path, place=f"line {line}", found=f"{x}, {y}")
    frame = pd.DataFrame([row[1:] for row in rows], columns=list(COLUMNS))
    return frame.astype({"micrograph": "str"} | dict.fromkeys(COLUMNS[1:], float))


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError("file cannot be read", file=path, found=error.strerror) from error
    if b"\0" in raw[:4096]:
        raise InputError("not a coordinate file", file=path, found="binary data", expected="text")
    if raw.lstrip().startswith(b"<"):
        raise InputError("not a coordinate file", file=path, found="HTML or XML", expected="coordinates")
    return raw.decode("utf-8-sig", errors="surrogateescape")


def _number(path: Path, line: int, text: str, missing: Sequence[str] = ("",)) -> float:
    if text.strip() in missing:
        return math.nan
    try:
        return float(text)
    except ValueError:
        place = f"line {line}"
        raise InputError("not a number", file=path, place=place, found=text, expected="a number") from None


def _read_boxes(path: Path, centred: bool) -> pd.DataFrame:
    """EMAN boxes (x y w h [score], corner; w = h = 0 marks a centre) or bare centres (x y)."""
    name, rows, count = micrograph_key(path.name), [], None
    for line, text in enumerate(_text(path).splitlines(), 1):
        words = text.replace(",", " ").split()
        if not words or words[0].startswith("#"):
            continue
        count = count or len(words)
        if len(words) != count or count == 3:
            expected = count if count != 3 else "2, or 4 and more"
            found = plural(len(words), "column")
            raise InputError(
                "wrong number of columns", file=path, place=f"line {line}", found=found, expected=expected
            )
        x, y, *rest = [_number(path, line, word) for word in words]
        w, h = (rest[0], rest[1]) if count > 3 else (0.0, 0.0)
        # EMAN marks plain and helical boxes by a fifth column of -1, -2, -3; others write a score there
        score = math.nan if count < 5 or words[4] in ("-1", "-2", "-3") else rest[2]
        size = max(rest[3:5]) if count >= 7 else max(w, h)
        x, y = (x, y) if centred else (x + w / 2, y + h / 2)
        rows.append((line, name, x, y, score, size or math.nan))
    return _table(path, rows)


def _read_cbox(path: Path) -> pd.DataFrame:
    """crYOLO boxes: corner, size, confidence; the old form is a table of seven columns without labels."""
    text = _text(path)
    if "data_" not in text:
        return _read_boxes(path, centred=False)
    block = read_star(path).get("cryolo")
    if not isinstance(block, pd.DataFrame) or not {"CoordinateX", "CoordinateY", "Width", "Height"} <= set(
        block
    ):
        raise InputError(
            "no boxes", file=path, expected="data_cryolo with _CoordinateX, _CoordinateY, _Width, _Height"
        )
    number = {name: pd.to_numeric(block[name], errors="coerce").to_numpy(float) for name in block}
    width, height = number["Width"], number["Height"]
    absent = np.full(len(block), math.nan)
    score = number.get("Confidence", absent)
    largest = np.fmax(number.get("EstWidth", absent), number.get("EstHeight", absent))
    size = np.where(np.isnan(largest), np.fmax(width, height), largest)
    name = micrograph_key(path.name)
    x, y = number["CoordinateX"] + width / 2, number["CoordinateY"] + height / 2
    columns = zip(x, y, score, size, strict=True)
    return _table(path, [(row, name, *values) for row, values in enumerate(columns, 1)])


def _read_table(path: Path, separator: str) -> pd.DataFrame:
    """A table with a header (commas or tabs); columns are found by name, in any order."""
    lines = list(csv.reader(io.StringIO(_text(path)), delimiter=separator))
    if not lines:
        raise InputError("file is empty", file=path, found="no header line", expected="a header with x and y")
    header = [word.strip().lower() for word in lines[0]]
    at = {
        key: next((header.index(name) for name in names if name in header), None)
        for key, names in (
            ("x", _X),
            ("y", _Y),
            ("score", _SCORE),
            ("name", _NAME),
            ("diameter", ("diameter",)),
        )
    }
    if at["x"] is None or at["y"] is None:
        found, expected = ", ".join(lines[0])[:80], "columns x and y (or X-Coordinate, Y-Coordinate)"
        raise InputError(
            "no coordinates in the header", file=path, place="line 1", found=found, expected=expected
        )
    own, rows = micrograph_key(path.name), []
    for line, words in enumerate(lines[1:], 2):
        if not any(word.strip() for word in words):
            continue
        if len(words) != len(header):
            found = plural(len(words), "column")
            raise InputError(
                "row with a wrong number of columns",
                file=path,
                place=f"line {line}",
                found=found,
                expected=len(header),
            )
        x, y, score, size = (
            math.nan if (column := at[key]) is None else _number(path, line, words[column])
            for key in ("x", "y", "score", "diameter")
        )
        name = own if at["name"] is None else words[at["name"]].strip()
        rows.append((line, name, x, y, score, size))
    return _table(path, rows)


def _read_star_picks(path: Path) -> pd.DataFrame:
    """A STAR file of coordinates, of particles, or RELION's list of coordinate files."""
    blocks = read_star(path)
    listing = blocks.get("coordinate_files")
    if isinstance(listing, pd.DataFrame):
        return _read_listing(path, listing)
    tables: dict[str, Block] = {name: block for name, block in blocks.items() if "rlnCoordinateX" in block}
    if not tables:
        found = ", ".join(f"data_{name}" for name in blocks)
        raise InputError("no coordinates", file=path, found=found, expected="a loop with rlnCoordinateX")
    table = next(iter(tables.values()))
    table = pd.DataFrame({key: [value] for key, value in table.items()}) if isinstance(table, dict) else table
    absent = np.full(len(table), math.nan)
    columns = [
        table["rlnMicrographName"]
        if "rlnMicrographName" in table
        else [micrograph_key(path.name)] * len(table),
        *(table[label].to_numpy(float) for label in ("rlnCoordinateX", "rlnCoordinateY")),
        table["rlnAutopickFigureOfMerit"].to_numpy(float) if "rlnAutopickFigureOfMerit" in table else absent,
        absent,
    ]
    return _table(path, [(row, *values) for row, values in enumerate(zip(*columns, strict=True), 1)])


def _read_listing(path: Path, listing: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for name, file in zip(listing["rlnMicrographName"], listing["rlnMicrographCoordinates"], strict=True):
        picks = _read_star_picks(find_file(str(file), path))
        parts.append(picks.assign(micrograph=str(name)))
    return pd.concat(parts, ignore_index=True) if parts else _table(path, [])
