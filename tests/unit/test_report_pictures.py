"""Pictures: orientation, scale, marks in the right place, and the limit of bytes."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from vitreous.report.pictures import (
    Budget,
    Picture,
    block_mean,
    map_pictures,
    micrograph_picture,
    overlay,
    stretch,
)


def decoded(picture: Picture) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture.webp)).convert("L"), dtype=float)


def test_block_mean_averages_blocks_and_drops_the_rest() -> None:
    pixels = np.arange(5 * 7, dtype=np.float32).reshape(5, 7)
    small = block_mean(pixels, 2)
    assert small.shape == (2, 3)
    assert small[0, 0] == pixels[:2, :2].mean() and small[1, 2] == pixels[2:4, 4:6].mean()


def test_micrograph_picture_keeps_the_first_row_on_top_and_dark_particles_dark() -> None:
    y, x = np.mgrid[:600, :900]
    noise = np.random.default_rng(0).normal(0, 0.05, x.shape)
    pixels = (noise - np.exp(-((x - 700) ** 2 + (y - 100) ** 2) / (2 * 12.0**2))).astype(np.float32)
    picture = micrograph_picture(pixels, side_px=300, diameter_px=40)
    grey = decoded(picture)
    assert grey.shape == (200, 300) and picture.scale == 3
    blurred = gaussian_filter(grey, 3)
    row, column = np.unravel_index(np.argmin(blurred), grey.shape)
    # Within one pixel of the picture: the place is a whole number.
    assert abs(row - 100 / 3) <= 1 and abs(column - 700 / 3) <= 1


def test_stretch_of_a_constant_picture_is_grey_and_of_two_values_black_and_white() -> None:
    assert set(np.unique(stretch(np.zeros((4, 4), np.float32), 1, 99))) == {128}
    assert set(np.unique(stretch(np.eye(4, dtype=np.float32), 0, 100))) == {0, 255}


def test_marks_stand_on_their_particles_and_differ_in_shape() -> None:
    picture = Picture(b"", 100, 50, 4.0)
    picks = {
        "hit": np.array([[201.5, 101.5]]),
        "miss": np.array([[0.0, 0.0]]),
        "false": np.array([[399, 199]]),
    }
    svg = overlay(picture, picks, 40.0, "alt", name="one", marks="picks-1")
    # Centre of pixel 201.5 of the original is (201.5 + 0.5) / 4 of the picture, in tenths; radius 100.
    assert "M405 255a100 100" in svg
    assert svg.count('class="halo') == 3 and {"hit", "miss", "false"} <= set(
        re.findall(r'<use class="(\w+)"', svg)
    )
    assert "h170v170h-170z" in svg


def test_a_picture_that_is_shown_again_is_not_repeated() -> None:
    picture, picks = Picture(b"x" * 300, 100, 50, 4.0), {"hit": np.array([[8.0, 8.0]])}
    first = overlay(picture, picks, 40.0, "alt", name="one", marks="picks-1")
    again = overlay(picture, picks, 40.0, "alt", name="one", marks="picks-2", again=True)
    assert '<image id="one" href="data:' in first and '<use href="#one"/>' not in first
    assert "data:" not in again and '<use href="#one"/>' in again
    # Names of marks differ, so that each overlay draws its own.
    assert set(re.findall(r'<path id="([\w-]+)"', first + again)) == {"picks-1-hit", "picks-2-hit"}


def test_map_pictures_show_the_slice_and_the_sum_along_each_axis() -> None:
    volume = np.zeros((40, 40, 40), np.float32)
    volume[20, 5, 30] = 1.0
    pictures = map_pictures(volume, side_px=40)
    assert list(pictures) == ["slice z", "slice y", "slice x", "projection z", "projection y", "projection x"]
    row, column = np.unravel_index(np.argmax(decoded(pictures["projection z"])), (40, 40))
    assert (row, column) == (5, 30)
    row, column = np.unravel_index(np.argmax(decoded(pictures["projection y"])), (40, 40))
    assert (row, column) == (20, 30)


@pytest.mark.parametrize("left, granted", [(100, True), (99, False)])
def test_budget_refuses_what_does_not_fit_and_counts_it(left: int, granted: bool) -> None:
    budget = Budget(left)
    assert budget.take(100) is granted
    assert budget.refused == (0 if granted else 1)
