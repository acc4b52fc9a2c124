"""Heights of the maxima of a smooth random field: what a picker's scores are where there is only noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]

# <k²>²/<k⁴> of the LoG of white noise is 3/4, which is κ² = 3/2. Fields of other spectra differ little: mean
# and deviation of the heights are 1.6 and 0.74 at 3/2, 1.5 and 0.80 at 1.2.
KAPPA2 = 1.5
NULL_MEAN, NULL_SD = 1.596, 0.743


def maxima_density(z: Array, kappa2: float = KAPPA2) -> Array:
    """Density at heights z (...,) of the local maxima of a plane Gaussian field of unit variance.

    `kappa2` is 2 <k²>²/<k⁴> of its spectrum, at most 2. Source: Cheng & Schwartzman 2018 (Bernoulli 24), the
    two-dimensional case; tested against simulated noise.
    """
    k = math.sqrt(kappa2)
    normal = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    first = math.sqrt(3) * kappa2 * (z * z - 1) * normal * ndtr(k * z / math.sqrt(2 - kappa2))
    second = k * z * math.sqrt(3 * (2 - kappa2)) / (2 * math.pi) * np.exp(-z * z / (2 - kappa2))
    rest = 3 - kappa2
    third = math.sqrt(6 / (math.pi * rest)) * np.exp(-1.5 * z * z / rest)
    third = third * ndtr(k * z / math.sqrt(rest * (2 - kappa2)))
    density: Array = np.maximum(first + second + third, 0)
    return density


# ASSUME: at the scale of a particle the noise of an image is at most 2.2 times (amplitude) what its finest
# details say: ice adds to the white noise of counting. The densest real set (EMPIAR-10146) has 2.9 to 3.8.
MAX_COLOUR = 2.2


def expected_highest(count: int, exceeding: float = 0.5) -> float:
    """The height, in standard deviations, that `exceeding` of `count` noise maxima are expected to reach."""
    z = np.linspace(0, 12, 4801)
    above = np.cumsum(maxima_density(z)[::-1])[::-1] * (z[1] - z[0])
    return float(z[int(np.argmax(above * count <= exceeding))])


@dataclass(frozen=True)
class NoiseFields:
    """Many noise fields side by side: mean `centre` and standard deviation `sd`, each (fits,)."""

    centre: Array
    sd: Array

    def pdf(self, x: Array) -> Array:
        """Density (fits, bins) of the maxima at scores x (bins,)."""
        z = (x[None] - self.centre[:, None]) / self.sd[:, None]
        return maxima_density(z) / self.sd[:, None]

    def hump(self) -> Array:
        """Mean height of the maxima (fits,)."""
        return self.centre + NULL_MEAN * self.sd

    def select(self, index: NDArray[np.intp]) -> NoiseFields:
        """The fields at `index` (k,)."""
        return NoiseFields(self.centre[index], self.sd[index])


def fields_beside_particles(scores: Array, noise: float, spread: float) -> NoiseFields:
    """The fields tried beside particles with scores (n,): all centres with all standard deviations.

    `noise` is what white noise alone gives, `spread` the map as it is; NaN where unknown.
    """
    if not math.isfinite(spread):
        return _blind(scores, 14)
    low = 0.95 * noise if noise > 0 else 0.2 * spread  # noise is white or rises to low frequencies
    sd = np.geomspace(low, max(1.15 * spread, low), 16)
    # particles push the mean of the field between them below 0, never above
    return _grid(sd, np.linspace(-1.75, 0, 8))


def fields_alone(scores: Array, spread: float) -> NoiseFields:
    """The fields tried alone for scores (n,): finer and wider, so that noise has every chance."""
    if not math.isfinite(spread):
        return _blind(scores, 40)
    # The map's mean is 0; thinning to a least distance shifts maxima of noise by at most 0.13 sd (measured).
    return _grid(np.geomspace(0.5, 1.5, 40) * spread, np.linspace(-0.75, 0.3, 13))


def too_strong_for_noise(noise: float, spread: float) -> bool:
    """Whether a map varies more than noise can, so that there must be particles; False where unknown.

    Where particles lie so close that nearly every maximum is one, their scores have a single hump, as those
    of stronger noise have; this tells them apart.
    """
    return noise > 0 and spread > MAX_COLOUR * noise


def _grid(sd: Array, shifts: Array) -> NoiseFields:
    sd, shift = np.meshgrid(sd, shifts, indexing="ij")
    return NoiseFields((shift * sd).ravel(), sd.ravel())


def _blind(scores: Array, steps: int) -> NoiseFields:
    """Fields for scores of an unknown map: by the place and width of their hump."""
    low, high = np.quantile(scores, [0.01, 0.75])
    wide = np.geomspace(0.15, 1.5, steps) * max(float(scores.std()), 1e-9)
    sd, peak = np.meshgrid(wide, np.linspace(low, high, steps), indexing="ij")
    return NoiseFields((peak - NULL_MEAN * sd).ravel(), sd.ravel())
