"""The automatic threshold: what noise alone would give is taken from the scores, the rest are particles.

The scores of a whole dataset are fitted by the maxima of a noise field, a normal distribution for the
particles and a thin uniform floor; the threshold is where the expected F1 of the fits is highest. Where
particles explain the scores no better than noise alone, hardly anything is picked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from vitreous.picking.mixture import Histogram, Mixtures, histogram, start_mixtures
from vitreous.picking.noise_maxima import (
    Array,
    NoiseFields,
    expected_highest,
    fields_alone,
    fields_beside_particles,
    too_strong_for_noise,
)

MIN_SCORES = 20
# Noise of any colour, fitted with a second hump it does not have, gives humps less than 1.6 pooled standard
# deviations apart (0 to 10 times the white power at the particle's scale, 1 to 40 micrographs); particles
# that a blob filter can tell from noise at all, simulated and real, 2.0 or more (docs/picking.md).
MIN_SEPARATION = 1.75
# Maxima of real noise, thinned to a least distance, do not follow the closed form to the last digit. The log
# likelihood that a score gains by a second hump was at most 0.0035 for noise of any colour (40 micrographs),
# and at least 0.015 for five particles a micrograph, 0.03 for the densest real set.
MIN_GAIN_PER_SCORE = 0.006
# Standard errors: noise of any colour stayed below 2, crowded shells have 12 and more in each micrograph.
MIN_STRUCTURE = 6.0
MIN_EVIDENCE = 12.0  # log likelihood: 4.9 standard errors
# ASSUME: where nothing else says that a field is crowded, at least a fifth of the maxima are noise.
MIN_NOISE_SHARE = 0.2
STEPS, KEPT = (60, 300), 48


@dataclass(frozen=True)
class Threshold:
    """Lowest score that is taken as a particle, the rule in words, and the figures behind it."""

    value: float
    rule: str
    facts: dict[str, float] = field(default_factory=dict)


def choose_threshold(
    scores: Array,
    noise: float = math.nan,
    spread: float = math.nan,
    structure: float = math.nan,
    evidence: Array | None = None,
) -> Threshold:
    """The threshold for `scores` (n,) of all candidates of a dataset.

    `noise` is the standard deviation of the score map from white noise alone, `spread` that of the map as it
    is, `structure` the significance that the images are more than noise, `evidence` (n,) that of each
    candidate; NaN where unknown (see `Candidates`). Deterministic.
    """
    scores = np.asarray(scores, dtype=float)
    if len(scores) == 0:
        return Threshold(0.0, "no candidates")
    unknown = np.full(len(scores), np.nan)
    data = histogram(scores, unknown if evidence is None else np.asarray(evidence, dtype=float))
    alone = fields_alone(scores, spread)
    noise_only = _likelihood_alone(alone, data)
    best = int(np.argmax(noise_only))
    field_alone = alone.select(np.array([best]))
    if len(scores) < MIN_SCORES:
        return _above_noise(field_alone, len(scores), "too few candidates for a fit: above noise")
    crowded = (
        abs(structure) > MIN_STRUCTURE if structure == structure else too_strong_for_noise(noise, spread)
    )
    fields = fields_beside_particles(scores, noise, spread)
    fits, likelihood, details = _fit(fields, data, math.isfinite(spread), crowded)
    gain = float(likelihood.max() - noise_only[best])
    # the Bayesian information criterion for the three parameters of the particles and the share of noise
    explained = gain < max(2 * math.log(len(scores)), MIN_GAIN_PER_SCORE * len(scores))
    if not math.isfinite(gain) or (explained and not crowded and details.max() < MIN_EVIDENCE):
        return _above_noise(field_alone, len(scores), "scores of noise alone: above noise")
    value, expected = _best_expected_f1(fits, likelihood + details, data)
    facts = _facts(fits, int(np.argmax(likelihood + details))) | {
        "log_likelihood_gain": gain, "evidence_gain": float(details.max()), "expected_f1": expected,
    }  # fmt: skip
    return Threshold(value, "highest expected F1 of noise maxima and particles fitted to the scores", facts)


def _likelihood_alone(noise: NoiseFields, data: Histogram) -> Array:
    """Log likelihood (fits,) of noise and one per cent of outliers."""
    total: Array = (data.counts * np.log(0.99 * noise.pdf(data.x) + 0.01 * data.floor)).sum(axis=1)
    return total


def _fit(noise: NoiseFields, data: Histogram, centred: bool, crowded: bool) -> tuple[Mixtures, Array, Array]:
    """The best fits, the log likelihood of their scores and what evidence adds to it; -inf, 0 if not allowed.

    Allowed are fits whose humps stand apart and that leave noise its share, unless the images or the evidence
    say that there is hardly any.
    """
    fits = start_mixtures(noise)
    for steps in STEPS:
        for _ in range(steps):
            fits.step(data)
        likelihood, details = fits.likelihood(data), fits.evidence_likelihood(data)
        if centred:  # overlapping fringes shift the centre of the noise, but not far
            likelihood -= 0.5 * (fits.noise.centre / (0.7 * fits.noise.sd)) ** 2
        full = crowded | (details > MIN_EVIDENCE) | (fits.shares[:, 0] >= MIN_NOISE_SHARE)
        allowed = full & (fits.separation() >= MIN_SEPARATION)
        likelihood, details = np.where(allowed, likelihood, -np.inf), np.where(allowed, details, 0)
        order = np.argsort(-likelihood - details, kind="stable")[:KEPT]
        fits, likelihood, details = fits.select(order), likelihood[order], details[order]
    return fits, likelihood, details


def _best_expected_f1(fits: Mixtures, likelihood: Array, data: Histogram) -> tuple[float, float]:
    """Lower edge of the bin with the highest expected F1, and that F1; fits count by likelihood."""
    weight = np.exp(likelihood - likelihood.max())
    probability = weight @ fits.particle_probability(data) / weight.sum()
    hits = np.cumsum((data.counts * probability)[::-1])[::-1]
    picks = np.cumsum(data.counts[::-1])[::-1]
    f1 = 2 * hits / (picks + hits[0] + 1e-9)
    best = int(np.argmax(f1))
    return float(data.x[best] - data.width / 2), float(f1[best])


def _above_noise(noise: NoiseFields, count: int, rule: str) -> Threshold:
    """The score that half a maximum of `count` maxima of noise is expected to reach."""
    centre, sd = float(noise.centre[0]), float(noise.sd[0])
    return Threshold(centre + expected_highest(count) * sd, rule, {"noise_sd": sd, "noise_centre": centre})


def _facts(fits: Mixtures, best: int) -> dict[str, float]:
    return {
        "noise_sd": float(fits.noise.sd[best]),
        "noise_centre": float(fits.noise.centre[best]),
        "particle_mean": float(fits.mean[best]),
        "particle_sd": float(fits.sd[best]),
        "particle_share": float(fits.shares[best, 1]),
        "outlier_share": float(fits.shares[best, 2]),
        "separation": float(fits.separation()[best]),
    }
