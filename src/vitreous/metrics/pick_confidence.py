"""How sure a score over few micrographs is: bootstrap over micrographs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitreous.errors import InputError
from vitreous.metrics.pick_matching import Points
from vitreous.metrics.pick_scores import precision_recall_f1

METRICS = ("precision", "recall", "f1")


@dataclass(frozen=True)
class Interval:
    """A value with the interval that holds the middle `level` of its bootstrap, and the bootstrap's sd."""

    value: float
    low: float
    high: float
    sd: float
    level: float
    n: int


@dataclass(frozen=True)
class PairedDifference:
    """Difference of two pickers, b − a, on the same resamples; `share_b_ahead` counts ties as half."""

    interval: Interval
    share_b_ahead: float


def bootstrap_interval(
    per_micrograph: pd.DataFrame,
    *,
    metric: str = "f1",
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    strata: str | None = None,
) -> Interval:
    """Percentile interval of the pooled (micro) precision, recall or f1, micrographs drawn with replacement.

    Columns used: truth, picks, hits. `n` resamples; with `strata`, a column, each draws as many micrographs
    of every of its values as there are. Source: Efron 1979; methods/picking.md §5.
    """
    counts = _counts(per_micrograph)
    samples = _resampled(counts, _draws(per_micrograph, n, seed, strata), metric)
    return _interval(float(_pooled(counts, metric)), samples, level, len(counts))


def paired_bootstrap(
    a: pd.DataFrame,
    b: pd.DataFrame,
    *,
    metric: str = "f1",
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    strata: str | None = None,
) -> PairedDifference:
    """The difference b − a of the pooled metric of two pickers on the same micrographs, resampled together.

    Strata as in `bootstrap_interval`, of table `a`. Raises InputError where the two tables list different
    micrographs.
    """
    if set(a["micrograph"]) != set(b["micrograph"]) or len(a) != len(b):
        raise InputError("the two pickers were scored on different micrographs", found=(len(a), len(b)))
    aligned = b.set_index("micrograph").loc[list(a["micrograph"])]
    first, second = _counts(a), _counts(aligned)
    draws = _draws(a, n, seed, strata)
    difference = _resampled(second, draws, metric) - _resampled(first, draws, metric)
    value = float(_pooled(second, metric) - _pooled(first, metric))
    ahead = float(np.mean(difference > 0) + 0.5 * np.mean(difference == 0))
    return PairedDifference(_interval(value, difference, level, len(first)), ahead)


def _counts(table: pd.DataFrame) -> NDArray[np.int64]:
    return table[["truth", "picks", "hits"]].to_numpy(dtype=np.int64)


def _draws(table: pd.DataFrame, n: int, seed: int, strata: str | None) -> NDArray[np.int64]:
    """Rows (n, m) of a table of m micrographs, drawn with replacement, within strata where they are named."""
    if len(table) == 0:
        raise InputError("no micrograph to draw from", expected="at least one annotated micrograph")
    rng = np.random.default_rng(seed)
    if strata is None:
        return rng.integers(0, len(table), (n, len(table)))
    rows = [np.flatnonzero(table[strata] == name) for name in dict.fromkeys(table[strata])]
    return np.concatenate([own[rng.integers(0, len(own), (n, len(own)))] for own in rows], axis=1)


def _resampled(counts: NDArray[np.int64], draws: NDArray[np.int64], metric: str) -> Points:
    """The pooled metric of each resample: counts (m, 3) and draws (n, m) to (n,)."""
    return precision_recall_f1(*counts[draws].sum(axis=1).T)[METRICS.index(metric)]


def _pooled(counts: NDArray[np.int64], metric: str) -> Points:
    return precision_recall_f1(*counts.sum(axis=0))[METRICS.index(metric)]


def _interval(value: float, samples: Points, level: float, n: int) -> Interval:
    samples = samples[~np.isnan(samples)]
    if not len(samples):
        return Interval(value, float("nan"), float("nan"), float("nan"), level, n)
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), float(samples.std()), level, n)
