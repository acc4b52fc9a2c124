"""What an experiment is about: the true images, and what may be known of them beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vitreous.errors import InputError


@dataclass(frozen=True)
class Targets:
    """True images and the first guess.

    `images` (t, L, L) float32; `names` one a target; `start` (L, L), the same for all targets;
    `pixel_size_A` where images have one; `mean` (L, L) of the distribution of targets where it is known.
    """

    images: Tensor
    names: list[str]
    start: Tensor
    pixel_size_A: float | None = None
    mean: Tensor | None = None

    def __post_init__(self) -> None:
        """Refuse shapes that do not fit together."""
        shape, start = tuple(self.images.shape), tuple(self.start.shape)
        if len(shape) != 3 or shape[1] != shape[2] or start != shape[1:] or len(self.names) != shape[0]:
            found = f"images {shape}, start {start}, {len(self.names)} names"
            raise InputError("targets must be square images of one size", found=found, expected="(t, L, L)")


def radial_mean(images: Tensor | Sequence[Tensor]) -> Tensor:
    """Mean of images `(n, L, L)`, averaged over rings about (L - 1)/2: a blob `(L, L)` without direction."""
    mean = torch.as_tensor(images if isinstance(images, Tensor) else torch.stack(list(images))).mean(0)
    side = mean.shape[-1]
    axis = torch.arange(side, dtype=torch.float64, device=mean.device) - (side - 1) / 2
    ring = (axis[:, None].square() + axis.square()).sqrt().round().long().flatten()
    count = torch.bincount(ring).to(mean.dtype)
    total = mean.new_zeros(len(count)).index_add(0, ring, mean.flatten())
    return (total / count.clamp_min(1))[ring].reshape(side, side)
