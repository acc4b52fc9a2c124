from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from vitreous.errors import SettingsError
from vitreous.multitarget.em import annealed_noise, chosen_m_step, estimate, gamma_at, robust_sigma
from vitreous.multitarget.maximise import closed_form, gradient_steps, plug_and_play, statistic_noise
from vitreous.multitarget.measurement import plant
from vitreous.multitarget.prior_settings import GaussianPriorSettings
from vitreous.multitarget.priors.gaussian import GaussianPrior, gaussian_prior
from vitreous.multitarget.rotation import Rotations
from vitreous.multitarget.settings import EmSettings, MeasurementSettings
from vitreous.multitarget.whole import WholeStep

SIZE = 5


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def problem(count: int = 1, snr: float = 3.0) -> tuple[Tensor, Tensor, Tensor]:
    """Measurements (b, N, N), starts (b, L, L), sigma (b,)."""
    image = noise(SIZE, SIZE) + 1
    planted = [plant(image, MeasurementSettings(), snr, np.random.default_rng(i)) for i in range(count)]
    pixels = torch.stack([one.pixels for one in planted])
    starts = image + noise(count, SIZE, SIZE, seed=1)
    return pixels, starts, torch.tensor([one.sigma for one in planted], dtype=torch.float64)


def run(settings: EmSettings, count: int = 1, **more: Any):
    pixels, starts, sigma = problem(count)
    return estimate(pixels, starts, sigma, settings, rotations=4, separation=2 * SIZE, **more)


def prior() -> GaussianPrior:
    return gaussian_prior(GaussianPriorSettings(), torch.ones(SIZE, SIZE))


def test_the_published_protocol_is_a_hundred_single_steps_on_patches() -> None:
    settings = EmSettings(published=True)
    assert (settings.e_step, settings.m_step, settings.iterations) == ("patch", "gradient", 100)
    assert (settings.learning_rate, settings.gradient_steps, settings.stop_below) == (1e-3, 1, 1e-5)
    assert EmSettings(published=True, iterations=7).iterations == 7


@pytest.mark.parametrize(
    "values",
    [
        {"shifts": "empty"},
        {"m_step": "gradient", "restarts": 2},
        {"learning_rate": 0},
        {"iterations": 0},
        {"gamma": math.nan},
        {"estep": "patch"},
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EmSettings.model_validate(values)


def test_auto_is_plug_and_play_with_a_prior_and_the_closed_form_without() -> None:
    assert chosen_m_step(EmSettings(), prior()) == "plug-and-play"
    assert chosen_m_step(EmSettings(), None) == "closed-form"
    with pytest.raises(SettingsError, match="plug-and-play needs a prior"):
        run(EmSettings(m_step="plug-and-play"))


def test_a_weight_of_the_prior_rises_linearly_over_the_iterations() -> None:
    settings = EmSettings(published=True, gamma=2.0, gamma_schedule="linear")
    assert [gamma_at(settings, i) for i in (0, 33, 99)] == pytest.approx([0, 2 / 3, 2])
    assert gamma_at(EmSettings(gamma=2.0), 0) == 2.0
    assert gamma_at(EmSettings(iterations=1, gamma_schedule="linear"), 0) == 0


def test_the_denoiser_begins_at_much_noise_and_ends_at_that_of_the_statistic() -> None:
    settings, last = EmSettings(iterations=10, anneal_from=2.0, anneal_share=0.5), torch.tensor([0.1, 9.0])
    levels = torch.stack([annealed_noise(settings, 3.0, last, i) for i in range(10)])
    assert float(levels[0, 0]) == pytest.approx(6.0)
    ratios = levels[1:6, 0] / levels[:5, 0]
    torch.testing.assert_close(ratios, ratios[:1].expand(5))  # a geometric fall
    assert torch.equal(levels[5:, 0], last[:1].expand(5))
    assert torch.equal(levels[:, 1], last[1:].expand(10))  # more noise in the data than the anneal asks for


def test_plug_and_play_with_the_exact_denoiser_is_the_posterior_mean() -> None:
    pixels, starts, sigma = problem()
    operator = Rotations(4, SIZE, starts)
    found = WholeStep(pixels, SIZE, 2 * SIZE).statistics(starts, operator, sigma, torch.full_like(sigma, 12))
    images = plug_and_play(found, operator, sigma, prior(), torch.zeros(1))
    weight = found.weight.sum() / sigma**2
    # The mode of a Gaussian posterior: (A / sigma^2 + mean) / (B / sigma^2 + 1).
    expected = (operator.back(found.pull) / sigma**2 + 1) / (weight + 1)
    torch.testing.assert_close(images, expected, rtol=1e-12, atol=0)
    noise_left = statistic_noise(found, operator, sigma)
    assert float(noise_left) == pytest.approx(float(sigma / found.weight.sum().sqrt()))


def test_steps_of_ascent_end_at_the_closed_form() -> None:
    pixels, starts, sigma = problem()
    operator = Rotations(4, SIZE, starts)
    found = WholeStep(pixels, SIZE, 2 * SIZE).statistics(starts, operator, sigma, torch.full_like(sigma, 12))
    rate = 0.5 * float(sigma**2 / found.weight.sum())  # each step goes half of the way
    images = gradient_steps(starts, found, operator, sigma, rate=rate, gamma=0, steps=45, prior=None)
    exact = closed_form(found.pull, found.weight, operator)
    torch.testing.assert_close(images, exact, rtol=0, atol=1e-12)


def test_the_noise_is_told_from_the_pixels_alone() -> None:
    pixels = 3 * noise(2, 200, 200)
    # 40 000 pixels: the deviation of the median absolute deviation is 0.6 %.
    torch.testing.assert_close(robust_sigma(pixels), torch.full((2,), 3.0).double(), rtol=0.03, atol=0)
    given = run(EmSettings(iterations=5))
    pixels, starts, _ = problem()
    told = estimate(pixels, starts, None, EmSettings(iterations=5), rotations=4, separation=10)
    assert float(told.sigma) == pytest.approx(float(given.sigma), rel=0.25)
    assert float(told.sigma) > float(given.sigma)  # the targets add to it


@pytest.mark.parametrize("e_step", ["patch", "whole"])
def test_measurements_together_give_what_each_gives_alone(e_step: str) -> None:
    values = {"e_step": e_step, "iterations": 8, "precision": "float64", "stop_below": 0}
    settings = EmSettings.model_validate(values)
    pixels, starts, sigma = problem(3)
    together = estimate(pixels, starts, sigma, settings, rotations=4, separation=10)
    for i in range(3):
        part = slice(i, i + 1)
        alone = estimate(pixels[part], starts[part], sigma[part], settings, rotations=4, separation=10)
        torch.testing.assert_close(together.images[part], alone.images, rtol=0, atol=1e-10)
        torch.testing.assert_close(together.log_likelihood[part], alone.log_likelihood, rtol=1e-12, atol=0)


def test_each_iteration_is_seen_and_ends_where_nothing_moves() -> None:
    seen: list[int] = []
    found = run(
        EmSettings(e_step="patch", iterations=200, stop_below=1e-3, precision="float64"),
        2, watch=lambda iteration, images: seen.append(iteration),
    )  # fmt: skip
    last = int(found.iterations.max())
    assert 3 < last < 200 and seen == list(range(last + 1))
    assert found.log_likelihood.shape == (2, last + 1)


def test_a_measurement_that_has_ended_stays_as_it_is_while_others_go_on() -> None:
    pixels, starts, sigma = problem(2)
    settings = EmSettings(e_step="patch", iterations=400, stop_below=1e-4, precision="float64")
    first = estimate(pixels[:1], starts[:1], sigma[:1], settings, rotations=4, separation=10)
    starts[0] = first.images[0]  # ends at once
    both = estimate(pixels, starts, sigma, settings, rotations=4, separation=10)
    assert int(both.iterations[0]) <= 3 < int(both.iterations[1])
    torch.testing.assert_close(both.images[0], first.images[0], rtol=0, atol=3e-4)


@pytest.mark.parametrize("shifts", ["uniform", "empty", "free"])
def test_the_prior_of_shifts_is_learned_as_the_settings_say(shifts: str) -> None:
    values = {"e_step": "patch", "shifts": shifts, "iterations": 12, "precision": "float64"}
    found = run(EmSettings.model_validate(values))
    gains = found.log_likelihood[0].diff()
    # Learning a mixture's weights is part of EM: the likelihood never falls.
    assert float(gains.min()) >= -1e-9 * float(found.log_likelihood.abs().max())


def test_float32_and_float64_end_alike() -> None:
    settings = [EmSettings(iterations=10), EmSettings(iterations=10, precision="float64")]
    images = [run(one).images.double() for one in settings]
    torch.testing.assert_close(images[0], images[1], rtol=0, atol=1e-4)
