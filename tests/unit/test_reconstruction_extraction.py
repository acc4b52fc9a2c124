"""Boxes, their centres and origins, edges, contrast."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vitreous.errors import InputError, SettingsError
from vitreous.physics.fourier import shift_2d
from vitreous.reconstruction.extraction import (
    BoxSize,
    box_size,
    cut_boxes,
    develop,
    friendly_even,
    match_truth,
    origins,
    place_boxes,
    refuse_other_size,
)


def centroid(image: np.ndarray) -> np.ndarray:
    """x, y of the brightness of a peak above half its height, about n//2."""
    n = image.shape[0]
    bright = np.clip(image - 0.2 * image.max(), 0, None)
    y, x = np.mgrid[:n, :n] - n // 2
    return np.array([(bright * x).sum(), (bright * y).sum()]) / bright.sum()


def test_even_sizes_for_the_fft_have_no_factor_above_five() -> None:
    assert [friendly_even(n) for n in (2, 61, 97, 139, 201, 257)] == [2, 64, 100, 144, 216, 270]


def test_the_box_follows_the_diameter_and_the_wanted_pixels() -> None:
    size = box_size(1.0, 100.0)
    assert (size.cut_px, size.box_px, size.pixel_size_A) == (160, 160, 1.0)
    assert size.background_px == pytest.approx(60)
    halved = box_size(1.0, 100.0, pixel_size_A=2.0)
    assert (halved.cut_px, halved.box_px, halved.pixel_size_A) == (160, 80, 2.0)
    odd = box_size(1.1, 100.0, box_px=64, pixel_size_A=3.0)
    assert odd.cut_px % 2 == 0
    assert odd.pixel_size_A == pytest.approx(1.1 * odd.cut_px / 64)


def test_boxes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(SettingsError, match="smaller than the particle"):
        box_size(1.0, 100.0, box_px=64)
    with pytest.raises(SettingsError, match="below the micrographs'"):
        box_size(2.0, 100.0, pixel_size_A=1.0)


@pytest.mark.parametrize("pixel_size_A", [1.5, 3.0])
def test_shifting_an_image_by_its_origin_brings_the_particle_to_the_centre(pixel_size_A: float) -> None:
    rng = np.random.default_rng(0)
    picks = rng.uniform(60, 140, (6, 2))
    size = box_size(1.5, 60.0, pixel_size_A=pixel_size_A)
    for x, y in picks:
        rows, columns = np.mgrid[:200, :200]
        micrograph = -20 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 32) + rng.normal(
            0, 0.01, (200, 200)
        )
        boxes = place_boxes([[x, y]], size.cut_px, (200, 200))
        images, kept = develop(
            cut_boxes(micrograph.astype(np.float32), boxes.corner, size.cut_px), size, invert=True, ramp=True
        )
        assert kept.all() and np.abs(boxes.remainder_px).max() <= 0.5
        origin_px = origins(boxes.remainder_px, 1.5)[0] / size.pixel_size_A
        # The image shows the particle at centre - origin; a hundredth of a pixel is the noise's.
        np.testing.assert_allclose(centroid(images[0]), -origin_px, atol=0.02)
        moved = shift_2d(torch.from_numpy(images[0]), torch.from_numpy(origin_px).float()).numpy()
        np.testing.assert_allclose(centroid(moved), 0, atol=0.02)


def test_half_pixels_are_rounded_and_never_leave_more_than_half_a_pixel() -> None:
    boxes = place_boxes([[10.5, 10.49], [11.0, 12.51]], 8, (40, 40))
    np.testing.assert_array_equal(boxes.corner, [[7, 6], [7, 9]])
    np.testing.assert_allclose(boxes.remainder_px, [[-0.5, 0.49], [0, -0.49]])


def test_the_first_and_the_last_box_that_fit_are_inside() -> None:
    picks = [[4, 4], [3, 4], [36, 36], [37, 36], [-1, 20], [20, 39.6]]
    boxes = place_boxes(picks, 8, (40, 40))
    assert boxes.over_edge.tolist() == [False, True, False, True, True, True]
    assert boxes.outside.tolist() == [False, False, False, False, True, True]


def test_boxes_beyond_the_edge_repeat_its_pixels() -> None:
    micrograph = np.arange(100, dtype=np.float32).reshape(10, 10)
    padded = np.pad(micrograph, 6, mode="edge")
    for x, y in ((0, 0), (9, 9), (5, 9), (-2, 3), (11, 11)):
        corner = place_boxes([[x, y]], 8, (10, 10)).corner
        expected = padded[y + 2 : y + 10, x + 2 : x + 10]
        np.testing.assert_array_equal(cut_boxes(micrograph, corner, 8)[0], expected)


def test_particles_are_bright_on_a_background_of_mean_zero_and_deviation_one() -> None:
    rng = np.random.default_rng(1)
    size = BoxSize(32, 32, 1.0, 12.0)
    rows, columns = np.mgrid[:32, :32] - 16
    inside = np.hypot(rows, columns) < 8
    boxes = (rng.normal(100, 5, (4, 32, 32)) - 40 * inside + 0.7 * rows).astype(np.float32)
    images, kept = develop(boxes, size, invert=True, ramp=True)
    assert kept.all()
    outside = np.hypot(rows, columns) > 12
    np.testing.assert_allclose(images[:, outside].mean(1), 0, atol=1e-4)
    np.testing.assert_allclose(images[:, outside].std(1), 1, atol=1e-4)
    assert (images[:, inside].mean(1) > 3).all()


def test_a_box_with_a_constant_background_is_left_out() -> None:
    rng = np.random.default_rng(2)
    boxes = rng.normal(0, 1, (3, 16, 16)).astype(np.float32)
    boxes[1] = 7
    for size in (BoxSize(16, 16, 1.0, 6.0), BoxSize(16, 8, 2.0, 3.0)):
        images, kept = develop(boxes, size, invert=False, ramp=True)
        assert kept.tolist() == [True, False, True]
        assert len(images) == 2


def test_each_pick_gets_at_most_one_true_particle_and_the_nearest_pairs_win() -> None:
    truth = [[10.0, 10.0], [30.0, 10.0]]
    picks = [[12.0, 10.0], [11.0, 10.0], [80.0, 80.0], [31.0, 10.0]]
    np.testing.assert_array_equal(match_truth(picks, truth, 5.0), [-1, 0, -1, 1])


def test_picks_of_another_micrograph_size_are_refused_with_both_sizes() -> None:
    rng = np.random.default_rng(3)
    with pytest.raises(InputError, match=r"other micrograph size.*x < 100, y < 80"):
        refuse_other_size(rng.uniform(0, 200, (50, 2)), (80, 100), file="m.mrc")
    refuse_other_size(rng.uniform(0, 79, (50, 2)), (80, 100), file="m.mrc")
