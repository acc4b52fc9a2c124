"""Scores for reading: medians over seeds, what is best, the papers' numbers beside ours, written numbers."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from vitreous.report.blocks import count, duration, fixed, number, signed, span
from vitreous.report.published import dataset_key
from vitreous.report.scores import best_of, gather, published_beside, quantity, score_cell


def rows(values: list[float], metric: str = "resolution_corrected_0.143") -> pd.DataFrame:
    facts = {"dataset": "d", "engine": "e", "metric": metric, "unit": "Å", "file": "scores.csv"}
    return pd.DataFrame([{**facts, "value": value, "seed": seed} for seed, value in enumerate(values)])


def test_several_seeds_become_their_median_with_range_and_failures() -> None:
    ((subject, scores),) = gather(rows([4.0, 6.0, math.nan, 5.0])).items()
    score = scores["resolution_corrected_0.143"]
    assert (score.value, score.low, score.high) == (5.0, 4.0, 6.0)
    assert (score.seeds, score.failures, score.spread_kind) == (4, 1, "range over 3 seeds")
    cell = score_cell(score, {"scores.csv": ("#made-1", "snakemake x")}, best=5.0)
    assert (cell.text, cell.note, cell.href, cell.kind) == ("5.00", "4.00–6.00 · 1 failed", "#made-1", "best")
    assert "median of 4 seeds" in cell.title and "snakemake x" in cell.title


def test_one_seed_keeps_the_interval_of_its_row() -> None:
    table = rows([0.5], "f1_micro").assign(low=0.4, high=0.6, spread_kind="bootstrap", unit="")
    (score,) = next(iter(gather(table).values())).values()
    assert (score.interval, score.spread_kind) == ("0.400–0.600", "bootstrap")


def test_a_score_that_one_seed_does_not_have_is_no_failure_but_a_missing_resolution_is() -> None:
    (centre,) = next(iter(gather(rows([math.nan], "median_distance")).values())).values()
    assert (score_cell(centre, {}).text, score_cell(centre, {}).note) == ("–", "")
    (resolution,) = next(iter(gather(rows([math.nan])).values())).values()
    assert score_cell(resolution, {}).note == "1 failed"


@pytest.mark.parametrize(
    "text, expected",
    [
        (fixed(-0.05, 2), "−0.05"),
        (fixed(-0.001, 2), "0.00"),
        (number(-1234.5), "−1\u202f234"),
        (count(-3), "−3"),
        (signed(0.0004), "0.000"),
        (signed(0.02), "+0.020"),
        (signed(-0.02), "−0.020"),
        (span(0.9, 0.95, 2), "0.90–0.95"),
        (span(-0.01, 0.02, 2), "−0.01 to 0.02"),
        (span(math.nan, 0.02, 2), ""),
    ],
)
def test_a_negative_number_has_a_minus_sign_and_zero_has_none(text: str, expected: str) -> None:
    assert text == expected


@pytest.mark.parametrize(
    "metric, best", [("f1_micro", 0.9), ("resolution_truth_0.5", 0.3), ("count_picks", None)]
)
def test_best_is_high_or_low_or_nothing_by_the_metric(metric: str, best: float | None) -> None:
    table = pd.concat([rows([value], metric).assign(engine=str(value)) for value in (0.3, 0.9, 0.5)])
    scores = [found[metric] for found in gather(table).values()]
    found = best_of(scores, metric)
    assert math.isnan(found) if best is None else found == best


def test_unknown_metric_is_shown_under_its_own_name() -> None:
    assert quantity("some_new_score").label == "some new score"
    assert quantity("resolution_masked_0.5").unit == "Å"


def test_published_rows_join_by_accession_and_metric_and_merge_tables_of_a_paper() -> None:
    printed = [
        {"paper": "000", "dataset": "empiar-10291", "denoiser": "tsm", "metric": "f1_micro", "value": 0.649},
        {"paper": "000", "dataset": "empiar-10291", "denoiser": "tsm", "metric": "f1_macro", "value": 0.640},
        {"paper": "000", "dataset": "empiar-10081", "denoiser": "tsm", "metric": "f1_micro", "value": 0.644},
        {"paper": "002", "dataset": "empiar-10291", "picker": "topaz", "metric": "f1_micro", "value": None},
    ]
    ((name, found),) = published_beside(printed, "mine", "EMPIAR-10291", ["f1_micro", "f1_macro"])
    assert name == "tsm, paper 000" and {row["value"] for row in found.values()} == {0.649, 0.640}


@pytest.mark.parametrize(
    "name, accession, key",
    [("cryoppp-10028", None, "empiar-10028"), ("mine", "EMPIAR-10291", "empiar-10291"), 
     ("two-shapes", "", "two-shapes"), ("run-123456", None, "run-123456")],
)  # fmt: skip
def test_dataset_is_compared_under_its_empiar_number(name: str, accession: str | None, key: str) -> None:
    assert dataset_key(name, accession) == key


def test_numbers_counts_and_times_are_written_for_a_reader() -> None:
    assert [number(value) for value in (0.0, 0.1234, 12.345, 1234.5, 1.2e-7, None, math.nan)] == [
        "0.00", "0.123", "12.3", "1\u202f234", "1.20e-07", "–", "–",
    ]  # fmt: skip
    assert count(1234567) == "1\u202f234\u202f567"
    times = [duration(seconds) for seconds in (0.84, 12.2, 200, 3900)]
    assert times == ["0.8 s", "12 s", "3 min 20 s", "1 h 05 min"]
    assert duration(200, coarse=True) == "3 min"
