"""Rotations: Euler angles both ways, vectors, quaternions, distances."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from vitreous.physics import rotations


def _random(count: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return rotations.random_rotations(count, torch.Generator().manual_seed(3), dtype=dtype)


def test_the_transposed_matrix_is_the_active_zyz_product():
    angles = np.random.default_rng(0).uniform(-180, 180, (50, 3))
    expected = Rotation.from_euler("ZYZ", angles, degrees=True).as_matrix()
    ours = rotations.euler_to_matrix(torch.from_numpy(angles)).mT
    assert torch.allclose(ours, torch.from_numpy(expected), atol=1e-14)


def test_the_third_row_is_the_viewing_direction():
    row = rotations.euler_to_matrix(torch.tensor([30.0, 60.0, 77.0], dtype=torch.float64))[2]
    assert row.tolist() == pytest.approx([0.75, 0.4330127, 0.5])


def test_psi_turns_the_image_clockwise_for_y_up():
    matrix = rotations.euler_to_matrix(torch.tensor([0.0, 0.0, 90.0]))
    point = matrix @ torch.tensor([1.0, 0.0, 0.0])
    assert torch.allclose(point, torch.tensor([0.0, -1.0, 0.0]), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_angles_give_their_matrix_back(dtype: torch.dtype):
    matrices = _random(2000, dtype)
    back = rotations.euler_to_matrix(rotations.matrix_to_euler(matrices))
    assert (back - matrices).abs().max() < 20 * torch.finfo(dtype).eps


def test_angles_themselves_come_back_in_their_range():
    generator = torch.Generator().manual_seed(0)
    shares = torch.rand(500, 3, generator=generator, dtype=torch.float64)
    angles = shares * torch.tensor([358.0, 178.0, 358.0]) + torch.tensor([-179.0, 1.0, -179.0])
    back = rotations.matrix_to_euler(rotations.euler_to_matrix(angles))
    assert torch.allclose(back, angles, atol=1e-9)


@pytest.mark.parametrize("tilt", [0.0, 1e-9, 1e-4, 180.0, 180.0 - 1e-9, 180.0 - 1e-4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_matrices_near_the_poles_come_back_whole(tilt: float, dtype: torch.dtype):
    angles = torch.tensor([[33.0, tilt, -71.0], [-170.0, tilt, 170.0], [0.0, tilt, 180.0]], dtype=dtype)
    matrices = rotations.euler_to_matrix(angles)
    back = rotations.euler_to_matrix(rotations.matrix_to_euler(matrices))
    assert (back - matrices).abs().max() < 40 * torch.finfo(dtype).eps


def test_at_the_poles_rot_is_zero_and_psi_holds_the_turn():
    angles = torch.tensor([[30.0, 0.0, 20.0], [30.0, 180.0, 20.0]], dtype=torch.float64)
    found = rotations.matrix_to_euler(rotations.euler_to_matrix(angles))
    assert torch.allclose(found, torch.tensor([[0.0, 0.0, 50.0], [0.0, 180.0, -10.0]], dtype=torch.float64))


def test_vectors_give_the_active_rotation_about_their_axis():
    vectors = np.random.default_rng(0).normal(0, 60, (50, 3))
    expected = Rotation.from_rotvec(vectors, degrees=True).as_matrix()
    ours = rotations.rotation_vector_to_matrix(torch.from_numpy(vectors))
    assert torch.allclose(ours, torch.from_numpy(expected), atol=1e-13)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-5, 0.05, 90.0, 179.9999, 180.0])
def test_vectors_of_any_length_come_back(angle: float):
    axis = torch.tensor([0.6, -0.48, 0.64], dtype=torch.float64)
    back = rotations.matrix_to_rotation_vector(rotations.rotation_vector_to_matrix(axis * angle))
    # At half a turn both signs are the same rotation.
    assert min((back - axis * angle).abs().max(), (back + axis * angle).abs().max()) < 1e-9
    if angle < 180:
        assert (back - axis * angle).abs().max() < 1e-9


def test_quaternions_give_their_matrix_back_with_a_positive_real_part():
    matrices = torch.cat([_random(500), rotations.rotation_vector_to_matrix(180 * torch.eye(3).double())])
    quaternions = rotations.matrix_to_quaternion(matrices)
    assert (quaternions[:, 0] >= 0).all()
    assert torch.allclose(rotations.quaternion_to_matrix(quaternions), matrices, atol=1e-14)


@pytest.mark.parametrize("angle", [0.0, 1e-7, 1e-3, 1.0, 90.0, 179.0, 179.999, 179.9999999, 180.0])
def test_distance_is_accurate_at_all_angles(angle: float):
    vector = torch.tensor([0.36, 0.48, -0.8], dtype=torch.float64) * angle
    pose = _random(1)[0]
    moved = pose @ rotations.rotation_vector_to_matrix(vector)
    assert float(rotations.geodesic_distance(pose, moved)) == pytest.approx(angle, abs=2e-13)


@pytest.mark.parametrize("angle", [0.01, 0.1, 179.9, 179.99])
def test_distance_is_accurate_in_single_precision(angle: float):
    vector = torch.tensor([0.36, 0.48, -0.8]) * angle
    moved = rotations.rotation_vector_to_matrix(vector)
    # An arc cosine of the trace would be off by 0.02 degrees here.
    assert float(rotations.geodesic_distance(torch.eye(3), moved)) == pytest.approx(angle, abs=5e-5)


def test_distance_broadcasts_and_is_symmetric():
    a, b = _random(4), _random(3)
    table = rotations.geodesic_distance(a[:, None], b[None])
    assert table.shape == (4, 3)
    assert torch.allclose(table, rotations.geodesic_distance(b[None], a[:, None]))


def test_gradients_are_finite_at_the_identity():
    vector = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    matrix = rotations.rotation_vector_to_matrix(vector)
    distance = rotations.geodesic_distance(matrix, torch.eye(3, dtype=torch.float64))
    (matrix.sum() + distance).backward()
    assert torch.isfinite(vector.grad).all()


def test_gradients_are_right_elsewhere():
    vector = torch.tensor([20.0, -70.0, 35.0], dtype=torch.float64, requires_grad=True)
    angles = torch.tensor([20.0, 70.0, 35.0], dtype=torch.float64, requires_grad=True)
    target = _random(1)[0]
    assert torch.autograd.gradcheck(rotations.rotation_vector_to_matrix, (vector,))
    assert torch.autograd.gradcheck(rotations.euler_to_matrix, (angles,))
    turned = rotations.rotation_vector_to_matrix
    assert torch.autograd.gradcheck(lambda v: rotations.geodesic_distance(turned(v), target), (vector,))
    assert torch.autograd.gradcheck(lambda v: rotations.matrix_to_rotation_vector(turned(v)), (vector,))


def test_random_rotations_depend_on_the_generator_alone():
    a, b = _random(3), _random(3)
    assert torch.equal(a, b)
    assert torch.allclose(a @ a.mT, torch.eye(3).double().expand(3, 3, 3), atol=1e-14)
    assert torch.allclose(torch.linalg.det(a), torch.ones(3, dtype=torch.float64))
