"""Molecules from maps and atom models, at the pixel size of the images and alone in their box."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitreous.errors import InputError
from vitreous.io.mrc import read_volume
from vitreous.physics.fourier import (
    crop_or_pad,
    frequencies_3d,
    irdft3,
    lowpass_3d,
    rdft3,
    rescale_3d,
    shift_3d,
)
from vitreous.physics.masks import radius_grid, threshold_mask
from vitreous.simulate.atoms import Atoms, centred, potential, read_atoms

# ASSUME: the outline of a molecule in a map is the largest piece above Otsu's threshold of the map smoothed
# to 15 Å (or to 4 px), as the simulator has it, let out by 2 px with a soft edge of 3 px.
OUTLINE_A, OUTLINE_PX, EXTEND_PX, EDGE_PX = 15.0, 4.0, 2.0, 3.0
# Suffixes of atom models; anything else is read as a map.
ATOM_SUFFIXES = (".cif", ".mmcif", ".pdb", ".ent")


@dataclass(frozen=True)
class Molecule:
    """`volume` (n, n, n), bright on 0, with its middle at the voxel n//2; `radius_px` about it."""

    name: str
    volume: Tensor
    radius_px: float


def molecule_name(path: Path) -> str:
    """Name of the file without any suffix: `4hhb` of 4hhb.cif.gz."""
    return path.name.split(".")[0]


def is_atoms(path: Path) -> bool:
    """Whether the suffix, .gz aside, is one of an atom model."""
    return path.name.lower().removesuffix(".gz").endswith(ATOM_SUFFIXES)


def atoms_radius_px(atoms: Atoms, pixel_size_A: float) -> float:
    """Distance in px of the outermost atom from the rotation centre."""
    return float(np.linalg.norm(atoms.positions_A, axis=1).max()) / pixel_size_A


def molecule_of_atoms(path: Path, pixel_size_A: float, largest_px: float) -> Molecule:
    """Potential of an atom model about its centroid; raises InputError where it is beyond `largest_px`."""
    atoms = centred(read_atoms(path))
    radius = atoms_radius_px(atoms, pixel_size_A)
    _refuse_large(path, radius, largest_px, pixel_size_A)
    volume = potential(atoms, _room(largest_px), pixel_size_A)
    return Molecule(molecule_name(path), volume, radius)


def molecule_of_map(
    path: Path, pixel_size_A: float, largest_px: float, *, b_factor_A2: float = 0.0
) -> Molecule:
    """The molecule of a map file, its centre of mass at n//2; InputError where it is beyond `largest_px`.

    Resampled in Fourier space, damped by exp(-B k²/4), the solvent removed by a soft outline.
    """
    array, own_A = read_volume(path)
    if len(set(array.shape)) != 1:
        raise InputError("a map of a target must be a cube", file=path, found=array.shape)
    volume = at_pixel_size(torch.tensor(array), own_A, pixel_size_A)
    volume = _damped(volume, pixel_size_A, b_factor_A2)
    above, threshold, smooth = _outline(volume, path, pixel_size_A)
    outlined = torch.where(above, smooth, torch.full_like(smooth, threshold - 1))
    volume = volume * threshold_mask(outlined, threshold, EXTEND_PX, EDGE_PX)
    middle = _centre_of_mass(volume.clamp_min(0))
    radius = float(radius_grid(volume.shape, middle.tolist())[above].max())
    _refuse_large(path, radius, largest_px, pixel_size_A)
    # Whole voxels first, so that nothing is cut when the box changes; the rest where there is room around.
    home = volume.shape[0] // 2 - middle
    volume = torch.roll(volume, [int(step) for step in home.round().flip(0)], dims=(0, 1, 2))
    room = _room(largest_px)
    volume = shift_3d(crop_or_pad(volume, (room, room, room)), home - home.round())
    return Molecule(molecule_name(path), volume, radius)


def at_pixel_size(volume: Tensor, own_A: float, wanted_A: float) -> Tensor:
    """A map `(d, d, d)` of pixel size `own_A` resampled to `wanted_A`, background 0, centre n//2 kept.

    It is padded first so that both grids have even sides of nearly the same length: the error of scale is
    less than half a voxel of the larger grid over its side.
    """
    side = volume.shape[0]
    choices = np.arange(side + side % 2, 2 * side + 2, 2)
    ratio = choices * own_A / wanted_A / 2
    wide = int(choices[np.argmin(np.abs(ratio - np.rint(ratio)) / ratio)])
    small = max(2, 2 * round(wide * own_A / wanted_A / 2))
    faces = torch.cat([volume.movedim(axis, 0)[[0, -1]].flatten() for axis in range(3)])
    padded = crop_or_pad(volume - faces.median(), (wide, wide, wide))
    return rescale_3d(padded, (small, small, small))


def _damped(volume: Tensor, pixel_size_A: float, b_factor_A2: float) -> Tensor:
    """A volume `(n, n, n)` whose spectrum is multiplied by exp(-B k²/4), k in 1/Å."""
    if b_factor_A2 == 0:
        return volume
    k2 = frequencies_3d(volume.shape, spacing=pixel_size_A).square().sum(-1)
    return irdft3(rdft3(volume) * torch.exp(-b_factor_A2 / 4 * k2), volume.shape)


def _outline(volume: Tensor, path: Path, pixel_size_A: float) -> tuple[Tensor, float, Tensor]:
    """Voxels of the molecule `(n, n, n)`, the threshold that they are above, and the smoothed map."""
    from scipy.ndimage import label
    from skimage.filters import threshold_otsu

    smooth = lowpass_3d(volume, pixel_size_A, max(OUTLINE_A, OUTLINE_PX * pixel_size_A))
    if float(smooth.min()) == float(smooth.max()):
        raise InputError("the map is constant", file=path, found=f"{float(smooth.max()):g} everywhere")
    if float(smooth.max()) < -float(smooth.min()):  # the background is 0
        raise InputError("no bright molecule in the map", file=path, expected="protein bright",
                         todo="invert the map")  # fmt: skip
    threshold = float(threshold_otsu(smooth.numpy()))
    pieces, _ = label((smooth > threshold).numpy())
    above = torch.from_numpy(pieces == np.bincount(pieces.ravel())[1:].argmax() + 1)
    return above, threshold, smooth


def _centre_of_mass(volume: Tensor) -> Tensor:
    """Centre of mass `(3,)` as x, y, z in voxels from the first, of a volume without negative values."""
    total = volume.sum()
    axis = torch.arange(volume.shape[0], dtype=volume.dtype)
    return torch.stack([(volume.sum(other) * axis).sum() / total for other in ((0, 1), (0, 2), (1, 2))])


def _room(largest_px: float) -> int:
    """Even side of a box in which the largest molecule stays clear of its own copies when it is turned."""
    return 2 * int(np.ceil(1.5 * largest_px + 2))


def _refuse_large(path: Path, radius_px: float, largest_px: float, pixel_size_A: float) -> None:
    if radius_px > largest_px:
        raise InputError(
            "the molecule does not fit into the images",
            file=path,
            found=f"radius {radius_px * pixel_size_A:.0f} Å",
            expected=f"at most {largest_px * pixel_size_A:.0f} Å",
            todo="give a larger box or pixel_size_A",
        )
