"""Rotations: matrices, RELION's Euler angles, rotation vectors, uniform samples and distances.

Matrices act on column vectors (x, y, z). A pose is A, which takes map coordinates to camera coordinates;
its transpose is Rz(rot) Ry(tilt) Rz(psi). Angles are in degrees everywhere.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def euler_to_matrix(angles_deg: Tensor) -> Tensor:
    """RELION's matrix A (map to camera) of angles `(..., 3)` = rot, tilt, psi in degrees, `(..., 3, 3)`."""
    rot, tilt, psi = torch.deg2rad(angles_deg).unbind(-1)
    ca, cb, cg = rot.cos(), tilt.cos(), psi.cos()
    sa, sb, sg = rot.sin(), tilt.sin(), psi.sin()
    rows = [
        torch.stack([cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb], dim=-1),
        torch.stack([-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb], dim=-1),
        torch.stack([sb * ca, sb * sa, cb], dim=-1),
    ]
    return torch.stack(rows, dim=-2)


def matrix_to_euler(matrices: Tensor) -> Tensor:
    """Angles rot, tilt, psi in degrees of matrices A, `(..., 3, 3)` to `(..., 3)`.

    rot and psi lie in (-180, 180], tilt in [0, 180]. Where tilt is 0 or 180 only one in-plane angle is
    determined; rot is then 0 (RELION's choice).
    """
    sine = torch.hypot(matrices[..., 2, 0], matrices[..., 2, 1])
    tilt = torch.atan2(sine, matrices[..., 2, 2])
    locked = sine < 16 * torch.finfo(matrices.dtype).eps
    one, zero = torch.ones_like(sine), torch.zeros_like(sine)
    x = torch.where(locked, one, matrices[..., 2, 0])
    y = torch.where(locked, zero, matrices[..., 2, 1])
    rot = torch.atan2(y, x)
    # A takes the vector (-sin rot, cos rot, 0) to (sin psi, cos psi, 0): exact for any tilt, locked or not.
    across = torch.stack([-rot.sin(), rot.cos(), zero], dim=-1)
    image = torch.einsum("...ij,...j->...i", matrices, across)
    psi = torch.atan2(image[..., 0], image[..., 1])
    return torch.rad2deg(torch.stack([rot, tilt, psi], dim=-1))


def quaternion_to_matrix(quaternions: Tensor) -> Tensor:
    """Rotation matrices of quaternions `(..., 4)` = (w, x, y, z) of any non-zero length, `(..., 3, 3)`."""
    w, x, y, z = (quaternions / quaternions.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], dim=-1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], dim=-1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], dim=-1),
    ]
    return torch.stack(rows, dim=-2)


def matrix_to_quaternion(matrices: Tensor) -> Tensor:
    """Unit quaternions `(..., 4)` = (w, x, y, z) with w >= 0 of rotation matrices `(..., 3, 3)`.

    Four formulas are exact in four regions; the one with the largest pivot is taken, so that no rotation,
    half turns included, loses digits.
    """
    m = matrices
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    x, y, z = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    rows = torch.stack(
        [
            torch.stack([1 + xx + yy + zz, x, y, z], dim=-1),
            torch.stack([x, 1 + xx - yy - zz, xy, xz], dim=-1),
            torch.stack([y, xy, 1 - xx + yy - zz, yz], dim=-1),
            torch.stack([z, xz, yz, 1 - xx - yy + zz], dim=-1),
        ],
        dim=-2,
    )
    pivot = torch.diagonal(rows, dim1=-2, dim2=-1).argmax(dim=-1)
    best = rows.gather(-2, pivot[..., None, None].expand(*pivot.shape, 1, 4)).squeeze(-2)
    best = best / best.norm(dim=-1, keepdim=True)
    return torch.where(best[..., :1] < 0, -best, best)


def rotation_vector_to_matrix(vectors_deg: Tensor) -> Tensor:
    """Matrices `(..., 3, 3)` of active rotations by |v| degrees about v, `(..., 3)` in the order x, y, z."""
    vectors = torch.deg2rad(vectors_deg)
    square = (vectors * vectors).sum(-1, keepdim=True)
    small = square < 1e-6
    angle = torch.where(small, torch.ones_like(square), square).sqrt()
    # Series near zero, where sin(a/2)/a is 0/0 and its gradient lost.
    half = torch.where(small, 0.5 - square / 48, (angle / 2).sin() / angle)
    real = torch.where(small, 1 - square / 8, (angle / 2).cos())
    return quaternion_to_matrix(torch.cat([real, half * vectors], dim=-1))


def matrix_to_rotation_vector(matrices: Tensor) -> Tensor:
    """Rotation vectors `(..., 3)` in degrees, length 0 to 180, of matrices `(..., 3, 3)`."""
    quaternions = matrix_to_quaternion(matrices)
    real, imaginary = quaternions[..., :1], quaternions[..., 1:]
    square = (imaginary * imaginary).sum(-1, keepdim=True)
    small = square < 1e-12
    sine = torch.where(small, torch.ones_like(square), square).sqrt()
    factor = torch.where(small, 2 / real, 2 * torch.atan2(sine, real) / sine)
    return torch.rad2deg(factor * imaginary)


def random_rotations(
    count: int, generator: torch.Generator | None = None, *, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Rotation matrices `(count, 3, 3)`, uniform on SO(3), on the generator's device.

    From quaternions with normally distributed parts, whose direction is uniform on the sphere in 4D.
    """
    device = "cpu" if generator is None else generator.device
    parts = torch.randn(count, 4, generator=generator, dtype=torch.float64, device=device)
    return quaternion_to_matrix(parts).to(dtype)


def geodesic_distance(a: Tensor, b: Tensor) -> Tensor:
    """Angle in degrees, 0 to 180, of the rotation between matrices `(..., 3, 3)`, broadcast.

    From the sine (antisymmetric part) and the cosine (trace) together: accurate to the precision of the
    matrices at all angles, where the arc cosine of the trace loses half the digits at 0 and 180. The
    gradient is 0 where a = b.
    """
    relative = torch.einsum("...ji,...jk->...ik", a, b)
    axis = torch.stack(
        [
            relative[..., 2, 1] - relative[..., 1, 2],
            relative[..., 0, 2] - relative[..., 2, 0],
            relative[..., 1, 0] - relative[..., 0, 1],
        ],
        dim=-1,
    )
    square = (axis * axis).sum(-1)
    still = square == 0
    sine = torch.where(still, torch.zeros_like(square), torch.where(still, 1.0, square).sqrt() / 2)
    cosine = (relative.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    return torch.atan2(sine, cosine) * (180 / math.pi)
