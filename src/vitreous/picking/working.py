"""A micrograph brought to the working scale of a picker: binned, its smeared edges masked, standardised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import InputError
from vitreous.picking.candidates import Array, Image

MIN_DIAMETER_PX = 24.0  # a filter of a quarter of this is sampled well
# Robust standard deviations: what is beyond is a hot pixel, an edge or ice; but no less than this share of
# the pixels is left as it is, so that strong particles keep their shape.
CLIP, CLIP_SHARE = 5.0, 0.999
# Smeared lines: largest ratio of the steps across and along, widest band / side, least smeared part of it.
BAND_RATIO, BAND_SHARE, BAND_FILL = 0.5, 0.1, 0.6


@dataclass(frozen=True)
class WorkingImage:
    """The image (h, w), particles bright, mean 0 and robust sd 1 inside `mask`; `bin` full px are one px."""

    image: Image
    mask: NDArray[np.bool_]
    bin: int
    diameter_px: float

    def to_full(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Px x, y (n,) of the micrograph, from those of `image`: a bin's centre is not its first pixel's."""
        return (x + 0.5) * self.bin - 0.5, (y + 0.5) * self.bin - 0.5


def working_image(image: Image, diameter_px: float, contrast: str) -> WorkingImage:
    """Bin so that a diameter is 24 px or a little more, mask the edges, standardise; particles become bright.

    `image` (h, w), `diameter_px` in its px, `contrast` dark or bright. Raises InputError where no two
    particles fit into the image or nothing of it is left.
    """
    if min(image.shape) < 2 * diameter_px:
        h, w = image.shape
        raise InputError(
            "image too small for the particle", found=f"{w} x {h} px", expected=f"2 x {diameter_px:.0f} px"
        )
    factor = max(1, int(diameter_px / MIN_DIAMETER_PX))
    small = binned(image, factor)
    mask = np.zeros(small.shape, dtype=bool)
    top, bottom, left, right = smeared_bands(small)
    mask[top : small.shape[0] - bottom, left : small.shape[1] - right] = True
    if not mask.any():
        raise InputError("nothing but smeared lines in the image")
    values = small[mask]
    centre = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - centre)) or values.std()
    if not spread > 0:
        raise InputError("constant image")
    sign = -1.0 if contrast == "dark" else 1.0
    limit = max(CLIP, float(np.quantile(np.abs(values - centre), CLIP_SHARE)) / spread)
    small = np.clip(sign * (small - centre) / spread, -limit, limit).astype(np.float32)
    return WorkingImage(small, mask, factor, diameter_px / factor)


def binned(image: Image, factor: int) -> Image:
    """Mean of blocks of factor x factor px of an image (h, w); its last rows and columns fill the blocks."""
    h, w = image.shape
    rows, columns = -(-h // factor), -(-w // factor)
    if (rows * factor, columns * factor) != (h, w):
        image = np.pad(image, ((0, rows * factor - h), (0, columns * factor - w)), mode="edge")
    blocks = image.reshape(rows, factor, columns, factor)
    mean: Image = blocks.mean(axis=(1, 3), dtype=np.float32)
    return mean


def smeared_bands(image: Image) -> tuple[int, int, int, int]:
    """Widths in px of the bands of smeared or empty lines at top, bottom, left and right of an image (h, w).

    Alignment of frames and some filters fill the rim of an image by repeating its last good line. There the
    difference of neighbours across the line is next to nothing against that along it, which does not happen
    in a picture of noise. A band begins at the edge and ends within the outer tenth.
    """
    steps = [np.abs(np.diff(image, axis=axis)) for axis in (0, 1)]
    # medians: one strong particle at the rim must not stand for its whole line
    along = [np.median(steps[1], axis=1), np.median(steps[0], axis=0)]
    across = [np.median(steps[0], axis=1), np.median(steps[1], axis=0)]
    widths: list[int] = []
    for a, b in zip(across, along, strict=True):
        smeared = a < BAND_RATIO * np.minimum(b[:-1], b[1:])
        limit = int(len(b) * BAND_SHARE)
        for side in (smeared[:limit], smeared[::-1][:limit]):
            share = np.cumsum(side) / np.arange(1, len(side) + 1)
            found = np.flatnonzero(side & (share >= BAND_FILL))
            widths.append(int(found[-1]) + 2 if len(found) else 0)
    top, bottom, left, right = widths
    return top, bottom, left, right


def picking_mask(work: WorkingImage, border: float) -> NDArray[np.bool_]:
    """The mask (h, w) without a further band of `border` diameters along its four sides."""
    width = int(np.ceil(border * work.diameter_px))
    rows, columns = np.flatnonzero(work.mask.any(axis=1)), np.flatnonzero(work.mask.any(axis=0))
    mask = np.zeros_like(work.mask)
    inner = (slice(ends[0] + width, ends[-1] + 1 - width) for ends in (rows, columns))
    mask[tuple(inner)] = True
    mask &= work.mask
    return mask


def white_noise_level(work: WorkingImage) -> float:
    """Standard deviation of white noise in an image (h, w), from the finest details; NaN: it is not white.

    The mixed second difference sees only the corner of the spectrum, where particles have faded. It is taken
    at full and at half resolution: white noise gives the same twice, noise that was filtered away does not.
    """
    fine = _mixed_difference(work.image, work.mask)
    h, w = (side // 2 * 2 for side in work.image.shape)
    blocks = work.image[:h, :w].reshape(h // 2, 2, w // 2, 2)
    coarse = _mixed_difference(2 * blocks.mean(axis=(1, 3)), work.mask[:h:2, :w:2])
    # ASSUME: a factor of 1.5 is left for the binning's own loss (0.64 in the corner) and weak fine detail.
    return fine if 0 < coarse < 1.5 * fine else float("nan")


def _mixed_difference(image: Image, mask: NDArray[np.bool_]) -> float:
    mixed = (image[1:, 1:] - image[1:, :-1] - image[:-1, 1:] + image[:-1, :-1]) / 2
    inside = mask[1:, 1:] & mask[1:, :-1] & mask[:-1, 1:] & mask[:-1, :-1]
    return float(1.4826 * np.median(np.abs(mixed[inside]))) if inside.any() else float("nan")
