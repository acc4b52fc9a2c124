"""From a particle mask of tokens to picks, step by step as in the published code of cryo-EMMAE.

methods/picking.md §1.6. Rows and columns count on a grid of twice the token map (512 x 512 for 256 x 256
tokens of 4 px). What is better done otherwise is in components.py; this is the known answer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from vitreous.picking.peaks import suppress

Mask = NDArray[np.bool_]
Array = NDArray[np.float64]
Integers = NDArray[np.int64]

LEVELS = np.round(np.linspace(1, 0, 30), 2)
AREA_SHARE = 0.04
BORDER = 1.5  # the band without picks is a diameter / 1.5


def published_picks(mask: Mask, diameter_px: float) -> Integers:
    """Picks (n, 4) as row, column, half box and area, in the published order, from a mask (h, w) of tokens.

    `diameter_px`, the picks and the area (px) are on the grid (2h, 2w). No pick where no level passes the
    area rule.
    """
    centres, areas = area_rule_picks(mask, diameter_px, AREA_SHARE)
    box = int(diameter_px) + int(diameter_px) % 2
    picks = np.empty((len(centres), 4), np.int64)
    picks[:, :2] = np.rint(centres)  # half to even
    picks[:, 2] = box // 2
    picks[:, 3] = areas
    return picks


def area_rule_picks(
    mask: Mask, diameter_px: float, area_share: float, *, greedy: bool = False
) -> tuple[Array, Integers]:
    """Centres (n, 2) as row, column, and areas (n,) by the area rule, px of the grid (2h, 2w) of `mask`.

    Of duplicates within half a diameter those stay that the published marking leaves, or, `greedy`, the
    largest first.
    """
    values = enlarged(mask)
    level = first_level(values, area_share)
    if level is None:
        return np.zeros((0, 2)), np.zeros(0, np.int64)
    centres, areas = components(values, level)
    if greedy:
        order = np.argsort(-areas, kind="stable")
        order = order[suppress(centres[order, 1], centres[order, 0], diameter_px / 2)]
        kept = np.zeros(len(centres), dtype=bool)
        kept[order] = True
    else:
        kept = without_duplicates(centres, areas, diameter_px / 2)
    kept &= inside_border(centres, values.shape, diameter_px / BORDER)
    return centres[kept], areas[kept]


def enlarged(mask: Mask) -> Array:
    """The mask (h, w) summed over 3 x 3, enlarged to (2h, 2w) and truncated to 8 bits, in [0, 1]."""
    sums = ndimage.convolve(mask.astype(np.float32), np.ones((3, 3), np.float32), mode="constant")
    sums *= np.float32(255 / max(float(sums.max()), 1.0))
    doubled = _doubled(_doubled(sums).T).T
    return np.trunc(np.clip(doubled, 0, 255)) / 255.0


def _doubled(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Twice the rows, bilinear with half-pixel centres: a quarter of the neighbour, the edge repeated."""
    padded = np.pad(image, ((1, 1), (0, 0)), mode="edge")
    rows = np.empty((2 * image.shape[0], image.shape[1]), np.float32)
    rows[0::2] = 0.25 * padded[:-2] + 0.75 * image
    rows[1::2] = 0.75 * image + 0.25 * padded[2:]
    return rows


def first_level(values: Array, area_share: float = AREA_SHARE) -> float | None:
    """The highest of thirty levels with more than `area_share` of the px (h, w) above; None if none has."""
    for level in LEVELS:
        if (values > level).mean() > area_share:
            return float(level)
    return None


def components(values: Array, level: float) -> tuple[Array, Integers]:
    """Weighted centroids (n, 2) as row, column and areas (n,), px, of the 4-connected parts above a level."""
    labels, count = ndimage.label(values > level)
    centres = ndimage.center_of_mass(values, labels, np.arange(1, count + 1))
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return np.reshape(centres, (count, 2)).astype(float), areas.astype(np.int64)


def without_duplicates(centres: Array, areas: Integers, distance_px: float) -> Mask:
    """Which (n,) stay: those whose area is larger than that of every other nearer than `distance_px`.

    This is what the published marking comes to: the largest marks its neighbours, any other marks itself. Two
    neighbours of equal area delete each other, and one that falls still makes smaller ones fall.
    """
    kept = np.ones(len(centres), dtype=bool)
    near = cKDTree(centres).query_ball_point(centres, distance_px) if len(centres) else []
    for pick, found in enumerate(near):
        gaps = np.hypot(*(centres[found] - centres[pick]).T)
        rivals = [j for j, gap in zip(found, gaps, strict=True) if j != pick and gap < distance_px]
        kept[pick] = all(areas[pick] > areas[j] for j in rivals)
    return kept


def inside_border(centres: Array, shape: tuple[int, ...], border_px: float) -> Mask:
    """Which centres (n, 2) are at least `border_px` from each side of a grid of this shape."""
    inside = (centres >= border_px) & (centres <= np.array(shape[:2]) - border_px)
    return np.logical_and(inside[:, 0], inside[:, 1])
