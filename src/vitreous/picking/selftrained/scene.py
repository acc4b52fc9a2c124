"""A micrograph as the network sees it: a fixed number of pixels a diameter, and where its edges are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft
from torch.nn import functional

from vitreous.picking.candidates import Array, Image
from vitreous.picking.contamination import contamination_mask
from vitreous.picking.working import WorkingImage

RING = (0.65, 1.1)  # radii of a candidate's surroundings / diameter
CLIP = 4.0  # standard deviations: what is brighter is no particle, how much so does not matter


@dataclass(frozen=True)
class Scene:
    """`image` and `cover` (h, w): particles bright, 0 outside; cover is the share of a pixel in the image.

    `roughness` (h, w) is the standard deviation of a ring around each pixel, less the picture's median, in
    robust standard deviations over the picture, `contaminated` where carbon and ice were found. `row_scale`,
    `column_scale`: px of the micrograph per px here.
    """

    image: Image
    cover: Image
    roughness: Image
    contaminated: NDArray[np.bool_]
    row_scale: float
    column_scale: float
    diameter_px: float

    def to_full(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Coordinates (n,) of the micrograph."""
        return (x + 0.5) * self.column_scale - 0.5, (y + 0.5) * self.row_scale - 0.5

    def from_full(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Coordinates (n,) of this picture."""
        return (x + 0.5) / self.column_scale - 0.5, (y + 0.5) / self.row_scale - 0.5

    def planes(self) -> torch.Tensor:
        """What the network reads: (2, h, w)."""
        return torch.from_numpy(np.stack([self.image, self.cover]))


def scene_of(work: WorkingImage, diameter_px: float) -> Scene:
    """The working image (H, W) as a scene (h, w) of `diameter_px` px a diameter; never drawn larger."""
    scale = min(1.0, diameter_px / work.diameter_px)
    h, w = work.image.shape
    shape = (max(2, round(h * scale)), max(2, round(w * scale)))
    dirty = contamination_mask(work).mask.astype(np.float32)
    held = np.stack([np.where(work.mask, work.image, np.float32(0)), work.mask.astype(np.float32), dirty])
    small = functional.interpolate(
        torch.from_numpy(held)[None], shape, mode="bilinear", antialias=True, align_corners=False
    )[0].numpy()
    image, cover, dirty = small[0], small[1], small[2] > 0.5
    inner = image[cover > 0.99]
    middle = np.median(inner)
    spread = 1.4826 * np.median(np.abs(inner - middle)) or 1.0
    image = np.clip((image - middle) / spread, -CLIP, CLIP) * cover
    small_px = work.diameter_px * scale
    scales = (h / shape[0] * work.bin, w / shape[1] * work.bin)
    return Scene(image, cover, _roughness(image, cover, small_px), dirty, *scales, small_px)


def _roughness(image: Image, cover: Image, diameter_px: float) -> Image:
    mean, square = local_means(image, cover, ring(*RING, diameter_px))
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    inner = deviation[cover > 0.99]
    middle = np.median(inner)
    spread = max(1.4826 * float(np.median(np.abs(inner - middle))), 1e-6)
    relative: Image = ((deviation - middle) / spread).astype(np.float32)
    return relative


def ring(inner: float, outer: float, diameter_px: float) -> Image:
    """A ring (n, n) of ones between two radii / diameter; a disc where the inner one is 0."""
    reach = math.ceil(outer * diameter_px)
    axis = np.arange(-reach, reach + 1)
    distance = np.hypot(axis[:, None], axis[None]) / diameter_px
    return ((distance >= inner) & (distance <= outer)).astype(np.float32)


def local_means(image: Image, cover: Image, kernel: Image) -> tuple[Image, Image]:
    """Means (h, w) of the image and its square over the kernel's part inside the image."""
    h, w = image.shape
    reach = kernel.shape[0] // 2
    size = tuple(fft.next_fast_len(side + 2 * reach, real=True) for side in (h, w))
    spectrum = fft.rfft2(kernel, size)

    def total(plane: Image) -> Image:
        full: Image = fft.irfft2(fft.rfft2(plane, size) * spectrum, size)
        return full[reach : reach + h, reach : reach + w]

    weight = np.maximum(total(cover), np.float32(1))
    mean: Image = (total(image) / weight).astype(np.float32)
    square: Image = (total(image**2) / weight).astype(np.float32)
    return mean, square
