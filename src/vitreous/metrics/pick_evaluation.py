"""All that is said of a picker on one data set: the tables of matches and counts, the rows of scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from vitreous.metrics.pick_confidence import METRICS, bootstrap_interval
from vitreous.metrics.pick_curve import average_precision, best_threshold
from vitreous.metrics.pick_frame import FrameVerdict
from vitreous.metrics.pick_matching import Matches, Points
from vitreous.metrics.pick_overlap import OverlapScores, iou_one_to_one, iou_published
from vitreous.metrics.pick_scores import (
    macro_scores,
    match_micrographs,
    matched_pairs,
    micro_scores,
    offset_statistics,
)
from vitreous.metrics.settings import EvaluationSettings

Rows = list[dict[str, Any]]
MATCHES = ["micrograph", "kind", "x", "y", "score", "partner", "distance"]


@dataclass(frozen=True)
class Comparison:
    """Picks and truth (n, 2: x, y, px) and scores (n,) of the picks by micrograph.

    `truth` has an entry for each annotated micrograph.
    """

    truth: Mapping[str, Points]
    picks: Mapping[str, Points]
    scores: Mapping[str, Points]
    radius_px: float
    half_side_px: float
    pixel_size_A: float
    matches: Mapping[str, Matches] = field(init=False)

    def __post_init__(self) -> None:
        """Match each micrograph once, for all that is made of it."""
        object.__setattr__(self, "matches", match_micrographs(self.truth, self.picks, self.radius_px))


def points_by_micrograph(table: pd.DataFrame) -> tuple[dict[str, Points], dict[str, Points]]:
    """Centres (n, 2) and scores (n,) by micrograph, of a table micrograph, x, y, score, in its order."""
    groups = dict(list(table.groupby("micrograph", sort=True)))
    centres = {str(name): group[["x", "y"]].to_numpy(dtype=float) for name, group in groups.items()}
    return centres, {str(name): group["score"].to_numpy(dtype=float) for name, group in groups.items()}


def match_table(comparison: Comparison) -> pd.DataFrame:
    """Every pick and every missed particle, columns `MATCHES`.

    kind `hit` and `false`: a pick, with its score; `miss`: a particle. partner: number (from 0, within the
    micrograph, in the truth's order) of the particle of a hit, else −1; distance: px, NaN without partner.
    """
    parts = [pd.DataFrame({name: [] for name in MATCHES})]
    parts += [_matches_of(comparison, name) for name in comparison.truth]
    filled = [part for part in parts if len(part)] or parts[:1]
    return pd.concat(filled, ignore_index=True)[MATCHES]


def count_rows(counts: pd.DataFrame, settings: EvaluationSettings, seed: int) -> Rows:
    """Micro scores with bootstrap intervals, macro scores with standard deviations, and the counts."""
    rows: Rows = []
    micro = micro_scores(counts)
    for metric in METRICS:
        interval = bootstrap_interval(
            counts, metric=metric, n=settings.bootstrap, seed=seed, level=settings.level
        )
        kind = f"bootstrap over micrographs, {settings.level:.0%}"
        spread = {"low": interval.low, "high": interval.high, "spread_kind": kind, "n": len(counts)}
        rows.append({"metric": f"{metric}_micro", "value": getattr(micro, metric), **spread})
    macro = macro_scores(counts)
    for metric in METRICS:
        mean, sd = getattr(macro.mean, metric), getattr(macro.sd, metric)
        spread = {"low": mean - sd, "high": mean + sd, "spread_kind": "sd over micrographs", "n": macro.n}
        rows.append({"metric": f"{metric}_macro", "value": mean, **spread})
    for column in ("truth", "picks", "hits"):
        rows.append({"metric": f"count_{column}", "value": int(counts[column].sum()), "n": len(counts)})
    rows.append({"metric": "micrographs_missing", "value": int(counts["missing"].sum()), "n": len(counts)})
    return rows


def curve_rows(curve: pd.DataFrame) -> Rows:
    """Average precision and the oracle's threshold with its scores; no row without scored candidates."""
    if not len(curve):
        return []
    best = best_threshold(curve)
    rows: Rows = [{"metric": "average_precision", "value": average_precision(curve)}]
    names = ("threshold", "precision", "recall", "f1", "count")
    return rows + [{"metric": f"oracle_{name}", "value": getattr(best, name)} for name in names]


def position_rows(comparison: Comparison) -> Rows:
    """Median distance and mean offset (pick − truth) of the hits in px, and the radius of the matching."""
    truth, picks = matched_pairs(comparison.truth, comparison.picks, comparison.matches)
    offsets = offset_statistics(truth, picks)
    rows: Rows = [{"metric": "matching_radius", "value": comparison.radius_px, "unit": "px"}]
    rows.append({"metric": "median_distance", "value": offsets.median_distance, "unit": "px", "n": offsets.n})
    for axis, mean, sd in (("x", offsets.mean_x, offsets.sd_x), ("y", offsets.mean_y, offsets.sd_y)):
        spread = {"low": mean - sd, "high": mean + sd, "spread_kind": "sd over hits", "n": offsets.n}
        rows.append({"metric": f"offset_{axis}", "value": mean, "unit": "px", **spread})
    return rows


def overlap_rows(comparison: Comparison, settings: EvaluationSettings) -> Rows:
    """IoU and its scores, one to one and in the published nearest-prediction form."""
    truth, picks, half = comparison.truth, comparison.picks, comparison.half_side_px
    forms: dict[str, OverlapScores] = {
        "one_to_one": iou_one_to_one(truth, picks, half, min_iou=settings.min_iou),
        "published": iou_published(truth, picks, half),
    }
    rows: Rows = []
    for name, found in forms.items():
        rows.append({"metric": f"iou_{name}", "value": found.mean_iou, "n": found.truth})
        for metric in METRICS:
            value = getattr(found.scores, metric)
            rows.append({"metric": f"iou_{name}_{metric}", "value": value, "n": found.truth})
    return rows


def frame_rows(verdict: FrameVerdict) -> Rows:
    """1 where the picks fit better in another frame, with the F1 there; 0 where they do not."""
    rows: Rows = [{"metric": "frame_warning", "value": int(verdict.warning is not None)}]
    if verdict.warning is not None:
        rows.append(
            {
                "metric": f"f1_if_{verdict.best.replace(', ', ' ').replace(' ', '_')}",
                "value": verdict.f1[verdict.best],
            }
        )
    return rows


def _matches_of(comparison: Comparison, name: str) -> pd.DataFrame:
    truth, pairs = comparison.truth[name], comparison.matches[name]
    picks = comparison.picks.get(name, np.empty((0, 2)))
    score = comparison.scores.get(name, np.full(len(picks), np.nan))
    partner, distance = np.full(len(picks), -1), np.full(len(picks), np.nan)
    partner[pairs.pick_index], distance[pairs.pick_index] = pairs.truth_index, pairs.distance
    missed = np.setdiff1d(np.arange(len(truth)), pairs.truth_index)
    blank = np.full(len(missed), np.nan)
    centres = np.concatenate([picks.reshape(-1, 2), truth[missed].reshape(-1, 2)])
    columns = {
        "kind": np.concatenate([np.where(partner >= 0, "hit", "false"), np.full(len(missed), "miss")]),
        "x": centres[:, 0],
        "y": centres[:, 1],
        "score": np.concatenate([score, blank]),
        "partner": np.concatenate([partner, np.full(len(missed), -1)]),
        "distance": np.concatenate([distance, blank]),
    }
    return pd.DataFrame({"micrograph": name} | columns, index=range(len(centres)))
