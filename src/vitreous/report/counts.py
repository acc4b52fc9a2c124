"""How many picks each threshold would give, with the one that was taken: what decides how many there are."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import VitreousError
from vitreous.io.picks import read_picks
from vitreous.report import charts
from vitreous.report.blocks import Chart, Key, count, minus, plural
from vitreous.report.results import Result, read_facts, read_table

POINTS = 160
# Below its threshold a picker has noise by the thousand: drawn is up to so many times what was picked.
REACH = 4.0


def automatic_mark(result: Result) -> list[charts.Mark]:
    """The threshold that was taken as an upright line; none where it is not known."""
    value = taken(result)
    if not math.isfinite(value):
        return []
    return [charts.Mark(value, f"automatic {minus(f'{value:.3g}')}", upright=True)]


def taken(result: Result) -> float:
    """The threshold that was taken, NaN where it is not known."""
    facts = read_facts(result.file("threshold.json"))
    value = facts.get("automatic", facts.get("threshold"))
    return float(value) if isinstance(value, int | float) else math.nan


def rule_note(result: Result) -> str:
    """The rule by which the threshold was chosen, as a sentence."""
    rule = read_facts(result.file("threshold.json")).get("rule")
    return f"Rule of the automatic threshold: {rule}." if rule else ""


def count_chart(result: Result, *, with_rule: bool = True) -> Chart | None:
    """The count of candidates with at least each score, in the whole data set; None where none has a score.

    With a truth also how many of them are hits, on the annotated micrographs. `with_rule`: the note says by
    which rule the threshold was taken.
    """
    scores = _scores(result.file("candidates.star"))
    if len(scores) < 2:
        return None
    value = taken(result)
    picked = int((scores >= value).sum()) if math.isfinite(value) else len(scores)
    most = min(len(scores), max(round(REACH * picked), 20))
    shown = scores[: max(most, 2)]
    x, y = _thinned(shown, np.arange(1, len(shown) + 1))
    series = [charts.Series("candidates", list(x), list(y), 0)]
    keys = [Key("candidates with this score or more", "s0")]
    curve = read_table(result.file("curve.csv"))
    if {"threshold", "hits"} <= set(curve):
        curve = curve[curve["threshold"] >= shown[-1]].sort_values("threshold", ascending=False)
        hit_x, hit_y = _thinned(curve["threshold"].to_numpy(float), curve["hits"].to_numpy(float))
        series.append(charts.Series("hits", list(hit_x), list(hit_y), 1))
        keys.append(Key("of them hits", "s1"))
    marks = automatic_mark(result)
    ends = [*x.tolist(), *(mark.at for mark in marks)]
    svg = charts.line_chart(
        series,
        charts.axis("threshold on the picker's score", ends),
        charts.axis("count", [0.0, float(len(shown))], low=0.0),
        marks=marks,
        description=f"Candidates of {result.label} above each threshold; {count(picked)} are picked",
    )
    left_out = f" Lower scores ({plural(len(scores) - len(shown), 'candidate')}) are not drawn."
    note = f"{count(picked)} of {plural(len(scores), 'candidate')} {'is' if picked == 1 else 'are'} picked."
    note += left_out if len(shown) < len(scores) else ""
    note += f" {rule_note(result)}" if with_rule else ""
    return Chart("Count against the threshold", svg, keys, note=note.strip())


def _scores(path: Path | None) -> NDArray[np.float64]:
    """The scores of all candidates, best first; none where the file is missing or has none."""
    try:
        scores = read_picks(path)["score"].to_numpy(float) if path else np.zeros(0)
    except (VitreousError, OSError):
        return np.zeros(0)
    return np.sort(scores[np.isfinite(scores)])[::-1]


def _thinned(
    x: NDArray[np.float64], y: NDArray[np.float64] | NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if len(x) <= POINTS:
        return x, y.astype(float)
    places = np.unique(np.linspace(0, len(x) - 1, POINTS).round().astype(int))
    return x[places], y[places].astype(float)
