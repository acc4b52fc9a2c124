"""From a micrograph to the image that is cut into tokens: standard, equalised, smooth, particles dark.

methods/picking.md §1.2 tells what the published chain does, §4 what is mended here. The same four steps run
at the working scale or, as published, at full size; then 8 bits on the working grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import InputError
from vitreous.picking.emmae.enhancement import eight_bit, enhanced, published_shift
from vitreous.picking.emmae.resampling import resampled
from vitreous.picking.emmae.settings import PreprocessSettings
from vitreous.picking.working import smeared_bands

Image = NDArray[np.float32]
Array = NDArray[np.float64]

SQUARE_PX = 1024
# Outliers before averaging: robust deviations, but no less than this share of the pixels stays as it is.
OUTLIER, OUTLIER_SHARE, SAMPLES = 8.0, 0.999, 256
EMPTY = 0.01  # a line of less than this share of the usual step between pixels holds no picture


@dataclass(frozen=True)
class Prepared:
    """What is encoded: `image` (h, w), particles dark, 8-bit levels in [0, 1]; `mask` (h, w): it is data.

    `diameter_px` in px of `image`; `row_scale` and `column_scale` are full px a px of it; `shape` is the
    micrograph's (H, W). In the published frame rows count from the micrograph's last one.
    """

    image: Image
    mask: NDArray[np.bool_]
    diameter_px: float
    row_scale: float
    column_scale: float
    shape: tuple[int, int]
    published_frame: bool = False

    def to_full(self, row: Array, column: Array) -> tuple[Array, Array]:
        """Coordinates x, y (n,) in px of the micrograph as stored, from rows and columns (n,) of `image`.

        The published conversion has no half pixels and turns the rows about H, not about H - 1.
        """
        if self.published_frame:
            return column * self.column_scale, self.shape[0] - row * self.row_scale
        return (column + 0.5) * self.column_scale - 0.5, (row + 0.5) * self.row_scale - 0.5

    def from_full(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Rows and columns (n,) of `image`, from px x, y (n,) of the micrograph; the inverse of `to_full`."""
        if self.published_frame:
            return (self.shape[0] - y) / self.row_scale, x / self.column_scale
        return (y + 0.5) / self.row_scale - 0.5, (x + 0.5) / self.column_scale - 0.5


@dataclass(frozen=True)
class _Grid:
    """The working grid: (h, w) px of `scales` full px; diameter in its px along rows and columns."""

    shape: tuple[int, int]
    scales: tuple[float, float]
    diameters_px: tuple[float, float]


def prepare(image: Image, diameter_px: float, contrast: str, settings: PreprocessSettings) -> Prepared:
    """The micrograph (H, W) prepared for the network; `diameter_px` in its px, `contrast` dark or bright.

    Raises InputError where no two particles fit into the image, where it is constant and where it is not
    finite.
    """
    _refuse_unusable(image, diameter_px)
    h, w = image.shape
    if not settings.centred:
        image = np.ascontiguousarray(image[::-1])  # the published frame
    if contrast == "bright":
        image = -image
    limits = None if settings.clip is None else _outlier_limits(image)
    grid = _working_grid((h, w), diameter_px, settings)
    at_full_size = settings.equalise == "full"
    offset = 0.0 if settings.centred or at_full_size else -published_shift(settings)
    small = resampled(image, grid.shape, grid.scales, offset, limits)
    clean = _clean_part(small)
    mask = np.zeros(grid.shape, dtype=bool)
    mask[clean] = True
    if at_full_size:
        cut = image if limits is None else np.clip(image, *limits)
        levels = enhanced(cut, (diameter_px, diameter_px), (1.0, 1.0), settings)
        levels = _resized(levels, grid, settings)
    else:
        levels = enhanced(small[clean], grid.diameters_px, grid.scales, settings)
        margins = [(part.start, side - part.stop) for part, side in zip(clean, grid.shape, strict=True)]
        # ASSUME: what is masked mirrors what is beside it: a flat band would be a cluster of its own.
        levels = np.pad(levels, margins, mode="symmetric")
    diameter = max(grid.diameters_px)
    return Prepared(levels, mask, diameter, *grid.scales, (h, w), published_frame=not settings.centred)


def prepared_from_picture(picture: NDArray[np.uint8], diameter_px: float) -> Prepared:
    """A picture (h, w) that was pre-processed elsewhere, its particles dark; `diameter_px` in its own px."""
    image = picture.astype(np.float32) / np.float32(255)
    h, w = picture.shape
    return Prepared(image, np.ones((h, w), dtype=bool), diameter_px, 1.0, 1.0, (h, w))


def _refuse_unusable(image: Image, diameter_px: float) -> None:
    h, w = image.shape
    if min(h, w) < 2 * diameter_px:
        expected = f"2 x {diameter_px:.0f} px"
        raise InputError("image too small for the particle", found=f"{w} x {h} px", expected=expected)
    low, high = float(image.min()), float(image.max())
    if not np.isfinite(high - low):
        raise InputError("NaN or infinite pixels")
    if low == high:
        raise InputError("constant image", found=f"every pixel is {low:g}")


def _working_grid(shape: tuple[int, int], diameter_px: float, settings: PreprocessSettings) -> _Grid:
    if settings.working == "square":
        scales = (shape[0] / SQUARE_PX, shape[1] / SQUARE_PX)
        size = (SQUARE_PX, SQUARE_PX)
    else:
        # ASSUME: never finer than recorded; a small particle has fewer px rather than invented ones.
        scale = max(1.0, diameter_px / settings.diameter_px)
        scales = (scale, scale)
        # the last px may reach beyond the edge: half a px of picture is better than none
        size = (int(np.ceil(shape[0] / scale - 0.5)), int(np.ceil(shape[1] / scale - 0.5)))
    return _Grid(size, scales, (diameter_px / scales[0], diameter_px / scales[1]))


def _outlier_limits(image: Image) -> tuple[float, float]:
    """Values beyond which a pixel is a fault of the detector, from a sample of the image."""
    steps = (max(1, side // SAMPLES) for side in image.shape)
    sample = image[tuple(slice(step // 2, None, step) for step in steps)].astype(np.float64)
    middle = float(np.median(sample))
    distance = np.abs(sample - middle)
    reach = max(OUTLIER * 1.4826 * float(np.median(distance)), float(np.quantile(distance, OUTLIER_SHARE)))
    return (middle - reach, middle + reach) if reach > 0 else (float(image.min()), float(image.max()))


def _clean_part(image: Image) -> tuple[slice, slice]:
    """The rows and columns between the smeared and the empty bands of the image (h, w)."""
    smeared = smeared_bands(image)
    parts = []
    for axis, widths in enumerate((smeared[:2], smeared[2:])):
        steps = np.median(np.abs(np.diff(image, axis=1 - axis)), axis=1 - axis)
        filled = np.flatnonzero(steps >= EMPTY * np.median(steps))
        first, last = int(filled[0]), len(steps) - 1 - int(filled[-1])
        before, after = (
            max(wide, empty + 1 if empty else 0) for wide, empty in zip(widths, (first, last), strict=True)
        )
        parts.append(slice(before, len(steps) - after))
    return parts[0], parts[1]


def _resized(levels: Image, grid: _Grid, settings: PreprocessSettings) -> Image:
    """The image at full size (H, W) on the working grid; a square by Pillow's bicubic, as published."""
    if settings.working == "diameter":
        return eight_bit(resampled(levels, grid.shape, grid.scales))
    from PIL import Image as Picture

    picture = Picture.fromarray(np.rint(levels * 255).astype(np.uint8))
    resized = picture.resize(grid.shape[::-1], Picture.Resampling.BICUBIC)
    return np.asarray(resized, np.float32) / np.float32(255)
