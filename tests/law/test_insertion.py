"""Insertion against the adjoint of projection, against copies of slices, and there and back."""

from __future__ import annotations

import math

import pytest
import torch

from vitreous.physics.fourier import lowpass_3d, rdft2, rdft3, shell_indices
from vitreous.physics.insertion import (
    Grid,
    _insert_torch,
    complete,
    finish,
    insert,
    insert_images,
    lattice_rotations,
    new_grid,
    representatives,
    to_volume,
)
from vitreous.physics.masks import soft_ball
from vitreous.physics.projection import backproject, project
from vitreous.physics.rotations import random_rotations
from vitreous.physics.symmetry import parse


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blobs(n: int, seed: int) -> torch.Tensor:
    """An asymmetric map: noise low-passed to 5 voxels inside a soft ball."""
    noise = torch.randn(n, n, n, generator=generator(seed))
    return lowpass_3d(noise, 1.0, 5.0) * soft_ball(n, 0.3 * n, 0.1 * n)


def slices_of(images: torch.Tensor, radius: int) -> torch.Tensor:
    """Half spectra without what lies at or beyond `radius`."""
    n = images.shape[-1]
    return rdft2(images) * (shell_indices((n, n)) < radius)


def shell_correlation(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """FSC of two volumes in shells 0 to n//2 - 1."""
    fa, fb, shells = rdft3(a), rdft3(b), shell_indices(tuple(a.shape)).flatten()

    def total(values: torch.Tensor) -> torch.Tensor:
        return torch.bincount(shells, values.flatten().double())[: a.shape[0] // 2]

    cross = total((fa * fb.conj()).real)
    return cross / (total(fa.abs() ** 2) * total(fb.abs() ** 2)).sqrt()


def test_the_sums_of_an_insertion_are_the_adjoint_of_projection() -> None:
    n = 24
    poses = random_rotations(6, generator(1)).float()
    slices = slices_of(torch.randn(6, n, n, generator=generator(2)), n // 2)
    grid = new_grid(n)
    insert(grid, slices, poses, torch.ones_like(slices.real))
    table = complete(grid)
    volume = to_volume(torch.complex(table[..., 0], table[..., 1]), n, 2)
    images = torch.fft.fftshift(torch.fft.irfft2(slices, s=(n, n)), dim=(-2, -1))
    expected = backproject(images, poses)
    # (pad n)^3 voxels share the inverse transform, n^2 pixels the image's.
    scale = (2 * n) ** 3 / n**2
    # Sums of float32; the largest values are about 1e2 here.
    torch.testing.assert_close(volume * scale, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_projections_with_ctf_and_origins_give_the_volume_back_inside_a_ball() -> None:
    n, count = 32, 1500
    volume = blobs(n, 3)
    poses = random_rotations(count, generator(4)).float()
    origins = torch.randn(count, 2, generator=generator(5))
    ctf = torch.sin(
        0.02 * shell_indices((n, n)) ** 2 * (1 + torch.rand(count, 1, 1, generator=generator(6))) + 0.3
    )
    ramp = torch.fft.rfftfreq(n) * origins[:, :1, None] + torch.fft.fftfreq(n)[:, None] * origins[:, 1:, None]
    spectra = rdft2(project(volume, poses)) * ctf * torch.polar(torch.ones_like(ramp), 2 * math.pi * ramp)
    images = torch.fft.fftshift(torch.fft.irfft2(spectra, s=(n, n)), dim=(-2, -1))
    grid = new_grid(n)
    for part in torch.arange(count).split(400):
        insert_images(grid, images[part], poses[part], ctf[part], origins[part])
    ball = soft_ball(n, 0.3 * n, 0.1 * n)
    found = finish(grid) * ball
    assert grid.count == count
    assert float(shell_correlation(found, volume * ball)[1 : int(0.75 * n / 2)].min()) > 0.99
    # Scale 1 within the interpolation's few per cent: particles' and map's units are the same.
    assert abs(float((found * volume).sum() / (volume * volume * ball).sum()) - 1) < 0.05


@pytest.mark.parametrize("name", ["C2", "C3", "C8", "D2", "D3", "T", "O"])
def test_completing_by_lattice_rotations_equals_inserting_every_copy(name: str) -> None:
    n = 12
    group = parse(name)
    poses = random_rotations(3, generator(7))
    slices = slices_of(torch.randn(3, n, n, generator=generator(8)), n // 2)
    weights = torch.rand(3, n, n // 2 + 1, generator=generator(9))
    quick, slow = new_grid(n), new_grid(n)
    insert(quick, slices, poses, weights, group)
    for matrix in group.matrices:
        insert(slow, slices, poses @ matrix.to(poses), weights)
    # The same products in another order: a few units in the last place of sums up to 1e2.
    torch.testing.assert_close(complete(quick, group), complete(slow), rtol=1e-4, atol=2e-3)
    assert len(representatives(name)) * len(lattice_rotations(name)) == group.order


def test_a_reconstruction_with_symmetry_has_that_symmetry() -> None:
    n = 16
    group = parse("D2")
    grid = new_grid(n)
    images = torch.randn(20, n, n, generator=generator(10))
    insert_images(grid, images, random_rotations(20, generator(11)).float(), None, None, group)
    volume = finish(grid, group)[1:, 1:, 1:]
    # Half a turn about z, x and y about the centre n//2 flips two axes of the odd rest.
    for axes in ((1, 2), (0, 1), (0, 2)):
        torch.testing.assert_close(volume.flip(axes), volume, rtol=1e-4, atol=1e-5)


def test_the_path_of_the_gpu_spreads_the_same_sums_as_the_compiled_loop() -> None:
    n = 16
    slices = rdft2(torch.randn(5, n, n, generator=generator(12)))
    weights = torch.rand(5, n, n // 2 + 1, generator=generator(13))
    poses = random_rotations(5, generator(14)).float()
    for radius in (n // 2, 5):
        compiled, plain = new_grid(n, radius=radius), new_grid(n, radius=radius)
        insert(compiled, slices, poses, weights)
        _insert_torch(plain, slices, poses, weights)
        # A point within rounding of a lattice plane may be shared differently, by as little as that rounding.
        torch.testing.assert_close(compiled.table, plain.table, rtol=1e-4, atol=1e-3)


def test_grids_add_like_their_particles() -> None:
    n = 16
    images = torch.randn(8, n, n, generator=generator(15))
    poses = random_rotations(8, generator(16)).float()
    whole, first, second = (new_grid(n) for _ in range(3))
    insert_images(whole, images, poses, None)
    insert_images(first, images[:3], poses[:3], None)
    insert_images(second, images[3:], poses[3:], None)
    first += second
    torch.testing.assert_close(first.table, whole.table, rtol=1e-4, atol=1e-4)
    assert first.count == 8


def test_an_empty_grid_gives_zeros_and_a_smaller_radius_a_low_pass() -> None:
    n = 16
    assert not finish(new_grid(n)).any()
    grid: Grid = new_grid(n, radius=4)
    insert_images(
        grid,
        torch.randn(30, n, n, generator=generator(17)),
        random_rotations(30, generator(18)).float(),
        None,
    )
    power = rdft3(finish(grid)).abs() ** 2
    shells = shell_indices((n, n, n))
    # Noise fills the padded box, so the crop to the box and the sinc^2 spread some power over the border.
    assert float(power[shells > 6].sum()) < 0.1 * float(power.sum())
