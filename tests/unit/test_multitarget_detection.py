from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from vitreous.multitarget.detection import Problem, best_of_starts, detect, likeliest, split
from vitreous.multitarget.em import Estimate
from vitreous.multitarget.measurement import plant
from vitreous.multitarget.orientation import centre_of_gravity, oriented, shifted
from vitreous.multitarget.prior_settings import GaussianPriorSettings
from vitreous.multitarget.priors.gaussian import GaussianPrior, gaussian_prior
from vitreous.multitarget.settings import EmSettings, MeasurementSettings
from vitreous.multitarget.starts import draw, other_starts

SIZE = 5


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def problem(image: Tensor, count: int, snr: float = 4.0, *, empty: bool = False) -> Problem:
    planted = [
        plant(image, MeasurementSettings(), snr, np.random.default_rng(seed), empty=empty)
        for seed in range(count)
    ]
    pixels = torch.stack([one.pixels for one in planted])
    return Problem(pixels, torch.full((count,), planted[0].sigma, dtype=torch.float64), 4, 2 * SIZE)


def upright() -> GaussianPrior:
    """A prior whose images differ between up and down, and between left and right."""
    mean = torch.zeros(SIZE, SIZE)
    mean[0], mean[:, 0] = 4.0, 2.0
    return gaussian_prior(GaussianPriorSettings(std=0.5), mean)


def test_of_several_starts_the_likeliest_end_is_kept() -> None:
    task = problem(noise(SIZE, SIZE) + 1, 3, snr=1.5)
    start = noise(3, SIZE, SIZE, seed=9)
    one = best_of_starts(task, start, EmSettings(iterations=12), None, generator())
    many = best_of_starts(task, start, EmSettings(iterations=12, restarts=6), None, generator())
    gains = many.log_likelihood[:, -1] - one.log_likelihood[:, -1]
    # Not below, to what batches of other sizes change in float32.
    assert float(gains.min()) > -0.1 and float(gains.max()) > 1
    again = best_of_starts(task, start, EmSettings(iterations=12, restarts=6), None, generator())
    assert torch.equal(many.images, again.images)


def test_repeated_measurements_are_split_as_they_were_joined() -> None:
    task = problem(noise(SIZE, SIZE), 2).repeated(3)
    assert task.measurements.shape[0] == 6 and task.sigma is not None and len(task.sigma) == 6
    rows = torch.arange(6.0)
    whole = Estimate(rows[:, None, None], rows, rows, rows[:, None], rows)
    parts = split(whole, 3)
    assert [part.targets.tolist() for part in parts] == [[0, 1], [2, 3], [4, 5]]
    best = likeliest([parts[1], parts[0], parts[2]])
    assert best.targets.tolist() == [4, 5]


def test_histories_of_unlike_length_are_joined() -> None:
    def ended(likelihood: list[float]) -> Estimate:
        last = torch.tensor(likelihood[-1:])
        return Estimate(last[:, None, None], last, last, torch.tensor([likelihood]), last)

    best = likeliest([ended([1.0, 5.0]), ended([1.0, 2.0, 4.0])])
    assert best.log_likelihood.tolist() == [[1.0, 5.0, 5.0]]


def test_em_starts_at_the_priors_mean_where_that_is_asked_for() -> None:
    prior, frames = upright(), []
    task = problem(prior.mean.double() + 0.5 * noise(SIZE, SIZE), 1)
    settings = EmSettings(iterations=1, start="prior")
    start = torch.zeros(1, SIZE, SIZE)
    best_of_starts(task, start, settings, prior, generator(), lambda _, images: frames.append(images))
    assert torch.equal(frames[0][0], prior.mean)


def test_draws_follow_the_prior() -> None:
    prior = upright()
    images = draw(prior, noise(4000, SIZE, SIZE))
    # Standard errors of 0.008 and 0.006; Euler's 18 steps, without a second order, shrink the spread by 12 %.
    torch.testing.assert_close(images.mean(0), prior.mean.double(), atol=0.05, rtol=0)
    torch.testing.assert_close(images.std(0), torch.full((SIZE, SIZE), 0.5).double(), atol=0.1, rtol=0)


def test_other_starts_are_unlike_each_other_and_the_first() -> None:
    start = noise(2, SIZE, SIZE)
    for prior in (None, upright()):
        others = other_starts(start, 3, prior, generator())
        assert others.shape == (3, 2, SIZE, SIZE) and others.dtype == start.dtype
        everything = torch.cat([start[None], others]).flatten(0, 1).flatten(1)
        assert float(torch.cdist(everything, everything).fill_diagonal_(9).min()) > 0.5


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_a_prior_sets_a_turned_image_upright(turn: int) -> None:
    prior = upright()
    image = prior.mean.double() + 0.3 * noise(SIZE, SIZE, seed=turn)
    found = oriented(image.rot90(turn)[None], prior, 4, generator())[0]
    assert float((found - image).norm() / image.norm()) < 1e-12


def test_a_prior_moves_an_image_to_where_its_own_lie() -> None:
    mean = torch.zeros(9, 9)
    mean[3:6, 3:6] = torch.tensor([[4.0, 4, 4], [4, 0, 0], [4, 0, 0]])
    prior = gaussian_prior(GaussianPriorSettings(std=0.2), mean)
    image = shifted(mean, 2, -1).rot90(3)
    assert torch.equal(oriented(image[None], prior, 4, generator())[0], mean)


def test_shifts_move_whole_pixels_and_lose_what_leaves() -> None:
    image = torch.arange(1.0, 10).reshape(3, 3)
    assert shifted(image, 1, 0).tolist() == [[0, 0, 0], [1, 2, 3], [4, 5, 6]]
    assert shifted(image, 0, -2).tolist() == [[3, 0, 0], [6, 0, 0], [9, 0, 0]]
    assert not shifted(image, 3, 0).any()
    assert centre_of_gravity(torch.zeros(3, 3)).tolist() == [1, 1]
    assert centre_of_gravity(shifted(torch.eye(3), 0, 1)).tolist() == [0.5, 1.5]


def test_orientation_ends_upright_and_no_worse() -> None:
    prior = upright()
    truth = prior.mean.double() + 0.5 * noise(SIZE, SIZE, seed=3)
    task, start = problem(truth, 2, snr=8.0), truth.rot90(1).expand(2, -1, -1)
    settings = EmSettings(iterations=12, anneal_from=0)
    lying = best_of_starts(task, start, settings, prior, generator()).images
    standing = best_of_starts(
        task, start, settings.model_copy(update={"orient": True}), prior, generator()
    ).images
    errors = [((images - truth).flatten(1).norm(dim=1) / truth.norm()) for images in (lying, standing)]
    assert float(errors[0].min()) > 0.5 and float(errors[1].max()) < 0.15


def test_an_image_is_claimed_where_targets_are_and_not_in_noise() -> None:
    image = noise(SIZE, SIZE, seed=4) + 1
    settings = EmSettings(iterations=15, alarm_rate=0.01)
    start = (image + 0.5 * noise(SIZE, SIZE, seed=6)).expand(4, -1, -1)
    there = detect(problem(image, 4), start, settings, prior=None, generator=generator())
    assert bool(there.claimed.all()) and torch.equal(there.images, there.estimate.images)
    nothing = detect(problem(image, 4, empty=True), start, settings, prior=None, generator=generator())
    assert not bool(nothing.claimed.any()) and not bool(nothing.images.any())
    assert bool(nothing.estimate.images.any())  # noise has been learned all the same
    assert float(nothing.log_evidence.max()) < math.log(100)


def test_without_a_test_every_image_is_claimed() -> None:
    found = detect(
        problem(noise(SIZE, SIZE), 1), noise(1, SIZE, SIZE), EmSettings(iterations=1),
        prior=None, generator=generator(),
    )  # fmt: skip
    assert bool(found.claimed) and math.isnan(float(found.log_evidence))
