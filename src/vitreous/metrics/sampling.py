"""Bring a true map onto the grid of a reconstructed one, without interpolation."""

from __future__ import annotations

import torch

from vitreous.errors import InputError
from vitreous.physics.fourier import crop_or_pad, rescale_3d


def match_sampling(
    volume: torch.Tensor, pixel_size_A: float, box: int, new_pixel_size_A: float, *, tolerance: float = 2e-3
) -> torch.Tensor:
    """A map (n, n, n) on a grid of `box` voxels of another size: (box, box, box), centre at box//2.

    Zero-padded or cut about n//2 to the same extent in Å, then cropped or padded in Fourier space. Raises
    InputError where no whole number of voxels has that extent within `tolerance` (relative).
    """
    extent = box * new_pixel_size_A / pixel_size_A
    voxels = round(extent)
    if abs(voxels - extent) > tolerance * extent:
        raise InputError(
            "the true map cannot be sampled on the grid of the map",
            found=f"{tuple(volume.shape)} at {pixel_size_A:g} Å",
            expected=f"{box} voxels of {new_pixel_size_A:g} Å, or sizes with a whole ratio",
        )
    fitted = crop_or_pad(volume, (voxels,) * 3)
    return fitted if voxels == box else rescale_3d(fitted, (box,) * 3)


def mirror(volume: torch.Tensor) -> torch.Tensor:
    """The other hand of a map (n, n, n): x → −x about the centre n//2, which stays where it is."""
    flipped = torch.flip(volume, dims=(-1,))
    return torch.roll(flipped, 1, dims=-1) if volume.shape[-1] % 2 == 0 else flipped
