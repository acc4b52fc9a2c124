"""Which cluster of the training set is the particle, without labels: a dark one in patches of its size.

Images come here with particles dark. Ice and carbon are dark too, but their patches are large and few.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import InputError
from vitreous.picking.emmae.kmeans import KMeans
from vitreous.runtime.plural import plural

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Array = NDArray[np.float64]

PATCH = 4  # px of a token
# Shares of the disc of a diameter. Cores of particles darken first, so a patch may be a good deal smaller.
PLAUSIBLE = (0.1, 2.0)
MIN_SHARE = 0.25  # of the greatest share that any dark cluster has in such patches: less is no candidate


class Picture(Protocol):
    """What is needed of a pre-processed micrograph (preprocess.Prepared)."""

    @property
    def image(self) -> Image:
        """Grey values (h, w), particles dark."""

    @property
    def mask(self) -> Mask:
        """Where the picture is real (h, w)."""

    @property
    def diameter_px(self) -> float:
        """Diameter of the particle, px."""


@dataclass(frozen=True)
class ClusterEvidence:
    """Of each cluster (k,) the mean grey value and the share of it in patches of a particle's size."""

    grey: Array
    patch_share: Array
    overall_grey: float


def particle_cluster(pictures: Iterable[tuple[NDArray[np.floating], Picture]], model: KMeans) -> int:
    """Index of the cluster of the particles, from token maps (rows, columns, d) and their pictures."""
    return chosen_cluster(cluster_evidence(pictures, model))


def chosen_cluster(evidence: ClusterEvidence) -> int:
    """The darkest of the dark clusters that lie mostly in patches of a particle's size."""
    dark = evidence.grey < evidence.overall_grey
    if not dark.any():
        return int(np.nanargmin(evidence.grey))
    enough = dark & (evidence.patch_share >= MIN_SHARE * evidence.patch_share[dark].max())
    return int(np.nanargmin(np.where(enough, evidence.grey, np.inf)))


def cluster_evidence(
    pictures: Iterable[tuple[NDArray[np.floating], Picture]], model: KMeans
) -> ClusterEvidence:
    """Grey value and patches of each cluster, over all token maps (rows, columns, d) and their pictures.

    Raises InputError without any token.
    """
    clusters = len(model.centres)
    grey, counts, patches = (np.zeros(clusters) for _ in range(3))
    for tokens, picture in pictures:
        labels, inside = model.labels(tokens), token_mask(picture.mask)
        values = token_means(picture.image)
        grey += np.bincount(labels[inside], weights=values[inside], minlength=clusters)
        counts += np.bincount(labels[inside], minlength=clusters)
        disc = math.pi / 4 * (picture.diameter_px / PATCH) ** 2
        patches += [plausible_area((labels == index) & inside, disc) for index in range(clusters)]
    if not counts.sum():
        raise InputError("no tokens inside the pictures")
    mean = np.where(counts > 0, grey / np.maximum(counts, 1), np.nan)
    return ClusterEvidence(mean, patches / np.maximum(counts, 1), float(grey.sum() / counts.sum()))


def plausible_area(member: Mask, disc: float) -> int:
    """Tokens of `member` (rows, columns) in connected patches of about the area `disc`, tokens."""
    from scipy.ndimage import label

    areas = np.bincount(label(member)[0].ravel())[1:]
    return int(areas[(areas >= PLAUSIBLE[0] * disc) & (areas <= PLAUSIBLE[1] * disc)].sum())


def reference_cluster(
    tokens: NDArray[np.floating], model: KMeans, row: Array, column: Array, diameter_px: float
) -> int:
    """The most frequent cluster within half a radius of picks at row, column (n,), px of the picture.

    Raises InputError where no pick lies in the picture.
    """
    labels = model.labels(tokens)
    rows, columns = (np.arange(n) * PATCH + (PATCH - 1) / 2 for n in labels.shape)
    near = np.zeros(labels.shape, dtype=bool)
    for y, x in zip(row, column, strict=True):
        near |= np.hypot(rows[:, None] - y, columns - x) <= max(diameter_px / 4, PATCH * math.sqrt(0.5))
    if not near.any():
        raise InputError("no pick lies in the reference micrograph", found=plural(len(row), "pick"))
    return int(np.bincount(labels[near], minlength=len(model.centres)).argmax())


def token_means(image: Image) -> Image:
    """Mean of each token's pixels (ceil(h/4), ceil(w/4)), of an image (h, w) whose edges are repeated."""
    means: Image = _patches(image).mean(axis=(1, 3), dtype=np.float32)
    return means


def token_mask(mask: Mask) -> Mask:
    """Tokens at least half of which lie inside the mask (h, w)."""
    inside: Mask = _patches(mask).mean(axis=(1, 3)) >= 0.5
    return inside


def _patches(image: NDArray[np.generic]) -> NDArray[np.generic]:
    h, w = image.shape
    rows, columns = -(-h // PATCH), -(-w // PATCH)
    whole = np.pad(image, ((0, rows * PATCH - h), (0, columns * PATCH - w)), mode="edge")
    return whole.reshape(rows, PATCH, columns, PATCH)
