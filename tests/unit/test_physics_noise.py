"""Noise levels, spectra and seeds; background normalisation."""

from __future__ import annotations

import pytest
import torch

from vitreous.errors import InputError
from vitreous.physics import noise
from vitreous.physics.fourier import radial_average, shell_indices
from vitreous.physics.masks import soft_disc
from vitreous.physics.normalise import normalise_background


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_white_noise_has_mean_zero_and_variance_one():
    values = noise.white_noise((100, 32, 32), _generator())
    # 1e5 values: standard errors 0.003 and 0.0045.
    assert abs(float(values.mean())) < 0.012 and abs(float(values.var()) - 1) < 0.018


def test_the_same_generator_gives_the_same_noise():
    assert torch.equal(noise.white_noise((4,), _generator(5)), noise.white_noise((4,), _generator(5)))


def test_coloured_noise_has_the_spectrum_asked_for():
    spectrum = torch.linspace(4.0, 0.5, 17, dtype=torch.float64)
    images = noise.coloured_noise((400, 32, 32), spectrum, _generator())
    power = torch.fft.rfft2(images).abs().square().mean(0) / 32**2
    measured = radial_average(power, shell_indices((32, 32)), 17)
    # Shell 1 has 5 stored values in 400 images: 3 % standard error.
    assert torch.allclose(measured[1:], spectrum[1:], rtol=0.1)


def test_a_flat_spectrum_gives_white_noise_of_its_variance():
    images = noise.coloured_noise((100, 32, 32), torch.full((17,), 2.5), _generator())
    assert float(images.var()) == pytest.approx(2.5, rel=0.02)


def test_negative_power_is_refused():
    with pytest.raises(InputError, match="negative"):
        noise.coloured_noise((8, 8), torch.tensor([1.0, -1.0]))


@pytest.mark.parametrize("colour", [None, torch.tensor([5.0, 3.0, 2.0, 1.0, 0.5])])
@pytest.mark.parametrize("snr", [0.05, 1.0])
def test_the_ratio_is_signal_variance_in_the_mask_over_noise_variance(
    snr: float, colour: torch.Tensor | None
):
    disc = soft_disc((48, 48), 12, 0)
    strength = torch.linspace(1, 3, 60)[:, None, None]
    signal = strength * disc * noise.white_noise((60, 48, 48), _generator(1))
    noisy = noise.add_noise(signal, snr, disc, _generator(2), spectrum=colour)
    level = (noisy - signal).square().mean((-2, -1))
    ratio = noise.signal_variance(signal, disc) / level
    # One image has 2304 noise values, fewer independent ones when coloured.
    assert ratio.mean() == pytest.approx(snr, rel=0.03)
    assert (ratio / snr - 1).abs().max() < 0.3


def test_the_variance_in_a_mask_ignores_what_is_outside():
    image = torch.full((16, 16), 100.0)
    image[4:12, 4:12] = torch.tensor([1.0, -1.0]).repeat(4)
    mask = torch.zeros(16, 16)
    mask[4:12, 4:12] = 1
    assert float(noise.signal_variance(image, mask)) == pytest.approx(1.0)


@pytest.mark.parametrize("snr", [0.0, -1.0, float("nan")])
def test_a_ratio_that_is_not_positive_is_refused(snr: float):
    with pytest.raises(InputError, match="must be positive"):
        noise.add_noise(torch.ones(4, 4), snr)


def _particles() -> torch.Tensor:
    """Noise with a level, a spread, a ramp and a bright disc of its own in each image."""
    values = noise.white_noise((5, 40, 40), _generator(3), dtype=torch.float64)
    x = torch.linspace(-1, 1, 40, dtype=torch.float64)
    factor = torch.arange(1, 6, dtype=torch.float64)[:, None, None]
    ramp = 4 * factor * x[None, None, :] - 3 * x[None, :, None]
    return factor * values + 10 * factor + ramp + 8 * soft_disc((40, 40), 10, 2, dtype=torch.float64)


def test_the_background_has_mean_zero_and_deviation_one_and_no_ramp():
    images = normalise_background(_particles(), 15)
    outside = soft_disc((40, 40), 15, 0) == 0
    background = images[:, outside]
    assert background.mean(1).abs().max() < 1e-12
    assert (background.square().mean(1) - 1).abs().max() < 1e-12
    x = torch.linspace(-1, 1, 40, dtype=torch.float64).expand(40, 40)
    for axis in (x, x.T):
        assert (background * axis[outside]).sum(1).abs().max() < 1e-9
    assert images[0, 15:25, 15:25].mean() > 5


def test_without_the_ramp_only_level_and_spread_are_set():
    images = normalise_background(_particles(), 15, ramp=False)
    outside = soft_disc((40, 40), 15, 0) == 0
    x = torch.linspace(-1, 1, 40, dtype=torch.float64).expand(40, 40)
    assert images[:, outside].mean(1).abs().max() < 1e-12
    assert (images[:, outside] * x[outside]).sum(1).abs().min() > 1


def test_normalising_does_not_see_brightness_and_contrast():
    images = _particles()
    other = normalise_background(3 * images - 7, 15)
    assert torch.allclose(other, normalise_background(images, 15), atol=1e-10)


def test_normalising_has_gradients():
    image = _particles()[:1, :5, :5].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda a: normalise_background(a, 1.5), (image,))


@pytest.mark.parametrize("ramp", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_image_is_refused_by_its_index(ramp: bool, dtype: torch.dtype):
    images = _particles().to(dtype)
    images[3] = 1234.5
    with pytest.raises(InputError, match="image 3.*constant"):
        normalise_background(images, 15, ramp=ramp)


def test_a_pixel_that_is_not_a_number_is_refused_by_its_index():
    images = _particles()
    images[2, 20, 20] = float("nan")
    with pytest.raises(InputError, match="image 2.*not finite"):
        normalise_background(images, 15)


def test_a_radius_without_background_is_refused():
    with pytest.raises(InputError, match="no background"):
        normalise_background(_particles(), 30)
