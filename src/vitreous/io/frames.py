"""Which way up: rows counted from the other end, and how to notice it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from vitreous.errors import InputError

Shapes = Mapping[str, tuple[int, int]]


def flipped_rows(picks: pd.DataFrame, shapes: Shapes, path: Path, *, boxed: ArrayLike) -> pd.DataFrame:
    """Picks with y counted from the other end of their micrograph ((h, w) by name), in pixels.

    `boxed` says (of all or of each) that y is a corner plus half a box. A box turns as a whole and its
    centre, pixel n/2 of an even box, comes to h − y; a centre that stands alone comes to h − 1 − y.
    Raises InputError naming a micrograph whose height is unknown.
    """
    unknown = sorted(set(picks["micrograph"]) - set(shapes))
    if unknown:
        todo = "name the micrographs"
        raise InputError("flip_y needs the height of the micrograph", file=path, found=unknown[0], todo=todo)
    h = picks["micrograph"].map({name: shape[0] for name, shape in shapes.items()}).to_numpy(float)
    return picks.assign(y=h - picks["y"] - np.where(boxed, 0, 1))


def shares_in_frames(
    picks: pd.DataFrame, reference: pd.DataFrame, shapes: Shapes, distance_px: float
) -> dict[str, float]:
    """The share of picks within `distance_px` of a reference pick, as they are and in three other frames.

    Frames: `as given`, `flipped in y`, `flipped in x`, `transposed`. Shapes are (h, w) by micrograph.
    """
    from scipy.spatial import cKDTree

    hits = dict.fromkeys(("as given", "flipped in y", "flipped in x", "transposed"), 0)
    total = 0
    for name, group in picks.groupby("micrograph"):
        true = reference[reference["micrograph"] == name]
        if not len(true) or name not in shapes:
            continue
        tree, (h, w) = cKDTree(true[["x", "y"]].to_numpy(float)), shapes[str(name)]
        x, y = group["x"].to_numpy(float), group["y"].to_numpy(float)
        frames = ((x, y), (x, h - 1 - y), (w - 1 - x, y), (y, x))
        for frame, (column, row) in zip(hits, frames, strict=True):
            near, _ = tree.query(np.stack([column, row], axis=1), distance_upper_bound=distance_px)
            hits[frame] += int(np.isfinite(near).sum())
        total += len(group)
    return {frame: count / total if total else math.nan for frame, count in hits.items()}


def better_frame(shares: Mapping[str, float], margin: float = 0.1) -> str | None:
    """The frame in which picks fit better than as given by more than `margin`, or None."""
    best = max(shares, key=lambda frame: shares[frame])
    return best if shares[best] > shares["as given"] + margin else None
