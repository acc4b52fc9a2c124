"""The automatic threshold: what noise alone would give is taken from the scores, the rest are particles.

The heights of the maxima of a smooth Gaussian field are known in closed form up to its standard deviation.
The scores of a whole dataset are fitted by that distribution, a normal one for the particles and a thin
uniform floor, and the threshold is where the expected F1 of the fit is highest. Where the fit with particles
is not better than noise alone, hardly anything is picked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]

# <k²>²/<k⁴> of the LoG of white noise is 3/4, which is κ² = 3/2. Fields of other spectra differ little: mean and
# deviation are 1.6 and 0.74 at 3/2, 1.5 and 0.80 at 1.2.
KAPPA2 = 1.5
NULL_MEAN, NULL_SD = 1.596, 0.743
BINS = 200
MAX_OUTLIERS = 0.05
MIN_SCORES = 20
# Noise of any colour, fitted with a second hump it does not have, gives humps less than 1.6 pooled standard
# deviations apart (0 to 10 times the white power at the particle's scale, 1 to 40 micrographs); particles
# that a blob filter can tell from noise at all, simulated and real, 2.0 or more (docs/picking.md).
MIN_SEPARATION = 1.75
# Maxima of real noise, thinned to a least distance, do not follow the closed form to the last digit. The log
# likelihood a score gains by a second hump was at most 0.0035 for noise of any colour (40 micrographs), and at
# least 0.015 for five particles a micrograph, 0.04 for the densest real set.
MIN_GAIN_PER_SCORE = 0.006


@dataclass(frozen=True)
class Threshold:
    """Lowest score that is taken as a particle, the rule in words, and the figures behind it."""

    value: float
    rule: str
    facts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Null:
    """Maxima of noise: field of mean `centre` and standard deviation `sd`, each (fits,)."""

    centre: Array
    sd: Array

    def pdf(self, x: Array) -> Array:
        """Density (fits, bins) at scores x (bins,)."""
        z = (x[None] - self.centre[:, None]) / self.sd[:, None]
        return maxima_density(z) / self.sd[:, None]

    def penalty(self) -> Array:
        """Log likelihood that a centre away from 0 costs: overlapping fringes shift it, but not far."""
        return 0.5 * (self.centre / (0.7 * self.sd)) ** 2


def choose_threshold(scores: Array, noise: float = math.nan, spread: float = math.nan) -> Threshold:
    """The threshold for `scores` (n,) of all candidates of a dataset.

    `noise` is the standard deviation of the score map from white noise alone, `spread` that of the map as it
    is; NaN where unknown (see `Candidates`). Deterministic.
    """
    scores = np.asarray(scores, dtype=float)
    if len(scores) == 0:
        return Threshold(0.0, "no candidates")
    counts, x = _histogram(scores)
    alone = _fit_null(counts, x, _generous_grid(scores, spread))
    if len(scores) < MIN_SCORES:
        return _noise_threshold(alone, len(scores), "too few candidates for a fit: above what noise reaches")
    mixture = _fit_mixture(counts, x, _null_grid(scores, noise, spread), math.isfinite(spread))
    gain = mixture.likelihood - alone.likelihood
    # the Bayesian information criterion for the three parameters of the particles and the share of noise
    if gain < max(2 * math.log(len(scores)), MIN_GAIN_PER_SCORE * len(scores)):
        return _noise_threshold(alone, len(scores), "scores of noise alone: above what noise reaches")
    value, expected = _best_expected_f1(counts, x, mixture)
    facts = {
        "noise_sd": mixture.noise_sd, "noise_centre": mixture.noise_centre, "particle_mean": mixture.mean,
        "particle_sd": mixture.sd, "particle_share": mixture.shares[1], "outlier_share": mixture.shares[2],
        "log_likelihood_gain": gain, "expected_f1": expected,
    }  # fmt: skip
    return Threshold(value, "highest expected F1 of noise maxima and particles fitted to the scores", facts)


def maxima_density(z: Array, kappa2: float = KAPPA2) -> Array:
    """Density of the heights z of the local maxima of a plane isotropic Gaussian field of unit variance.

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


@dataclass(frozen=True)
class _Fit:
    likelihood: float
    noise_centre: float
    noise_sd: float
    shares: tuple[float, float, float] = (1.0, 0.0, 0.0)
    mean: float = math.nan
    sd: float = math.nan


def _histogram(scores: Array) -> tuple[Array, Array]:
    """Counts and centres of bins; what is beyond the outer fences lies in the outermost bins."""
    low, high = np.quantile(scores, [0.25, 0.75])
    reach = max(high - low, 1e-6 * max(1.0, abs(high)))
    fences = (low - 3 * reach, high + 4 * reach)
    counts, edges = np.histogram(np.clip(scores, *fences), BINS, fences)
    return counts.astype(float), (edges[1:] + edges[:-1]) / 2


def _null_grid(scores: Array, noise: float, spread: float) -> _Null:
    """The noise fields that are tried beside particles: all centres with all standard deviations."""
    if not math.isfinite(spread):
        return _blind_grid(scores, 14)
    low = 0.95 * noise if noise > 0 else 0.2 * spread  # noise is white or rises to low frequencies
    sd = np.geomspace(low, max(1.15 * spread, low), 16)
    # particles push the mean of the field between them below 0, never above
    sd, shift = np.meshgrid(sd, np.linspace(-1.75, 0, 8), indexing="ij")
    return _Null((shift * sd).ravel(), sd.ravel())


def _generous_grid(scores: Array, spread: float) -> _Null:
    """The noise fields that are tried alone: finer and wider, so that noise has every chance."""
    if not math.isfinite(spread):
        return _blind_grid(scores, 40)
    sd, shift = np.meshgrid(np.geomspace(0.5, 1.5, 40) * spread, np.linspace(-0.75, 0.75, 13), indexing="ij")
    return _Null((shift * sd).ravel(), sd.ravel())


def _blind_grid(scores: Array, steps: int) -> _Null:
    """Noise fields for scores of an unknown map: by the place and width of their hump."""
    low, high = np.quantile(scores, [0.01, 0.75])
    wide = max(float(scores.std()), 1e-9)
    places = np.linspace(low, high, steps)
    sd, peak = np.meshgrid(np.geomspace(0.15, 1.5, steps) * wide, places, indexing="ij")
    return _Null((peak - NULL_MEAN * sd).ravel(), sd.ravel())


def _fit_null(counts: Array, x: Array, null: _Null) -> _Fit:
    """Noise and one per cent of outliers, nothing else."""
    floor = 1 / (BINS * (x[1] - x[0]))
    total = (counts * np.log(0.99 * null.pdf(x) + 0.01 * floor)).sum(axis=1)
    best = int(np.argmax(total))
    return _Fit(float(total[best]), float(null.centre[best]), float(null.sd[best]))


def _fit_mixture(counts: Array, x: Array, null: _Null, centred: bool) -> _Fit:
    """Expectation maximisation from every noise field and four positions of the particles; the best fit."""
    starts = np.array([2.6, 3.5, 5.0, 8.0])
    centre, sd = (np.repeat(values, len(starts)) for values in (null.centre, null.sd))
    mean = centre + np.tile(starts, len(null.sd)) * sd
    state = _State(_Null(centre, sd), mean, sd.copy(), np.tile([0.5, 0.45, 0.05], (len(sd), 1)))
    for steps, kept in ((60, 48), (300, 1)):
        for _ in range(steps):
            state.step(counts, x)
        likelihood = state.likelihood(counts, x)
        likelihood -= state.null.penalty() if centred else 0
        likelihood = np.where(state.separation() >= MIN_SEPARATION, likelihood, -np.inf)
        order = np.argsort(-likelihood, kind="stable")[:kept]
        state = state.select(order)
    shares = tuple(float(share) for share in state.shares[0])
    return _Fit(
        float(likelihood[order[0]]), float(state.null.centre[0]), float(state.null.sd[0]),
        (shares[0], shares[1], shares[2]), float(state.mean[0]), float(state.sd[0]),
    )  # fmt: skip


@dataclass
class _State:
    """Many fits side by side, all arrays (fits, ...): the expectation maximisation of `_fit_mixture`."""

    null: _Null
    mean: Array
    sd: Array
    shares: Array

    def parts(self, x: Array) -> Array:
        """Densities of noise, particles, outliers, weighted by their shares: (3, fits, bins)."""
        floor = np.full((len(self.mean), len(x)), 1 / (BINS * (x[1] - x[0])))
        particles = _normal(x, self.mean, self.sd)
        parts: Array = np.stack([self.null.pdf(x), particles, floor]) * self.shares.T[:, :, None]
        return parts

    def step(self, counts: Array, x: Array) -> None:
        """One step: responsibilities, then shares, mean and standard deviation of the particles."""
        parts = self.parts(x)
        weight = parts / (parts.sum(axis=0) + 1e-300) * counts
        total = weight.sum(axis=2) + 1e-9
        self.shares = (total / total.sum(axis=0)).T
        self.shares[:, 2] = np.minimum(self.shares[:, 2], MAX_OUTLIERS)
        self.shares /= self.shares.sum(axis=1, keepdims=True)
        self.mean = (weight[1] * x).sum(axis=1) / total[1]
        self.mean = np.maximum(self.mean, self.null.centre + 2.2 * self.null.sd)
        variance = (weight[1] * (x - self.mean[:, None]) ** 2).sum(axis=1) / total[1]
        # A particle's score has the spread of noise and that of contrast; ASSUME: a third at most.
        high = np.hypot(0.9 * self.null.sd, 0.35 * (self.mean - self.null.centre))
        self.sd = np.clip(np.sqrt(variance), 0.6 * self.null.sd, high)

    def separation(self) -> Array:
        """Distance of the humps of noise and particles in pooled standard deviations (fits,)."""
        hump = self.null.centre + NULL_MEAN * self.null.sd
        pooled = np.sqrt((self.sd**2 + (NULL_SD * self.null.sd) ** 2) / 2)
        distance: Array = (self.mean - hump) / pooled
        return distance

    def likelihood(self, counts: Array, x: Array) -> Array:
        """Log likelihood (fits,)."""
        total: Array = (counts * np.log(self.parts(x).sum(axis=0) + 1e-300)).sum(axis=1)
        return total

    def select(self, index: NDArray[np.intp]) -> _State:
        """The fits at `index`."""
        null = _Null(self.null.centre[index], self.null.sd[index])
        return _State(null, self.mean[index], self.sd[index], self.shares[index])


def _normal(x: Array, mean: Array, sd: Array) -> Array:
    z = (x[None] - mean[:, None]) / sd[:, None]
    density: Array = np.exp(-0.5 * z * z) / (sd[:, None] * math.sqrt(2 * math.pi))
    return density


def _best_expected_f1(counts: Array, x: Array, fit: _Fit) -> tuple[float, float]:
    """The threshold, a bin's lower edge, at which the fit expects the highest F1, and that F1."""
    one = _State(
        _Null(np.array([fit.noise_centre]), np.array([fit.noise_sd])),
        np.array([fit.mean]), np.array([fit.sd]), np.array([fit.shares]),
    )  # fmt: skip
    noise, particles, outliers = one.parts(x)[:, 0]
    good = particles + np.where(x > fit.mean, outliers, 0)  # bright outliers cannot be told from particles
    posterior = good / (noise + particles + outliers + 1e-300)
    top = int(np.searchsorted(x, fit.mean))
    posterior[top:] = np.maximum.accumulate(posterior[top:])
    low = int(np.argmin(np.where(x < fit.mean, posterior, np.inf)))
    posterior[:low] = posterior[low]  # a score below the noise is no better than noise
    hits = np.cumsum((counts * posterior)[::-1])[::-1]
    picks = np.cumsum(counts[::-1])[::-1]
    f1 = 2 * hits / (picks + hits[0] + 1e-9)
    best = int(np.argmax(f1))
    return float(x[best] - (x[1] - x[0]) / 2), float(f1[best])


def _noise_threshold(fit: _Fit, count: int, rule: str) -> Threshold:
    """The score that half a maximum of `count` maxima of noise is expected to reach."""
    z = np.linspace(0, 12, 4801)
    density = maxima_density(z)
    above = np.cumsum(density[::-1])[::-1] * (z[1] - z[0])
    height = float(z[int(np.argmax(above * count <= 0.5))])
    facts = {"noise_sd": fit.noise_sd, "noise_centre": fit.noise_centre}
    return Threshold(fit.noise_centre + height * fit.noise_sd, rule, facts)
