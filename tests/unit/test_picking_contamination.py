"""The contamination mask: its frame, its shares and the filters it is made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from discs import discs, scattered
from scipy import ndimage

from vitreous.picking.carbon import dilated, grown
from vitreous.picking.contamination import Contamination, contamination_mask
from vitreous.picking.working import WorkingImage, working_image

D = 24


def picture(seed: int = 1, shape: tuple[int, int] = (400, 400)) -> WorkingImage:
    """Particles of height 1 in noise of 1 and a film of carbon twice as strong over the right third."""
    rng = np.random.default_rng(seed)
    centres = scattered(rng, shape, 60, D, D)
    image = discs(shape, centres[centres[:, 0] < shape[1] * 0.6], D)
    image[:, round(shape[1] * 2 / 3) :] += 2
    return working_image((image + rng.normal(size=shape)).astype(np.float32), D, "bright")


def test_the_mask_has_the_frame_of_the_working_image_and_its_share_is_that_of_its_pixels() -> None:
    work = picture(shape=(391, 405))
    found = contamination_mask(work)
    assert found.mask.shape == work.image.shape and found.mask.dtype == bool
    assert found.share == pytest.approx(found.mask.sum() / work.mask.sum())
    assert 0.3 < found.carbon_share <= found.share < 0.4


def test_the_same_picture_gives_the_same_mask() -> None:
    work = picture()
    assert np.array_equal(contamination_mask(work).mask, contamination_mask(work).mask)


def test_smeared_bands_are_neither_masked_nor_counted() -> None:
    work = picture()
    mask = work.mask.copy()
    mask[:, :30], mask[:, -30:] = False, False
    found = contamination_mask(replace(work, mask=mask))
    assert not found.mask[~mask].any()
    assert found.mask[:, 275:-35].mean() > 0.98
    assert found.share == pytest.approx(found.mask.sum() / mask.sum())


def test_balls_of_ice_are_not_counted_as_carbon() -> None:
    rng = np.random.default_rng(2)
    image = 3 * discs((300, 300), np.array([[150.0, 150.0]]), 4 * D) + rng.normal(size=(300, 300))
    found = contamination_mask(working_image(image.astype(np.float32), D, "bright"))
    assert found.share > 0.05 and found.carbon_share == 0


def test_dilation_by_rows_is_the_dilation_by_a_disc() -> None:
    image = np.random.default_rng(3).normal(size=(40, 53)).astype(np.float32)
    for radius in (0.5, 2.3, 7.2):
        reach = int(radius)
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        disc = x**2 + y**2 <= radius**2
        expected = ndimage.grey_dilation(image, footprint=disc, mode="constant", cval=-np.inf)
        assert np.array_equal(dilated(image, np.ones(image.shape, dtype=bool), radius), expected)


def test_what_is_outside_the_mask_is_not_dilated() -> None:
    image = np.zeros((9, 9), dtype=np.float32)
    image[4, 4] = 5
    inside = np.ones((9, 9), dtype=bool)
    inside[4, 4] = False
    assert dilated(image, inside, 2)[inside].max() == 0


def test_a_mask_grows_by_the_distance() -> None:
    mask = np.zeros((9, 9), dtype=bool)
    mask[4, 4] = True
    assert grown(mask, 1.0).sum() == 5 and grown(mask, 1.5).sum() == 9


def test_clumps_are_masked_only_if_asked_for() -> None:
    rng = np.random.default_rng(4)
    shape = (400, 400)
    centres = scattered(rng, shape, 60, 1.5 * D, D)
    far = centres[np.hypot(*(centres - 200).T) > 3 * D]
    clump = 200 + D * np.array([[-0.4, 0.0], [0.4, 0.0], [0.0, 0.0], [0.0, 0.0]])
    image = discs(shape, np.vstack([far, clump]), 0.8 * D) + 0.5 * rng.normal(size=shape)
    work = working_image(image.astype(np.float32), D, "bright")
    asked = contamination_mask(work, clumps=True)
    assert isinstance(asked, Contamination) and asked.mask[200, 200]
    assert not asked.mask[tuple(np.rint(far[:, ::-1]).astype(int).T)].any()
    assert not contamination_mask(work).mask.any()
