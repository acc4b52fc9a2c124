"""Sums over windows of fixed width, of values or of exponentials, in O(log width) passes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Exponentials of float64 go from e^-708 to e^709. What is summed is scaled to at most e^HEADROOM a term, so
# up to a highest value of SAFE the one, e^0, stays above e^LEAST; below that exponentials would be slow.
HEADROOM, SAFE, LEAST = 650.0, 1300.0, -700.0


def window_logsumexp(values: Tensor, reach: int) -> Tensor:
    """log(1 + sum of e^v over the window |dy|, |dx| < reach) of values (..., h, w), -inf where there is none.

    float64. Sums of positive terms only, no differences of running sums: small terms beside e^390 are kept.
    """
    values = values.double()
    top = values.amax((-2, -1), keepdim=True)
    if float(top.max()) < SAFE:
        scale = (top - HEADROOM).clamp_min_(0.0)
        sums = _both_axes((values - scale).clamp_min_(LEAST).exp_(), reach, torch.add, 0.0)
        return scale + sums.add_(torch.exp(-scale)).log_()
    sums = _both_axes(values, reach, torch.logaddexp, -torch.inf)
    return torch.logaddexp(sums, torch.zeros_like(sums))


def _both_axes(values: Tensor, reach: int, join: Callable[..., Tensor], nothing: float) -> Tensor:
    return _along(_along(values, -1, reach, join, nothing), -2, reach, join, nothing)


def _along(values: Tensor, axis: int, reach: int, join: Callable[..., Tensor], nothing: float) -> Tensor:
    """Joined over the window of 2 reach - 1 along an axis: windows of 1, 2, 4 ... px, each of two smaller."""
    width, length = 2 * reach - 1, values.shape[axis]
    ends = [reach - 1] * 2 if axis == -1 else [0, 0, reach - 1, reach - 1]
    power = torch.nn.functional.pad(values, ends, value=nothing)
    total = torch.full_like(values, nothing)
    offset, size = 0, 1
    while offset < width:
        if width & size:
            join(total, power.narrow(axis, offset, length), out=total)
            offset += size
        if offset < width:
            shorter = power.shape[axis] - size
            power = join(power.narrow(axis, 0, shorter), power.narrow(axis, size, shorter))
            size *= 2
    return total
