"""Background normalisation of particle images."""

from __future__ import annotations

import torch
from torch import Tensor

from vitreous.errors import InputError
from vitreous.physics.masks import radius_grid


def normalise_background(images: Tensor, radius_px: float, *, ramp: bool = True) -> Tensor:
    """Images `(b, h, w)` whose pixels outside `radius_px` have mean 0 and standard deviation 1.

    With `ramp` a plane fitted to those pixels is subtracted first. Raises InputError that names the image
    where the background is constant or not finite, or where the radius leaves no background.
    """
    shape = tuple(images.shape[-2:])
    outside = radius_grid(shape, dtype=images.dtype, device=images.device) > radius_px
    if int(outside.sum()) < 4:
        raise InputError("no background is left outside the radius", found=f"{radius_px} px",
                         expected=f"less than half the box of {shape[1]} px")  # fmt: skip
    flat = images.reshape(-1, *shape)
    _refuse(~torch.isfinite(flat).all(-1).all(-1), "an image has values that are not finite")
    # Rounding leaves a constant image a spread of a few units in the last place.
    rounding = 16 * torch.finfo(images.dtype).eps * flat[:, outside].abs().amax(-1)
    if ramp:
        flat = flat - _fitted_plane(flat, outside)
    background = flat[:, outside]
    mean = background.mean(-1)
    sd = (background - mean[:, None]).square().mean(-1).sqrt()
    _refuse(sd <= rounding, "the background of an image is constant")
    flat = (flat - mean[:, None, None]) / sd[:, None, None]
    return flat.reshape(images.shape)


def _refuse(bad: Tensor, what: str) -> None:
    """Raise InputError with the index of the first image that is `bad` `(b,)`."""
    if bool(bad.any()):
        raise InputError(what, place=f"image {int(bad.nonzero()[0])}", todo="drop it from the set")


def _fitted_plane(images: Tensor, outside: Tensor) -> Tensor:
    """Least-squares plane a + bx + cy through the pixels `outside` of each image, `(b, h, w)`."""
    h, w = images.shape[-2:]
    y = torch.linspace(-1, 1, h, dtype=images.dtype, device=images.device)
    x = torch.linspace(-1, 1, w, dtype=images.dtype, device=images.device)
    yy, xx = torch.meshgrid(y, x, indexing="ij")
    basis = torch.stack([torch.ones_like(xx), xx, yy], dim=-1)
    known = basis[outside]
    moments = torch.linalg.solve(known.T @ known, known.T @ images[:, outside].T)
    return (basis @ moments).movedim(-1, 0)
