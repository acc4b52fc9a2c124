from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from vitreous.errors import InputError, SettingsError
from vitreous.multitarget.measurement import average_of_known, noise_sd, place_corners, plant
from vitreous.multitarget.prior_settings import GaussianPriorSettings
from vitreous.multitarget.priors.gaussian import gaussian_prior
from vitreous.multitarget.rotation import Rotations
from vitreous.multitarget.settings import MeasurementSettings


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("separation", [5, 9, 10, 14])
def test_corners_keep_their_separation_and_lie_inside(separation: int) -> None:
    corners = place_corners(55, 5, 8, separation, rng())
    assert corners.shape == (8, 2) and corners.min() >= 0 and corners.max() <= 50
    distances = np.abs(corners[:, None] - corners[None]).max(-1)[~np.eye(8, dtype=bool)]
    assert distances.min() >= separation


def test_the_published_count_is_one_more_than_asked_for() -> None:
    settings = MeasurementSettings(count="published")
    counts = [len(plant(noise(5, 5), settings, 1.0, rng(seed)).turns) for seed in range(200)]
    # 398 of 400 draws gave 13, the others 12 (methods/multitarget.md §2).
    assert set(counts) <= {12, 13} and counts.count(13) >= 195
    assert len(plant(noise(5, 5), MeasurementSettings(), 1.0, rng()).turns) == 12


def test_corners_are_spread_evenly() -> None:
    firsts = np.array([place_corners(20, 5, 1, 10, rng(seed))[0] for seed in range(4000)])
    # 16 places an axis: 250 a place, with a deviation of 15.
    assert all(np.abs(np.bincount(axis, minlength=16) - 250).max() < 70 for axis in firsts.T)


def test_a_density_that_does_not_fit_is_refused_with_what_would() -> None:
    with pytest.raises(SettingsError, match=r"density: so many targets do not fit .*at most about 0\.\d\d"):
        place_corners(55, 5, 60, 10, rng())
    # The public code plants what its tries give.
    assert 8 < len(place_corners(55, 5, 60, 10, rng(), published=True)) < 60


@pytest.mark.parametrize("rotations", [1, 2, 4, 12])
def test_a_measurement_holds_the_turned_image_where_it_says(rotations: int) -> None:
    image = noise(6, 6)
    settings = MeasurementSettings(rotations=rotations)
    one = plant(image, settings, 1e12, rng())
    turned = Rotations(rotations, 6, image).turn(image[None])[0]
    left = one.pixels.clone()
    for (y, x), k in zip(one.corners, one.turns, strict=True):
        left[y : y + 6, x : x + 6] -= turned[k]
    assert set(one.turns) <= set(range(rotations))
    assert float(left.abs().max()) < 6 * one.sigma


def test_the_snr_is_that_of_the_whole_box() -> None:
    image = torch.zeros(10, 10)
    image[3:5, 3:5] = 2.0
    # Mean square 4 x 4 / 100 = 0.16.
    assert noise_sd(image, 4.0) == pytest.approx(0.2)
    one = plant(image, MeasurementSettings(), 4.0, rng(), empty=True)
    # 12 100 pixels: the deviation's own is 0.6 %.
    assert float(one.pixels.std()) == pytest.approx(0.2, rel=0.03) and len(one.turns) == 0


def test_the_same_seed_gives_the_same_places_and_noise_at_every_snr() -> None:
    image = noise(5, 5)
    one, other = (plant(image, MeasurementSettings(), snr, rng(4)) for snr in (1.0, 16.0))
    assert np.array_equal(one.corners, other.corners) and np.array_equal(one.turns, other.turns)
    planted = plant(image, MeasurementSettings(), 1e20, rng(4)).pixels
    torch.testing.assert_close((one.pixels - planted) / 4, other.pixels - planted, atol=1e-8, rtol=0)


@pytest.mark.parametrize("snr", [1.0, 5.0, 10.0])
def test_an_average_with_known_poses_errs_by_the_noise_over_the_number_of_targets(snr: float) -> None:
    image, operator = noise(5, 5) + 1, Rotations(4, 5, noise(1))
    squares = []
    for seed in range(60):
        one = plant(image, MeasurementSettings(count="published"), snr, rng(seed))
        error = (average_of_known(one, 5, operator) - image).square().sum() / image.square().sum()
        squares.append(float(error) * len(one.turns) * snr)
    # methods/multitarget.md §8: 1 / (p SNR); 60 x 25 squares, a deviation of 3.7 %.
    assert np.mean(squares) == pytest.approx(1, abs=0.15)


def test_a_prior_lowers_the_error_with_known_poses_as_it_should() -> None:
    mean, operator, squares = noise(5, 5, seed=1).float(), Rotations(4, 5, noise(1)), []
    prior = gaussian_prior(GaussianPriorSettings(), mean)
    for seed in range(100):
        image = mean.double() + noise(5, 5, seed=100 + seed)
        one = plant(image, MeasurementSettings(), 1.0, rng(seed))
        variance = one.sigma**2 / len(one.turns)
        best = prior.denoise(average_of_known(one, 5, operator)[None], math.sqrt(variance))[0]
        # The posterior's variance, 1 / (1 + p / sigma^2) a pixel.
        squares.append(float((best - image).square().mean()) * (1 + 1 / variance))
    # 100 x 25 squares, a deviation of 2.8 %.
    assert np.mean(squares) == pytest.approx(1, abs=0.12)


def test_the_settings_say_sizes_in_pixels() -> None:
    settings = MeasurementSettings()
    assert (settings.side(28), settings.targets(28), settings.separation_px(28)) == (308, 12, 56)
    assert MeasurementSettings(density=1e-6).targets(5) == 1
    assert MeasurementSettings(size_in_images=10.5).side(5) == 52


@pytest.mark.parametrize("snr", [0.0, -1.0, math.nan, math.inf])
def test_an_snr_that_is_none_is_refused(snr: float) -> None:
    with pytest.raises(SettingsError, match="snr: a signal-to-noise ratio must be a positive number"):
        noise_sd(noise(5, 5), snr)


@pytest.mark.parametrize("pixel", [0.0, math.nan, math.inf])
def test_a_target_without_signal_is_refused(pixel: float) -> None:
    with pytest.raises(InputError, match="pixels other than zero, all finite"):
        plant(torch.full((5, 5), pixel), MeasurementSettings(), 1.0, rng())
