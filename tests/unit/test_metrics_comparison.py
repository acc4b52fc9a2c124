"""Comparisons of pickers against answers worked out by hand."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vitreous.errors import InputError
from vitreous.io.tidy import COLUMNS, write_tidy
from vitreous.metrics.pick_comparison import (
    Field,
    Found,
    Judged,
    OnGroup,
    best_of,
    best_thresholds,
    differences,
    inside,
    judge,
    on_group,
    score_rows,
)
from vitreous.metrics.pick_confidence import bootstrap_interval, paired_bootstrap
from vitreous.metrics.picking_experiments import gather_experiment
from vitreous.metrics.settings import EvaluationSettings
from vitreous.runtime.device import Runtime

SETTINGS = EvaluationSettings(bootstrap=200)


def _line(count: int, start: float = 0.0) -> np.ndarray:
    """Centres 100 px apart on a line."""
    return np.stack([start + 100.0 * np.arange(count), np.full(count, 50.0)], axis=1)


def _judged(dataset: str, true: int, hits: list[float], false: list[float], threshold: float) -> Judged:
    """A micrograph of `true` particles; candidates with the given scores, on particles and off them."""
    centres = np.concatenate([_line(true)[: len(hits)], _line(len(false), 50.0) + [0.0, 500.0]])
    scores = np.array([*hits, *false])
    field = Field(dataset, {"a": _line(true)}, radius_px=10.0, diameter_px=20.0)
    picks = centres[scores >= threshold]
    found = Found({"a": picks} if len(picks) else {}, {"a": centres}, {"a": scores})
    return judge(field, found, SETTINGS)


def _value(group: OnGroup, metric: str) -> float:
    return float(next(row["value"] for row in score_rows(group, SETTINGS, 0) if row["metric"] == metric))


def test_scores_of_a_group_are_those_of_the_counts_of_all_its_data_sets() -> None:
    # 3 of 4 found with 1 false, and 1 of 2 found with 2 false: 4 hits, 6 true, 7 picks
    first = _judged("one", 4, [9, 8, 7], [6], threshold=5)
    second = _judged("two", 2, [3], [2, 1], threshold=0)
    group = on_group([first, second])
    assert _value(group, "precision_micro") == pytest.approx(4 / 7)
    assert _value(group, "recall_micro") == pytest.approx(4 / 6)
    assert _value(group, "f1_micro") == pytest.approx(8 / 13)
    assert [_value(group, f"count_{name}") for name in ("truth", "picks", "hits")] == [6, 7, 4]


def test_the_best_thresholds_are_those_of_an_exhaustive_search() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        sets = [
            _judged(name, 12, list(rng.normal(1, 1, rng.integers(3, 12))), list(rng.normal(0, 1, 9)), 9)
            for name in ("one", "two", "three")
        ]
        curves = [one.curve for one in sets if one.curve is not None]
        options = [
            [(math.inf, 0, 0), *curve[["threshold", "count", "hits"]].itertuples(index=False)]
            for curve in curves
        ]
        best = max(
            2 * sum(o[2] for o in chosen) / (36 + sum(o[1] for o in chosen)) for chosen in product(*options)
        )
        assert len(best_thresholds(curves, 36)) == 3
        assert _value(on_group(sets), "oracle_f1") == pytest.approx(best)


def test_on_an_empty_data_set_the_best_is_no_pick() -> None:
    full, empty = _judged("full", 4, [9, 8, 7], [1], 0), _judged("empty", 0, [], [5, 4, 3], 0)
    assert _value(on_group([empty]), "oracle_f1") != _value(on_group([empty]), "oracle_f1")  # not a number
    group = on_group([full, empty])
    assert _value(group, "f1_micro") == pytest.approx(2 * 3 / (4 + 4 + 3))
    assert _value(group, "oracle_f1") == pytest.approx(2 * 3 / (4 + 3))
    assert best_thresholds([empty.curve], 0) == [math.inf]  # type: ignore[list-item]


def test_average_precision_is_the_mean_over_the_sets_with_particles() -> None:
    perfect, half = _judged("one", 2, [9, 8], [1], 0), _judged("two", 2, [5], [9], 0)
    empty = _judged("three", 0, [], [5], 0)
    # one of two particles found at precision 1/2: 1/2 · 1/2
    assert _value(on_group([perfect, half, empty]), "average_precision") == pytest.approx((1 + 0.25) / 2)


def test_the_centre_error_is_a_share_of_the_diameter_of_each_set() -> None:
    truth = {"a": _line(3)}
    shifted = {"a": _line(3) + [3.0, -4.0]}
    coarse = judge(Field("one", truth, 10.0, 20.0), Found(shifted, shifted, None), SETTINGS)
    fine = judge(Field("two", truth, 20.0, 50.0), Found(shifted, shifted, None), SETTINGS)
    group = on_group([coarse, fine, fine])
    assert _value(group, "centre_error") == pytest.approx(0.1)  # 5 px of 50 px, the more frequent
    assert (_value(group, "offset_x"), _value(group, "offset_y")) == pytest.approx((3.0, -4.0))


def test_a_picker_without_scores_has_no_best_threshold() -> None:
    truth = {"a": _line(3)}
    group = on_group([judge(Field("one", truth, 10.0, 20.0), Found(truth, truth, None), SETTINGS)])
    assert group.best is None
    metrics = {row["metric"] for row in score_rows(group, SETTINGS, 0)}
    assert "f1_micro" in metrics and not metrics & {"oracle_f1", "average_precision"}
    assert best_of({"a": group}, ["a"]) == "a"


def test_the_difference_to_itself_is_nothing_and_to_its_best_threshold_is_negative() -> None:
    sets = [_judged(str(index), 5, [9, 8, 7, 6], [5, 4, 3, 2], threshold=1) for index in range(4)]
    same, group = on_group(sets), on_group(sets)
    rows = differences({"a": same, "b": group}, ["a"], SETTINGS, 0)
    by_at = {row["against_at"]: row for row in rows}
    assert set(by_at) == {"automatic", "best"} and all(row["picker"] == "b" for row in rows)
    assert (by_at["automatic"]["difference"], by_at["automatic"]["high"]) == (0, 0)
    # every micrograph is alike, so the interval has no width: 8/13 less 8/9
    assert by_at["best"]["difference"] == pytest.approx(8 / 13 - 8 / 9)
    assert by_at["best"]["low"] == pytest.approx(by_at["best"]["high"])
    assert by_at["best"]["share_ahead"] == 0


def test_strata_are_drawn_within_and_never_lose_a_data_set() -> None:
    # one data set is perfect and one is empty of hits: drawn within, every resample has the same counts
    counts = pd.DataFrame(
        {
            "micrograph": list("abcdef"),
            "dataset": ["x"] * 3 + ["y"] * 3,
            "truth": [5] * 6,
            "picks": [5] * 6,
            "hits": [5] * 3 + [0] * 3,
        }
    )
    within = bootstrap_interval(counts, n=200, strata="dataset")
    assert (within.low, within.value, within.high) == (0.5, 0.5, 0.5)
    across = bootstrap_interval(counts, n=200)
    assert across.low < 0.5 < across.high
    ahead = paired_bootstrap(counts, counts.assign(hits=[5] * 4 + [0] * 2), n=200, strata="dataset")
    assert ahead.interval.low == 0 and ahead.interval.value == pytest.approx(1 / 6)


def test_the_best_of_a_family_is_the_one_with_the_highest_oracle() -> None:
    weak = on_group([_judged("one", 4, [9, 8], [1], 0)])
    strong_but_cut_badly = on_group([_judged("one", 4, [9, 8, 7, 6], [1, 1, 1, 1, 1, 1, 1], 0)])
    assert best_of({"weak": weak, "strong": strong_but_cut_badly}, ["weak", "strong"]) == "strong"


def test_a_border_is_counted_from_the_outer_edge_of_the_first_pixel() -> None:
    points = np.array([[9.4, 50.0], [9.6, 50.0], [50.0, 89.6], [50.0, 89.4], [50.0, 50.0]])
    assert inside(points, (100, 100), 10.0).tolist() == [False, True, False, True, True]
    assert inside(np.empty((0, 2)), (100, 100), 10.0).shape == (0,)


def test_an_experiment_gathers_scores_and_their_means_over_the_test_sets(tmp_path: Path) -> None:
    values = {"one": 0.8, "two": 0.6}
    for name, f1 in values.items():
        rows = [
            {"metric": "f1_micro", "value": f1, "low": 0.1, "n": 4},
            {"metric": "count_picks", "value": 7},
        ]
        write_tidy(tmp_path / f"{name}.csv", rows)
    about = [{"dataset": name, "picker": "emmae", "training_micrographs": 3} for name in values]
    gather_experiment(
        [tmp_path / f"{name}.csv" for name in values],
        about,
        tmp_path / "table.csv",
        labels={"room": "picking"},
        provenance=tmp_path / "provenance.json",
        runtime=Runtime(device="cpu", threads=1, seed=0),
    )
    table = pd.read_csv(tmp_path / "table.csv")
    assert list(table)[-len(COLUMNS) :] == list(COLUMNS)
    means = table[table["dataset"].str.contains("-of-2")].set_index("metric")
    assert means.loc["f1_micro", "value"] == pytest.approx(0.7)
    assert means.loc["f1_micro", "dataset"] == "mean-of-2" and means.loc["f1_micro", "n"] == 2
    assert (means.loc["count_picks", "value"], means.loc["count_picks", "dataset"]) == (14, "sum-of-2")
    assert math.isnan(means.loc["f1_micro", "low"]) and (table["training_micrographs"] == 3).all()


def test_a_file_without_scores_of_picks_is_refused(tmp_path: Path) -> None:
    write_tidy(tmp_path / "ctf.csv", [{"metric": "ctf_failed", "value": 0}])
    with pytest.raises(InputError, match="no scores of picks"):
        gather_experiment(
            [tmp_path / "ctf.csv"],
            [{"dataset": "one", "picker": "log"}],
            tmp_path / "table.csv",
            labels={},
            provenance=tmp_path / "provenance.json",
            runtime=Runtime(device="cpu", threads=1, seed=0),
        )
