"""Images like class averages: projections of real maps as targets, of atom models to train on."""

from __future__ import annotations

import glob
import logging
import math
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from vitreous.errors import InputError, SettingsError
from vitreous.multitarget.image_settings import ProjectionImages
from vitreous.multitarget.images.molecules import (
    Molecule,
    atoms_radius_px,
    is_atoms,
    molecule_name,
    molecule_of_atoms,
    molecule_of_map,
)
from vitreous.multitarget.images.targets import Targets, radial_mean
from vitreous.physics.fourier import crop_or_pad, lowpass_3d
from vitreous.physics.masks import soft_disc
from vitreous.physics.projection import prepare_volume, project_prepared
from vitreous.physics.rotations import euler_to_matrix, random_rotations
from vitreous.runtime.device import Runtime
from vitreous.runtime.plural import plural
from vitreous.simulate.atoms import centred, read_atoms

log = logging.getLogger(__name__)
EDGE_PX = 2.0  # of the disc, inwards from its radius
LOWPASS_EDGE_SHELLS = 8.0  # softer than usual: a sharp cut rings far into the background


def target_images(settings: ProjectionImages, root: Path, runtime: Runtime) -> Targets:
    """Targets `(t, L, L)`: `count` views of each map, mean square 1; start: the blob of the training set.

    Raises InputError for a map that does not fit into the images.
    """
    images, names = [], []
    for file in settings.maps:
        molecule = _molecule(root / file, settings)
        images.append(_views(molecule, _target_poses(molecule.name, settings, runtime), settings))
        names += [f"{molecule.name}-{index}" for index in range(settings.count)]
    start = normalised(radial_mean(training_images(settings, root, runtime)))
    return Targets(torch.cat(images), names, start, settings.pixel_size_A)


@lru_cache(maxsize=1)
def training_images(settings: ProjectionImages, root: Path, runtime: Runtime) -> Tensor:
    """Training images `(n, L, L)`, mean square 1: `views` of each model that fits, posed and moved at random.

    A model of the name of a target is left out, as those that `exclude` names; too large ones are skipped
    and logged. Kept for the next call: not to be changed in place. Raises InputError where none is left.
    """
    images = []
    for path in training_files(settings, root):
        generator = runtime.generator("multitarget", "projections", "training", molecule_name(path))
        molecule = molecule_of_atoms(path, settings.pixel_size_A, largest_px(settings))
        poses = random_rotations(settings.views, generator)
        shifts = (2 * torch.rand(settings.views, 2, generator=generator) - 1) * settings.shift_px
        images.append(_views(molecule, poses, settings, shifts))
    return torch.cat(images)


def training_files(settings: ProjectionImages, root: Path) -> list[Path]:
    """The atom models to train on, by name; InputError where none is left or a name matches nothing."""
    found = {Path(name) for pattern in settings.models for name in _matches(root, pattern)}
    named = {molecule_name(path) for path in found}
    if strange := sorted(set(settings.exclude) - named):
        raise SettingsError("`exclude` names models that are not there", found=", ".join(strange),
                            expected=", ".join(sorted(named)))  # fmt: skip
    left_out = {*settings.exclude, *(molecule_name(Path(file)) for file in settings.maps)}
    return _that_fit(sorted(path for path in found if molecule_name(path) not in left_out), settings)


def _that_fit(paths: list[Path], settings: ProjectionImages) -> list[Path]:
    """The models that are not too large for the images; the others are logged. InputError for none."""
    radii_A = {path: atoms_radius_px(centred(read_atoms(path)), 1.0) for path in paths}
    most_A = largest_px(settings) * settings.pixel_size_A
    fit = [path for path in paths if radii_A[path] <= most_A]
    large = [f"{molecule_name(path)} ({radii_A[path]:.0f} Å)" for path in paths if path not in fit]
    if large:
        what = plural(len(large), "training model")
        log.info("%s beyond a radius of %.0f Å skipped: %s", what, most_A, ", ".join(large))
    if not fit:
        found = f"{len(large)} too large, the others are excluded or targets"
        raise InputError("no atom model to train on", found=found,
                         expected=f"one of radius {most_A:.0f} Å or less",
                         todo="give more `models`, or a larger box or pixel_size_A")  # fmt: skip
    return fit


def largest_px(settings: ProjectionImages) -> float:
    """Largest radius of a molecule: at half the disc's edge when moved as far as training images are."""
    return settings.box / 2 - 1 - EDGE_PX / 2 - math.sqrt(2) * settings.shift_px


def normalised(images: Tensor) -> Tensor:
    """Images `(..., L, L)` of mean square 1 over the whole box: noise σ gives SNR = 1/σ² by box area."""
    return images / images.square().mean((-2, -1), keepdim=True).sqrt()


def even_rotations(count: int) -> Tensor:
    """Poses A `(count, 3, 3)` with directions spread evenly over the sphere, in-plane angles over the circle.

    A spiral of golden angles; in-plane angles advance by another irrational turn, so that views of symmetric
    molecules do not come in lines.
    """
    index = torch.arange(count, dtype=torch.float64)
    tilt = torch.rad2deg(torch.acos(1 - (2 * index + 1) / count))
    rot, psi = 360 * index * (3 - math.sqrt(5)) / 2, 360 * index * (math.sqrt(2) - 1)
    return euler_to_matrix(torch.stack([rot % 360, tilt, psi % 360], dim=-1)).float()


def _matches(root: Path, pattern: str) -> list[str]:
    found = [name for name in glob.glob(str(root / pattern)) if is_atoms(Path(name))]
    if not found:
        raise SettingsError("`models` matches no atom model", file=root / pattern, found="no file",
                            expected="mmCIF or PDB, also gzipped")  # fmt: skip
    return found


def _molecule(path: Path, settings: ProjectionImages) -> Molecule:
    if is_atoms(path):
        return molecule_of_atoms(path, settings.pixel_size_A, largest_px(settings))
    b_factor_A2 = settings.map_b_factor_A2
    return molecule_of_map(path, settings.pixel_size_A, largest_px(settings), b_factor_A2=b_factor_A2)


def _target_poses(name: str, settings: ProjectionImages, runtime: Runtime) -> Tensor:
    """Poses A `(count, 3, 3)` of a molecule's targets."""
    if settings.directions == "even":
        return even_rotations(settings.count)
    generator = runtime.generator("multitarget", "projections", "targets", name)
    return random_rotations(settings.count, generator)


def _views(
    molecule: Molecule, poses: Tensor, settings: ProjectionImages, shifts_px: Tensor | None = None
) -> Tensor:
    """Images `(n, L, L)` of a molecule at poses A `(n, 3, 3)`, moved by `shifts_px` `(n, 2)` = (x, y)."""
    side = settings.box
    volume = molecule.volume
    if settings.lowpass_A is not None:
        volume = lowpass_3d(volume, settings.pixel_size_A, settings.lowpass_A, LOWPASS_EDGE_SHELLS)
    # From n//2, where the middle of a projection is, to (L - 1)/2, which rotations of the box fix.
    origins = torch.full((len(poses), 2), side // 2 - (side - 1) / 2)
    origins = origins if shifts_px is None else origins - shifts_px
    wide = project_prepared(prepare_volume(volume), poses, origins_px=origins)
    middle = ((side - 1) / 2, (side - 1) / 2)
    disc = soft_disc((side, side), side / 2 - 1 - EDGE_PX, EDGE_PX, middle)
    return normalised(crop_or_pad(wide, (side, side)) * disc)
