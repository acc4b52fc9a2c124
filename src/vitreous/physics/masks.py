"""Soft masks with raised-cosine edges: discs, balls, shells, and masks grown from a density."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vitreous.errors import InputError


def _cosine_edge(distance: Tensor, edge_px: float) -> Tensor:
    """1 where `distance` <= 0, falling as a raised cosine to 0 at `edge_px`."""
    if edge_px <= 0:
        return (distance <= 0).to(distance.dtype)
    return 0.5 + 0.5 * torch.cos(math.pi * (distance / edge_px).clamp(0, 1))


def radius_grid(
    shape: Sequence[int],
    centre: Sequence[float] | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Tensor:
    """Distance in pixels from `centre` (x, y(, z); default n//2) at each point of a 2D or 3D `shape`."""
    middle = [n // 2 for n in shape] if centre is None else list(centre)[::-1]
    square = torch.zeros((), dtype=dtype, device=device)
    for position, (n, origin) in enumerate(zip(shape, middle, strict=True)):
        axis = torch.arange(n, dtype=dtype, device=device) - origin
        square = square + axis.reshape([-1 if i == position else 1 for i in range(len(shape))]) ** 2
    return square.sqrt()


def soft_disc(
    shape: Sequence[int],
    radius_px: float,
    edge_px: float,
    centre: Sequence[float] | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Tensor:
    """Disc `(h, w)`: 1 up to `radius_px`, a cosine to 0 `edge_px` further out; `centre` is (x, y) in px."""
    return _cosine_edge(radius_grid(shape, centre, dtype=dtype, device=device) - radius_px, edge_px)


def soft_ball(
    n: int,
    radius_px: float,
    edge_px: float,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Tensor:
    """Ball `(n, n, n)` about n//2: 1 up to `radius_px`, a cosine to 0 at `radius_px + edge_px`."""
    return _cosine_edge(radius_grid((n, n, n), dtype=dtype, device=device) - radius_px, edge_px)


def soft_shell(
    n: int,
    inner_px: float,
    outer_px: float,
    edge_px: float,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Tensor:
    """Hollow ball `(n, n, n)`: 1 between the two radii, cosine edges `edge_px` wide on both outer sides."""
    radius = radius_grid((n, n, n), dtype=dtype, device=device)
    return _cosine_edge(radius - outer_px, edge_px) * _cosine_edge(inner_px - radius, edge_px)


def threshold_mask(volume: Tensor, threshold: float, extend_px: float, edge_px: float) -> Tensor:
    """Mask `(d, h, w)` of what lies above `threshold`, grown by `extend_px`, with a cosine edge `edge_px`.

    Voxels nearer than `extend_px` to one above the threshold join the mask; the edge falls with the distance
    from the grown mask, as in `relion_mask_create`. Raises InputError where the mask would be empty or fill
    the whole box (RELION passes both without a word). Not differentiable.
    """
    from scipy.ndimage import distance_transform_edt

    above = (volume > threshold).detach().cpu().numpy()
    place = f"density {float(volume.min()):.4g} to {float(volume.max()):.4g}"
    if not above.any():
        raise InputError("the mask is empty", place=place, found=f"threshold {threshold:.4g}",
                         todo="give a threshold below the highest density")  # fmt: skip
    grown = above | (distance_transform_edt(~above) < extend_px)
    distance = torch.from_numpy(distance_transform_edt(~grown)).to(volume.device, volume.dtype)
    mask = _cosine_edge(distance, edge_px)
    if bool((mask == 1).all()):
        raise InputError("the mask fills the whole box", place=place, found=f"threshold {threshold:.4g}",
                         todo="give a higher threshold or a smaller extension")  # fmt: skip
    return mask
