"""Pictures of micrographs with their picks, as files of their own."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitreous.report.pictures import Image, block_mean, stretch
from vitreous.runtime.files import atomic_path

SIDE_PX = 1400  # a screen's height and a little more
PICKED = (255, 176, 0)  # amber stands out of grey for every kind of colour vision


def write_overlay(
    path: Path, pixels: Image, picks: NDArray[np.float64], diameter_px: float, *, side_px: int = SIDE_PX
) -> None:
    """Write a PNG of a micrograph (h, w), row 0 on top, with circles of the diameter about picks (n, 2).

    The picture is filtered for the eye as in the report: a Gaussian of D/12 less one of 2 D.
    """
    from PIL import Image as Pillow
    from PIL import ImageDraw
    from scipy.ndimage import gaussian_filter

    factor = max(1, math.ceil(max(pixels.shape) / side_px))
    small, diameter = block_mean(pixels, factor), diameter_px / factor
    flat = gaussian_filter(small, max(0.5, diameter / 12), mode="nearest")
    flat -= gaussian_filter(small, 2 * diameter, mode="nearest", truncate=2.5)
    picture = Pillow.fromarray(stretch(flat, 1, 99)).convert("RGB")
    draw = ImageDraw.Draw(picture)
    for x, y in (np.asarray(picks, dtype=float).reshape(-1, 2) + 0.5) / factor:
        box = (x - diameter / 2, y - diameter / 2, x + diameter / 2, y + diameter / 2)
        draw.ellipse(box, outline=PICKED, width=2)
    with atomic_path(path) as part, open(part, "wb") as handle:
        picture.save(handle, "PNG")
