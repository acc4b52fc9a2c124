"""The E-step of paper 001 written as its equations read: patch by patch, a loop over rotations and shifts.

Eqs. 9 to 16, for quarter turns (K of 1, 2, 4), in the order of work of the public code: what each hypothesis
would show is made once by roll and crop, then every patch is compared with all of them, and each hypothesis
adds its share to the pixels that it sees. The fast E-steps are tested against it, and timed against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Hypothesis:
    """Quarter turns, shift down, shift right."""

    quarters: int
    down: int
    right: int

    def shows(self, image: Array, fill: float = 0.0) -> Array:
        """C T_l Z F_phi (eq. 9): an image (L, L) turned, padded at the right and bottom, rolled, cropped."""
        size = len(image)
        padded = np.full((2 * size, 2 * size), fill)
        padded[:size, :size] = np.rot90(image, self.quarters)
        return np.roll(padded, (self.down, self.right), (0, 1))[:size, :size]


@dataclass(frozen=True)
class LoopStatistics:
    """Gradient of the log-likelihood (L, L), log-likelihood of all patches, and sums over the patches.

    `pull` (L, L): pixels under each pixel of the image; `weight` (L, L): how often each was seen; `mass`
    (hypotheses,): the posterior.
    """

    gradient: Array
    log_likelihood: float
    pull: Array
    weight: Array
    mass: Array


def all_hypotheses(size: int, rotations: int) -> list[Hypothesis]:
    """Every rotation with every shift of {0 ... 2L - 1}^2, the rotation slowest."""
    turns, shifts = range(0, 4, 4 // rotations), range(2 * size)
    return [Hypothesis(turn, y, x) for turn in turns for y in shifts for x in shifts]


def patches_of(measurement: Array, size: int) -> Iterator[Array]:
    """The patches (L, L) of a measurement (H, W), row by row."""
    for y in range(0, measurement.shape[0], size):
        for x in range(0, measurement.shape[1], size):
            yield measurement[y : y + size, x : x + size]


def loop_statistics(measurement: Array, image: Array, sigma: float, rotations: int) -> LoopStatistics:
    """E-step on the patches of a measurement (H, W), all hypotheses alike beforehand (eqs. 14 and 16)."""
    size = len(image)
    hypotheses = all_hypotheses(size, rotations)
    shown = np.stack([hypothesis.shows(image) for hypothesis in hypotheses])
    # Which pixel of the image each pixel of a patch shows: pixel numbers sent along the same way, -1 outside.
    numbers = np.arange(size**2, dtype=np.float64).reshape(size, size)
    sent = [hypothesis.shows(numbers, fill=-1).astype(int) for hypothesis in hypotheses]
    inside = [np.nonzero(pixels >= 0) for pixels in sent]
    pixels = [np.divmod(one[where], size) for one, where in zip(sent, inside, strict=True)]
    constant = -np.log(len(hypotheses)) - 0.5 * size**2 * np.log(2 * np.pi * sigma**2)
    gradient, mass, likelihood = np.zeros_like(image), np.zeros(len(hypotheses)), 0.0
    for patch in patches_of(measurement, size):
        joint = constant - np.square(patch - shown).sum((1, 2)) / (2 * sigma**2)
        shares = np.exp(joint - joint.max(), dtype=np.longdouble)  # 80 bits, as in the public code
        likelihood += float(joint.max() + np.log(shares.sum()))
        shares = shares / shares.sum()
        mass += shares
        for index, share in enumerate(shares):
            residual = patch[inside[index]] - image[pixels[index]]
            gradient[pixels[index]] += share * (residual / sigma**2)
    weight = np.zeros_like(image)
    for index, total in enumerate(mass):
        weight[pixels[index]] += total
    return LoopStatistics(gradient, likelihood, gradient * sigma**2 + weight * image, weight, mass)


def loop_step(
    measurement: Array, image: Array, sigma: float, rotations: int, rate: float, score: Array | float
) -> Array:
    """One EM iteration of paper 001: E-step, one step of ascent (eq. 18), `score` with its weight in it."""
    found = loop_statistics(measurement, image, sigma, rotations)
    return image + rate * (found.gradient + score)
