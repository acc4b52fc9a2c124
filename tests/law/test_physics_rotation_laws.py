"""Uniformity of random rotations and of the grid, and the point groups as groups."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import kstest

from vitreous.physics.rotations import geodesic_distance, random_rotations
from vitreous.physics.so3_grid import directions, so3_grid
from vitreous.physics.symmetry import angular_distance, asymmetric_unit, in_asymmetric_unit, parse

GROUPS = ["C1", "C2", "C5", "C8", "D2", "D3", "D7", "T", "O", "I1", "I2", "I3", "I4"]


def test_random_rotations_have_the_angles_of_the_uniform_distribution():
    matrices = random_rotations(20000, torch.Generator().manual_seed(0), dtype=torch.float64)
    angle = torch.deg2rad(geodesic_distance(torch.eye(3, dtype=torch.float64), matrices))
    # The angle of a uniform rotation has the distribution function (a - sin a) / pi.
    assert kstest(((angle - angle.sin()) / math.pi).numpy(), "uniform").pvalue > 0.01
    # The mean of uniform rotations is 0; each entry has variance 1/3: four standard errors.
    assert matrices.mean(0).abs().max() < 4 * math.sqrt(1 / 3 / 20000)


def test_random_rotations_look_the_same_from_any_pose():
    matrices = random_rotations(5000, torch.Generator().manual_seed(1), dtype=torch.float64)
    pose = random_rotations(1, torch.Generator().manual_seed(2), dtype=torch.float64)
    distances = torch.deg2rad(geodesic_distance(pose, matrices))
    expected = (distances - distances.sin()) / math.pi
    assert kstest(expected.numpy(), "uniform").pvalue > 0.01


@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_grid_has_72_times_8_to_the_order_rotations(order: int):
    grid = so3_grid(order, dtype=torch.float64)
    assert grid.shape == (72 * 8**order, 3, 3)
    assert directions(order).shape == (12 * 4**order, 2)
    assert torch.allclose(grid @ grid.mT, torch.eye(3, dtype=torch.float64).expand_as(grid), atol=1e-12)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_neighbours_in_the_grid_are_about_one_step_apart(order: int):
    grid = so3_grid(order, dtype=torch.float64)
    sample = grid[:: max(1, len(grid) // 100)]
    distance = geodesic_distance(sample[:, None], grid[None])
    distance[distance < 1e-6] = 360
    step = 60 / 2**order
    # HEALPix centres are as near as 0.6 of the mean spacing; psi neighbours are exactly one step apart.
    nearest = distance.amin(1)
    assert nearest.min() > 0.6 * step and nearest.max() <= step + 1e-9


def test_every_rotation_has_a_grid_point_near_it():
    grid = so3_grid(2, dtype=torch.float64)
    sample = random_rotations(300, torch.Generator().manual_seed(4), dtype=torch.float64)
    nearest = geodesic_distance(sample[:, None], grid[None]).amin(1)
    # 15 degrees apart in three dimensions: half a cell diagonal is 13; the mean of a cube's cell is 7.2.
    assert nearest.max() < 14 and nearest.mean() < 8


def test_the_grid_is_balanced():
    grid = so3_grid(1, dtype=torch.float64)
    assert grid.mean(0).abs().max() < 1e-12


@pytest.mark.parametrize("name", GROUPS)
def test_point_groups_are_closed_under_product_and_inverse(name: str):
    group = parse(name)
    m = group.matrices
    expected = {"C": 1, "D": 2}.get(name[0], 0) * int(name[1:] or 0) or {"T": 12, "O": 24, "I": 60}[name[0]]
    assert group.order == expected
    assert torch.allclose(m @ m.mT, torch.eye(3, dtype=m.dtype).expand_as(m), atol=1e-12)
    assert torch.allclose(torch.linalg.det(m), torch.ones(group.order, dtype=m.dtype))
    products = torch.cat([(m[:, None] @ m[None]).reshape(-1, 3, 3), m.mT]).reshape(-1, 9)
    assert torch.cdist(products, m.reshape(-1, 9)).amin(1).max() < 1e-7
    apart = torch.cdist(m.reshape(-1, 9), m.reshape(-1, 9)) + torch.eye(group.order)
    assert apart.min() > 1e-3


@pytest.mark.parametrize("name", ["C4", "D2", "D7", "T", "O", "I"])
def test_the_asymmetric_unit_holds_one_of_each_set_of_equivalents(name: str):
    group = parse(name)
    poses = random_rotations(200, torch.Generator().manual_seed(0), dtype=torch.float64)
    equivalents = poses[:, None] @ group.matrices[None]
    assert torch.equal(in_asymmetric_unit(equivalents, group).sum(1), torch.ones(200, dtype=torch.long))


@pytest.mark.parametrize("name", ["C4", "C8", "D2", "T", "O", "I"])
def test_the_asymmetric_unit_of_a_grid_has_its_share_of_poses(name: str):
    group = parse(name)
    grid = so3_grid(2)
    share = len(asymmetric_unit(grid, group)) / len(grid) * group.order
    # Directions on the border may be in twice; the few of I make that weigh more.
    assert 0.8 < share < 1.3


@pytest.mark.parametrize("name", ["C4", "D7", "T", "O", "I3"])
def test_distance_under_a_group_does_not_see_its_rotations(name: str):
    group = parse(name)
    a, b = random_rotations(40, torch.Generator().manual_seed(0), dtype=torch.float64).reshape(2, 20, 3, 3)
    plain = angular_distance(a, b, group)
    for matrix in group.matrices[:: max(1, group.order // 5)]:
        assert torch.allclose(angular_distance(a, b @ matrix, group), plain, atol=1e-9)
        assert torch.allclose(angular_distance(a @ matrix, b, group), plain, atol=1e-9)
    assert (plain <= geodesic_distance(a, b) + 1e-9).all()
    assert angular_distance(a, a @ group.matrices[-1], group).max() < 1e-9
