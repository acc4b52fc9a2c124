"""Images on another grid of pixels: means of areas where it is coarser, straight lines where it is finer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Image = NDArray[np.float32]
_STRIP_PX = 1 << 20  # px cut off at a time: what stays in a processor's cache


def resampled(
    image: NDArray[Any],
    shape: tuple[int, int],
    scales: tuple[float, float],
    offset: float = 0.0,
    limits: tuple[float, float] | None = None,
) -> Image:
    """The image (H, W) on a grid (h, w) whose px are `scales` px of the image high and wide.

    Centre i of the grid lies at (i + 0.5) * scale - 0.5 + offset of the image, whose edges are repeated.
    Values are cut to `limits` before they are averaged.
    """
    rows = area_weights(image.shape[0], shape[0], scales[0], offset)
    columns = area_weights(image.shape[1], shape[1], scales[1], offset)
    small = np.empty((shape[0], image.shape[1]), np.float32)
    step = max(1, int(_STRIP_PX / (max(scales[0], 1.0) * image.shape[1])))
    for start in range(0, shape[0], step):
        strip = rows[start : start + step]
        first, last = int(strip.indices.min()), int(strip.indices.max()) + 1
        part = np.asarray(image[first:last], np.float32)
        if limits is not None:
            part = np.clip(part, *limits)
        small[start : start + step] = strip[:, first:last] @ np.ascontiguousarray(part)
    resized: Image = np.ascontiguousarray((columns @ np.ascontiguousarray(small.T)).T)
    return resized


def area_weights(size: int, new_size: int, scale: float, offset: float = 0.0) -> csr_array[Any, Any]:
    """Weights (new_size, size) of the pixels of a line: how far each lies within the new pixel.

    A new pixel is at least one old pixel wide, so that a finer grid is interpolated linearly.
    """
    from scipy.sparse import csr_array

    width = max(scale, 1.0)
    start = (np.arange(new_size) + 0.5) * scale + offset - width / 2  # px have their lower edges at integers
    first = np.floor(start).astype(np.int64)
    taps = first[:, None] + np.arange(int(np.ceil(width)) + 1)
    lower, upper = np.maximum(taps, start[:, None]), np.minimum(taps + 1, start[:, None] + width)
    weights = np.maximum(upper - lower, 0.0) / width
    where = np.clip(taps, 0, size - 1)
    lines = np.repeat(np.arange(new_size), taps.shape[1])
    matrix = csr_array(
        (weights.ravel().astype(np.float32), (lines, where.ravel())), shape=(new_size, size), dtype=np.float32
    )
    matrix.eliminate_zeros()
    return matrix
