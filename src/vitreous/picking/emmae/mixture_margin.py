"""A mixture of normal distributions over a micrograph's tokens, in place of its k-means.

All share one covariance, so that directions in which tokens merely scatter count little; margins stay linear
in the token, as those of k-means are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitreous.picking.emmae.kmeans import CHUNK, KMeans, Tokens
from vitreous.picking.emmae.micrograph_clusters import Mask, Segmentation, segmentation_of

Array = NDArray[np.float64]

STEPS = 30
SAMPLE = 20_000  # tokens that the mixture is fitted to, evenly taken
RIDGE = 1e-3  # of the mean variance, added to each: tokens of constant parts are degenerate
LEAST_SHARE = 1e-3


@dataclass(frozen=True)
class Mixture:
    """Means (k, d) and shares (k,) of the parts, and the matrix (d, d) that makes their scatter white."""

    means: Array
    shares: Array
    whitening: Array


def mixture_segment(tokens: Tokens, inside: Mask, model: KMeans, particle: int) -> Segmentation:
    """The particle part of a mixture begun at the clusters `model`, for tokens (rows, columns, d).

    The margin is that of k-means between whitened means. Tokens outside `inside` (rows, columns) take no
    part.
    """
    mixture = fit_mixture(tokens[inside], model.centres)
    white = (tokens @ mixture.whitening.astype(tokens.dtype)).astype(tokens.dtype)
    centres = KMeans(mixture.means @ mixture.whitening, np.zeros(len(mixture.means), np.int64))
    return segmentation_of(white, inside, centres, particle)


def fit_mixture(tokens: Tokens, start: Array) -> Mixture:
    """The mixture of tokens (n, d) by expectation maximisation from means (k, d)."""
    held = tokens[:: max(1, len(tokens) // SAMPLE)].astype(np.float64)
    means, shares = start.copy(), np.full(len(start), 1 / len(start))
    covariance = np.atleast_2d(np.cov(held.T))
    for _ in range(STEPS):
        mixture = Mixture(means, shares, _whitening(covariance))
        part = _responsibilities(held, mixture)
        total = part.sum(axis=0)
        shares = np.maximum(total / len(held), LEAST_SHARE)
        means = np.where(total[:, None] > 1, part.T @ held / np.maximum(total, 1e-12)[:, None], means)
        # scatter within = scatter about 0 less that of the means
        covariance = (held.T @ held - (means * total[:, None]).T @ means) / len(held)
    return Mixture(means, shares, _whitening(covariance))


def _responsibilities(tokens: Array, mixture: Mixture) -> Array:
    part = np.empty((len(tokens), len(mixture.means)))
    centres = mixture.means @ mixture.whitening
    for begin in range(0, len(tokens), CHUNK):
        white = tokens[begin : begin + CHUNK] @ mixture.whitening
        log = white @ centres.T - 0.5 * (centres**2).sum(axis=1) + np.log(mixture.shares)
        log -= log.max(axis=1, keepdims=True)
        part[begin : begin + CHUNK] = np.exp(log)
    part /= part.sum(axis=1, keepdims=True)
    return part


def _whitening(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, 0) + RIDGE * max(float(values.mean()), 1e-12)
    whitening: Array = vectors / np.sqrt(values)
    return whitening
