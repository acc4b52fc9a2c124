"""Laws of the E-step on the whole measurement, of the sums over windows and of rotations."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from vitreous.metrics.image_errors import aligned_error
from vitreous.multitarget.em import estimate
from vitreous.multitarget.maximise import closed_form
from vitreous.multitarget.measurement import Planted, average_of_known, plant
from vitreous.multitarget.rotation import Rotations
from vitreous.multitarget.settings import EmSettings, MeasurementSettings
from vitreous.multitarget.whole import WholeStep, tiling_of
from vitreous.multitarget.windows import HEADROOM, SAFE, window_logsumexp


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def planted(image: Tensor, snr: float, seed: int = 0, **settings: float) -> Planted:
    return plant(image, MeasurementSettings.model_validate(settings), snr, np.random.default_rng(seed))


def number(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


def relative(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).abs().max() / exact.abs().max())


# Windows


def windows_one_by_one(values: Tensor, reach: int) -> Tensor:
    found = torch.empty_like(values)
    height, width = values.shape
    for y, x in itertools.product(range(height), range(width)):
        rows = slice(max(y - reach + 1, 0), y + reach)
        columns = slice(max(x - reach + 1, 0), x + reach)
        found[y, x] = torch.logsumexp(torch.cat([values[rows, columns].flatten(), torch.zeros(1)]), 0)
    return found


@pytest.mark.parametrize("highest", [-50.0, 0.0, HEADROOM - 1, SAFE - 1, SAFE + 1, 1e5])
@pytest.mark.parametrize("reach", [1, 2, 5, 8, 40])
def test_a_window_holds_the_sum_of_its_exponentials(highest: float, reach: int) -> None:
    values = 20 * noise(17, 13, seed=reach)
    values += highest - values.max()
    values[3, 4:9] = -torch.inf
    found = window_logsumexp(values[None], reach)[0]
    # Rounding of a value in the thousands.
    torch.testing.assert_close(found, windows_one_by_one(values, reach), rtol=1e-13, atol=1e-11)


def test_a_small_term_is_kept_where_a_large_one_is_out_of_reach() -> None:
    values = torch.full((40, 40), -torch.inf, dtype=torch.float64)
    values[0, 0], values[30, 30] = 1200.0, 3.0
    assert float(window_logsumexp(values, 5)[30, 30]) == pytest.approx(math.log1p(math.exp(3.0)), rel=1e-12)


# The E-step


@pytest.mark.parametrize("shape", [(16, 16), (17, 13)])
def test_the_e_step_is_that_of_a_loop_over_corners(shape: tuple[int, int]) -> None:
    size, separation, sigma, targets, rotations = 4, 6, 0.8, 2.5, 4
    measurement, image = noise(*shape), noise(size, size, seed=1)
    measurement[5:9, 6:10] += image.rot90(1)
    step = WholeStep(measurement[None], size, separation)
    operator = Rotations(rotations, size, image)
    found = step.statistics(image[None], operator, number(sigma), number(targets))
    height, width = shape[0] - size + 1, shape[1] - size + 1
    blocked = (2 * separation - 1) ** 2
    free = max(1 - targets * blocked / (height * width), 0.1)
    odds = torch.empty(rotations, height, width, dtype=torch.float64)
    for k, y, x in itertools.product(range(rotations), range(height), range(width)):
        turned, window = image.rot90(k), measurement[y : y + size, x : x + size]
        gain = ((window * turned).sum() - turned.square().sum() / 2) / sigma**2
        odds[k, y, x] = gain + math.log(targets / (height * width * rotations * free))
    total = windows_one_by_one(torch.logsumexp(odds, 0), separation)
    weights = (odds - total).exp()
    pull = torch.zeros(rotations, size, size, dtype=torch.float64)
    for k, y, x in itertools.product(range(rotations), range(height), range(width)):
        pull[k] += weights[k, y, x] * measurement[y : y + size, x : x + size]
    assert relative(found.pull[0], pull) < 1e-12
    assert relative(found.weight[0, :, 0, 0], weights.sum((1, 2))) < 1e-12
    assert float(found.targets) == pytest.approx(float(weights.sum()), rel=1e-12)


def test_tiles_give_what_one_tile_gives() -> None:
    one = planted(noise(5, 5) + 1, 5.0)
    image = (noise(5, 5) + 1)[None] + 0.3 * noise(1, 5, 5, seed=2)
    operator = Rotations(4, 5, image)
    whole = WholeStep(one.pixels[None], 5, 10)
    tiles = WholeStep(one.pixels[None], 5, 10, tile=2)
    assert len(whole.tiling.starts()) == 1 < len(tiles.tiling.starts())
    found, parts = (step.statistics(image, operator, number(one.sigma), number(9)) for step in (whole, tiles))
    # What lies in a tile's halo does not reach its own corners: the same to rounding.
    for name in ("pull", "weight", "targets", "log_likelihood", "residual"):
        assert relative(getattr(parts, name), getattr(found, name)) < 1e-10, name
    for whole_place, tiled in zip(
        whole.places(image, operator, one.sigma, 9), tiles.places(image, operator, one.sigma, 9), strict=True
    ):
        torch.testing.assert_close(tiled, whole_place)


@pytest.mark.parametrize("shape", [(300, 300), (300, 40), (40, 301)])
@pytest.mark.parametrize("tile", [2, 3, 24])
def test_the_tiles_cover_each_corner_once(shape: tuple[int, int], tile: int) -> None:
    tiling = tiling_of(shape, 7, 14, tile)
    count = np.zeros(tiling.corners, dtype=int)
    for y, x in tiling.starts():
        count[y : y + tiling.own[0], x : x + tiling.own[1]] += 1
    assert np.all(count == 1)
    assert all(side >= own + 2 * tiling.halo + 6 for side, own in zip(tiling.side, tiling.own, strict=True))


@pytest.mark.parametrize("snr", [0.3, 3.0, 100.0])
def test_no_more_than_one_target_is_seen_where_one_has_room(snr: float) -> None:
    image = noise(5, 5) + 1
    one = planted(image, snr)
    mass, _ = WholeStep(one.pixels[None], 5, 10).places(image[None], Rotations(4, 5, image), one.sigma, 12)
    # In a square of the separation's side each corner collides with each other.
    sums = torch.nn.functional.avg_pool2d(mass[None, None], 10, stride=1, divisor_override=1)
    assert float(sums.max()) <= 1 + 1e-5


@pytest.mark.parametrize("size", [4, 5, 7])
def test_with_little_noise_the_targets_and_their_poses_are_found(size: int) -> None:
    image = noise(size, size) + 1
    one = planted(image, 1e4, count="published")
    operator = Rotations(4, size, image)
    step = WholeStep(one.pixels[None], size, 2 * size)
    found = step.statistics(image[None], operator, number(one.sigma), number(12))
    assert float(found.targets) == pytest.approx(len(one.turns), abs=1e-6)
    by_rotation = torch.from_numpy(np.bincount(one.turns, minlength=4)).double()
    torch.testing.assert_close(found.weight[0, :, 0, 0], by_rotation, atol=1e-6, rtol=0)
    known = average_of_known(one, size, operator)
    assert relative(closed_form(found.pull, found.weight, operator)[0], known) < 1e-8
    mass, turns = step.places(image[None], operator, one.sigma, 12)
    for (y, x), k in zip(one.corners, one.turns, strict=True):
        assert float(mass[y, x]) == pytest.approx(1, abs=1e-5) and int(turns[y, x]) == k


def test_a_transposed_measurement_gives_the_transposed_image() -> None:
    image = noise(5, 5) + 1
    pixels, start = planted(image, 5.0).pixels[:40], noise(5, 5, seed=3) + 1
    settings = EmSettings(iterations=10, precision="float64")
    images = [
        estimate(m[None], s[None], number(0.7), settings, rotations=4, separation=10).images[0]
        for m, s in ((pixels, start), (pixels.T.contiguous(), start.T.contiguous()))
    ]
    assert relative(images[1].T, images[0]) < 1e-10


# Rotations


@pytest.mark.parametrize("count", [1, 4, 12, 36])
@pytest.mark.parametrize("size", [5, 8])
def test_turning_back_is_the_transpose_of_turning(count: int, size: int) -> None:
    operator = Rotations(count, size, noise(1))
    images, turned = noise(2, size, size), noise(2, count, size, size, seed=1)
    left = (operator.turn(images) * turned).sum()
    assert float(left) == pytest.approx(float((images * operator.back(turned)).sum()), rel=1e-12)


@pytest.mark.parametrize(("count", "step"), [(4, 1), (12, 3), (36, 9)])
@pytest.mark.parametrize("size", [4, 5])
def test_quarter_turns_move_pixels(count: int, step: int, size: int) -> None:
    image = noise(size, size)
    turned = Rotations(count, size, image).turn(image[None])[0]
    for quarter in range(4):
        assert torch.equal(turned[quarter * step], image.rot90(quarter))


def blob(size: int, down: float, right: float) -> Tensor:
    """A round spot of 3 px off the centre of the box, as two of different height."""
    at = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    return torch.exp(-((at[:, None] - down) ** 2 + (at[None, :] - right) ** 2) / 8)


def test_a_turn_by_thirty_degrees_takes_a_spot_where_it_belongs() -> None:
    turned = Rotations(12, 24, noise(1)).turn(blob(24, 0, 6)[None])[0]
    for k in range(12):
        angle = 2 * math.pi * k / 12
        # Counter-clockwise: what is at the right goes up. Cubic interpolation of 2 px spots errs by < 1 %.
        expected = blob(24, -6 * math.sin(angle), 6 * math.cos(angle))
        torch.testing.assert_close(turned[k], expected, atol=0.01, rtol=0)


def test_an_average_in_interpolated_rotations_stays_bounded() -> None:
    image = blob(14, -1, 2) - 0.6 * blob(14, -3, -3)
    operator = Rotations(36, 14, image)
    for seed in range(4):
        # Few of 36 rotations: corners that all of them turn out of the box were divided by next to nothing.
        one = planted(image, 20.0, seed=seed, rotations=36, density=0.03)
        known = average_of_known(one, 14, operator)
        floor = 1 / math.sqrt(len(one.turns) * 20.0)
        assert float((known - image).norm() / image.norm()) < 1.5 * floor


def test_targets_in_thirty_six_rotations_are_recovered() -> None:
    size = 14
    image = blob(size, -1, 2) + 0.7 * blob(size, 3, -1) - 0.6 * blob(size, -3, -3)
    operator = Rotations(36, size, image)
    one = planted(image, 20.0, seed=1, rotations=36)
    start = image + 0.2 * noise(size, size, seed=5)  # half as strong as the image itself
    found = estimate(
        one.pixels[None], start[None], number(one.sigma), EmSettings(iterations=15), rotations=36,
        separation=2 * size,
    )  # fmt: skip
    error = aligned_error(found.images.double(), image, 36, turned=operator.turn).error
    known = average_of_known(one, size, operator)
    assert float(found.targets) == pytest.approx(len(one.turns), abs=0.2)
    # As good as with known poses, but for a target that lies between two angles.
    assert float(error) < 1.1 * float((known - image).norm() / image.norm())
