"""Mean and standard deviation of the background about each pixel (methods/picking.md §1.2, eq. 1 and 2)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from vitreous.picking.emmae.resampling import resampled

Image = NDArray[np.float32]
Region = Literal["ring", "corners", "disc"]
Margins = list[tuple[int, int]]

# The statistics are smooth on the scale of the region: so many px a diameter are enough.
COARSE_PX = 16
_PARTS = 4  # each px of a region is divided into so many along each axis
# ASSUME: flat places (beam stop, holes in the film) keep a tenth of the usual deviation, or they would glare.
LEAST_DEVIATION = 0.1
EDGE_REACH = 3.0  # diameters about a place at the edge whose mean stands for what is beyond


def local_statistics(
    image: Image, diameters_px: tuple[float, float], region: Region, outer: float, *, periodic: bool = False
) -> tuple[Image, Image]:
    """Mean and standard deviation (h, w) of a region about each pixel, both in the image's unit.

    `diameters_px` along rows and columns, `outer` the ring's outer radius / diameter. Beyond the
    edges the image goes on at its mean there, or with `periodic` at its other side, as published. The
    deviation is never less than a tenth of its median, and 0 everywhere only for a constant image.
    """
    factor = max(1, int(min(diameters_px) / COARSE_PX))
    h, w = image.shape
    coarse, scales = (-(-h // factor), -(-w // factor)), (float(factor), float(factor))
    centre = float(image.mean())  # squares of small numbers lose fewer digits
    centred = image - np.float32(centre)
    sums = [resampled(field, coarse, scales) for field in (centred, centred * centred)]
    diameters = (diameters_px[0] / factor, diameters_px[1] / factor)
    weights = region_weights(region, diameters, outer)
    margins = [(side // 2, side // 2) for side in weights.shape]
    if periodic:
        padded = [np.pad(field, margins, mode="wrap") for field in sums]
    else:
        padded = [_continued(field, margins, diameters) for field in sums]
    mean, square = (_convolved(field, weights) for field in padded)
    deviation = np.sqrt(np.maximum(square - mean * mean, 0.0))
    usual = float(np.median(deviation)) or float(deviation.mean())
    deviation = np.maximum(deviation, np.float32(LEAST_DEVIATION * usual))
    fine = (1 / factor, 1 / factor)
    return resampled(mean, (h, w), fine) + np.float32(centre), resampled(deviation, (h, w), fine)


def region_weights(region: Region, diameters_px: tuple[float, float], outer: float) -> Image:
    """Weights (odd, odd), sum 1, of the pixels about a centre: the share of each that lies in the region.

    Corners: of the particle's square outside its disc (published). Disc: the particle. Ring: from its rim to
    `outer` diameters from the centre.
    """
    reach = outer if region == "ring" else 0.5
    axes = []
    for diameter in diameters_px:
        radius = max(1, int(np.ceil(reach * diameter - 0.5)))
        fine = (np.arange((2 * radius + 1) * _PARTS) + 0.5) / _PARTS - radius - 0.5
        axes.append(fine / diameter)
    row, column = axes[0][:, None], axes[1][None, :]
    distance = np.hypot(row, column)
    if region == "ring":
        inside = (distance >= 0.5) & (distance < outer)
    elif region == "disc":
        inside = distance < 0.5
    else:
        inside = (distance >= 0.5) & (np.maximum(np.abs(row), np.abs(column)) < 0.5)
    h, w = (side // _PARTS for side in inside.shape)
    weights = inside.reshape(h, _PARTS, w, _PARTS).sum(axis=(1, 3)).astype(np.float32)
    share: Image = weights / weights.sum()
    return share


def _continued(field: Image, margins: Margins, diameters_px: tuple[float, float]) -> Image:
    """The field (h, w) with margins that hold its mean over several diameters about the nearest edge.

    Were they left out, a particle at the edge would weigh more in the mean on its outer side than on its
    inner one, and look shifted inwards; were they mirrored, twice as much.
    """
    sides = [2 * round(EDGE_REACH * diameter) + 1 for diameter in diameters_px]
    present = ndimage.uniform_filter(np.ones_like(field), sides, mode="constant")
    level = ndimage.uniform_filter(field, sides, mode="constant") / present
    continued: Image = np.pad(level, margins, mode="edge")
    (top, _), (left, _) = margins
    continued[top : top + field.shape[0], left : left + field.shape[1]] = field
    return continued


def _convolved(padded: Image, weights: Image) -> Image:
    """The image without its margins of half the weights' size, averaged with symmetric weights."""
    size = tuple(fft.next_fast_len(side, real=True) for side in padded.shape)
    product = fft.rfft2(padded, size, workers=1) * fft.rfft2(weights, size, workers=1)
    whole = fft.irfft2(product, size, workers=1)
    # what wraps around falls on the margin that is cut off
    (top, left), (h, w) = (side - 1 for side in weights.shape), padded.shape
    mean: Image = whole[top:h, left:w].astype(np.float32)
    return mean
