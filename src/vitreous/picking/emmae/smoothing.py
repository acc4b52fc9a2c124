"""The last smoothing of an image: a guided filter, or the double box that the published one comes to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Image = NDArray[np.float32]


def guided_filter(image: Image, guide: Image, sides_px: tuple[int, int], epsilon: float) -> Image:
    """The image (h, w) smoothed over boxes of `sides_px`, except where the guide (h, w) has an edge.

    `epsilon` is the variance of the guide, in its unit squared, at which half of its detail is kept.
    Source: He, Sun and Tang, Guided image filtering, 2010.
    """
    mean_guide, mean_image = box_mean(guide, sides_px), box_mean(image, sides_px)
    variance: Image = box_mean(guide * guide, sides_px) - mean_guide * mean_guide
    covariance = box_mean(guide * image, sides_px) - mean_guide * mean_image
    np.clip(variance, 0, None, out=variance)
    slope = covariance / (variance + np.float32(epsilon))
    level = mean_image - slope * mean_guide
    smooth: Image = box_mean(slope, sides_px) * guide + box_mean(level, sides_px)
    return smooth


def double_box(image: Image, sides_px: tuple[int, int]) -> Image:
    """The image (h, w) averaged twice over boxes; each of even side moves it by half a pixel downwards."""
    return box_mean(box_mean(image, sides_px), sides_px)


def box_mean(image: Image, sides_px: tuple[int, int]) -> Image:
    """Mean over a box about each pixel, the image (h, w) mirrored about its outermost pixels."""
    mean: Image = ndimage.uniform_filter(image, sides_px, output=np.float32, mode="mirror")
    return mean
