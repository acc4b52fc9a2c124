"""Pre-processing of cryo-EMMAE with images as they should not be."""

from __future__ import annotations

import numpy as np
import pytest
from discs import micrograph, scattered
from numpy.typing import NDArray

from vitreous.errors import InputError
from vitreous.picking.emmae.preprocess import prepare
from vitreous.picking.emmae.settings import EmmaeSettings, PreprocessSettings

Image = NDArray[np.float32]
OURS, PUBLISHED = PreprocessSettings(), EmmaeSettings(published=True).preprocess
DIAMETER = 50.0


def noisy(shape: tuple[int, int] = (500, 460)) -> Image:
    rng = np.random.default_rng(0)
    return micrograph(rng, shape, scattered(rng, shape, 40, 60, 30), DIAMETER, 1.0)


def likeness(first: Image, second: Image) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


@pytest.mark.parametrize("settings", [OURS, PUBLISHED], ids=["ours", "published"])
def test_an_image_smaller_than_two_particles_is_refused(settings: PreprocessSettings) -> None:
    with pytest.raises(InputError, match="too small.*400 x 90 px.*2 x 50 px"):
        prepare(noisy((90, 400)), DIAMETER, "dark", settings)
    assert prepare(noisy((100, 101)), DIAMETER, "dark", settings).image.shape[0] >= 64


@pytest.mark.parametrize("settings", [OURS, PUBLISHED], ids=["ours", "published"])
@pytest.mark.parametrize("value", [0.0, 7.3, -1e6])
def test_a_constant_image_is_refused(settings: PreprocessSettings, value: float) -> None:
    with pytest.raises(InputError, match="constant"):
        prepare(np.full((300, 300), value, np.float32), DIAMETER, "dark", settings)


def test_pixels_that_are_no_number_are_refused() -> None:
    image = noisy()
    image[250, 200] = np.nan
    with pytest.raises(InputError, match="NaN"):
        prepare(image, DIAMETER, "dark", OURS)


def test_hot_pixels_hardly_change_the_picture_and_ruin_the_published_one() -> None:
    clean, hot = noisy(), noisy()
    rng = np.random.default_rng(1)
    rows, columns = (rng.integers(0, side, 20) for side in hot.shape)
    hot[rows, columns] = 1e6
    ours = [prepare(image, DIAMETER, "dark", OURS) for image in (clean, hot)]
    assert likeness(ours[0].image, ours[1].image) > 0.98
    assert ours[1].image.std() == pytest.approx(ours[0].image.std(), rel=0.05)
    # the defect that `clip` mends: least and largest value are both due to a hot pixel
    published = prepare(hot, DIAMETER, "dark", PUBLISHED)
    assert published.image.std() < 0.5 * ours[1].image.std()
    mended = prepare(hot, DIAMETER, "dark", PUBLISHED.model_copy(update={"clip": 5.0}))
    assert mended.image.std() > 0.8 * ours[1].image.std()


@pytest.mark.parametrize("settings", [OURS, PUBLISHED], ids=["ours", "published"])
def test_a_variance_lost_in_rounding_makes_no_nan(settings: PreprocessSettings) -> None:
    image = noisy() + np.float32(3e5)  # the float32 squares have steps of 8192, the noise has a variance of 1
    prepared = prepare(image, DIAMETER, "dark", settings)
    assert np.isfinite(prepared.image).all()
    assert likeness(prepared.image, prepare(noisy(), DIAMETER, "dark", settings).image) > 0.9


def test_a_flat_place_is_neither_nan_nor_glaring() -> None:
    image = noisy()
    image[100:400, 100:400] = 99.0
    prepared = prepare(image, DIAMETER, "dark", OURS)
    assert np.isfinite(prepared.image).all()
    assert prepared.image[120:130, 120:130].std() < 0.05


def test_a_mostly_flat_image_keeps_what_it_has() -> None:
    image = np.zeros((400, 400), np.float32)
    image[180:220, 180:220] = -1
    prepared = prepare(image, DIAMETER, "dark", OURS)
    row = round(200 / prepared.row_scale)
    assert prepared.mask.all()
    assert prepared.image[row, row] < prepared.image.mean()


@pytest.mark.parametrize("shape", [(101, 399), (257, 256), (399, 101)])
@pytest.mark.parametrize("settings", [OURS, PUBLISHED], ids=["ours", "published"])
def test_odd_sizes_pass(shape: tuple[int, int], settings: PreprocessSettings) -> None:
    prepared = prepare(noisy(shape), DIAMETER, "dark", settings)
    assert prepared.mask.shape == prepared.image.shape and prepared.image.dtype == np.float32
    x, y = prepared.to_full(
        np.array([prepared.image.shape[0] - 1.0]), np.array([prepared.image.shape[1] - 1.0])
    )
    assert x[0] <= shape[1] and y[0] <= shape[0]


def test_a_particle_of_few_pixels_is_not_enlarged() -> None:
    prepared = prepare(noisy((200, 300)), 18.0, "dark", OURS)
    assert prepared.image.shape == (200, 300) and prepared.diameter_px == 18.0
