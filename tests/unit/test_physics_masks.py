"""Soft masks: values inside, at the edge and outside; refusal of useless thresholds."""

from __future__ import annotations

import math

import pytest
import torch

from vitreous.errors import InputError
from vitreous.physics import masks


def test_a_disc_is_one_inside_half_in_the_middle_of_the_edge_and_zero_outside():
    disc = masks.soft_disc((32, 32), 6, 4)
    assert disc[16, 16] == 1 and disc[16, 22] == 1
    assert disc[16, 24] == pytest.approx(0.5)
    assert disc[16, 26] == 0 and disc[0, 0] == 0


def test_a_disc_stands_where_its_centre_is_in_x_and_y():
    disc = masks.soft_disc((20, 30), 2, 0, centre=(25, 4))
    assert disc.shape == (20, 30)
    assert disc[4, 25] == 1 and disc[4, 28] == 0 and disc[15, 15] == 0
    assert disc.sum() == 13  # lattice points within 2 px


def test_the_volume_of_a_ball_is_that_of_its_middle_radius():
    ball = masks.soft_ball(48, 14, 4, dtype=torch.float64)
    # The raised cosine about radius 16 adds terms of second order in edge/radius: below 1 %.
    assert float(ball.sum()) == pytest.approx(4 / 3 * math.pi * 16**3, rel=0.01)


def test_a_shell_is_hollow():
    shell = masks.soft_shell(40, 8, 14, 2)
    assert shell[20, 20, 20] == 0 and shell[20, 20, 30] == 1 and shell[20, 20, 37] == 0
    assert shell[20, 20, 27] == pytest.approx(0.5)


def test_a_mask_grown_from_a_density_extends_and_softens():
    volume = torch.zeros(24, 24, 24)
    volume[12, 12, 12] = 1
    mask = masks.threshold_mask(volume, 0.5, 3, 4)
    assert mask[12, 12, 14] == 1  # nearer than 3 voxels
    assert mask[12, 12, 16] == pytest.approx(0.5)
    assert mask[12, 12, 18] == 0
    assert mask.dtype == volume.dtype


def test_an_empty_mask_is_refused_with_the_range_of_the_density():
    with pytest.raises(InputError, match="empty.*threshold 0.3"):
        masks.threshold_mask(torch.rand(8, 8, 8) * 0.28, 0.3, 1, 1)


def test_a_mask_that_fills_the_box_is_refused():
    with pytest.raises(InputError, match="fills the whole box"):
        masks.threshold_mask(torch.ones(8, 8, 8), 0.5, 1, 1)
    speck = torch.zeros(8, 8, 8)
    speck[4, 4, 4] = 1
    with pytest.raises(InputError, match="smaller extension"):
        masks.threshold_mask(speck, 0.5, 20, 1)


def test_the_radius_is_counted_from_the_voxel_n_over_two():
    radius = masks.radius_grid((5, 6))
    assert radius[2, 3] == 0 and radius[2, 5] == 2 and radius[4, 3] == 2
