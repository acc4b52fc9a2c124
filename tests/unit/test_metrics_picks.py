"""Scores of picks on tables small enough to be worked out by hand, and on one published example."""

from __future__ import annotations

import csv
import math

import numpy as np
import pandas as pd
import pytest
from shared import shared

from vitreous.metrics.pick_confidence import bootstrap_interval, paired_bootstrap
from vitreous.metrics.pick_curve import average_precision, best_threshold, threshold_curve
from vitreous.metrics.pick_frame import FRAMES, change_frame, frame_check
from vitreous.metrics.pick_matching import match
from vitreous.metrics.pick_overlap import box_overlap, iou_one_to_one, iou_published, match_boxes
from vitreous.metrics.pick_scores import (
    macro_scores,
    match_micrographs,
    matched_pairs,
    micro_scores,
    offset_statistics,
    per_micrograph,
    precision_recall_f1,
)


def line(*x: float) -> np.ndarray:
    return np.array([[value, 0.0] for value in x]).reshape(-1, 2)


def table(*rows: tuple[int, int, int]) -> pd.DataFrame:
    counts = pd.DataFrame(rows, columns=["truth", "picks", "hits"])
    return counts.assign(micrograph=[f"m{index}" for index in range(len(rows))])


def test_scores_of_counts_at_the_edges() -> None:
    precision, recall, f1 = precision_recall_f1([10, 0, 10, 0], [5, 5, 0, 0], [4, 0, 0, 0])
    assert precision.tolist() == pytest.approx([0.8, 0, 0, math.nan], nan_ok=True)
    assert recall.tolist() == pytest.approx([0.4, math.nan, 0, math.nan], nan_ok=True)
    assert f1.tolist() == pytest.approx([8 / 15, 0, 0, math.nan], nan_ok=True)


def test_micro_pools_the_counts_and_macro_the_micrographs() -> None:
    counts = table((10, 10, 10), (90, 10, 0))
    micro, macro = micro_scores(counts), macro_scores(counts)
    assert (micro.precision, micro.recall, micro.f1) == pytest.approx((0.5, 0.1, 20 / 120))
    assert (macro.mean.precision, macro.mean.recall, macro.mean.f1) == pytest.approx((0.5, 0.5, 0.5))
    # two values 0 and 1: standard deviation with n - 1 is 1/sqrt(2)
    assert macro.sd.f1 == pytest.approx(0.5**0.5)


def test_an_empty_micrograph_is_left_out_and_false_picks_on_one_count_as_zero() -> None:
    macro = macro_scores(table((10, 10, 10), (0, 0, 0), (0, 3, 0)))
    assert macro.n == 2
    assert macro.mean.precision == pytest.approx(0.5)
    assert macro.mean.f1 == pytest.approx(0.5)
    assert macro.mean.recall == pytest.approx(1.0)


def test_a_micrograph_without_picks_has_all_its_particles_missed() -> None:
    truth = {"a": line(0, 10), "b": line(0, 10, 20)}
    picks = {"a": line(0.5, 10.5, 50)}
    counts = per_micrograph(truth, picks, match_micrographs(truth, picks, 2), missing=frozenset({"b"}))
    assert counts[["truth", "picks", "hits"]].to_numpy().tolist() == [[2, 3, 2], [3, 0, 0]]
    assert counts["missing"].tolist() == [False, True]
    micro = micro_scores(counts)
    assert (micro.precision, micro.recall, micro.f1) == pytest.approx((2 / 3, 2 / 5, 4 / 8))


def test_offsets_show_the_shift_that_hits_hide() -> None:
    truth = {"a": line(0, 100), "b": line(50)}
    picks = {name: centres + [3.0, -4.0] for name, centres in truth.items()}
    found = offset_statistics(*matched_pairs(truth, picks, match_micrographs(truth, picks, 10)))
    assert (found.n, found.median_distance) == (3, pytest.approx(5.0))
    assert (found.mean_x, found.mean_y, found.sd_x) == pytest.approx((3.0, -4.0, 0.0))
    assert math.isnan(offset_statistics(line(), line()).median_distance)


def test_curve_and_average_precision_of_a_list_worked_out_by_hand() -> None:
    truth = {"a": line(0, 10), "b": line(0, 10)}
    picks = {"a": line(0, 50), "b": line(10)}
    scores = {"a": np.array([0.9, 0.8]), "b": np.array([0.7])}
    curve = threshold_curve(truth, picks, scores, 2)
    assert curve["threshold"].tolist() == [0.9, 0.8, 0.7]
    assert curve["count"].tolist() == [1, 2, 3]
    assert curve["precision"].tolist() == pytest.approx([1, 1 / 2, 2 / 3])
    assert curve["recall"].tolist() == pytest.approx([1 / 4, 1 / 4, 2 / 4])
    # two steps of a quarter, at precision 1 and 2/3; two particles are never found
    assert average_precision(curve) == pytest.approx(0.25 * (1 + 2 / 3))
    best = best_threshold(curve)
    assert (best.threshold, best.f1, best.count) == (0.7, pytest.approx(4 / 7), 3)


def test_equal_scores_pass_a_threshold_together() -> None:
    truth, picks = {"a": line(0)}, {"a": line(50, 0, 60)}
    curve = threshold_curve(truth, picks, {"a": np.array([1.0, 1.0, 1.0])}, 2)
    assert curve["count"].tolist() == [3]
    assert average_precision(curve) == pytest.approx(1 / 3)


def test_average_precision_is_one_for_perfect_order_and_falls_when_the_order_is_turned() -> None:
    truth = {"a": line(*range(0, 200, 10))}
    picks = {"a": np.concatenate([truth["a"], truth["a"] + [0.0, 500.0]])}
    good = {"a": np.arange(40, 0, -1.0)}
    assert average_precision(threshold_curve(truth, picks, good, 3)) == pytest.approx(1.0)
    # turned round, the k-th hit comes after 20 false picks: mean of k/(20 + k)
    turned = np.mean([k / (20 + k) for k in range(1, 21)])
    bad = {"a": np.arange(1, 41, 1.0)}
    assert average_precision(threshold_curve(truth, picks, bad, 3)) == pytest.approx(turned)


def test_without_candidates_there_is_no_curve_and_no_oracle() -> None:
    curve = threshold_curve({"a": line(0)}, {}, {}, 3)
    assert len(curve) == 0
    assert average_precision(curve) == 0
    assert math.isnan(best_threshold(curve).f1)


def test_bootstrap_spread_is_the_standard_error_of_equal_micrographs() -> None:
    # truth = picks = 10 everywhere, so micro F1 is the mean of hits/10
    hits = np.random.default_rng(0).integers(2, 10, 40)
    counts = table(*[(10, 10, int(hit)) for hit in hits])
    found = bootstrap_interval(counts, n=4000, seed=1)
    expected = (hits / 10).std() / 40**0.5
    # 4,000 resamples: the spread is known to 1.1 %
    assert found.sd == pytest.approx(expected, rel=0.05)
    assert (found.low, found.high) == pytest.approx(
        (found.value - 1.96 * expected, found.value + 1.96 * expected), abs=0.3 * expected
    )


def test_equal_micrographs_leave_no_doubt() -> None:
    found = bootstrap_interval(table(*[(10, 8, 6)] * 5), n=200)
    assert found.low == found.high == found.value == pytest.approx(12 / 18)


def test_paired_difference_is_sharper_than_the_two_intervals() -> None:
    hits = np.random.default_rng(0).integers(2, 9, 30)
    a = table(*[(10, 10, int(hit)) for hit in hits])
    b = table(*[(10, 10, int(hit) + 1) for hit in hits])
    # rows in another order are the same micrographs
    found = paired_bootstrap(a, b.sample(frac=1, random_state=0), n=500)
    assert found.interval.value == pytest.approx(0.1)
    assert (found.interval.low, found.interval.high) == pytest.approx((0.1, 0.1))
    assert found.share_b_ahead == 1.0
    assert paired_bootstrap(a, a, n=200).share_b_ahead == 0.5


def test_overlap_of_squares_follows_the_published_geometry() -> None:
    # methods/picking.md 1.7: 0.25 of a side along an axis, half a side: one third
    assert float(box_overlap(line(0.0), line(5.0), 10)[0]) == pytest.approx(0.6)
    assert float(box_overlap(line(0.0), line(10.0), 10)[0]) == pytest.approx(1 / 3)
    assert float(box_overlap(line(0.0), line(20.0), 10)[0]) == 0


def test_one_to_one_overlap_counts_a_pick_once_and_the_published_form_twice() -> None:
    truth, picks = {"a": line(0, 2), "b": line(0)}, {"a": line(1)}
    once, twice = iou_one_to_one(truth, picks, 10), iou_published(truth, picks, 10)
    assert (once.hits, once.scores.precision, once.scores.recall) == (1, 1.0, pytest.approx(1 / 3))
    # both particles of a take the one pick; micrograph b, without picks, is not counted at all
    assert (twice.hits, twice.scores.precision, twice.scores.recall) == (2, 2.0, 1.0)
    iou = 19 / 21
    assert twice.mean_iou == pytest.approx(iou)
    assert once.mean_iou == pytest.approx(iou / 3)


def test_an_overlap_of_exactly_the_limit_is_a_hit_one_to_one_and_none_as_published() -> None:
    truth, picks = {"a": line(0)}, {"a": line(8)}
    # sides of 16, overlap 1/3
    assert len(match_boxes(truth["a"], picks["a"], 8, min_iou=1 / 3)) == 1
    assert iou_one_to_one(truth, {"a": line(4)}, 8, min_iou=0.6).hits == 1
    assert iou_published(truth, {"a": line(4)}, 8).hits == 0


@pytest.mark.parametrize("frame", list(FRAMES))
def test_picks_in_another_frame_are_named(frame: str) -> None:
    shape = (300, 400)
    truth = np.random.default_rng(0).uniform(20, 280, (40, 2))
    exchanged, flip_x, flip_y = FRAMES[frame]
    # undo the frame by hand: flip first, then exchange
    x = shape[1] - 1 - truth[:, 0] if flip_x else truth[:, 0]
    y = shape[0] - 1 - truth[:, 1] if flip_y else truth[:, 1]
    picks = np.stack([y, x] if exchanged else [x, y], axis=1)
    verdict = frame_check({"a": truth}, {"a": picks}, {"a": shape}, 8)
    assert verdict.best == frame
    assert verdict.f1[frame] == 1.0
    assert (verdict.warning is None) == (frame == "as given")


def test_flip_in_y_is_about_the_last_row() -> None:
    assert change_frame(np.array([[2.0, 0.0]]), (100, 50), "y flipped").tolist() == [[2.0, 99.0]]
    assert change_frame(np.array([[2.0, 7.0]]), (100, 50), "x and y exchanged").tolist() == [[7.0, 2.0]]


def test_poor_picks_in_the_right_frame_raise_no_alarm() -> None:
    rng = np.random.default_rng(0)
    truth, picks = rng.uniform(0, 500, (60, 2)), rng.uniform(0, 500, (60, 2))
    assert frame_check({"a": truth}, {"a": picks}, {"a": (500, 500)}, 10).warning is None
    # two particles whose flipped pick happens to hit are no evidence either
    few = np.array([[10.0, 10.0], [20.0, 30.0]])
    flipped = change_frame(few, (100, 100), "y flipped")
    assert frame_check({"a": few}, {"a": flipped}, {"a": (100, 100)}, 3).warning is None
    # ten hits more of a hundred are an F1 better by 0.1, which chance or a regular lattice can give
    many = rng.uniform(0, 1000, (100, 2))
    mixed = np.concatenate([many[:40], change_frame(many[50:], (1000, 1000), "y flipped")])
    verdict = frame_check({"a": many}, {"a": mixed}, {"a": (1000, 1000)}, 3)
    assert verdict.f1["y flipped"] > verdict.f1["as given"] + 0.05
    assert verdict.warning is None


def test_published_example_gives_the_figures_measured_on_it() -> None:
    folder = shared("data/empiar-10028-061")
    picks = np.load(folder / "061_published_picks.npy")[:, [1, 0]].astype(float)
    with open(folder / "reference_particle_centres.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    truth = np.array([[float(row["col_512"]), float(row["row_512"])] for row in rows])
    found = match(truth, picks, 14.0)
    assert (len(truth), len(picks), len(found)) == (90, 124, 89)
    offsets = offset_statistics(truth[found.truth_index], picks[found.pick_index])
    # the folder's README gives one digit: +0.8 rows, +1.0 columns
    assert (offsets.mean_y, offsets.mean_x) == pytest.approx((0.8, 1.0), abs=0.05)
    published = iou_published({"a": truth}, {"a": picks}, 13)
    scores = published.scores
    assert (round(published.mean_iou, 3), scores.recall, scores.precision) == (0.764, 0.911, 0.661)
    assert round(scores.f1, 3) == 0.766
    # the stored STAR has its columns exchanged and counts rows from below
    stored = 8 * picks[:, ::-1] * [-1, 1] + [4096, 0]
    verdict = frame_check({"a": 8 * truth}, {"a": stored}, {"a": (4096, 4096)}, 112)
    assert verdict.warning is not None and verdict.best.startswith("x and y exchanged")
    assert verdict.f1[verdict.best] == pytest.approx(2 * 89 / 214, abs=0.01)
