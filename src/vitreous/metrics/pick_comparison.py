"""Pickers on groups of data sets: pooled scores with intervals, best thresholds, paired differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitreous.metrics.pick_confidence import METRICS, bootstrap_interval, paired_bootstrap
from vitreous.metrics.pick_curve import average_precision, threshold_curve
from vitreous.metrics.pick_matching import Points
from vitreous.metrics.pick_overlap import OverlapScores, iou_one_to_one, iou_published
from vitreous.metrics.pick_scores import (
    match_micrographs,
    matched_pairs,
    micro_scores,
    offset_statistics,
    per_micrograph,
)
from vitreous.metrics.settings import EvaluationSettings

Rows = list[dict[str, Any]]
ByMicrograph = Mapping[str, Points]
STRATUM = "dataset"
DIFFERENCES = (
    "group", "picker", "picker_at", "against", "against_at", "difference", "low", "high", "share_ahead",
    "n", "level",
)  # fmt: skip


@dataclass(frozen=True)
class Field:
    """The truth of one data set by micrograph, x, y in px, and what a hit is there."""

    dataset: str
    truth: ByMicrograph
    radius_px: float
    diameter_px: float


@dataclass(frozen=True)
class Found:
    """One picker's picks on a data set, and all its candidates with scores; None where it gives no scores."""

    picks: ByMicrograph
    candidates: ByMicrograph
    scores: ByMicrograph | None


@dataclass(frozen=True)
class Judged:
    """One picker on one data set: counts by micrograph, the curve of its candidates, where its hits lie.

    `distances` (k,) and `offsets` (k, 2: x, y; pick − truth) of the hits in px.
    """

    field: Field
    found: Found
    counts: pd.DataFrame
    curve: pd.DataFrame | None
    distances: Points
    offsets: Points
    overlap: OverlapScores
    overlap_published: OverlapScores


def inside(points: Points, shape: tuple[int, int], border_px: float) -> NDArray[np.bool_]:
    """Which centres (n, 2: x, y) of a micrograph (h, w) lie at least `border_px` from its edges."""
    x, y = np.asarray(points, dtype=float).reshape(-1, 2).T
    # Pixel 0 reaches from -0.5 to 0.5.
    near = np.minimum(np.minimum(x, shape[1] - 1 - x), np.minimum(y, shape[0] - 1 - y)) + 0.5
    kept: NDArray[np.bool_] = near >= border_px
    return kept


def judge(field: Field, found: Found, settings: EvaluationSettings) -> Judged:
    """Match one picker's picks and candidates with the truth of a data set."""
    matches = match_micrographs(field.truth, found.picks, field.radius_px)
    truth, picks = matched_pairs(field.truth, found.picks, matches)
    half = field.diameter_px / 2
    curve = None
    if found.scores is not None:
        curve = threshold_curve(field.truth, found.candidates, found.scores, field.radius_px)
    return Judged(
        field,
        found,
        _named(per_micrograph(field.truth, found.picks, matches), field),
        curve,
        np.linalg.norm(picks - truth, axis=1) / field.diameter_px,
        picks - truth,
        iou_one_to_one(field.truth, found.picks, half, min_iou=settings.min_iou),
        iou_published(field.truth, found.picks, half),
    )


def best_thresholds(curves: Sequence[pd.DataFrame], truth: int) -> list[float]:
    """The threshold of each data set's curve that together give the highest pooled F1: an oracle.

    `truth` counts the particles of all of them. Infinite: no pick at all is best there. F1 = 2 H / (T + P) is
    the largest f at which max (2 H − f P) over each curve sums to f T (Dinkelbach 1967), so each data set is
    chosen by itself for a given f, and f follows.
    """
    options = [_options(curve) for curve in curves]
    best, chosen = -1.0, [0] * len(options)
    while True:
        hits, picks = (
            sum(int(option[key][place]) for option, place in zip(options, chosen, strict=True))
            for key in ("hits", "count")
        )
        f1 = 2 * hits / max(truth + picks, 1)
        if f1 <= best:
            break
        best = f1
        chosen = [int(np.argmax(2 * option["hits"] - f1 * option["count"])) for option in options]
    return [float(option["threshold"][place]) for option, place in zip(options, chosen, strict=True)]


def counts_at(judged: Judged, threshold: float) -> pd.DataFrame:
    """The counts by micrograph of the candidates with score ≥ `threshold`."""
    assert judged.found.scores is not None
    scores = judged.found.scores
    kept = {name: points[scores[name] >= threshold] for name, points in judged.found.candidates.items()}
    matches = match_micrographs(judged.field.truth, kept, judged.field.radius_px)
    return _named(per_micrograph(judged.field.truth, kept, matches), judged.field)


@dataclass(frozen=True)
class OnGroup:
    """One picker on a group of data sets; counts by micrograph at its own and at the best thresholds."""

    judged: Sequence[Judged]
    automatic: pd.DataFrame
    best: pd.DataFrame | None


def on_group(judged: Sequence[Judged]) -> OnGroup:
    """One picker's results of several data sets taken together."""
    automatic = pd.concat([one.counts for one in judged], ignore_index=True)
    curves = [one.curve for one in judged if one.curve is not None]
    if len(curves) < len(judged):
        return OnGroup(judged, automatic, None)
    thresholds = best_thresholds(curves, int(automatic["truth"].sum()))
    best = [counts_at(one, threshold) for one, threshold in zip(judged, thresholds, strict=True)]
    return OnGroup(judged, automatic, pd.concat(best, ignore_index=True))


def best_of(groups: Mapping[str, OnGroup], names: Sequence[str]) -> str:
    """Which of several pickers has the highest pooled F1 at its best threshold, else its own: an oracle."""

    def f1(name: str) -> float:
        best = groups[name].best
        counts = groups[name].automatic if best is None else best
        value = micro_scores(counts).f1
        return value if math.isfinite(value) else -1.0

    return max(names, key=f1)


def score_rows(group: OnGroup, settings: EvaluationSettings, seed: int) -> Rows:
    """All scores of one picker on a group, as columns of the tidy table."""
    kind = f"bootstrap over micrographs within data sets, {settings.level:.0%}"
    rows: Rows = []
    tables = {"{}_micro": group.automatic} | ({} if group.best is None else {"oracle_{}": group.best})
    for name, counts in tables.items():
        for metric in METRICS:
            found = bootstrap_interval(
                counts, metric=metric, n=settings.bootstrap, seed=seed, level=settings.level, strata=STRATUM
            )
            spread = {"low": found.low, "high": found.high, "spread_kind": kind, "n": len(counts)}
            rows.append({"metric": name.format(metric), "value": found.value, **spread})
    for column in ("truth", "picks", "hits"):
        value = int(group.automatic[column].sum())
        rows.append({"metric": f"count_{column}", "value": value, "n": len(group.automatic)})
    return rows + _precision_rows(group) + _position_rows(group) + _overlap_rows(group)


def differences(
    groups: Mapping[str, OnGroup], against: Sequence[str], settings: EvaluationSettings, seed: int
) -> Rows:
    """Pooled F1 of every picker less that of each of `against`, on the same resamples of the micrographs.

    Each at its automatic threshold, and against the other's best threshold (an oracle).
    """
    rows: Rows = []
    for other in against:
        for picker, group in groups.items():
            for at, counts in (("automatic", groups[other].automatic), ("best", groups[other].best)):
                if picker != other and counts is not None:
                    rows.append(
                        {"picker": picker, "picker_at": "automatic", "against": other, "against_at": at}
                        | _difference(counts, group.automatic, settings, seed)
                    )
    return rows


def _difference(
    base: pd.DataFrame, counts: pd.DataFrame, settings: EvaluationSettings, seed: int
) -> dict[str, Any]:
    found = paired_bootstrap(
        base, counts, n=settings.bootstrap, seed=seed, level=settings.level, strata=STRATUM
    )
    interval = found.interval
    return {
        "difference": interval.value,
        "low": interval.low,
        "high": interval.high,
        "share_ahead": found.share_b_ahead,
        "n": interval.n,
        "level": interval.level,
    }


def _named(counts: pd.DataFrame, field: Field) -> pd.DataFrame:
    """Counts whose micrographs are told apart over data sets, with the stratum they are drawn from."""
    names = [f"{field.dataset}/{name}" for name in counts["micrograph"]]
    return counts.assign(**{"micrograph": names, STRATUM: field.dataset})


def _options(curve: pd.DataFrame) -> dict[str, Points]:
    """Thresholds with counts and hits, the first of them above every score: no pick."""
    start = {"threshold": math.inf, "count": 0.0, "hits": 0.0}
    return {key: np.concatenate([[first], curve[key].to_numpy(float)]) for key, first in start.items()}


def _precision_rows(group: OnGroup) -> Rows:
    """Average precision, the mean over the data sets that have particles."""
    curves = [one.curve for one in group.judged if one.counts["truth"].sum() > 0]
    if not curves or any(curve is None for curve in curves):
        return []
    values = [average_precision(curve) for curve in curves if curve is not None]
    return [{"metric": "average_precision", "value": float(np.mean(values)), "n": len(values)}]


def _position_rows(group: OnGroup) -> Rows:
    """Median distance of the hits in shares of D, their mean offset in px of their micrographs."""
    distances = np.concatenate([one.distances for one in group.judged])
    offsets = np.concatenate([one.offsets for one in group.judged])
    value = float(np.median(distances)) if len(distances) else math.nan
    rows: Rows = [{"metric": "centre_error", "value": value, "unit": "D", "n": len(distances)}]
    mean = offset_statistics(np.zeros_like(offsets), offsets)
    for axis, middle, sd in (("x", mean.mean_x, mean.sd_x), ("y", mean.mean_y, mean.sd_y)):
        spread = {"low": middle - sd, "high": middle + sd, "spread_kind": "sd over hits", "n": mean.n}
        rows.append({"metric": f"offset_{axis}", "value": middle, "unit": "px", **spread})
    return rows


def _overlap_rows(group: OnGroup) -> Rows:
    """IoU one to one, pooled; the published form as the mean over data sets, as its paper gives it."""
    pairs = [one.overlap for one in group.judged]
    truth, picks, hits = (sum(getattr(one, key) for one in pairs) for key in ("truth", "picks", "hits"))
    total = sum(one.mean_iou * one.truth for one in pairs if one.truth)
    mean = total / truth if truth else math.nan
    f1 = 2 * hits / (truth + picks) if truth + picks else math.nan
    rows: Rows = [{"metric": "iou_one_to_one", "value": mean, "n": truth}]
    rows.append({"metric": "iou_one_to_one_f1", "value": f1, "n": truth})
    published = [one.overlap_published for one in group.judged if one.overlap_published.truth]
    if published:
        means = {"iou_published": [one.mean_iou for one in published]}
        means |= {
            f"iou_published_{metric}": [getattr(one.scores, metric) for one in published]
            for metric in METRICS
        }
        rows += [
            {"metric": name, "value": float(np.mean(values)), "n": len(published)}
            for name, values in means.items()
        ]
    return rows
