"""Fourier pairs, shifts, crops, rescaling, shells and filters on small arrays."""

from __future__ import annotations

import math

import pytest
import torch

from vitreous.physics import fourier

SHAPES = [(8, 8), (7, 9), (6, 10)]


def _image(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES)
def test_inverse_transforms_give_the_image_back(shape: tuple[int, int]):
    image = _image(3, *shape)
    assert torch.allclose(fourier.idft2(fourier.dft2(image)).real, image)
    assert torch.allclose(fourier.irdft2(fourier.rdft2(image), shape), image)


def test_inverse_transforms_give_the_volume_back():
    volume = _image(2, 5, 6, 7)
    assert torch.allclose(fourier.idft3(fourier.dft3(volume)).real, volume)
    assert torch.allclose(fourier.irdft3(fourier.rdft3(volume), (5, 6, 7)), volume)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_point_at_the_centre_has_a_transform_of_ones(shape: tuple[int, int]):
    image = torch.zeros(shape, dtype=torch.float64)
    image[shape[0] // 2, shape[1] // 2] = 1
    for spectrum in (fourier.dft2(image), fourier.rdft2(image)):
        assert torch.allclose(spectrum, torch.ones_like(spectrum))


def test_the_centred_transform_holds_the_sum_at_the_centre():
    volume = _image(6, 6, 6)
    assert torch.isclose(fourier.dft3(volume)[3, 3, 3].real, volume.sum())
    assert torch.isclose(fourier.rdft3(volume)[0, 0, 0].real, volume.sum())


def test_frequencies_are_x_first_and_count_in_cycles_per_unit():
    grid = fourier.frequencies_2d((6, 8), rfft=False, spacing=2.0)
    assert grid.shape == (6, 8, 2)
    assert grid[0, 1].tolist() == [1 / 16, 0.0]
    assert grid[1, 0].tolist() == [0.0, pytest.approx(1 / 12)]
    assert fourier.frequencies_2d((6, 8)).shape == (6, 5, 2)
    solid = fourier.frequencies_3d((4, 6, 8))
    assert solid.shape == (4, 6, 5, 3)
    assert solid[1, 0, 0].tolist() == [0.0, 0.0, 0.25]


def test_shells_round_the_radius_to_the_nearest_integer():
    shells = fourier.shell_indices((6, 6))
    assert shells.shape == (6, 4)
    assert shells[1].tolist() == [1, 1, 2, 3]
    assert shells[5].tolist() == [1, 1, 2, 3]
    assert fourier.shell_indices((4, 4, 4), rfft=False)[1, 1, 1] == 2  # sqrt(3) = 1.73


def test_shells_of_an_oblong_count_in_units_of_the_short_side():
    shells = fourier.shell_indices((4, 8), rfft=False)
    assert shells[0].tolist() == [0, 0, 1, 2, 2, 2, 1, 0]  # 0.5 rounds to even


def test_radial_average_of_a_radial_function_is_that_function():
    shells = fourier.shell_indices((16, 16))
    power = (shells.double() ** 2).expand(2, -1, -1)
    profile = fourier.radial_average(power, shells, 8)
    assert profile.shape == (2, 8)
    assert torch.allclose(profile[0], torch.arange(8, dtype=torch.float64) ** 2)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_whole_shift_rolls_the_image(shape: tuple[int, int]):
    image = _image(*shape)
    moved = fourier.shift_2d(image, torch.tensor([2.0, -1.0]))
    assert torch.allclose(moved, image.roll((-1, 2), (-2, -1)))


def test_each_image_of_a_batch_has_its_own_shift():
    images = _image(2, 8, 8)
    moved = fourier.shift_2d(images, torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
    assert torch.allclose(moved[0], images[0].roll(1, -1))
    assert torch.allclose(moved[1], images[1].roll(3, -2))


def test_a_whole_shift_rolls_the_volume():
    volume = _image(4, 5, 6)
    moved = fourier.shift_3d(volume, torch.tensor([1.0, 2.0, -1.0]))
    assert torch.allclose(moved, volume.roll((-1, 2, 1), (0, 1, 2)))


@pytest.mark.parametrize(("old", "new"), [(6, 10), (7, 10), (6, 9), (7, 11), (10, 6), (9, 4), (8, 5)])
def test_crop_and_pad_keep_the_centre(old: int, new: int):
    image = torch.zeros(old, old)
    image[old // 2, old // 2] = 1
    out = fourier.crop_or_pad(image, (new, new))
    assert out.shape == (new, new)
    assert out[new // 2, new // 2] == 1 and out.sum() == 1


def test_padding_fills_with_the_value_asked_for():
    out = fourier.crop_or_pad(torch.zeros(2, 2, 2), (4, 4), value=3.0)
    assert out.shape == (2, 4, 4)
    assert out.sum() == 2 * 12 * 3


def test_bandpass_keeps_what_is_inside_and_removes_what_is_not():
    x = torch.arange(64, dtype=torch.float64)
    waves = [torch.cos(2 * math.pi * k * x / 64).expand(64, 64) for k in (2, 10, 25)]
    # Periods of 32, 6.4 and 2.56 px of 2 Å: 64, 12.8 and 5.12 Å.
    kept = fourier.bandpass_2d(sum(waves) + 1.0, 2.0, 30.0, 8.0)
    assert torch.allclose(kept, waves[1], atol=1e-12)
    assert torch.allclose(fourier.lowpass_2d(sum(waves), 2.0, 8.0), waves[0] + waves[1], atol=1e-12)


def test_lowpass_halves_what_is_at_the_resolution_itself():
    x = torch.arange(32, dtype=torch.float64)
    wave = torch.cos(2 * math.pi * 8 * x / 32).expand(32, 32, 32)
    assert torch.allclose(fourier.lowpass_3d(wave, 1.5, 6.0), wave / 2, atol=1e-12)


def test_lowpass_without_an_edge_cuts_sharply():
    x = torch.arange(32, dtype=torch.float64)
    wave = torch.cos(2 * math.pi * 8 * x / 32).expand(32, 32)
    assert torch.allclose(fourier.lowpass_2d(wave, 1.5, 5.9, 0.0), wave, atol=1e-12)
    assert fourier.lowpass_2d(wave, 1.5, 6.1, 0.0).abs().max() < 1e-12


def test_rescaling_keeps_kind_and_batch():
    assert fourier.rescale_2d(torch.ones(2, 3, 8, 8), (6, 4)).shape == (2, 3, 6, 4)
    assert fourier.rescale_3d(torch.ones(8, 8, 8), (12, 12, 12)).dtype == torch.float32
