"""What an E-step says of the measurement, all that an M-step needs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Statistics:
    """Sums over the posterior of poses, for b measurements and K rotations.

    `pull` (b, K, L, L): measured pixels under each pixel of the turned image; `weight` (b, K, L, L) or
    (b, K, 1, 1): how often that pixel was seen; `targets` (b,): expected number of targets that are seen
    (in patches: those of patches that are not empty); `empty` (b,): share of empty patches (NaN where there
    are none); `shifts` (b, 2L, 2L): posterior mass by shift (patches only); `log_likelihood` (b,): of the
    image the statistics were made with, up to what depends on sigma and the measurement alone;
    `residual` (b,): expected sum of squares that the targets leave over.
    """

    pull: Tensor
    weight: Tensor
    targets: Tensor
    empty: Tensor
    log_likelihood: Tensor
    residual: Tensor
    shifts: Tensor | None = None


def joined(parts: list[Statistics]) -> Statistics:
    """The statistics of several groups of measurements as one."""
    if len(parts) == 1:
        return parts[0]
    shifts = [part.shifts for part in parts if part.shifts is not None]
    return Statistics(
        pull=torch.cat([part.pull for part in parts]),
        weight=torch.cat([part.weight for part in parts]),
        targets=torch.cat([part.targets for part in parts]),
        empty=torch.cat([part.empty for part in parts]),
        log_likelihood=torch.cat([part.log_likelihood for part in parts]),
        residual=torch.cat([part.residual for part in parts]),
        shifts=torch.cat(shifts) if shifts else None,
    )


def sums_of_squares(images: Tensor) -> Tensor:
    """Sum of squares (b,) float64 of images (b, H, W), row by row in the type of the images.

    So no second copy of a large measurement is made; a row's rounding is that of its type.
    """
    return images.square().sum(-1).sum(-1, dtype=torch.float64)
