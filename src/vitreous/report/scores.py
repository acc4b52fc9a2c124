"""Scores for reading: what each metric is called, and the median over seeds where there are several."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vitreous.report.blocks import Cell, Column, count, fixed, number, span
from vitreous.report.published import dataset_key

# From here on thousands stand apart and decimals say nothing.
LARGE = 1e4
SUBJECT = ("dataset", "denoiser", "picker", "selection", "target", "engine", "ctf", "model", "trained_on")


@dataclass(frozen=True)
class Quantity:
    """How a metric is shown: heading, unit, decimals (None: a count), and whether a high value is good."""

    label: str
    unit: str = ""
    decimals: int | None = 3
    better: str = ""
    meaning: str = ""


_POOLED = "counts pooled over micrographs"
_MEAN = "mean over micrographs"
_BOXES = "a hit is a box overlap above 0.6"
QUANTITIES = {
    "f1_micro": Quantity("F1", better="high", meaning=f"harmonic mean of precision and recall, {_POOLED}"),
    "precision_micro": Quantity("precision", better="high", meaning=f"hits / picks, {_POOLED}"),
    "recall_micro": Quantity("recall", better="high", meaning=f"hits / true particles, {_POOLED}"),
    "oracle_f1": Quantity(
        "oracle F1", better="high", meaning="F1 at the threshold chosen with the truth in hand"
    ),
    "centre_error": Quantity(
        "centre error", "D", 3, "low", "median distance of hits from their true centres / diameter"
    ),
    "offset_x": Quantity("offset x", "px", 2, meaning="mean of pick − truth over hits"),
    "offset_y": Quantity("offset y", "px", 2, meaning="mean of pick − truth over hits"),
    "iou_one_to_one": Quantity("IoU, one to one", better="high", meaning="mean overlap of boxes, paired"),
    "iou_one_to_one_f1": Quantity("F1 by IoU, one to one", better="high", meaning=f"{_BOXES}, paired"),
    "median_distance": Quantity(
        "centre error", "px", 1, "low", "median distance of hits from their true centres"
    ),
    "average_precision": Quantity("AUPRC", better="high", meaning="area under precision against recall"),
    "f1_macro": Quantity("F1 macro", better="high", meaning=_MEAN),
    "precision_macro": Quantity("precision macro", better="high", meaning=_MEAN),
    "recall_macro": Quantity("recall macro", better="high", meaning=_MEAN),
    "iou_published": Quantity("IoU", better="high", meaning="mean overlap of boxes, nearest prediction"),
    "iou_published_f1": Quantity("F1 by IoU", better="high", meaning=_BOXES),
    "iou_published_precision": Quantity("precision by IoU", better="high", meaning=_BOXES),
    "iou_published_recall": Quantity("recall by IoU", better="high", meaning=_BOXES),
    "count_picks": Quantity("picks", decimals=None, meaning="picks on annotated micrographs"),
    "count_truth": Quantity("true", decimals=None, meaning="particles in the truth"),
    "count_hits": Quantity("hits", decimals=None, meaning="picks matched one to one with the truth"),
    "particles": Quantity("particles", decimals=None),
    "ctf_failed": Quantity("failed", decimals=None, meaning="micrographs without a usable fit"),
    "ctf_quality_median": Quantity("quality", better="high", meaning="figure of merit of the fit, median"),
    "astigmatism_angle_error_median": Quantity("angle error", "°", 1, "low", "median"),
    "real_space_correlation": Quantity("real-space correlation", better="high", meaning="with the true map"),
    "mean_fsc_truth": Quantity("mean FSC", better="high", meaning="with the true map, over all shells"),
    "defocus_u_median": Quantity("defocus U", "Å", None, meaning="median over micrographs"),
    "astigmatism_median": Quantity("astigmatism", "Å", None, meaning="median over micrographs"),
    "defocus_error_median": Quantity("defocus error", "Å", 0, "low", "median, against the truth"),
    "defocus_bias_median": Quantity("defocus bias", "Å", 0, meaning="median, against the truth"),
    "astigmatism_error_median": Quantity("astigmatism error", "Å", 0, "low", "median, against the truth"),
    "ctf_max_resolution_median": Quantity("fits to", "Å", 1, "low", "median over micrographs"),
}
RESOLUTION = re.compile(r"^resolution_(unmasked|masked|corrected|truth)_(0\.\d+)(_last)?$")


def quantity(metric: str, unit: object = "") -> Quantity:
    """How `metric` is shown; a metric without an entry is shown under its own name."""
    if metric in QUANTITIES:
        return QUANTITIES[metric]
    if match := RESOLUTION.match(metric):
        curve, at, last = match[1], match[2], match[3]
        what = "FSC with the true map" if curve == "truth" else f"{curve} FSC of the half-maps"
        label = f"{'to truth' if curve == 'truth' else curve} {at}{' last' if last else ''}"
        return Quantity(
            label, "Å", 2, "low", f"where the {what} {'last' if last else 'first'} falls through {at}"
        )
    unit = unit if isinstance(unit, str) and unit not in ("1", "nan") else ""
    label = metric.removesuffix(f"_{unit}").replace("_", " ")
    better = "low" if unit == "Å" and ("resolution" in metric or "fscr" in metric) else ""
    return Quantity(label, unit, decimals=2 if unit == "Å" else 3, better=better)


@dataclass(frozen=True)
class Score:
    """A metric's value for one subject: the median over seeds, its interval, and where it stands."""

    metric: str
    value: float
    unit: str
    low: float
    high: float
    spread_kind: str
    seeds: int
    failures: int
    file: str

    @property
    def text(self) -> str:
        """The value as it is printed."""
        return written(self.value, quantity(self.metric, self.unit))

    @property
    def interval(self) -> str:
        """The interval as it is printed; empty where there is none."""
        how = quantity(self.metric, self.unit)
        if how.decimals is not None and max(abs(self.low), abs(self.high)) < LARGE:
            return span(self.low, self.high, how.decimals)
        known = math.isfinite(self.low) and math.isfinite(self.high)
        return f"{written(self.low, how)}–{written(self.high, how)}" if known else ""


Subject = tuple[str, ...]


def written(value: float, how: Quantity) -> str:
    """A value with the quantity's decimals."""
    if how.decimals is None:
        return count(value)
    return fixed(value, how.decimals) if abs(value) < LARGE else number(value)


def gather(table: pd.DataFrame) -> dict[Subject, dict[str, Score]]:
    """Scores by subject and metric from tidy rows; several seeds of a row become their median and range."""
    if table.empty:
        return {}
    keys = [name for name in SUBJECT if name in table]
    plain = table.assign(**{name: table[name].astype(object).fillna("").astype(str) for name in keys})
    found: dict[Subject, dict[str, Score]] = {}
    for names, rows in plain.groupby([*keys, "metric"], sort=False):
        known = dict(zip(keys, map(str, names), strict=False))
        subject = tuple(known.get(name, "") for name in SUBJECT)
        found.setdefault(subject, {})[str(names[-1])] = _score(str(names[-1]), rows)
    return found


def as_number(value: object) -> float:
    """A cell of a table as a number, NaN where it is none."""
    try:
        return float(str(value))
    except ValueError:
        return math.nan


def _score(metric: str, rows: pd.DataFrame) -> Score:
    values = pd.to_numeric(rows["value"], errors="coerce")
    good = values.dropna()
    first = rows.iloc[0].to_dict()
    low, high, kind = _number(first, "low"), _number(first, "high"), _text(first, "spread_kind")
    if len(rows) > 1 and len(good):
        low, high, kind = float(good.min()), float(good.max()), f"range over {len(good)} seeds"
    value = float(good.median()) if len(good) else math.nan
    failures = int(values.isna().sum())
    return Score(
        metric, value, _text(first, "unit"), low, high, kind, len(rows), failures, _text(first, "file")
    )


def _number(row: Mapping[Any, Any], name: str) -> float:
    return as_number(row.get(name))


def _text(row: Mapping[Any, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""


def name_of(subject: Subject, *parts: str) -> str:
    """The subject's names of `parts` on one line, without those that say nothing."""
    known = dict(zip(SUBJECT, subject, strict=True))
    plain = {"", "raw", "all"}
    return " · ".join(known[part] for part in parts if known[part] not in plain) or "raw"


def part(subject: Subject, name: str) -> str:
    """One name of a subject."""
    return subject[SUBJECT.index(name)]


def column(metric: str, unit: str = "") -> Column:
    """The heading of a metric's column."""
    how = quantity(metric, unit)
    return Column(how.label, how.unit, numeric=True, title=how.meaning)


def best_of(scores: Sequence[Score | None], metric: str) -> float:
    """The best value among `scores`; NaN where the metric has no direction or there is no choice."""
    values = [score.value for score in scores if score is not None and math.isfinite(score.value)]
    unit = next((score.unit for score in scores if score is not None), "")
    better = quantity(metric, unit).better
    if len(values) < 2 or not better or max(values) == min(values):
        return math.nan
    return max(values) if better == "high" else min(values)


def score_cell(score: Score | None, links: Mapping[str, tuple[str, str]], best: float = math.nan) -> Cell:
    """A cell with the score, its interval, and a link to how it was made."""
    if score is None:
        return Cell("–", kind="none")
    href, command = links.get(score.file, ("", ""))
    # One seed without a centre error picked nothing right; only a map without a resolution has failed.
    lost = score.failures if score.seeds > 1 or RESOLUTION.match(score.metric) else 0
    failed = f"{lost} failed" if lost else ""
    facts = [f"{score.interval} ({score.spread_kind})" if score.interval else ""]
    facts += [f"median of {score.seeds} seeds" if score.seeds > 1 else ""]
    facts += [failed, f"made by: {command}" if command else ""]
    note = " · ".join(filter(None, [score.interval, failed]))
    return Cell(
        score.text,
        sort=score.value if math.isfinite(score.value) else None,
        href=href,
        title="\n".join(fact for fact in facts if fact),
        kind="best" if score.value == best else "",
        note=note,
    )


def published_beside(
    rows: Sequence[Mapping[str, Any]], dataset: str, accession: str | None, metrics: Sequence[str]
) -> list[tuple[str, dict[str, Mapping[str, Any]]]]:
    """Published rows of this data set with one of `metrics`: a name for the line and its rows by metric."""
    key = dataset_key(dataset, accession)
    lines: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        if row.get("dataset") == key and row["metric"] in metrics and row.get("value") is not None:
            lines.setdefault((row["paper"], _method(row)), {})[row["metric"]] = row
    return [(f"{name}, paper {paper}", found) for (paper, name), found in lines.items()]


def _method(row: Mapping[str, Any]) -> str:
    words = [row.get(key) for key in ("denoiser", "picker", "selection", "target", "model")]
    name = " · ".join(str(word) for word in words if word and word not in ("raw", "all"))
    trained = row.get("trained_on")
    return f"{name}, trained on {str(trained).removeprefix('empiar-')}" if trained else name
