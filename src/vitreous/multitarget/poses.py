"""Where the targets of a measurement are, told by the whole-measurement E-step, and how many are right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.multitarget.rotation import Rotations
from vitreous.multitarget.whole import WholeStep

# A place counts where at least this much of one target's mass lies within `NEAR` px of it.
LEAST_MASS = 0.5
NEAR = 2


@dataclass(frozen=True)
class Poses:
    """Found targets: upper left corners y, x (p, 2) px, rotations (p,) of K, probability (p,) of each."""

    corners: NDArray[np.int64]
    turns: NDArray[np.int64]
    mass: NDArray[np.float64]


def find_poses(
    measurement: Tensor, image: Tensor, sigma: float, targets: float, *, rotations: int, separation: int
) -> Poses:
    """Places in a measurement (H, W) that hold the image (L, L) with a probability of at least one half.

    Of poses that would collide the likeliest is taken; probability within 2 px is one target's.
    """
    step = WholeStep(measurement[None], image.shape[-1], separation)
    operator = Rotations(rotations, image.shape[-1], image)
    mass, turns = step.places(image[None], operator, sigma, targets)
    smooth = torch.nn.functional.avg_pool2d(
        mass[None, None], 2 * NEAR + 1, stride=1, padding=NEAR, divisor_override=1
    )[0, 0]
    corners, found = [], []
    left = smooth.clone()
    while float(left.max()) >= LEAST_MASS:
        y, x = divmod(int(left.argmax()), left.shape[1])
        window = (slice(max(y - NEAR, 0), y + NEAR + 1), slice(max(x - NEAR, 0), x + NEAR + 1))
        near = mass[window]
        dy, dx = divmod(int(near.argmax()), near.shape[1])
        corners.append((window[0].start + dy, window[1].start + dx))
        found.append(float(smooth[y, x]))
        reach = step.separation - 1
        left[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1] = 0
    places = np.array(corners, dtype=np.int64).reshape(-1, 2)
    return Poses(places, turns.cpu().numpy()[places[:, 0], places[:, 1]], np.array(found))


def matches(
    found: Poses, corners: NDArray[np.int64], turns: NDArray[np.int64], *, rotations: int, turn: int,
    shift: tuple[float, float], within_px: float = 2.0,
) -> int:  # fmt: skip
    """How many found poses are true ones (p, 2), (p,): each true one once, within `within_px`.

    The estimate turned by `turn` and then moved by `shift` (down, right) px is the truth, so the truth at
    rotation q lies at the estimate's rotation q + turn, moved by the shift turned by q.
    """
    free = list(range(len(turns)))
    count = 0
    for (y, x), k in zip(found.corners, found.turns, strict=True):
        for one in free:
            angle = 2 * np.pi * turns[one] / rotations
            # Counter-clockwise with y downwards, as `numpy.rot90` turns a picture.
            down = np.cos(angle) * shift[0] - np.sin(angle) * shift[1]
            right = np.sin(angle) * shift[0] + np.cos(angle) * shift[1]
            # The estimate lies where the truth lies, less the shift that it lacks.
            distance = max(abs(y - corners[one][0] - down), abs(x - corners[one][1] - right))
            if (k - turns[one] - turn) % rotations == 0 and distance <= within_px:
                free.remove(one)
                count += 1
                break
    return count
