"""Pictures in which there is nothing to measure: the contamination mask is empty, without a warning."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

from vitreous.picking.contamination import contamination_mask
from vitreous.picking.working import WorkingImage


def work_of(image: NDArray[np.floating], mask: NDArray[np.bool_], diameter: float) -> WorkingImage:
    return WorkingImage(image.astype(np.float32), mask, 1, diameter)


@pytest.mark.parametrize("clumps", [False, True])
@pytest.mark.parametrize("kind", ["constant", "spot", "no pixel", "one pixel", "one row", "tiny"])
def test_a_picture_without_evidence_is_not_masked(kind: str, clumps: bool) -> None:
    rng = np.random.default_rng(8)
    image, mask = rng.normal(size=(60, 70)), np.ones((60, 70), dtype=bool)
    diameter = 24.0
    if kind == "constant":
        image[:] = 1
    elif kind == "spot":
        image[:] = 0
        image[30, 30] = 1e6
    elif kind == "no pixel":
        mask[:] = False
    elif kind == "one pixel":
        mask[:] = False
        mask[30, 30] = True
    elif kind == "one row":
        mask[:] = False
        mask[30] = True
    else:
        image, mask = image[:3, :2], mask[:3, :2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = contamination_mask(work_of(image, mask, diameter), clumps=clumps)
    assert found.mask.shape == image.shape and not found.mask.any()
    assert found.share == found.carbon_share == 0


@pytest.mark.parametrize("diameter", [1.0, 3.0, 11.0, 47.9, 400.0])
def test_any_diameter_is_taken(diameter: float) -> None:
    image = np.random.default_rng(9).normal(size=(120, 100))
    found = contamination_mask(work_of(image, np.ones(image.shape, dtype=bool), diameter))
    assert found.mask.shape == image.shape and found.share < 0.02
