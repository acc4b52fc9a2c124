"""Laws of projection: adjointness, slice theorem, rotation, shift, gradients, memory."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vitreous.physics import projection
from vitreous.physics.interpolation import sample_trilinear, spread_trilinear
from vitreous.physics.masks import radius_grid
from vitreous.physics.rotations import euler_to_matrix, random_rotations, rotation_vector_to_matrix


def _noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _poses(count: int) -> Tensor:
    return random_rotations(count, torch.Generator().manual_seed(7), dtype=torch.float64)


def _blobs(n: int, matrix: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """A volume of five Gaussian blobs (turned by `matrix`) and its exact projection along z."""
    places = torch.tensor([[4, 1, 0], [-3, 4, 2], [0, -5, 3], [2, 2, -5], [-4, -2, -2]]).double() * n / 24
    places = places if matrix is None else places @ matrix.T
    axis, sd = torch.arange(n, dtype=torch.float64) - n // 2, n / 20
    volume, image = torch.zeros(n, n, n, dtype=torch.float64), torch.zeros(n, n, dtype=torch.float64)
    for weight, (x, y, z) in enumerate(places.tolist(), 1):
        flat = torch.exp(-((axis - x)[None, :] ** 2 + (axis - y)[:, None] ** 2) / (2 * sd**2))
        volume += weight * flat * torch.exp(-((axis - z)[:, None, None] ** 2) / (2 * sd**2))
        image += weight * flat * sd * math.sqrt(2 * math.pi)
    return volume, image


def _correlation(a: Tensor, b: Tensor) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / (a.norm() * b.norm()))


@pytest.mark.parametrize("n", [10, 11])
@pytest.mark.parametrize("pad", [1, 2, 3])
def test_backprojection_is_the_adjoint_of_projection(n: int, pad: int):
    volume, images, poses = _noise(n, n, n), _noise(4, n, n, seed=1), _poses(4)
    left = (projection.project(volume, poses, pad=pad) * images).sum()
    right = (volume * projection.backproject(images, poses, pad=pad)).sum()
    assert abs(float(left - right)) < 1e-10 * abs(float(left))


@pytest.mark.parametrize("n", [8, 9])
def test_adjointness_holds_on_the_lattice_too(n: int):
    poses = torch.stack([torch.eye(3), euler_to_matrix(torch.tensor([90.0, 90.0, 0.0]))]).double()
    volume, images = _noise(n, n, n), _noise(2, n, n, seed=1)
    left = (projection.project(volume, poses) * images).sum()
    right = (volume * projection.backproject(images, poses)).sum()
    assert abs(float(left - right)) < 1e-10 * abs(float(left))


@pytest.mark.parametrize("n", [8, 9])
def test_real_space_backprojection_is_the_adjoint_of_real_space_projection(n: int):
    volume, images, poses = _noise(n, n, n), _noise(3, n, n, seed=1), _poses(3)
    left = (projection.project_real_space(volume, poses) * images).sum()
    right = (volume * projection.backproject_real_space(images, poses)).sum()
    assert abs(float(left - right)) < 1e-10 * abs(float(left))


def test_unslicing_is_the_adjoint_of_slicing_at_another_size():
    transform, poses = projection.prepare_volume(_noise(10, 10, 10)), _poses(3)
    spectra = torch.complex(_noise(3, 6, 4), _noise(3, 6, 4, seed=1))
    left = (projection.slice_volume(transform, poses, 6) * spectra.conj()).real.sum()
    right = (transform.table * projection.unslice_volume(spectra, poses, 10).table.conj()).real.sum()
    assert abs(float(left - right)) < 1e-10 * abs(float(left))


def test_spreading_is_the_adjoint_of_sampling():
    table, values = _noise(2, 5, 6, 7), _noise(2, 30, seed=1)
    points = 8 * torch.rand(30, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64) - 1
    left = (sample_trilinear(table, points) * values).sum()
    right = (table * spread_trilinear(values, points, (5, 6, 7))).sum()
    assert abs(float(left - right)) < 1e-12 * abs(float(left))


def test_projection_is_linear():
    a, b, poses = _noise(8, 8, 8), _noise(8, 8, 8, seed=1), _poses(2)
    both = projection.project(2 * a - 3 * b, poses)
    apart = 2 * projection.project(a, poses) - 3 * projection.project(b, poses)
    assert torch.allclose(both, apart, atol=1e-10)


def test_central_slices_agree_with_sums_along_the_ray():
    volume = _blobs(32)[0]
    poses = _poses(6)
    slices, sums = projection.project(volume, poses), projection.project_real_space(volume, poses)
    for a, b in zip(slices, sums, strict=True):
        # Real space smears each blob (sd 1.6 px) by its trilinear reading.
        assert _correlation(a, b) > 0.999


def test_projections_agree_with_the_closed_form_for_gaussians():
    volume = _blobs(40)[0]
    # Trilinear reading leaves copies of (r / padded side)^2, 1 % at the outer blobs; real space smears them.
    for pose in _poses(5):
        exact = _blobs(40, pose)[1]
        assert _correlation(projection.project(volume, pose), exact) > 0.9995
        assert _correlation(projection.project_real_space(volume, pose), exact) > 0.999
        assert float(projection.project(volume, pose).norm() / exact.norm()) == pytest.approx(1, abs=0.02)


def test_projection_of_rotated_volume_equals_rotated_projection():
    volume, image = _blobs(32)
    psi = euler_to_matrix(torch.tensor([0.0, 0.0, 90.0], dtype=torch.float64))
    turned = projection.project(volume, psi)
    # A psi of 90 degrees takes (x, y) to (y, -x); wrap the row that has no partner in an even box.
    plain = projection.project(volume, torch.eye(3, dtype=torch.float64))
    assert torch.allclose(turned, plain.T.flip(0).roll(1, 0), atol=1e-6 * float(plain.max()))
    assert _correlation(plain, image) > 0.9999


def test_turning_the_volume_is_turning_the_pose():
    volume = _blobs(32)[0]
    a, b = _poses(2)
    there = projection.project(projection.rotate_volume(volume, a), b)
    assert _correlation(there, projection.project(volume, b @ a)) > 0.9995


def test_turning_a_volume_and_back_gives_it_back():
    volume, pose = _blobs(32)[0], _poses(1)[0]
    back = projection.rotate_volume(projection.rotate_volume(volume, pose), pose.mT)
    assert _correlation(back, volume) > 0.9995
    assert _correlation(projection.rotate_volume(volume, pose), _blobs(32, pose)[0]) > 0.9995


def test_opposite_views_are_mirror_images():
    volume, pose = _blobs(24)[0], _poses(1)[0]
    flip = torch.diag(torch.tensor([-1.0, 1.0, -1.0], dtype=torch.float64))
    front, back = projection.project(volume, pose), projection.project(volume, flip @ pose)
    assert torch.allclose(back[1:, 1:], front[1:, 1:].flip(-1), atol=1e-9)


def test_a_volume_and_its_mirror_have_the_same_projections():
    volume, pose = _blobs(25)[0], _poses(1)[0]
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))
    seen = projection.project(volume.flip(0), mirror @ pose @ mirror)
    assert torch.allclose(seen, projection.project(volume, pose), atol=1e-9)


def test_the_sum_of_an_image_is_that_of_the_volume():
    volume = _blobs(32)[0]
    exact = projection.project_real_space(volume, _poses(4)).sum((-2, -1))
    assert torch.allclose(exact, volume.sum().expand(4), rtol=1e-3)
    # In slices k = 0 is read without interpolation, so the division by sinc^2 stays, as in RELION: 5 % here.
    sums = projection.project(volume, _poses(4)).sum((-2, -1))
    expected = (volume / torch.sinc(radius_grid((32, 32, 32), dtype=torch.float64) / 64) ** 2).sum()
    assert torch.allclose(sums, expected.expand(4))


def _check_gradient(function: Callable[[Tensor, Tensor], Tensor], argument: Tensor) -> None:
    """gradcheck in the argument and in two poses given as rotation vectors."""
    vectors = torch.tensor([[25.0, -40.0, 10.0], [3.0, 8.0, -77.0]], dtype=torch.float64, requires_grad=True)

    def forward(values: Tensor, turns: Tensor) -> Tensor:
        return function(values, rotation_vector_to_matrix(turns))

    # The fast mode compares a random direction of the Jacobian instead of each column.
    assert torch.autograd.gradcheck(forward, (argument.requires_grad_(), vectors), fast_mode=True)


def test_projection_has_gradients_in_volume_and_pose():
    _check_gradient(projection.project, _noise(5, 5, 5))
    _check_gradient(projection.project_real_space, _noise(4, 4, 4))


def test_backprojection_has_gradients_in_images_and_pose():
    _check_gradient(projection.backproject, _noise(2, 5, 5))
    _check_gradient(projection.backproject_real_space, _noise(2, 4, 4))


def test_the_gradient_of_a_residual_is_the_backprojected_residual():
    volume, poses, data = _noise(8, 8, 8).requires_grad_(), _poses(3), _noise(3, 8, 8, seed=1)
    residual = projection.project(volume, poses) - data
    (residual.square().sum() / 2).backward()
    assert torch.allclose(volume.grad, projection.backproject(residual.detach(), poses), atol=1e-10)
