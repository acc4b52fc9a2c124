"""Images to start EM from: the one given, and others where several starts are tried."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from vitreous.multitarget.priors.base import Prior

# Noise levels of a draw from the prior, from `FIRST` spreads of the data down to `LAST`, evenly in the log.
LEVELS = 18
FIRST, LAST = 80.0, 0.02


def other_starts(start: Tensor, count: int, prior: Prior | None, generator: torch.Generator) -> Tensor:
    """`count` starts (count, b, L, L) beside `start` (b, L, L).

    With a prior draws from it; else the start with white noise of its own root mean square.
    """
    shape = (count, *start.shape)
    noise = torch.randn(shape, generator=generator, dtype=torch.float64).to(start)
    if prior is not None:
        return draw(prior, noise.flatten(0, 1)).reshape(shape)
    return start + noise * start.square().mean((-2, -1), keepdim=True).sqrt()


def draw(prior: Prior, noise: Tensor) -> Tensor:
    """Draws (n, L, L) from the prior by its probability flow, one for each unit noise (n, L, L).

    Euler's method over falling noise levels (Karras et al. 2022, eq. 3 and algorithm 1 without its second
    order).
    """
    levels = prior.scale * torch.logspace(math.log10(FIRST), math.log10(LAST), LEVELS)
    images = levels[0].to(noise) * noise
    for level, after in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
        clean = prior.denoise(images, level)
        images = clean + after / level * (images - clean)
    return prior.denoise(images, float(levels[-1]))
