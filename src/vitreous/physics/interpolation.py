"""Trilinear reading of a volume at points, and the adjoint that spreads values onto a volume."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

# The gradient of grid_sample with its codes: trilinear, zero outside, corner voxels at -1 and 1.
_gradient = partial(
    torch.ops.aten.grid_sampler_3d_backward, interpolation_mode=0, padding_mode=0, align_corners=True
)


def sample_trilinear(table: Tensor, points: Tensor) -> Tensor:
    """Values `(c, p)` of a real volume `(c, d, h, w)` at voxel coordinates `(p, 3)` = x, y, z; 0 outside.

    Differentiable once in both.
    """
    grid = _normalised(points, table.shape[-3:])
    return torch.nn.functional.grid_sample(table[None], grid, "bilinear", "zeros", True)[0, :, 0, 0]


def spread_trilinear(values: Tensor, points: Tensor, shape: Sequence[int]) -> Tensor:
    """Exact adjoint of `sample_trilinear`: values `(c, p)` at points `(p, 3)` to a volume `(c, *shape)`."""
    return _Spread.apply(values[None, :, None, None], _normalised(points, shape), shape)[0]


def _normalised(points: Tensor, shape: Sequence[int]) -> Tensor:
    """Voxel coordinates as grid_sample wants them, `(1, 1, 1, p, 3)`, -1 to 1 between the corner voxels."""
    last = points.new_tensor([max(n - 1, 1) for n in reversed(shape)])
    return (points * (2 / last) - 1)[None, None, None]


class _Spread(torch.autograd.Function):
    """The transpose of grid_sample as a function of its own, so that it has gradients too."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, grid: Tensor, shape: Sequence[int]) -> Tensor:
        ctx.save_for_backward(values, grid)
        like = values.new_zeros(1).expand(1, values.shape[1], *shape)
        return _gradient(values.contiguous(), like, grid, output_mask=[True, False])[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        values, grid = ctx.saved_tensors
        table = gradients[0]
        read = torch.nn.functional.grid_sample(table, grid, "bilinear", "zeros", True)
        moved = _gradient(values.contiguous(), table, grid, output_mask=[False, True])[1]
        return read, moved, None
