"""The molecules of a simulation as maps in volts above vitreous ice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor

from vitreous.errors import InputError
from vitreous.io.mrc import read_volume
from vitreous.physics.fourier import crop_or_pad, rescale_3d
from vitreous.physics.masks import soft_ball
from vitreous.physics.projection import rotate_volume
from vitreous.physics.symmetry import PointGroup, parse
from vitreous.simulate.atoms import centred, potential, read_atoms
from vitreous.simulate.phantoms import phantom_atoms
from vitreous.simulate.settings import TargetSettings

# Mean of proteins above ice within their outline at 15 Å, as 5A1A, 4HHB and 7A4M have (3.02 to 3.08 V).
PROTEIN_VOLTS = 3.05
# Correlation at 32 voxels a side: true symmetries give 0.965 and more,
# wrong ones 0.12 (a C2 molecule as D2) to 0.85 (an O molecule as D5).
SAME = 0.9


@dataclass(frozen=True)
class Target:
    """A molecule: `volume` (n, n, n) in volts above ice at the pixel size of the images, n even."""

    name: str
    symmetry: str
    diameter_A: float
    volume: Tensor


def box_for(diameter_A: float, pixel_size_A: float) -> int:
    """Even box with room for a particle in any pose and its soft edge, a good length for the FFT."""
    half = int(np.ceil(0.65 * diameter_A / pixel_size_A)) + 4
    return 2 * next_fast_len(half)


def make_target(settings: TargetSettings, pixel_size_A: float, box_px: int | None = None) -> Target:
    """The map of one target; `box_px` defaults to `box_for`. Raises InputError for files that do not fit."""
    box = box_px or box_for(settings.diameter_A, pixel_size_A)
    group = parse(settings.group)
    if settings.phantom is not None:
        atoms = phantom_atoms(
            settings.phantom,
            settings.diameter_A,
            elongation=settings.elongation,
            shape_seed=settings.shape_seed,
        )
        volume = potential(atoms, box, pixel_size_A)
    elif settings.atoms is not None:
        volume = potential(centred(read_atoms(settings.atoms, settings.assembly)), box, pixel_size_A)
    else:
        volume = _map_in_volts(settings, box, pixel_size_A)
    if settings.phantom is None:
        _refuse_other_symmetry(volume, group, settings)
    return Target(settings.name, group.name, settings.diameter_A, volume * settings.contrast)


def _refuse_other_symmetry(volume: Tensor, group: PointGroup, settings: TargetSettings) -> None:
    """Raise InputError where a turn of the group, at 32 voxels a side, does not give the volume back."""
    small = rescale_3d(volume, (32, 32, 32)) if volume.shape[0] > 32 else volume
    for matrix in group.matrices[1:]:
        turned = rotate_volume(small, matrix.to(small.dtype))
        found = float(torch.corrcoef(torch.stack([small.flatten(), turned.flatten()]))[0, 1])
        if found < SAME:
            raise InputError(
                f"target {settings.name} has not the symmetry {group.name}",
                file=settings.map or settings.atoms,
                found=f"correlation {found:.2f} after a turn of the group", expected=f"above {SAME}",
                todo="correct `symmetry`, or turn the axes into the group's frame",
            )  # fmt: skip


def _map_in_volts(settings: TargetSettings, box: int, pixel_size_A: float) -> Tensor:
    """A map file at the wanted pixel size and box, scaled to protein and cut to the ball of the diameter."""
    path = settings.map
    assert path is not None
    array, own_A = read_volume(path)
    if len(set(array.shape)) != 1:
        raise InputError("a map of a target must be a cube", file=path, found=array.shape)
    side = array.shape[0]
    if settings.diameter_A > side * own_A:
        raise InputError(
            "the map is smaller than its target", file=path, found=f"{side * own_A:.0f} Å",
            expected=f"diameter_A {settings.diameter_A:g}",
        )  # fmt: skip
    # Pad first so that the sides of the two grids, n_old * own = n_new * wanted, agree within half a pixel of
    # the larger; the remaining error of scale is below 1 %.
    wide = _side_that_divides(side, own_A, pixel_size_A)
    volume = torch.tensor(array)
    border = volume[0].median()
    volume = crop_or_pad(volume - border, (wide, wide, wide))
    small = 2 * round(wide * own_A / pixel_size_A / 2)
    volume = crop_or_pad(rescale_3d(volume, (small, small, small)), (box, box, box))
    volume = volume * soft_ball(box, settings.diameter_A / 2 / pixel_size_A, 3.0)
    return volume * (PROTEIN_VOLTS / _mean_of_protein(volume, settings, pixel_size_A))


def _side_that_divides(side: int, own_A: float, wanted_A: float) -> int:
    """The even side from `side` to twice it whose length is nearest to an even number of wanted pixels."""
    choices = np.arange(side + side % 2, 2 * side + 2, 2)
    ratio = choices * own_A / wanted_A / 2
    return int(choices[np.argmin(np.abs(ratio - np.rint(ratio)) / ratio)])


def _mean_of_protein(volume: Tensor, settings: TargetSettings, pixel_size_A: float) -> float:
    """Mean within the outline at 15 Å, where the outline is Otsu's threshold of the smoothed map."""
    from skimage.filters import threshold_otsu

    from vitreous.physics.fourier import lowpass_3d

    smooth = lowpass_3d(volume, pixel_size_A, max(15.0, 4 * pixel_size_A))
    ball = soft_ball(volume.shape[0], settings.diameter_A / 2 / pixel_size_A, 0) > 0.5
    # ASSUME: a map's units are arbitrary; its molecule is taken to be protein of the usual density.
    inside = smooth > float(threshold_otsu(smooth[ball].numpy()))
    mean = float(volume[inside & ball].mean())
    if not mean > 0:
        raise InputError("no bright molecule in the map", file=settings.map, found=f"mean {mean:.3g}",
                         expected="protein bright", todo="invert the map")  # fmt: skip
    return mean
