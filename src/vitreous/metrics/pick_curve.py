"""Scores against the threshold on the picker's score: re-matched curve, oracle threshold, AUPRC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitreous.errors import InputError
from vitreous.metrics.pick_matching import Points, hit_labels
from vitreous.metrics.pick_scores import check_known, precision_recall_f1
from vitreous.runtime.plural import plural

CURVE = ["threshold", "count", "hits", "precision", "recall", "f1"]


@dataclass(frozen=True)
class BestThreshold:
    """The threshold of highest F1, chosen with the truth in hand: an oracle, never a result of the picker."""

    threshold: float
    precision: float
    recall: float
    f1: float
    count: int


def threshold_curve(
    truth: Mapping[str, Points],
    picks: Mapping[str, Points],
    scores: Mapping[str, Points],
    radius_px: float,
) -> pd.DataFrame:
    """Micro scores of the picks with score ≥ threshold for every score that occurs, highest first.

    By micrograph: centres `truth` (n, 2: x, y), `picks` (m, 2) and their `scores` (m,), the radius in px.
    Columns threshold, count (picks), hits, precision, recall, f1. The hits are those of the best matching of
    the picks above each threshold, found in one pass (see `hit_labels`). A micrograph without candidates
    counts with all its particles. Raises InputError on unknown micrographs or scores that are not numbers.
    """
    check_known(truth, picks)
    total = sum(len(centres) for centres in truth.values())
    score, label = _labelled(truth, picks, scores, radius_px)
    order = np.argsort(-score, kind="stable")
    score, hits = score[order], np.cumsum(label[order])
    # Equal scores pass a threshold together: only the last of each run is a point of the curve.
    last = np.flatnonzero(np.diff(score, append=np.nan) != 0)
    count = last + 1
    precision, recall, f1 = precision_recall_f1(np.full(len(last), total), count, hits[last])
    columns = (score[last], count, hits[last], precision, recall, f1)
    return pd.DataFrame(dict(zip(CURVE, columns, strict=True)), columns=CURVE)


def best_threshold(curve: pd.DataFrame) -> BestThreshold:
    """The row of highest F1 (the highest threshold among equals): an oracle.

    NaN throughout where the curve is empty or no F1 is defined.
    """
    if not len(curve) or curve["f1"].isna().all():
        nan = float("nan")
        return BestThreshold(nan, nan, nan, nan, count=0)
    best = int(np.nanargmax(curve["f1"].to_numpy()))
    row = {name: float(curve[name].iloc[best]) for name in ("threshold", "precision", "recall", "f1")}
    return BestThreshold(**row, count=int(curve["count"].iloc[best]))


def average_precision(curve: pd.DataFrame) -> float:
    """Area under precision against recall, Σ P_k (R_k − R_{k−1}), re-matched at every threshold.

    All true particles are the denominator of the recall, so particles no candidate is near cost area. NaN
    where there is no truth. Source: methods/picking.md §5; the sum as scikit-learn's average precision.
    """
    if not len(curve):
        return 0.0
    recall = curve["recall"].to_numpy()
    return float(np.sum(curve["precision"].to_numpy() * np.diff(recall, prepend=0.0)))


def _labelled(
    truth: Mapping[str, Points],
    picks: Mapping[str, Points],
    scores: Mapping[str, Points],
    radius_px: float,
) -> tuple[Points, NDArray[np.bool_]]:
    """Scores and hit labels of all candidates of all micrographs, in order of the names."""
    all_scores, all_labels = [np.empty(0)], [np.empty(0, dtype=bool)]
    for name in sorted(picks):
        score = np.asarray(scores[name], dtype=np.float64)
        if len(score) != len(picks[name]) or np.isnan(score).any():
            raise InputError("a candidate has no score", place=name, found=plural(len(score), "score"))
        all_scores.append(score)
        all_labels.append(hit_labels(truth[name], picks[name], score, radius_px))
    return np.concatenate(all_scores), np.concatenate(all_labels)
