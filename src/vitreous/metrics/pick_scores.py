"""Counts of a micrograph's picks against its truth, and the scores made from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from vitreous.errors import InputError
from vitreous.metrics.pick_matching import Matches, Points, checked_points, match
from vitreous.runtime.plural import plural

PER_MICROGRAPH = ["micrograph", "truth", "picks", "hits", "precision", "recall", "f1", "missing"]


@dataclass(frozen=True)
class Scores:
    """Precision, recall and F1."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class MacroScores:
    """Mean and standard deviation (n − 1) over the micrographs that count, and how many those are."""

    mean: Scores
    sd: Scores
    n: int


@dataclass(frozen=True)
class OffsetStatistics:
    """How far and in which direction matched picks lie from the truth (pick − truth), in px of the input."""

    n: int
    median_distance: float
    mean_x: float
    mean_y: float
    sd_x: float
    sd_y: float


def precision_recall_f1(truth: ArrayLike, picks: ArrayLike, hits: ArrayLike) -> tuple[Points, Points, Points]:
    """Precision, recall and F1 from counts of any one shape.

    Without picks precision is 0 where there is truth; without truth recall is NaN, and all three are NaN
    where there is neither (nothing was to find and nothing was claimed).
    """
    truth, picks, hits = (np.asarray(count, dtype=np.int64) for count in (truth, picks, hits))
    nothing = (truth == 0) & (picks == 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        # ASSUME: no picks where there is truth is precision 0, not undefined: else silence would be rewarded.
        precision = np.where(nothing, np.nan, hits / np.maximum(picks, 1))
        recall = np.where(truth == 0, np.nan, hits / np.maximum(truth, 1))
        f1 = np.where(nothing, np.nan, 2 * hits / np.maximum(truth + picks, 1))
    return precision, recall, f1


def scores_of(truth: int, picks: int, hits: int) -> Scores:
    """Scores of one set of counts, see `precision_recall_f1`."""
    precision, recall, f1 = precision_recall_f1(truth, picks, hits)
    return Scores(float(precision), float(recall), float(f1))


def match_micrographs(
    truth: Mapping[str, Points], picks: Mapping[str, Points], radius_px: float
) -> dict[str, Matches]:
    """Match picks with truth on each micrograph of `truth` (a micrograph without picks has no pairs).

    Centres (n, 2: x, y) by micrograph, in the unit of the radius. Raises InputError on picks for a
    micrograph that `truth` does not list: a wrong name would else vanish.
    """
    check_known(truth, picks)
    empty = np.empty((0, 2))
    return {name: match(centres, picks.get(name, empty), radius_px) for name, centres in truth.items()}


def per_micrograph(
    truth: Mapping[str, Points],
    picks: Mapping[str, Points],
    matches: Mapping[str, Matches],
    missing: frozenset[str] = frozenset(),
) -> pd.DataFrame:
    """One row for each micrograph of `truth`: counts, scores, whether its picks are missing.

    Centres (n, 2) by micrograph. A micrograph that is missing or has no picks counts with all its particles
    missed.
    """
    names = list(truth)
    counts = np.array(
        [(len(checked_points(truth[name])), len(picks.get(name, ())), len(matches[name])) for name in names],
        dtype=np.int64,
    ).reshape(-1, 3)
    precision, recall, f1 = precision_recall_f1(*counts.T)
    return pd.DataFrame(
        {
            "micrograph": names,
            "truth": counts[:, 0],
            "picks": counts[:, 1],
            "hits": counts[:, 2],
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "missing": [name in missing for name in names],
        },
        columns=PER_MICROGRAPH,
    )


def micro_scores(counts: pd.DataFrame) -> Scores:
    """Scores of the pooled counts (columns truth, picks, hits); NaN where there is neither truth nor pick."""
    totals = counts[["truth", "picks", "hits"]].to_numpy(dtype=np.int64).sum(axis=0)
    return scores_of(*totals.tolist())


def macro_scores(counts: pd.DataFrame) -> MacroScores:
    """Mean and standard deviation over micrographs of precision, recall and F1.

    A micrograph with neither truth nor picks is left out; with picks but no truth its precision and F1 are 0
    and it is left out of the recall.
    """
    columns = precision_recall_f1(*counts[["truth", "picks", "hits"]].to_numpy(dtype=np.int64).T)
    kept = [column[~np.isnan(column)] for column in columns]
    mean = [float(column.mean()) if len(column) else float("nan") for column in kept]
    sd = [float(column.std(ddof=1)) if len(column) > 1 else float("nan") for column in kept]
    return MacroScores(Scores(*mean), Scores(*sd), len(kept[2]))


def offset_statistics(truth: Points, picks: Points) -> OffsetStatistics:
    """Median distance, mean and sd of the vector pick − truth of matched pairs (k, 2); NaN without pairs."""
    offset = checked_points(picks) - checked_points(truth)
    if not len(offset):
        return OffsetStatistics(0, *[float("nan")] * 5)
    mean, sd = offset.mean(axis=0), offset.std(axis=0)
    median = float(np.median(np.linalg.norm(offset, axis=1)))
    return OffsetStatistics(len(offset), median, *mean.tolist(), *sd.tolist())


def matched_pairs(
    truth: Mapping[str, Points], picks: Mapping[str, Points], matches: Mapping[str, Matches]
) -> tuple[Points, Points]:
    """The matched truth and pick centres (k, 2) of all micrographs, row by row."""
    pairs = [(truth[name][m.truth_index], picks[name][m.pick_index]) for name, m in matches.items() if len(m)]
    if not pairs:
        return np.empty((0, 2)), np.empty((0, 2))
    first, second = zip(*pairs, strict=True)
    return np.concatenate(first), np.concatenate(second)


def check_known(truth: Mapping[str, Points], picks: Mapping[str, Points]) -> None:
    """Raise InputError where `picks` names a micrograph that `truth` does not."""
    unknown = sorted(set(picks) - set(truth))
    if unknown:
        raise InputError(
            "picks for micrographs that the truth does not list",
            place=unknown[0],
            found=plural(len(unknown), "unknown name"),
            expected="the data set's own names, such as " + next(iter(truth), "none at all"),
        )
