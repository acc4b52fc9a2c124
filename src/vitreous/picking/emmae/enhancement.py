"""The four steps that make particles stand out, at any scale: standardise, blur, equalise, smooth.

methods/picking.md §1.2 steps 3 to 6. Lengths are shares of the diameter, or full px where null, as published.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vitreous.errors import InputError
from vitreous.picking.emmae.background import local_statistics
from vitreous.picking.emmae.settings import PreprocessSettings
from vitreous.picking.emmae.smoothing import double_box, guided_filter

Image = NDArray[np.float32]
Pair = tuple[float, float]

BLUR_PX, BOX_PX, TILES = 3.0, 20.0, 16  # as published
# The published Gaussian has 9 taps, and the first of them, not the middle one, is its origin.
ORIGIN_PX = 4
BINS = 256  # with these scikit-image comes nearest to the published equalisation (correlation 0.9996)
EPSILON = 0.1  # as published; less of it lets the noise of faint particles through
STRETCH = (0.1, 99.9)  # percentiles that become black and white


def enhanced(image: Image, diameters_px: Pair, scales: Pair, settings: PreprocessSettings) -> Image:
    """The image (h, w) with its particles standing out, in 256 levels from 0 to 1.

    `diameters_px` in its px along rows and columns, `scales` full px a px of it. Raises InputError where the
    image is constant. At full size (`equalise: full`) kernels that are not centred move the picture; at the
    working scale whoever resamples does it (`published_shift`).
    """
    periodic = not settings.centred
    region, outer = settings.background, settings.ring_outer
    mean, deviation = local_statistics(image, diameters_px, region, outer, periodic=periodic)
    if not deviation.max() > 0:
        raise InputError("constant image")
    values = (image - mean) / deviation
    if settings.clip is not None:
        np.clip(values, -settings.clip, settings.clip, out=values)
    diameter_px = diameters_px[0] * scales[0]
    guide = _unit(_blurred(values, diameter_px, scales, settings))
    equal = _equalised(guide, diameters_px, settings)
    sides = _box_sides(diameter_px, scales, settings)
    if settings.smooth == "guided":
        equal = guided_filter(equal, guide, sides, EPSILON)
    elif settings.smooth == "box":
        equal = double_box(equal, sides)
    return eight_bit(_unit(equal, None if settings.clip is None else STRETCH))


def eight_bit(image: Image) -> Image:
    """An image (h, w) in [0, 1] truncated, as published, to the levels 0, 1/255 … 1."""
    levels: Image = np.floor(image * np.float32(255)) / np.float32(255)
    return levels


def published_shift(settings: PreprocessSettings) -> float:
    """Full px by which kernels that are not centred move the picture, along rows and along columns."""
    return -ORIGIN_PX + (0.0 if settings.smooth == "none" else 1.0)  # two boxes, half a px each


def _blurred(image: Image, diameter_px: float, scales: Pair, settings: PreprocessSettings) -> Image:
    """The published deconvolution is, but for its gain, this Gaussian."""
    sigma = BLUR_PX if settings.blur is None else settings.blur * diameter_px
    sigmas = [sigma / scale for scale in scales]
    if settings.centred or settings.equalise != "full":
        blurred: Image = ndimage.gaussian_filter(image, sigmas, mode="reflect")
        return blurred
    radius = round(sigma * ORIGIN_PX / BLUR_PX)
    blurred = ndimage.gaussian_filter(image, sigma, radius=radius, mode="wrap")
    return np.roll(blurred, (-ORIGIN_PX, -ORIGIN_PX), axis=(0, 1))


def _equalised(image: Image, diameters_px: Pair, settings: PreprocessSettings) -> Image:
    """Contrast-limited adaptive equalisation of an image in [0, 1]; full scale in the published tiles."""
    if settings.equalise == "none":
        return image
    from skimage.exposure import equalize_adapthist

    sides = np.array(image.shape)
    counts = np.full(2, TILES) if settings.tile is None else sides / (settings.tile * np.array(diameters_px))
    # whole tiles fill the image: a last one that is mostly mirrored pulls at the particles in it
    tiles = np.ceil(sides / np.maximum(np.rint(counts), 1)).astype(int)
    levels = eight_bit(image) if settings.equalise == "full" else image
    equal: NDArray[Any] = equalize_adapthist(
        levels, kernel_size=tiles.tolist(), clip_limit=settings.clip_limit, nbins=BINS
    )
    return equal.astype(np.float32, copy=False)


def _box_sides(diameter_px: float, scales: Pair, settings: PreprocessSettings) -> tuple[int, int]:
    """Sides of the smoothing box in px: odd, so that it has a centre, or even at full size as published."""
    side = BOX_PX if settings.smooth_size is None else settings.smooth_size * diameter_px
    even = not settings.centred and settings.equalise == "full"
    rows, columns = (
        2 * max(1, round(side / s / 2)) if even else 2 * round((side / s - 1) / 2) + 1 for s in scales
    )
    return max(1, rows), max(1, columns)


def _unit(image: Image, percentiles: Pair | None = None) -> Image:
    """The image stretched to [0, 1]: from its least to its largest value, or between two percentiles."""
    if percentiles is None:
        low, high = float(image.min()), float(image.max())
    else:
        # every fourth line tells the percentiles of millions of px
        low, high = (float(value) for value in np.percentile(image[::4], percentiles))
    if not high > low:
        raise InputError("constant image")
    stretched: Image = np.clip((image - np.float32(low)) / np.float32(high - low), 0, 1)
    return stretched
