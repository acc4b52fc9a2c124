"""Real-space correlation of maps and images."""

from __future__ import annotations

import torch

from vitreous.errors import InputError


def real_space_correlation(
    a: torch.Tensor, b: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Pearson's r of two arrays of one shape over all elements: 0-d float64.

    With `weights` (same shape, ≥ 0, e.g. a soft mask) means, variances and covariance are weighted.
    Raises InputError where shapes differ, a value is not finite, or one array is constant (r is 0/0).
    """
    arrays = [array.to(torch.float64) for array in (a, b)]
    weight = torch.ones_like(arrays[0]) if weights is None else weights.to(torch.float64)
    if not arrays[0].shape == arrays[1].shape == weight.shape:
        raise InputError("shapes differ", found=[tuple(array.shape) for array in (*arrays, weight)])
    if not all(bool(torch.isfinite(array).all()) for array in (*arrays, weight)):
        raise InputError("the map holds values that are not finite", expected="numbers only")
    total = weight.sum()
    first, second = (array - (weight * array).sum() / total for array in arrays)
    covariance = (weight * first * second).sum()
    scale = ((weight * first.square()).sum() * (weight * second.square()).sum()).sqrt()
    if not bool(scale > 0):
        raise InputError("no correlation of a constant array", found="variance 0 inside the mask")
    return covariance / scale


def masked_product_correlation(a: torch.Tensor, b: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Pearson's r over all voxels of a·mask and b·mask, each (...): CESPED's "PCC masked", 0-d float64.

    The zeros outside the mask count, so it is higher than `real_space_correlation` with the mask as weights
    where the maps have a mean inside the mask.
    """
    return real_space_correlation(a * mask, b * mask)
