"""Projection: shapes, sizes, batches, origins, refusals, and that CPU and GPU agree."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vitreous.errors import InputError
from vitreous.physics import projection
from vitreous.physics.ctf import Ctf, apply_ctf, ctf_2d
from vitreous.physics.fourier import lowpass_3d, rdft2, rescale_2d, shift_2d
from vitreous.physics.masks import soft_ball
from vitreous.physics.rotations import euler_to_matrix, random_rotations


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _smooth(n: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Noise inside a ball of radius n/4 without anything finer than 6 voxels."""
    noise = torch.randn(n, n, n, generator=_generator(9), dtype=dtype)
    return lowpass_3d(noise * soft_ball(n, n / 4 - 2, 2, dtype=dtype), 1.0, 6.0)


@pytest.mark.parametrize("n", [8, 9])
def test_shapes_follow_the_poses(n: int):
    volume = torch.randn(n, n, n, generator=_generator())
    poses = random_rotations(6, _generator())
    assert projection.project(volume, poses).shape == (6, n, n)
    assert projection.project(volume, poses.reshape(2, 3, 3, 3)).shape == (2, 3, n, n)
    assert projection.project(volume, poses[0]).shape == (n, n)
    assert projection.project_real_space(volume, poses.reshape(2, 3, 3, 3)).shape == (2, 3, n, n)
    assert projection.backproject(torch.ones(2, 3, n, n), poses.reshape(2, 3, 3, 3)).shape == (n, n, n)
    assert projection.rotate_volume(volume, poses[0]).shape == (n, n, n)


def test_slices_of_one_pose_do_not_depend_on_the_others(monkeypatch: pytest.MonkeyPatch):
    volume, poses = torch.randn(10, 10, 10, generator=_generator()), random_rotations(7, _generator())
    whole = projection.project(volume, poses)
    monkeypatch.setattr(projection, "_CHUNK_POINTS", 60)
    assert torch.allclose(projection.project(volume, poses), whole, atol=1e-5)
    # Float32 transforms of another batch size round otherwise.
    assert torch.allclose(projection.project(volume, poses[4]), whole[4], atol=1e-5)
    turned = projection.rotate_volume(volume, poses[0])
    monkeypatch.undo()
    assert torch.allclose(projection.rotate_volume(volume, poses[0]), turned, atol=1e-5)


def test_backprojection_in_pieces_is_the_same(monkeypatch: pytest.MonkeyPatch):
    images, poses = torch.randn(7, 10, 10, generator=_generator()).double(), random_rotations(7, _generator())
    whole = projection.backproject(images, poses)
    monkeypatch.setattr(projection, "_CHUNK_POINTS", 60)
    assert torch.allclose(projection.backproject(images, poses), whole, atol=1e-12)


def test_origins_move_the_content_by_their_negative():
    volume, poses = _smooth(24), random_rotations(2, _generator(), dtype=torch.float64)
    origins = torch.tensor([[2.5, -1.0], [0.0, 3.25]], dtype=torch.float64)
    transform = projection.prepare_volume(volume)
    moved = projection.project_prepared(transform, poses, origins_px=origins)
    assert torch.allclose(moved, shift_2d(projection.project(volume, poses), -origins), atol=1e-9)


def test_a_factor_acts_like_the_ctf_on_the_image():
    volume, poses = _smooth(24), random_rotations(2, _generator(), dtype=torch.float64)
    defocus = torch.tensor([1e4, 2e4], dtype=torch.float64)
    values = ctf_2d(Ctf(defocus, 1e4, 0.0, 300.0, 2.7, 0.1), (24, 24), 3.0)
    seen = projection.project_prepared(projection.prepare_volume(volume), poses, factor=values)
    assert torch.allclose(seen, apply_ctf(projection.project(volume, poses), values), atol=1e-10)


@pytest.mark.parametrize("size", [12, 15, 32])
def test_another_size_gives_the_projection_rescaled(size: int):
    volume, poses = _smooth(24), random_rotations(3, _generator(), dtype=torch.float64)
    direct = projection.project_prepared(projection.prepare_volume(volume), poses, size=size)
    expected = rescale_2d(projection.project(volume, poses), (size, size))
    # The direct one is cut at a radius, the rescaled at a square; interpolation leaves a little out there.
    assert (direct - expected).abs().max() < 1e-2 * expected.abs().max()


def test_slices_are_the_spectra_of_the_projections():
    volume, poses = _smooth(16), random_rotations(3, _generator(), dtype=torch.float64)
    spectra = projection.slice_volume(projection.prepare_volume(volume), poses)
    assert spectra.shape == (3, 16, 9)
    assert torch.allclose(rdft2(projection.project(volume, poses)), spectra, atol=1e-9)


def test_double_poses_work_with_a_single_precision_volume():
    volume, poses = _smooth(12).float(), random_rotations(2, _generator(), dtype=torch.float64)
    assert projection.project(volume, poses).dtype == torch.float32
    assert projection.backproject(torch.ones(2, 12, 12), poses).dtype == torch.float32
    assert projection.project_real_space(volume, poses).dtype == torch.float32


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 9), (2, 8, 8, 8)])
def test_a_volume_that_is_not_cubic_is_refused(shape: tuple[int, ...]):
    for function in (projection.project, projection.project_real_space):
        with pytest.raises(InputError, match="must be cubic"):
            function(torch.zeros(shape), torch.eye(3)[None])


def test_images_that_are_not_square_are_refused():
    for function in (projection.backproject, projection.backproject_real_space):
        with pytest.raises(InputError, match="must be square"):
            function(torch.zeros(1, 8, 9), torch.eye(3)[None])


def test_a_quarter_turn_of_a_volume_moves_voxels_only():
    volume = torch.randn(6, 6, 6, generator=_generator())
    quarter = euler_to_matrix(torch.tensor([0.0, 0.0, 90.0]))
    turned = projection.rotate_volume(volume, quarter)
    # (x, y) goes to (y, -x): the voxel (x, y, z) = (1, 2, 0) about the centre to (2, -1, 0).
    assert turned[3, 2, 5] == volume[3, 5, 4]
    assert torch.equal(torch.sort(turned.flatten())[0], torch.sort(volume.flatten())[0])
    assert torch.equal(projection.rotate_volume(volume, torch.eye(3)), volume)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cpu_and_gpu_agree():
    volume, poses = _smooth(24, torch.float32), random_rotations(5, _generator())
    images = torch.randn(5, 24, 24, generator=_generator())
    for function, argument, pose in (
        (projection.project, volume, poses),
        (projection.project_real_space, volume, poses),
        (projection.backproject, images, poses),
        (projection.backproject_real_space, images, poses),
        (projection.rotate_volume, volume, poses[0]),
    ):
        here, there = function(argument, pose), function(argument.cuda(), pose.cuda())
        assert there.device.type == "cuda"
        assert torch.allclose(here, there.cpu(), atol=1e-4 * float(here.abs().max()))
