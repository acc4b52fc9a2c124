"""Errors of poses whose answer is known from the rotation that made them; correlations in closed form."""

from __future__ import annotations

import math

import pytest
import torch

from vitreous.metrics.angles import (
    angular_error_deg,
    mean_angular_error_deg,
    pose_error,
    share_within,
    shift_rmse_A,
)
from vitreous.metrics.correlation import masked_product_correlation, real_space_correlation
from vitreous.physics.rotations import euler_to_matrix, random_rotations
from vitreous.physics.symmetry import angular_distance, parse


def poses(count: int, seed: int = 0) -> torch.Tensor:
    return random_rotations(count, torch.Generator().manual_seed(seed), dtype=torch.float64)


def euler(rot: float, tilt: float, psi: float) -> torch.Tensor:
    return euler_to_matrix(torch.tensor([rot, tilt, psi], dtype=torch.float64))


def test_equal_poses_have_no_error_and_opposite_ones_180_degrees() -> None:
    # atan2 keeps the precision of float64 at both ends, where an arc cosine would be off by 1e-6 degrees
    assert float(angular_error_deg(euler(10, 20, 30), euler(10, 20, 30))) == pytest.approx(0, abs=1e-9)
    assert float(angular_error_deg(euler(0, 0, 0), euler(0, 180, 0))) == pytest.approx(180, abs=1e-9)


def test_change_of_psi_is_all_in_plane_and_change_of_tilt_all_direction() -> None:
    base = euler(40, 50, 60)
    turned = pose_error(base, euler(40, 50, 67))
    assert [float(value) for value in (turned.total_deg, turned.direction_deg, turned.in_plane_deg)] == (
        pytest.approx([7, 0, 7], abs=1e-6)
    )
    tilted = pose_error(base, euler(40, 61, 60))
    assert [float(value) for value in (tilted.total_deg, tilted.direction_deg, tilted.in_plane_deg)] == (
        pytest.approx([11, 11, 0], abs=1e-6)
    )


def test_direction_error_is_the_angle_between_viewing_directions() -> None:
    a, b = poses(50), poses(50, 1)
    dot = (a[:, 2] * b[:, 2]).sum(-1).clamp(-1, 1)
    assert torch.allclose(pose_error(a, b).direction_deg, torch.rad2deg(torch.arccos(dot)), atol=1e-5)


def test_direction_and_in_plane_make_up_the_whole() -> None:
    # swing and twist: cos(total/2) = cos(direction/2) cos(in-plane/2)
    error = pose_error(poses(50), poses(50, 1))
    half = [torch.deg2rad(value) / 2 for value in (error.total_deg, error.direction_deg, error.in_plane_deg)]
    assert torch.allclose(half[0].cos(), half[1].cos() * half[2].cos(), atol=1e-9)


@pytest.mark.parametrize("name", ["C4", "D2", "O", "I1"])
def test_mates_of_the_group_are_the_same_pose(name: str) -> None:
    group = parse(name).matrices
    base = poses(1)
    mates = base @ group
    assert float(angular_error_deg(mates, base, group).max()) < 1e-5
    # and without the group they are not: half a turn or at least the smallest angle of the group apart
    assert float(angular_error_deg(mates[1:], base).min()) > 30


def test_symmetry_acts_on_the_side_of_the_map() -> None:
    group = parse("C4").matrices
    # a quarter turn of the map about z is nothing; of the image it is 90 degrees unless seen along z
    base = euler(0, 90, 0)
    assert float(angular_error_deg(base @ group[1], base, group)) == pytest.approx(0, abs=1e-6)
    assert float(angular_error_deg(group[1] @ base, base, group)) == pytest.approx(90, abs=1e-6)


def test_error_with_symmetry_agrees_with_the_loop_over_the_group() -> None:
    a, b, group = poses(20), poses(20, 1), parse("D3")
    loop = torch.stack([angular_error_deg(a @ matrix, b) for matrix in group.matrices]).amin(0)
    assert torch.allclose(angular_error_deg(a, b, group.matrices), loop, atol=1e-9)
    assert torch.allclose(angular_distance(a, b, group), loop, atol=1e-6)


def test_mean_error_of_random_poses_is_that_of_uniform_rotations() -> None:
    # the mean angle of a uniform rotation is 180/2 + 360/pi^2 = 126.5 degrees; sd 27.3/sqrt(4000) = 0.6
    found = mean_angular_error_deg([angular_error_deg(poses(4000), poses(4000, 1))])
    assert found == pytest.approx(90 + 360 / math.pi**2, abs=2.0)


def test_published_mean_weighs_halves_alike_and_the_weighted_one_particles() -> None:
    halves = [torch.tensor([10.0]), torch.tensor([20.0, 20.0, 20.0])]
    assert mean_angular_error_deg(halves) == pytest.approx(15.0)
    ones = [torch.ones(1), torch.ones(3)]
    assert mean_angular_error_deg(halves, ones) == pytest.approx(17.5)
    assert mean_angular_error_deg(halves, [torch.ones(1), torch.zeros(3)]) == pytest.approx(10.0)


def test_share_and_shift_errors_in_closed_form() -> None:
    assert share_within(torch.tensor([1.0, 5.0, 5.1, 90.0]), 5.0) == 0.5
    moved = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert shift_rmse_A(moved, torch.zeros(2, 2)) == pytest.approx((25 / 2) ** 0.5)


def test_correlation_equals_its_closed_form_and_knows_sign_and_gain() -> None:
    a = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert float(real_space_correlation(a, 5 - 2 * a)) == pytest.approx(-1)
    assert float(real_space_correlation(a, torch.tensor([1.0, 3.0, 2.0, 4.0]))) == pytest.approx(0.8)


def test_weights_of_zero_and_one_choose_the_elements() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(6, 6, 6, generator=generator) for _ in range(2))
    mask = (torch.rand(6, 6, 6, generator=generator) > 0.5).float()
    chosen = real_space_correlation(a[mask > 0], b[mask > 0])
    assert float(real_space_correlation(a, b, mask)) == pytest.approx(float(chosen), abs=1e-12)


def test_product_form_counts_the_zeros_outside_the_mask() -> None:
    # inside the mask the maps have nothing in common but their mean, which the zeros outside turn into signal
    a, b = torch.tensor([11.0, 9.0, 7.0, 5.0]), torch.tensor([9.0, 11.0, 0.0, -3.0])
    mask = torch.tensor([1.0, 1.0, 0.0, 0.0])
    assert float(real_space_correlation(a, b, mask)) == pytest.approx(-1)
    # values (11, 9, 0, 0) and (9, 11, 0, 0): covariance 198/4 - 25, variance 202/4 - 25
    assert float(masked_product_correlation(a, b, mask)) == pytest.approx(98 / 102)
