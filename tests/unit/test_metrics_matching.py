"""One-to-one matching of picks against cases solved by hand, by search, and by the dense assignment."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from vitreous.metrics import pick_matching
from vitreous.metrics.pick_matching import hit_labels, match


def cloud(count: int, seed: int, side: float = 100.0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, side, (count, 2))


def test_more_pairs_win_over_shorter_ones() -> None:
    truth = np.array([[0.0, 0.0], [10.0, 0.0]])
    picks = np.array([[9.0, 0.0], [19.5, 0.0]])
    # nearest first would give pick 0 to truth 1 and leave the other two alone
    found = match(truth, picks, 10)
    assert found.truth_index.tolist() == [0, 1]
    assert found.pick_index.tolist() == [0, 1]
    assert found.distance.tolist() == pytest.approx([9.0, 9.5])


def test_of_equally_many_pairs_the_shortest_are_taken() -> None:
    truth = np.array([[0.0, 0.0], [4.0, 0.0]])
    picks = np.array([[5.0, 0.0], [1.0, 0.0]])
    assert match(truth, picks, 10).pick_index.tolist() == [1, 0]


def test_the_radius_itself_still_matches_and_a_hair_more_does_not() -> None:
    truth, pick = np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]])
    assert len(match(truth, pick, 5.0)) == 1
    assert len(match(truth, pick, 5.0 - 1e-6)) == 0


def test_duplicate_picks_of_one_particle_are_one_hit() -> None:
    assert len(match(np.zeros((1, 2)), np.zeros((3, 2)), 5)) == 1
    assert len(match(np.zeros((3, 2)), np.zeros((1, 2)), 5)) == 1


@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 3), (3, 0)])
def test_empty_sets_match_nothing(n: int, m: int) -> None:
    found = match(cloud(n, 0), cloud(m, 1), 50)
    assert len(found) == 0
    assert found.distance.shape == (0,)


def test_no_other_pairing_is_better_in_small_cases_searched_through() -> None:
    for seed in range(30):
        truth, picks = cloud(4, seed, 20), cloud(4, seed + 100, 20)
        distance = np.linalg.norm(truth[:, None] - picks[None], axis=-1)
        best = (0, 0.0)
        for order in itertools.permutations(range(4)):
            kept = [distance[i, j] for i, j in enumerate(order) if distance[i, j] <= 8]
            best = min(best, (-len(kept), float(sum(kept))))
        found = match(truth, picks, 8)
        assert (-len(found), found.distance.sum()) == pytest.approx(best)


@pytest.mark.parametrize("dense_cells", [pick_matching.DENSE_CELLS, 0])
def test_components_solved_apart_equal_one_dense_assignment(
    dense_cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pick_matching, "DENSE_CELLS", dense_cells)
    for seed, radius in enumerate([3.0, 8.0, 15.0, 40.0]):
        truth, picks = cloud(60, seed), cloud(75, seed + 50)
        distance = np.linalg.norm(truth[:, None] - picks[None], axis=-1)
        row, column = linear_sum_assignment(np.where(distance <= radius, distance - 1e5, 0))
        inside = distance[row, column] <= radius
        found = match(truth, picks, radius)
        assert len(found) == inside.sum()
        # costs of 1e5 leave 1e-9 of a double
        assert found.distance.sum() == pytest.approx(distance[row, column][inside].sum(), abs=1e-6)
        assert len(set(found.truth_index)) == len(set(found.pick_index)) == len(found)


def test_five_thousand_against_five_thousand_take_less_than_a_second() -> None:
    truth = cloud(5000, 0, 4096)
    picks = truth + np.random.default_rng(1).normal(0, 15, truth.shape)
    started = time.process_time()
    found = match(truth, picks, 32)
    # 0.05 s where this was written; the bar is the issue's
    assert time.process_time() - started < 1.0
    assert len(found) > 4500


def test_labels_count_the_rematched_hits_at_every_threshold() -> None:
    for seed, radius in enumerate([5.0, 12.0, 30.0]):
        truth, picks = cloud(25, seed), cloud(40, seed + 50)
        scores = np.random.default_rng(seed).permutation(40).astype(float)
        labels = hit_labels(truth, picks, scores, radius)
        order = np.argsort(-scores)
        for count in range(41):
            above = order[:count]
            assert labels[above].sum() == len(match(truth, picks[above], radius))


def test_a_pick_that_frees_another_is_a_hit_although_its_particle_was_taken() -> None:
    # the first pick reaches both particles, the second only the one the first may have taken
    truth = np.array([[0.0, 0.0], [10.0, 0.0]])
    for second in ([-5.0, 0.0], [15.0, 0.0]):
        labels = hit_labels(truth, np.array([[5.0, 0.0], second]), np.array([2.0, 1.0]), 6)
        assert labels.tolist() == [True, True]
