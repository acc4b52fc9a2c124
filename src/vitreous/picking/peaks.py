"""Maxima of a score map: sub-pixel centres, the best of each neighbourhood."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree

Array = NDArray[np.float64]


def local_maxima(
    score: NDArray[np.floating], mask: NDArray[np.bool_], min_distance_px: float
) -> tuple[Array, Array, Array]:
    """Maxima x, y, value (n,) of `score` (h, w) inside `mask`, best first, at least `min_distance_px` apart.

    A maximum is above its eight neighbours, all of which must lie in the mask: at the rim one cannot know
    whether the map goes on rising. Of equal neighbours the first in row order counts. Centres are refined by
    a parabola along each axis (at most half a pixel).
    """
    y, x = np.nonzero(_is_maximum(score, mask))
    value = score[y, x].astype(float)
    order = np.argsort(-value, kind="stable")
    x, y, value = x[order], y[order], value[order]
    dx, rise_x = _parabola(*(score[y, x + step].astype(float) for step in (-1, 0, 1)))
    dy, rise_y = _parabola(*(score[y + step, x].astype(float) for step in (-1, 0, 1)))
    fine_x, fine_y = x + dx, y + dy
    keep = suppress(fine_x, fine_y, min_distance_px)
    return fine_x[keep], fine_y[keep], (value + rise_x + rise_y)[keep]


def climb(score: NDArray[np.floating], x: Array, y: Array, max_distance_px: float) -> tuple[Array, Array]:
    """The sub-pixel maxima of `score` (h, w) to which one comes uphill from the pixels nearest to x, y (n,).

    A point whose way leads further than `max_distance_px`, or to the rim of the map, stays where it is.
    """
    h, w = score.shape
    column, row = (np.clip(np.rint(v).astype(int), 1, n - 2) for v, n in ((x, w), (y, h)))
    around = np.array([(j, i) for j in (-1, 0, 1) for i in (-1, 0, 1)])
    for _ in range(int(np.ceil(max_distance_px)) + 1):
        step = around[np.argmax([score[row + j, column + i] for j, i in around], axis=0)]
        row = np.clip(row + step[:, 0], 1, h - 2)
        column = np.clip(column + step[:, 1], 1, w - 2)
    dx, _ = _parabola(*(score[row, column + step].astype(float) for step in (-1, 0, 1)))
    dy, _ = _parabola(*(score[row + step, column].astype(float) for step in (-1, 0, 1)))
    inner = (row > 1) & (row < h - 2) & (column > 1) & (column < w - 2)
    near = inner & (np.hypot(column + dx - x, row + dy - y) <= max_distance_px)
    return np.where(near, column + dx, x), np.where(near, row + dy, y)


def suppress(x: Array, y: Array, min_distance_px: float) -> NDArray[np.intp]:
    """Indices of the points x, y (n,), best first, that no better kept point is nearer to."""
    points = np.stack([x, y], axis=1)
    if len(points) == 0 or min_distance_px <= 0:
        return np.arange(len(points))
    keep = np.ones(len(points), dtype=bool)
    pairs = cKDTree(points).query_pairs(np.nextafter(min_distance_px, 0), output_type="ndarray")
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]  # i < j: the better one first
    for better, worse in pairs.tolist():
        if keep[better]:
            keep[worse] = False
    return np.flatnonzero(keep)


def _is_maximum(score: NDArray[np.floating], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    low = np.where(mask, score, -np.inf)
    inside = np.zeros(mask.shape, dtype=bool)
    inside[1:-1, 1:-1] = True
    for axis in (0, 1):
        inside &= np.roll(mask, 1, axis) & np.roll(mask, -1, axis) & mask
    earlier = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 0]], dtype=bool)  # neighbours before it in row order
    above = low > maximum_filter(low, footprint=earlier, mode="constant", cval=-np.inf)
    level = low >= maximum_filter(low, footprint=earlier[::-1, ::-1], mode="constant", cval=-np.inf)
    maximum: NDArray[np.bool_] = above & level & inside
    return maximum


def _parabola(before: Array, at: Array, after: Array) -> tuple[Array, Array]:
    """Where the parabola through three values has its top, relative to the middle one, and its rise there."""
    bend = before - 2 * at + after
    slope = (after - before) / 2
    safe = np.where(bend < 0, bend, -1.0)
    shift = np.where(bend < 0, np.clip(-slope / safe, -0.5, 0.5), 0.0)
    return shift, slope * shift + bend * shift**2 / 2
