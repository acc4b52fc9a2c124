"""Identities of the Fourier floor: Parseval, shifts, band-limited rescaling, gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vitreous.physics import fourier


def _noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _band_limited(shape: tuple[int, ...], radius: int, seed: int = 0) -> Tensor:
    """Noise with nothing beyond `radius` in index units of the smallest side."""
    shells = fourier.shell_indices(shape)
    if len(shape) == 2:
        return fourier.irdft2(fourier.rdft2(_noise(*shape, seed=seed)) * (shells <= radius), shape)
    return fourier.irdft3(fourier.rdft3(_noise(*shape, seed=seed)) * (shells <= radius), shape)


@pytest.mark.parametrize("shape", [(16, 16), (15, 12)])
def test_parseval_holds_in_two_dimensions(shape: tuple[int, int]):
    a, b = _noise(*shape), _noise(*shape, seed=1)
    product = (fourier.dft2(a) * fourier.dft2(b).conj()).sum() / math.prod(shape)
    assert torch.isclose(product.real, (a * b).sum(), rtol=1e-12)


def test_parseval_holds_in_three_dimensions():
    a = _noise(8, 9, 10)
    assert torch.isclose(fourier.dft3(a).abs().square().sum() / a.numel(), a.square().sum(), rtol=1e-12)


def test_a_shift_and_its_inverse_give_the_image_back():
    image, volume = _band_limited((16, 18), 7), _band_limited((12, 12, 12), 5)
    by2, by3 = torch.tensor([2.37, -5.81]), torch.tensor([0.4, 3.3, -1.7])
    assert torch.allclose(fourier.shift_2d(fourier.shift_2d(image, by2), -by2), image, atol=1e-12)
    assert torch.allclose(fourier.shift_3d(fourier.shift_3d(volume, by3), -by3), volume, atol=1e-12)


def test_shifts_add_up():
    image = _band_limited((16, 16), 7)
    twice = fourier.shift_2d(fourier.shift_2d(image, torch.tensor([0.3, 0.9])), torch.tensor([1.1, -0.2]))
    assert torch.allclose(twice, fourier.shift_2d(image, torch.tensor([1.4, 0.7])), atol=1e-12)


def test_a_fractional_shift_moves_a_wave_by_its_phase():
    x = torch.arange(16, dtype=torch.float64)
    wave = torch.cos(2 * math.pi * 3 * x / 16).expand(16, 16)
    moved = torch.cos(2 * math.pi * 3 * (x - 0.4) / 16).expand(16, 16)
    assert torch.allclose(fourier.shift_2d(wave, torch.tensor([0.4, 0.0])), moved, atol=1e-12)


@pytest.mark.parametrize("small", [12, 13])
@pytest.mark.parametrize("large", [20, 21])
def test_rescaling_a_band_limited_image_down_and_up_gives_it_back(small: int, large: int):
    image = _band_limited((large, large), 5)
    back = fourier.rescale_2d(fourier.rescale_2d(image, (small, small)), (large, large))
    assert torch.allclose(back, image, atol=1e-12)


@pytest.mark.parametrize(("old", "new"), [(12, 18), (12, 19), (13, 18), (18, 12), (18, 13), (19, 12)])
def test_rescaling_samples_the_same_wave_about_the_same_centre(old: int, new: int):
    def wave(n: int) -> Tensor:
        x = (torch.arange(n, dtype=torch.float64) - n // 2) / n
        return 2 + torch.cos(2 * math.pi * (3 * x[None, :] - 2 * x[:, None]) + 0.3)

    assert torch.allclose(fourier.rescale_2d(wave(old), (new, new)), wave(new), atol=1e-12)


@pytest.mark.parametrize("new", [(9, 12), (20, 24), (17, 13)])
def test_rescaling_keeps_the_mean(new: tuple[int, int]):
    image = _noise(12, 16)
    assert torch.isclose(fourier.rescale_2d(image, new).mean(), image.mean(), rtol=1e-10)


def test_rescaling_up_passes_through_every_old_value():
    # Nyquist of the old grid included: its two halves share it.
    image = _noise(8, 8)
    assert torch.allclose(fourier.rescale_2d(image, (16, 16))[::2, ::2], image, atol=1e-12)
    volume = _noise(6, 6, 6)
    assert torch.allclose(fourier.rescale_3d(volume, (12, 12, 12))[::2, ::2, ::2], volume, atol=1e-12)


def test_rescaling_a_band_limited_volume_down_and_up_gives_it_back():
    volume = _band_limited((16, 16, 16), 4)
    back = fourier.rescale_3d(fourier.rescale_3d(volume, (10, 10, 10)), (16, 16, 16))
    assert torch.allclose(back, volume, atol=1e-12)


def test_shifts_rescaling_and_filters_have_gradients():
    image = _noise(6, 6).requires_grad_()
    shift = torch.tensor([0.4, -1.3], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(fourier.shift_2d, (image, shift))
    assert torch.autograd.gradcheck(lambda a: fourier.rescale_2d(a, (4, 4)), (image,))
    assert torch.autograd.gradcheck(lambda a: fourier.rescale_2d(a, (9, 8)), (image,))
    assert torch.autograd.gradcheck(lambda a: fourier.bandpass_2d(a, 1.0, 5.0, 2.5), (image,))


def test_a_gaussian_transforms_into_a_gaussian():
    n, sd = 64, 4.0
    axis = torch.arange(n, dtype=torch.float64) - n // 2
    blob = torch.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / (2 * sd**2))
    k = axis / n
    expected = 2 * math.pi * sd**2 * torch.exp(-2 * (math.pi * sd) ** 2 * (k[:, None] ** 2 + k[None, :] ** 2))
    # The tails cut off at 8 sd are e^-32 of the peak.
    assert torch.allclose(fourier.dft2(blob).real, expected, atol=1e-9)
