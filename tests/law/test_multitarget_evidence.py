"""Evidence of targets: a likelihood ratio of mean one under noise, which grows with the targets."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from vitreous.multitarget.detection import Problem, confirmed
from vitreous.multitarget.evidence import combined, log_evidence
from vitreous.multitarget.measurement import plant
from vitreous.multitarget.settings import EmSettings, MeasurementSettings


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def full(count: int, value: float) -> Tensor:
    return torch.full((count,), value, dtype=torch.float64)


@pytest.mark.parametrize(
    ("rotations", "strength", "density"), [(4, 0.5, 0.01), (1, 0.8, 0.003), (4, 0.7, 9.0)]
)
def test_under_noise_the_ratio_has_mean_one(rotations: int, strength: float, density: float) -> None:
    count, sigma = 6000, 1.7
    image = sigma * strength * noise(3, 3, seed=1)
    measurements = sigma * noise(count, 12, 13)
    ratios = log_evidence(
        measurements, image.expand(count, -1, -1), rotations, full(count, sigma), full(count, density)
    ).exp()
    error = float(ratios.std()) / math.sqrt(count)
    assert error < 0.1 and abs(float(ratios.mean()) - 1) < 4 * error


def test_under_noise_the_ratio_is_rarely_large_even_for_a_strong_image() -> None:
    count = 2000
    image = (3 * noise(3, 3, seed=2)).expand(count, -1, -1)
    ratios = log_evidence(noise(count, 12, 12), image, 4, full(count, 1.0), full(count, 0.02))
    # Markov's inequality, with four standard errors of a share of 1 / 20.
    assert float((ratios > math.log(20)).double().mean()) < 0.05 + 4 * math.sqrt(0.05 * 0.95 / count)


def test_a_mean_of_ratios_is_a_ratio() -> None:
    parts = [torch.tensor([0.0, -2000.0]), torch.tensor([math.log(3), 1000.0])]
    torch.testing.assert_close(combined(parts), torch.tensor([math.log(2), 1000 - math.log(2)]))


def test_the_evidence_grows_with_the_targets() -> None:
    image = noise(5, 5, seed=3) + 1
    found = []
    for count in (0, 4, 8, 12):
        rng = np.random.default_rng(5)
        settings = MeasurementSettings(density=max(count, 1) / 121)
        pixels = torch.stack([plant(image, settings, 2.0, rng, empty=count == 0).pixels for _ in range(20)])
        sigma = math.sqrt(float(image.square().mean()) / 2)
        images = image.expand(20, -1, -1)
        ratios = log_evidence(pixels, images, 4, full(20, sigma), full(20, max(count, 1) / 55**2))
        found.append(float(ratios.mean()))
    assert found[0] < 0 < found[1] < found[2] < found[3]


def test_a_tile_larger_than_the_measurement_is_left_out() -> None:
    image = 0.5 * noise(1, 5, 5)
    found = log_evidence(noise(1, 11, 40), image, 4, full(1, 1.0), full(1, 0.01))
    assert math.isfinite(float(found))


def test_halves_confirm_each_other_where_targets_are_and_not_in_noise() -> None:
    image = noise(5, 5, seed=4) + 1
    ratios = []
    for empty in (False, True):
        rng = np.random.default_rng(7)
        planted = [plant(image, MeasurementSettings(), 5.0, rng, empty=empty) for _ in range(4)]
        pixels = torch.stack([one.pixels for one in planted])
        problem = Problem(pixels, full(4, planted[0].sigma), 4, 10)
        start = (image + 0.5 * noise(5, 5, seed=6)).expand(4, -1, -1)
        settings = EmSettings(iterations=15, precision="float64")
        ratios.append(confirmed(problem, start, settings, None, torch.Generator().manual_seed(0)))
    assert float(ratios[0].min()) > math.log(1000) and float(ratios[1].max()) < math.log(20)
