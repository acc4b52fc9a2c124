"""Picks: the centres of particles in micrographs, as our results and truths hold them (one STAR file a set).

Coordinates are pixels of the micrograph as stored: x = column, y = row, (0, 0) the centre of the first pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitreous.errors import InputError
from vitreous.io.star import read_star, require_columns, write_star
from vitreous.runtime.plural import plural

COLUMNS = ("micrograph", "x", "y", "score")
_LABELS = ("rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit")


def empty_picks() -> pd.DataFrame:
    """A table of picks without rows."""
    return pd.DataFrame(
        {"micrograph": pd.Series([], dtype="str")}
        | {name: pd.Series([], dtype=float) for name in COLUMNS[1:]}
    )


def read_picks(path: str | Path) -> pd.DataFrame:
    """A picks file as columns micrograph, x, y, score (NaN where the file has none); zero rows are valid."""
    blocks = read_star(path)
    table = next((block for name, block in blocks.items() if name in ("particles", "")), None)
    if not isinstance(table, pd.DataFrame):
        raise InputError("no block of picks", file=path, found=", ".join(blocks), expected="data_particles")
    require_columns(table, _LABELS[:3], file=path, block="particles")
    score = table[_LABELS[3]] if _LABELS[3] in table else np.full(len(table), np.nan)
    picks = pd.DataFrame({"micrograph": table[_LABELS[0]].astype("str")})
    for name, values in zip(COLUMNS[1:], (table[_LABELS[1]], table[_LABELS[2]], score), strict=True):
        picks[name] = np.asarray(values, dtype=float)
    bad = ~np.isfinite(picks[["x", "y"]].to_numpy()).all(axis=1)
    if bad.any():
        raise InputError("coordinate is not finite", file=path, place=f"row {int(np.argmax(bad)) + 1}")
    return picks


def write_picks(
    path: str | Path, picks: pd.DataFrame, *, shapes: Mapping[str, tuple[int, int]] | None = None
) -> None:
    """Write picks (micrograph, x, y and, where known, score); no rows give a valid, empty file.

    With `shapes` (h, w) by micrograph, picks outside their micrograph raise InputError.
    """
    if shapes is not None and (beyond := outside(picks, shapes)).any():
        first = picks[beyond].iloc[0]
        h, w = shapes[first["micrograph"]]
        place = f"{first['micrograph']}, ({first['x']:g}, {first['y']:g})"
        found, expected = plural(int(beyond.sum()), "pick"), f"x < {w}, y < {h}"
        raise InputError(
            "picks outside the micrograph", file=path, place=place, found=found, expected=expected
        )
    table = pd.DataFrame({_LABELS[0]: picks["micrograph"].astype("str")})
    table[_LABELS[1]] = picks["x"].astype(float)
    table[_LABELS[2]] = picks["y"].astype(float)
    if "score" in picks and (picks["score"].notna().any() or not len(picks)):
        table[_LABELS[3]] = picks["score"].astype(float)
    write_star(path, {"particles": table})


def outside(picks: pd.DataFrame, shapes: Mapping[str, tuple[int, int]]) -> NDArray[np.bool_]:
    """Which picks (n,) have their centre outside the pixels of their micrograph; shapes are (h, w)."""
    sizes = picks["micrograph"].map(dict(shapes)).tolist()
    h, w = np.array(sizes, dtype=float).reshape(-1, 2).T
    x, y = picks["x"].to_numpy(float), picks["y"].to_numpy(float)
    inside: NDArray[np.bool_] = (x >= -0.5) & (x <= w - 0.5) & (y >= -0.5) & (y <= h - 0.5)
    return ~inside
