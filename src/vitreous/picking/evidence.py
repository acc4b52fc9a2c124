"""Evidence that candidates are things and not noise, from frequencies that did not choose them.

In Gaussian noise of any colour the details of an image are independent of its coarse maxima, so the average
of the details around the maxima is 0. Around particles it is not. Each candidate is compared with the average
around those of the other half of the micrograph; noise gives a standard normal number, whatever its colour.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from vitreous.picking.candidates import Array, Image
from vitreous.picking.working import WorkingImage

# In units of 1/sigma: a LoG of that sigma passes 1 % of its peak at 4, nothing to speak of beyond.
BAND = (4.0, 5.0)
RADIUS = 0.6  # of the picture around a candidate / diameter
RINGS_PER_DIAMETER = 16
MIN_IN_HALF = 8


def detail_evidence(work: WorkingImage, x: Array, y: Array, score: Array, sigma_px: float) -> Array:
    """Evidence (n,) for candidates at x, y (px of the working image); NaN at the rim and where there are few.

    `sigma_px` is that of the Gaussian filter which chose them. Rings around each are averaged in the image's
    details, whitened by rings around places of a grid, and projected on the mean of the other half's
    candidates, which count by how far their score is above the median.
    """
    evidence = np.full(len(x), np.nan)
    reach = int(math.ceil(RADIUS * work.diameter_px))
    inside = np.flatnonzero(_has_room(work.mask, x, y, reach))
    if len(inside) < 2 * MIN_IN_HALF:
        return evidence
    details = _details(work, sigma_px)
    places = _grid_places(work.mask, reach)
    whiten = _whitener(_ring_means(details, *places, work.diameter_px))
    rings = _ring_means(details, x[inside], y[inside], work.diameter_px) @ whiten
    weight = np.maximum(score[inside] - np.median(score[inside]), 0)
    left = x[inside] < np.median(x[inside])
    for half in (left, ~left):
        mean = weight[half] @ rings[half]
        length = float(np.linalg.norm(mean))
        if half.sum() >= MIN_IN_HALF and length > 0:
            evidence[inside[~half]] = rings[~half] @ (mean / length)
    return evidence


def _details(work: WorkingImage, sigma_px: float) -> Image:
    """The image above the band of the filter, edges faded so that they do not ring."""
    height, width = work.image.shape
    size = tuple(fft.next_fast_len(side, real=True) for side in (height, width))
    ky, kx = 2 * np.pi * fft.fftfreq(size[0]), 2 * np.pi * fft.rfftfreq(size[1])
    k = np.hypot(ky[:, None], kx[None]) * sigma_px
    gain = 0.5 - 0.5 * np.cos(np.pi * np.clip((k - BAND[0]) / (BAND[1] - BAND[0]), 0, 1))
    held = np.where(work.mask, work.image, np.float32(0))
    details: Image = fft.irfft2(fft.rfft2(held, size) * gain.astype(np.float32), size)[:height, :width]
    return details


def _has_room(mask: NDArray[np.bool_], x: Array, y: Array, reach: int) -> NDArray[np.bool_]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    row, column = np.rint(y), np.rint(x)
    room: NDArray[np.bool_] = (
        (row - reach >= rows[0]) & (row + reach <= rows[-1])
        & (column - reach >= columns[0]) & (column + reach <= columns[-1])
    )  # fmt: skip
    return room


def _grid_places(mask: NDArray[np.bool_], reach: int) -> tuple[Array, Array]:
    """Places x, y (m,) half a picture apart all over the image."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    y, x = (
        np.arange(ends[0] + reach, ends[-1] - reach + 1, max(1, reach // 2), dtype=float)
        for ends in (rows, columns)
    )
    grid_y, grid_x = np.meshgrid(y, x, indexing="ij")
    return grid_x.ravel(), grid_y.ravel()


def _ring_means(image: Image, x: Array, y: Array, diameter_px: float) -> Array:
    """Means (n, rings) of the image in rings around the pixels nearest to x, y (n,)."""
    reach = int(math.ceil(RADIUS * diameter_px))
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    ring = (np.hypot(dy, dx) / diameter_px * RINGS_PER_DIAMETER).astype(int)
    order = np.argsort(ring, kind="stable")
    order = order[ring[order] < RADIUS * RINGS_PER_DIAMETER]
    starts = np.flatnonzero(np.diff(ring[order], prepend=-1))
    counts = np.diff(np.append(starts, len(order)))
    row, column = np.rint(y).astype(int), np.rint(x).astype(int)
    means = np.empty((len(x), len(starts)))
    for first in range(0, len(x), 256):  # a few at a time: their pictures are memory
        part = slice(first, first + 256)
        pixels = image[row[part, None] + dy[order], column[part, None] + dx[order]]
        means[part] = np.add.reduceat(pixels, starts, axis=1) / counts
    return means


def _whitener(rings: Array) -> Array:
    """The matrix (rings, rings) that makes ring means of arbitrary places independent, of unit variance."""
    values, vectors = np.linalg.eigh(rings.T @ rings / len(rings))
    kept = values > 1e-6 * values[-1]
    whitener: Array = vectors[:, kept] / np.sqrt(values[kept])
    return whitener
