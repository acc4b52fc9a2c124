"""Which candidates are taken for particles, which for contamination, and which are left open, without labels.

A particle lies in ice that is as quiet as most of the picture. Around an edge of carbon, within a ball of
ice or in a clump of molecules the surroundings are rougher, and what is found there is often far brighter
than what the others are. Both are measured against the micrograph and the data set themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import cKDTree

from vitreous.picking.candidates import Array
from vitreous.picking.selftrained.scene import RING, Scene, local_means, ring

IGNORED, PARTICLE, OPEN, CONTAMINATION, ELSEWHERE = 0, 1, 2, 3, 4
CORE = 0.35  # radius of what counts as a candidate's own brightness / diameter
NEAR, SMOOTH = (0.5, 0.8), 0.12  # radii of the narrow ring, sigma of the smoothing / diameter
# Standard deviations of the picture's own distribution of roughness.
QUIET, ROUGH = 2.5, 5.0
LIKE, ODD = 3.0, 5.0  # the same of the quiet picks' brightness and unevenness
# Distances to the nearest other pick / diameter: clumps are closer, but only where nine of ten picks keep
# more room than the last is closeness suspicious.
ALONE, CLUMP, ROOM = 0.9, 0.8, 0.85
CENTRE, CLEAR = 0.1, 0.25  # radii / diameter: a candidate's centre, and what may still belong to it


@dataclass(frozen=True)
class Signs:
    """Of each candidate (n,): what its place and its surroundings look like.

    roughness of the wider surroundings in standard deviations over the picture, brightness above them,
    unevenness of a narrow ring in the smoothed picture, whether the place is known to be contaminated.
    """

    roughness: Array
    brightness: Array
    unevenness: Array
    contaminated: NDArray[np.bool_]


def signs_of(scene: Scene, x: Array, y: Array) -> Signs:
    """Signs of the candidates at x, y (n,), px of the scene."""
    inner, outer, near = (ring(low, high, scene.diameter_px) for low, high in ((0, CORE), RING, NEAR))
    brightness = np.subtract(*(local_means(scene.image, scene.cover, disc)[0] for disc in (inner, outer)))
    smooth = gaussian_filter(scene.image, SMOOTH * scene.diameter_px)
    mean, square = local_means(smooth, scene.cover, near)
    unevenness = np.sqrt(np.maximum(square - mean**2, 0))
    rough, bright, uneven = (
        map_coordinates(plane, [y, x], order=1, mode="nearest").astype(float)
        for plane in (scene.roughness, brightness, unevenness)
    )
    h, w = scene.image.shape
    row, column = (np.clip(np.rint(v).astype(int), 0, n - 1) for v, n in ((y, h), (x, w)))
    return Signs(rough, bright, uneven, scene.contaminated[row, column])


@dataclass(frozen=True)
class Typical:
    """What the picks of a data set look like: median and robust sd of their signs, least distances."""

    brightness: float
    brightness_sd: float
    unevenness: float
    unevenness_sd: float
    alone: float
    clump: float


def typical_of(picked: Sequence[NDArray[np.bool_]], signs: Sequence[Signs], gaps: Sequence[Array]) -> Typical:
    """The typical pick among the `picked` candidates (n,) of several micrographs.

    `gaps` (n,) are distances to the nearest other pick / diameter; where particles are packed, closeness
    says nothing.
    """
    quiet = [p & _quiet(s) for p, s in zip(picked, signs, strict=True)]
    gap = _joined([g[p] for g, p in zip(gaps, quiet, strict=True)])
    close = float(np.quantile(gap, 0.1)) if len(gap) else 0.0
    alone, clump = (ALONE, CLUMP) if close >= ROOM else (0.0, 0.0)
    lone = [s.unevenness[p & (g >= alone)] for s, p, g in zip(signs, quiet, gaps, strict=True)]
    brightness = _robust(_joined([s.brightness[p] for s, p in zip(signs, quiet, strict=True)]))
    return Typical(*brightness, *_robust(_joined(lone)), alone, clump)


def sort_candidates(
    picked: NDArray[np.bool_], signs: Signs, gaps: Array, typical: Typical
) -> NDArray[np.uint8]:
    """Labels (n,) of the candidates of a micrograph: picks like all others, contamination, the rest open."""
    likely = np.abs(signs.brightness - typical.brightness) < LIKE * typical.brightness_sd
    likely &= signs.unevenness < typical.unevenness + LIKE * typical.unevenness_sd
    odd = (signs.unevenness > typical.unevenness + ODD * typical.unevenness_sd) | (gaps < typical.clump)
    bright = signs.brightness > typical.brightness + ODD * typical.brightness_sd
    labels = np.full(len(picked), OPEN, dtype=np.uint8)
    labels[picked & _quiet(signs) & likely & (gaps >= typical.alone)] = PARTICLE
    labels[(picked & odd) | bright | signs.contaminated | (signs.roughness > ROUGH)] = CONTAMINATION
    return labels


def _quiet(signs: Signs) -> NDArray[np.bool_]:
    return (signs.roughness < QUIET) & ~signs.contaminated


def _joined(parts: Sequence[Array]) -> Array:
    return np.concatenate([np.zeros(0), *parts])


def gaps_of(scene: Scene, x: Array, y: Array, picked: NDArray[np.bool_]) -> Array:
    """Distance (n,) of each pick to the nearest other one / diameter; infinite for what is not picked."""
    gap = np.full(len(x), np.inf)
    picks = np.flatnonzero(picked)
    if len(picks) > 1:
        points = np.stack([x, y], axis=1)[picks]
        gap[picks] = cKDTree(points).query(points, 2)[0][:, 1] / scene.diameter_px
    return gap


def _robust(values: Array) -> tuple[float, float]:
    """Median and robust standard deviation of values (n,); infinite without any."""
    if len(values) == 0:
        return math.inf, math.inf
    middle = float(np.median(values))
    return middle, 1.4826 * float(np.median(np.abs(values - middle)))


def label_plane(scene: Scene, x: Array, y: Array, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The labels as a picture (h, w): discs of a tenth of the diameter around the centres.

    What is further than a quarter of the diameter from all of them is ELSEWHERE, outside the mask IGNORED.
    """
    h, w = scene.image.shape
    plane = np.full((h, w), ELSEWHERE, dtype=np.uint8)
    reach = math.ceil(CLEAR * scene.diameter_px) + 1
    around = np.arange(-reach, reach + 1)
    for radius, values in ((CLEAR, np.full(len(labels), IGNORED, dtype=np.uint8)), (CENTRE, labels)):
        for cx, cy, value in zip(x, y, values, strict=True):
            rows, columns = around + round(float(cy)), around + round(float(cx))
            rows, columns = rows[(rows >= 0) & (rows < h)], columns[(columns >= 0) & (columns < w)]
            distance = np.hypot(rows[:, None] - cy, columns[None] - cx)
            window = plane[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            window[distance <= radius * scene.diameter_px] = value
    plane[scene.cover < 0.5] = IGNORED
    return plane
