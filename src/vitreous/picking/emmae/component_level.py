"""From which likeness on a place is taken for a particle: two humps, or else what noise never reaches.

Where the likeness map has its minima nothing is a particle; in noise they lie as deep as the maxima are high.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STEPS = 100
# Deviations of a hump: one that is narrower follows single scores.
NARROWEST, WIDEST, START = 0.04, 0.25, 0.1
MIN_PICKS = 5
REACH = 3.0  # robust deviations that noise reaches in a micrograph, if by chance it has not
# The second hump is more than noise if this share of it is beyond all noise, or if from some score on there
# are so many more places than in noise, in standard errors of their difference. Measured on micrographs: 6 to
# 20 with particles, up to 3.3 without.
MIN_BEYOND, MIN_EXCESS = 0.1, 4.0


def likeness_level(likeness: Array, noise: Array) -> float:
    """The level for the likeness (n,) of places, given that of places that are none (m,).

    Where a second hump of the scores stands beyond what noise reaches, the point where both humps are equally
    high; else what noise hardly reaches.
    """
    if len(likeness) == 0 or len(noise) == 0:
        return 0.0
    middle = float(np.median(noise))
    strict = max(float(noise.max()), middle + REACH * 1.4826 * float(np.median(np.abs(noise - middle))))
    level = crossing(likeness, middle)
    picks, beyond = int((likeness >= level).sum()), int((likeness > strict).sum())
    many = excess(likeness[likeness >= level], noise) > MIN_EXCESS
    real = picks >= MIN_PICKS and (many or beyond >= max(MIN_PICKS, MIN_BEYOND * picks))
    return level if real else strict


def excess(likeness: Array, noise: Array) -> float:
    """The largest excess of places (n,) over those of noise (m,) from any score on, in standard errors."""
    falling, sorted_noise = np.sort(likeness)[::-1], np.sort(noise)
    places = np.arange(1, len(falling) + 1)
    by_chance = len(noise) - np.searchsorted(sorted_noise, falling)
    return float(np.max((places - by_chance) / np.sqrt(places + by_chance), initial=0.0))


def crossing(scores: Array, low: float) -> float:
    """Where the higher of two normal distributions fitted to scores (n,) overtakes the lower, begun at `low`.

    Infinite where it never does.
    """
    mean, deviation = np.array([low, np.quantile(scores, 0.98)]), np.full(2, START)
    share = np.full(2, 0.5)
    for _ in range(STEPS):
        part = _densities(scores, mean, deviation, share) + 1e-12
        part /= part.sum(axis=1, keepdims=True)
        share, total = part.mean(axis=0), part.sum(axis=0)
        mean = (part * scores[:, None]).sum(axis=0) / total
        spread = np.sqrt((part * (scores[:, None] - mean) ** 2).sum(axis=0) / total)
        deviation = np.clip(spread, NARROWEST, WIDEST)
    grid = np.linspace(mean[0], 1, 400)
    density = _densities(grid, mean, deviation, share)
    higher = density[:, 1] > density[:, 0]
    return float(grid[np.argmax(higher)]) if higher.any() else float("inf")


def _densities(scores: Array, mean: Array, deviation: Array, share: Array) -> Array:
    density: Array = share / deviation * np.exp(-0.5 * ((scores[:, None] - mean) / deviation) ** 2)
    return density
