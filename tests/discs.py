"""Micrographs of soft discs in noise: the simplest pictures whose particles are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Array = NDArray[np.float64]


def scattered(
    rng: np.random.Generator, shape: tuple[int, int], count: int, gap: float, margin: float
) -> Array:
    """Centres (n, 2) as (x, y), at least `gap` px apart and `margin` px inside the image (h, w).

    Fewer than `count` where no room is found for more.
    """
    centres = np.empty((0, 2))
    size = np.array(shape[::-1])
    for _ in range(30 * count):
        if len(centres) == count:
            break
        point = rng.uniform(margin, size - 1 - margin)
        if (np.hypot(*(centres - point).T) >= gap).all():
            centres = np.vstack([centres, point])
    return centres


def discs(shape: tuple[int, int], centres: Array, diameter: float) -> Array:
    """An image (h, w) of discs of height 1 with a rim two px wide."""
    image = np.zeros(shape)
    reach = int(diameter / 2) + 4
    for x, y in centres:
        rows = slice(max(0, round(y) - reach), max(0, round(y) + reach + 1))
        columns = slice(max(0, round(x) - reach), max(0, round(x) + reach + 1))
        row, column = np.mgrid[: shape[0], : shape[1]][:, rows, columns]
        distance = np.hypot(row - y, column - x)
        image[rows, columns] += 0.5 - 0.5 * np.tanh((distance - diameter / 2) / 2)
    return image


def micrograph(
    rng: np.random.Generator, shape: tuple[int, int], centres: Array, diameter: float, noise: float
) -> NDArray[np.float32]:
    """Dark discs of contrast 1 on a level of 100, with white noise of standard deviation `noise`."""
    image: NDArray[np.float32] = (
        100 - discs(shape, centres, diameter) + noise * rng.standard_normal(shape)
    ).astype(np.float32)
    return image


def coloured_noise(
    rng: np.random.Generator, shape: tuple[int, int], colour: float, width: float
) -> NDArray[np.float32]:
    """White noise of deviation 1 whose amplitude at frequencies below 1/`width` rises to `colour` times."""
    white = rng.standard_normal(shape)
    # amplitudes of the same noise: 1 + (colour - 1) at frequency 0, 1 where the Gaussian has passed nothing
    image: NDArray[np.float32] = (white + (colour - 1) * gaussian_filter(white, width)).astype(np.float32)
    return image
