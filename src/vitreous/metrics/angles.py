"""Errors of poses: angles with symmetry, split into direction and in-plane, and shifts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from vitreous.errors import InputError
from vitreous.physics.rotations import geodesic_distance


@dataclass(frozen=True)
class PoseError:
    """Errors in degrees (...), each of the symmetry mate nearest to the truth."""

    total_deg: torch.Tensor
    direction_deg: torch.Tensor
    in_plane_deg: torch.Tensor


def pose_error(a: torch.Tensor, b: torch.Tensor, group_matrices: torch.Tensor | None = None) -> PoseError:
    """Compare poses A (map → camera) a, b (..., 3, 3) under a point group (g, 3, 3); None is C1.

    R = A·g·Bᵀ for the g of least rotation angle (A and A·g give the same image of a symmetric map). Total is
    the angle of R, direction the angle between the viewing directions (third rows), in-plane the absolute
    twist of R about the beam, atan2(R₁₀ − R₀₁, R₀₀ + R₁₁). Raises InputError on shapes that do not fit.
    """
    first, second = _checked(a), _checked(b)
    group = torch.eye(3)[None] if group_matrices is None else group_matrices
    mates = torch.einsum("...ij,gjk->...gik", first, _checked(group).to(first.device))
    total, best = geodesic_distance(mates, second[..., None, :, :]).min(-1)
    mate = torch.take_along_dim(mates, best[..., None, None, None], dim=-3).squeeze(-3)
    turn = torch.einsum("...ik,...jk->...ij", mate, second)
    tilt = torch.atan2(torch.hypot(turn[..., 0, 2], turn[..., 1, 2]), turn[..., 2, 2])
    twist = torch.atan2(turn[..., 1, 0] - turn[..., 0, 1], turn[..., 0, 0] + turn[..., 1, 1])
    return PoseError(total, torch.rad2deg(tilt), torch.rad2deg(twist).abs())


def angular_error_deg(
    a: torch.Tensor, b: torch.Tensor, group_matrices: torch.Tensor | None = None
) -> torch.Tensor:
    """Least rotation angle in degrees (...) between poses (..., 3, 3) over a point group (g, 3, 3)."""
    return pose_error(a, b, group_matrices).total_deg


def mean_angular_error_deg(
    errors_by_half: Sequence[torch.Tensor], weights_by_half: Sequence[torch.Tensor] | None = None
) -> float:
    """CESPED's MAnE, or wMAnE with weights, of the errors (n_half,) of each half set.

    MAnE is the plain mean of the halves' means, wMAnE one weighted mean over the particles of all halves
    (weights: the truth's rlnMaxValueProbDistribution). Source: methods/pose.md §6, item 3.
    """
    if weights_by_half is None:
        return float(torch.stack([errors.double().mean() for errors in errors_by_half]).mean())
    errors, weights = torch.cat(list(errors_by_half)).double(), torch.cat(list(weights_by_half)).double()
    return float((errors * weights).sum() / weights.sum())


def share_within(errors_deg: torch.Tensor, limit_deg: float) -> float:
    """Share of errors (n,) not above `limit_deg`: a few failed particles decide a mean, not this."""
    return float((errors_deg <= limit_deg).double().mean())


def shift_rmse_A(a_A: torch.Tensor, b_A: torch.Tensor) -> float:
    """Root of the mean squared length of the difference of origins (n, 2) in Å (CESPED: ‖Δ‖/√n)."""
    return float((a_A.double() - b_A.double()).square().sum(-1).mean().sqrt())


def _checked(matrices: torch.Tensor) -> torch.Tensor:
    if matrices.shape[-2:] != (3, 3):
        raise InputError("not rotation matrices", found=tuple(matrices.shape), expected="(..., 3, 3)")
    return matrices.to(torch.float64)
