from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from vitreous.metrics.image_errors import aligned_error
from vitreous.multitarget.measurement import Planted, plant
from vitreous.multitarget.orientation import shifted
from vitreous.multitarget.poses import Poses, find_poses, matches
from vitreous.multitarget.rotation import Rotations
from vitreous.multitarget.settings import MeasurementSettings

SIZE = 12


def with_margin() -> Tensor:
    """An image without symmetry whose outer three pixels are empty."""
    image = torch.zeros(SIZE, SIZE, dtype=torch.float64)
    inner = torch.randn(6, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    image[3:-3, 3:-3] = inner + 1
    return image


def measured(image: Tensor, rotations: int = 4, snr: float = 8.0) -> Planted:
    # Wider apart than they are looked for: a moved image moves neighbours of other rotations closer.
    settings = MeasurementSettings(rotations=rotations, separation=2.6, density=0.08)
    return plant(image, settings, snr, np.random.default_rng(3))


def found_with(image: Tensor, one: Planted, rotations: int = 4) -> Poses:
    return find_poses(one.pixels, image, one.sigma, 12, rotations=rotations, separation=2 * SIZE)


def test_with_the_true_image_all_targets_are_found_and_nothing_else() -> None:
    one = measured(with_margin())
    poses = found_with(with_margin(), one)
    assert matches(poses, one.corners, one.turns, rotations=4, turn=0, shift=(0, 0)) == len(one.turns)
    assert sorted(map(tuple, poses.corners)) == sorted(map(tuple, one.corners))
    assert poses.mass.min() > 0.9


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
@pytest.mark.parametrize("shift", [(0, 0), (1, -2), (-3, 0), (0, 3), (3, 3)])
def test_poses_of_a_turned_and_moved_image_are_those_of_the_truth(turn: int, shift: tuple[int, int]) -> None:
    truth = with_margin()
    one = measured(truth)
    # Turned by `turn` and then moved by `shift` it is the truth.
    image = shifted(truth, -shift[0], -shift[1]).rot90(-turn)
    poses = found_with(image, one)
    aligned = aligned_error(image[None], truth, 4, max_shift_px=3)
    x, y = aligned.shift_px[0].tolist()
    assert float(aligned.error) < 1e-12 and (int(aligned.rotation), y, x) == (turn, *shift)
    right = matches(poses, one.corners, one.turns, rotations=4, turn=turn, shift=shift)
    # A target within 3 px of the edge has its moved corner outside of the measurement.
    edge = max(abs(part) for part in shift)
    inside = np.all((one.corners >= edge) & (one.corners <= 11 * SIZE - SIZE - edge), axis=1)
    assert inside.sum() <= right <= len(one.turns) and inside.sum() >= 8
    # To the pixel, as the images are exact.
    exact = matches(poses, one.corners, one.turns, rotations=4, turn=turn, shift=shift, within_px=0.01)
    assert exact >= inside.sum()
    assert matches(poses, one.corners, one.turns, rotations=4, turn=turn + 1, shift=shift) == 0
    if max(map(abs, shift)) > 2:
        assert matches(poses, one.corners, one.turns, rotations=4, turn=turn, shift=(0, 0)) < right


def test_poses_in_twelve_rotations_follow_the_same_rule() -> None:
    truth = with_margin()
    one, operator = measured(truth, 12, snr=30.0), Rotations(12, SIZE, truth)
    # Eleven steps of thirty degrees: turned by one more it is the truth.
    image = operator.turn(truth[None])[0, 11]
    poses = found_with(image, one, 12)
    assert matches(poses, one.corners, one.turns, rotations=12, turn=1, shift=(0, 0)) == len(one.turns)
    assert matches(poses, one.corners, one.turns, rotations=12, turn=11, shift=(0, 0)) == 0


def test_in_noise_nothing_is_found() -> None:
    one = plant(with_margin(), MeasurementSettings(), 8.0, np.random.default_rng(3), empty=True)
    poses = found_with(with_margin(), one)
    assert poses.corners.shape == (0, 2) and len(poses.turns) == len(poses.mass) == 0
    assert matches(poses, one.corners, one.turns, rotations=4, turn=0, shift=(0, 0)) == 0


def test_a_true_pose_counts_once_and_within_two_pixels() -> None:
    corners, turns = np.array([[10, 10], [40, 40]]), np.array([0, 1])
    twice = Poses(np.array([[11, 9], [10, 10]]), np.array([0, 0]), np.ones(2))
    assert matches(twice, corners, turns, rotations=4, turn=0, shift=(0, 0)) == 1
    far = Poses(np.array([[13, 10], [40, 38]]), np.array([0, 1]), np.ones(2))
    assert matches(far, corners, turns, rotations=4, turn=0, shift=(0, 0)) == 1


def test_found_poses_do_not_collide() -> None:
    one = measured(with_margin(), snr=0.5)
    poses = found_with(with_margin(), one)
    distance = np.abs(poses.corners[:, None] - poses.corners[None]).max(-1)
    # A corner may lie 2 px from the peak of the mass around it.
    assert np.all(distance[~np.eye(len(distance), dtype=bool)] >= 2 * SIZE - 4)
