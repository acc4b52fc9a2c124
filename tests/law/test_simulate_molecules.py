"""Phantoms have exactly their symmetry; atoms give the maps that were measured of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from shared import shared

from vitreous.errors import InputError
from vitreous.io.mrc import read_volume
from vitreous.physics.fourier import lowpass_3d, shift_3d
from vitreous.physics.projection import rotate_volume
from vitreous.physics.rotations import random_rotations
from vitreous.physics.symmetry import parse
from vitreous.simulate.atoms import Atoms, centred, interaction_rad_per_VA, potential, read_atoms
from vitreous.simulate.phantoms import phantom_atoms
from vitreous.simulate.settings import PHANTOM_SYMMETRY, TargetSettings
from vitreous.simulate.targets import make_target


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


def blurred(volume: torch.Tensor, sigma_px: float) -> torch.Tensor:
    return torch.from_numpy(gaussian_filter(volume.numpy(), sigma_px))


@pytest.mark.parametrize("kind", ["c1", "c4", "d2", "o"])
def test_phantom_has_its_symmetry_and_no_other(kind: str) -> None:
    volume = make_target(TargetSettings(name="a", phantom=kind, diameter_A=110), 4.0).volume
    group = parse(PHANTOM_SYMMETRY[kind])
    for matrix in group.matrices[1:8]:
        # interpolation of a map with detail up to Nyquist; exact turns by 90 degrees give 1.000
        assert correlation(volume, rotate_volume(volume, matrix.float())) > 0.99
    for turn in random_rotations(3, torch.Generator().manual_seed(5)):
        assert correlation(volume, rotate_volume(volume, turn)) < 0.9
    # a mirror image is another molecule
    assert correlation(volume[1:, 1:, 1:], volume[1:, 1:, 1:].flip(2)) < 0.95


@pytest.mark.parametrize(
    ("kind", "elongation"), [("c1", 1.0), ("c4", 1.0), ("d2", 1.0), ("o", 1.0), ("c1", 2.0)]
)
def test_phantom_is_as_long_as_asked_and_as_dense_as_protein(kind: str, elongation: float) -> None:
    atoms = phantom_atoms(kind, 150.0, elongation=elongation)
    longest = 2 * np.linalg.norm(atoms.positions_A, axis=1).max()
    # lumps and the grid of 4 Å decide the last ten percent
    assert 130 < longest < 166
    smooth = lowpass_3d(potential(atoms, 96, 2.5), 2.5, 15.0)
    inside = smooth > 1.5
    # 5A1A, 4HHB and 7A4M measured the same way: 19.3 to 19.7 Å^3 an atom, 3.02 to 3.08 V
    assert float(inside.sum()) * 2.5**3 / len(atoms.elements) == pytest.approx(19.4, rel=0.08)
    assert float(smooth[inside].mean()) == pytest.approx(3.05, rel=0.12)


def test_elongated_phantom_is_twice_as_long_as_wide() -> None:
    atoms = phantom_atoms("d2", 160.0, elongation=2.0)
    wide = np.sort(np.sqrt(np.linalg.eigvalsh(np.cov(atoms.positions_A.T))))
    # principal radii of gyration; the lumps move them by a fifth
    assert 1.6 < wide[2] / np.sqrt(wide[0] * wide[1]) < 2.6


def test_shape_seed_makes_another_phantom_and_the_same_seed_the_same() -> None:
    one, same = (phantom_atoms("c1", 90.0) for _ in range(2))
    other = phantom_atoms("c1", 90.0, shape_seed=1)
    assert np.array_equal(one.positions_A, same.positions_A)
    assert len(other.elements) != len(one.elements)


def test_interaction_parameter_at_300_and_200_kv() -> None:
    # Kirkland, Advanced Computing in Electron Microscopy: 6.526e-4 and 7.288e-4 rad/(V Å)
    assert interaction_rad_per_VA(300) == pytest.approx(6.526e-4, rel=1e-3)
    assert interaction_rad_per_VA(200) == pytest.approx(7.288e-4, rel=1e-3)


def test_potential_of_one_atom_is_its_scattering_factor_less_the_displaced_ice() -> None:
    atom = Atoms(np.array([[1.3, -2.6, 0.7]]), np.array(["C"]))
    volume = potential(atom, 32, 1.5)
    # sum over voxels = V at k = 0: f_C + f_H - 17.1 Å^3 of ice of 4.528 V, in V Å^3
    expected = 47.87801 * (2.5088 + 0.5288) - 17.1 * 4.52807
    assert float(volume.sum()) * 1.5**3 == pytest.approx(expected, rel=1e-4)
    # where it lies: the map of an atom in the middle, moved in Fourier space
    middle = potential(Atoms(np.zeros((1, 3)), np.array(["C"])), 32, 1.5)
    moved = shift_3d(middle, torch.tensor([1.3, -2.6, 0.7]) / 1.5)
    # aliasing of the spline: 1.2 % at Nyquist, next to nothing below
    assert float((volume - moved).abs().max()) < 0.01 * float(middle.max())


def test_beta_galactosidase_model_gives_its_measured_map() -> None:
    atoms = read_atoms(shared("data/models/5a1a.cif.gz"))
    measured, pixel_A = read_volume(shared("data/maps/betagal_empiar10017_relion.mrc"))
    volume = blurred(potential(atoms, 100, pixel_A), 4.0 / pixel_A)
    # the data's README: 0.930 with a Gaussian of 4 Å at each atom
    assert correlation(volume, torch.tensor(measured)) > 0.92


def test_haemoglobin_model_gives_its_measured_map_and_its_mirror_does_not() -> None:
    atoms = read_atoms(shared("data/models/4hhb.cif.gz"))
    measured, pixel_A = read_volume(shared("data/maps/emd_3488.map"))
    smooth = blurred(torch.tensor(measured), 1.5)
    volume = blurred(potential(atoms, 100, pixel_A), 1.5)
    mirror = volume.flip(2).roll(1, 2)  # x to -x about voxel 50
    # another state than the map's; README: 0.68 against 0.42 to 0.49 at a Gaussian of 1.5 voxels
    assert correlation(volume, smooth) > 0.6
    assert correlation(mirror, smooth) < 0.55


def test_map_file_and_model_make_the_same_target_at_another_pixel_size() -> None:
    path = shared("data/maps/betagal_empiar10017_relion.mrc")
    common = {"diameter_A": 190.0, "symmetry": "D2"}
    of_map = make_target(TargetSettings(name="a", map=path, **common), 3.0)
    of_atoms = make_target(TargetSettings(name="a", atoms=shared("data/models/5a1a.cif.gz"), **common), 3.0)
    one, two = (lowpass_3d(target.volume, 3.0, 12.0) for target in (of_map, of_atoms))
    assert correlation(one, two) > 0.9
    # volts from Otsu's outline of the map against volts from physics
    assert float(one.std() / two.std()) == pytest.approx(1, abs=0.2)


def test_symmetry_that_contradicts_the_file_is_refused() -> None:
    path = shared("data/maps/betagal_empiar10017_relion.mrc")
    with pytest.raises(InputError, match="has not the symmetry C4"):
        make_target(TargetSettings(name="a", map=path, diameter_A=190, symmetry="C4"), 5.0)


def test_model_larger_than_its_diameter_is_refused() -> None:
    path = shared("data/models/5a1a.cif.gz")
    with pytest.raises(InputError, match="outside the box"):
        make_target(TargetSettings(name="a", atoms=path, diameter_A=90, symmetry="D2"), 4.0)


def test_centred_apoferritin_has_symmetry_o() -> None:
    atoms = centred(read_atoms(shared("data/models/7a4m.cif.gz")))
    volume = potential(atoms, 48, 4.0)
    for matrix in parse("O").matrices[1:4]:
        assert correlation(volume, rotate_volume(volume, matrix.float())) > 0.99
