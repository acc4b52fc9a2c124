"""Regular grids of viewing directions and of rotations, on HEALPix."""

from __future__ import annotations

import torch
from torch import Tensor

from vitreous.physics.rotations import euler_to_matrix


def directions(order: int, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Angles (rot, tilt) in degrees of the 12 * 4^order HEALPix pixel centres, `(m, 2)`, nested order.

    The viewing direction (third row of A) has longitude rot and colatitude tilt.
    """
    import healpy
    import numpy as np

    sides = 2**order
    tilt, rot = healpy.pix2ang(sides, np.arange(12 * sides**2), nest=True)
    return torch.rad2deg(torch.from_numpy(np.stack([rot, tilt], axis=-1))).to(dtype)


def so3_grid(order: int, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Poses A `(72 * 8^order, 3, 3)`: HEALPix directions times 6 * 2^order angles psi from 0.

    The step is about 60/2^order degrees: order 2 is 15, order 3 is 7.5 (RELION's `--healpix_order`).
    Direction by direction, psi fastest.
    """
    rot_tilt = directions(order, dtype=torch.float64)
    turns = 6 * 2**order
    psi = torch.arange(turns, dtype=torch.float64) * (360 / turns)
    angles = torch.cat(
        [
            rot_tilt[:, None, :].expand(-1, turns, -1),
            psi[None, :, None].expand(rot_tilt.shape[0], -1, 1),
        ],
        dim=-1,
    )
    return euler_to_matrix(angles.reshape(-1, 3)).to(dtype)
