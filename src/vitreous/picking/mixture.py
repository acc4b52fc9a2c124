"""Scores as a mixture of noise maxima, particles and a few outliers: many fits side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitreous.picking.noise_maxima import NULL_SD, Array, NoiseFields

BINS = 200
MAX_OUTLIERS = 0.05


@dataclass(frozen=True)
class Histogram:
    """Scores as counts (bins,) around centres x (bins,); those beyond lie in the outermost bins."""

    counts: Array
    x: Array
    evidence_sum: Array
    evidence_count: Array

    @property
    def width(self) -> float:
        """Width of a bin."""
        return float(self.x[1] - self.x[0])

    @property
    def floor(self) -> float:
        """Density of the uniform distribution over all bins."""
        return 1 / (len(self.x) * self.width)


def histogram(scores: Array, evidence: Array) -> Histogram:
    """Bin scores (n,) between fences three interquartile ranges below and four above the quartiles.

    The evidence (n,) of the candidates is summed and counted by bin, NaN left out.
    """
    low, high = np.quantile(scores, [0.25, 0.75])
    reach = max(high - low, 1e-6 * max(1.0, abs(high)))
    fences = (low - 3 * reach, high + 4 * reach)
    scores = np.clip(scores, *fences)
    counts, edges = np.histogram(scores, BINS, fences)
    known = np.isfinite(evidence)
    sums, _ = np.histogram(scores[known], BINS, fences, weights=evidence[known])
    number, _ = np.histogram(scores[known], BINS, fences)
    centres = (edges[1:] + edges[:-1]) / 2
    return Histogram(counts.astype(float), centres, sums.astype(float), number.astype(float))


@dataclass
class Mixtures:
    """Fits of noise, particles (a normal distribution) and a uniform floor; arrays (fits, ...).

    `shares` (fits, 3) are those of noise, particles and outliers.
    """

    noise: NoiseFields
    mean: Array
    sd: Array
    shares: Array

    def parts(self, data: Histogram) -> Array:
        """Densities of noise, particles and outliers, weighted by their shares: (3, fits, bins)."""
        z = (data.x[None] - self.mean[:, None]) / self.sd[:, None]
        particles = np.exp(-0.5 * z * z) / (self.sd[:, None] * math.sqrt(2 * math.pi))
        floor = np.full_like(particles, data.floor)
        parts: Array = np.stack([self.noise.pdf(data.x), particles, floor]) * self.shares.T[:, :, None]
        return parts

    def step(self, data: Histogram) -> None:
        """One step of expectation maximisation: shares, then mean and standard deviation of the particles."""
        parts = self.parts(data)
        weight = parts / (parts.sum(axis=0) + 1e-300) * data.counts
        total = weight.sum(axis=2) + 1e-9
        self.shares = (total / total.sum(axis=0)).T
        self.shares[:, 2] = np.minimum(self.shares[:, 2], MAX_OUTLIERS)
        self.shares /= self.shares.sum(axis=1, keepdims=True)
        self.mean = (weight[1] * data.x).sum(axis=1) / total[1]
        self.mean = np.maximum(self.mean, self.noise.centre + 2.2 * self.noise.sd)
        variance = (weight[1] * (data.x - self.mean[:, None]) ** 2).sum(axis=1) / total[1]
        # A particle's score has the spread of noise and that of contrast; ASSUME: the latter is at most 0.35.
        high = np.hypot(0.9 * self.noise.sd, 0.35 * (self.mean - self.noise.centre))
        self.sd = np.clip(np.sqrt(variance), 0.6 * self.noise.sd, high)

    def likelihood(self, data: Histogram) -> Array:
        """Log likelihood (fits,)."""
        total: Array = (data.counts * np.log(self.parts(data).sum(axis=0) + 1e-300)).sum(axis=1)
        return total

    def separation(self) -> Array:
        """Distance of the humps of noise and particles in pooled standard deviations (fits,)."""
        pooled = np.sqrt((self.sd**2 + (NULL_SD * self.noise.sd) ** 2) / 2)
        distance: Array = (self.mean - self.noise.hump()) / pooled
        return distance

    def particle_probability(self, data: Histogram) -> Array:
        """Probability (fits, bins) that a score is a particle's; it never falls with the score.

        Bright outliers cannot be told from particles; a score below the noise is no better than noise.
        """
        noise, particles, outliers = self.parts(data)
        above = data.x[None] > self.mean[:, None]
        probability = (particles + np.where(above, outliers, 0)) / (noise + particles + outliers + 1e-300)
        # from the particles' mean downwards never rising, upwards never falling
        below = np.where(above, np.inf, probability)[:, ::-1]
        below = np.minimum.accumulate(below, axis=1)[:, ::-1]
        rising: Array = np.maximum.accumulate(np.where(above, probability, below), axis=1)
        return rising

    def evidence_likelihood(self, data: Histogram) -> Array:
        """Log likelihood (fits,) that the evidence of the candidates gains over that of noise.

        Noise has a standard normal evidence; particles one with another mean, the same for all, so that the
        mean at a score is the particles' share there. It is fitted: (Σ p e)² / 2 Σ p².
        """
        probability = self.particle_probability(data)
        found = np.maximum(probability @ data.evidence_sum, 0)
        gain: Array = 0.5 * found**2 / (probability**2 @ data.evidence_count + 1e-9)
        return gain

    def select(self, index: NDArray[np.intp]) -> Mixtures:
        """The fits at `index` (k,)."""
        return Mixtures(self.noise.select(index), self.mean[index], self.sd[index], self.shares[index])


def start_mixtures(noise: NoiseFields) -> Mixtures:
    """Every noise field with particles at four heights above it."""
    heights = np.array([2.6, 3.5, 5.0, 8.0])
    fields = noise.select(np.repeat(np.arange(len(noise.sd)), len(heights)))
    mean = fields.centre + np.tile(heights, len(noise.sd)) * fields.sd
    return Mixtures(fields, mean, fields.sd.copy(), np.tile([0.5, 0.45, 0.05], (len(mean), 1)))
