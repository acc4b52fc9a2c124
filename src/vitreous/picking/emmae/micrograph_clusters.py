"""Clusters of one micrograph, which follow its own ice and noise, and how surely each token is a particle.

Source: methods/picking.md §1.5 (k-means for k = 3, 4, 5 in turn), with labels compared explicitly: in the
published program a particle cluster of more than half of the field is never found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitreous.picking.emmae.kmeans import KMeans, Labels, Tokens, cluster_stream

Mask = NDArray[np.bool_]
OUTSIDE = -1.0  # margin of tokens outside the mask
SAMPLE = 20_000  # tokens of a micrograph clustered to the end; passes over all of them follow
RIM_SHARE = 0.1  # overlaps are counted in the part of the map this far from its sides


@dataclass(frozen=True)
class Segmentation:
    """Margin (rows, columns) above 0 for particles, and the cluster of each token.

    The margin is linear in the token: 1 at the particle's centre, -1 at the nearest other one's, 0 between.
    """

    margin: NDArray[np.float32]
    labels: Labels
    particle: int

    @property
    def member(self) -> Mask:
        """Tokens of the particle cluster (rows, columns)."""
        return self.labels == self.particle


def segment(
    tokens: Tokens, inside: Mask, model: KMeans, particle: int, refine: Sequence[int], seed: int = 0
) -> Segmentation:
    """The particle cluster of a micrograph, tokens (rows, columns, d), found by clustering it anew.

    For each number of clusters in `refine` the cluster that best continues the particle cluster before is
    taken, beginning with cluster `particle` of `model`; no number leaves that one. Tokens outside `inside`
    (rows, columns) take no part.
    """
    held = tokens[inside]
    for clusters in refine:
        if len(held) < clusters:
            break
        previous = model.labels(tokens) == particle
        finer = cluster_stream(lambda: iter([held]), clusters, sample=SAMPLE, seed=seed)
        following = continued_cluster(finer.labels(tokens), previous & inside, inside, clusters)
        if following is None:  # no token of a particle: nothing to follow
            break
        model, particle = finer, following
    return segmentation_of(tokens, inside, model, particle)


def segmentation_of(tokens: Tokens, inside: Mask, model: KMeans, particle: int) -> Segmentation:
    """Margins and labels of tokens (rows, columns, d) for given clusters; `OUTSIDE` where not `inside`."""
    margins = np.where(inside, margin(tokens, model, particle), OUTSIDE).astype(np.float32)
    return Segmentation(margins, model.labels(tokens), particle)


def continued_cluster(labels: Labels, previous: Mask, inside: Mask, clusters: int) -> int | None:
    """Of the two clusters with the largest overlap with `previous`, the one with more of itself inside it.

    All maps are (rows, columns). The overlap is counted in the central part, the share over the whole map.
    None where nothing overlaps.
    """
    central = np.zeros(labels.shape, dtype=bool)
    rim = [int(side * RIM_SHARE) for side in labels.shape]
    central[rim[0] : labels.shape[0] - rim[0], rim[1] : labels.shape[1] - rim[1]] = True
    for region in (central & previous, previous):
        overlap = np.bincount(labels[region], minlength=clusters)
        if overlap.any():
            break
    else:
        return None
    size = np.bincount(labels[inside], minlength=clusters)
    share = np.bincount(labels[previous], minlength=clusters) / np.maximum(size, 1)
    first = np.argsort(-overlap, kind="stable")[:2]
    return int(max(first[overlap[first] > 0], key=lambda index: share[index]))


def margin(tokens: Tokens, model: KMeans, particle: int) -> NDArray[np.float64]:
    """Least of (|x - q|² - |x - p|²) / |p - q|² over the other centres q, (...) for tokens (..., d)."""
    centres = model.centres
    others = np.arange(len(centres)) != particle
    direction = centres[particle] - centres[others]
    length = np.maximum((direction**2).sum(axis=1), 1e-30)
    middle = (centres[particle] + centres[others]) / 2
    projected = tokens @ (2 * direction / length[:, None]).T.astype(tokens.dtype)
    offset = (2 * direction * middle).sum(axis=1) / length
    least: NDArray[np.float64] = (projected - offset).min(axis=-1).astype(np.float64)
    return least
