"""The page's section on picks: scores beside the papers', curves, overlays, micrograph by micrograph."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from vitreous.report import charts
from vitreous.report.blocks import (
    NONE,
    Block,
    Cell,
    Chart,
    Charts,
    Column,
    Fold,
    Heading,
    Key,
    Prose,
    Row,
    Section,
    Table,
    fixed,
)  # fmt: skip
from vitreous.report.counts import automatic_mark, count_chart, rule_note
from vitreous.report.material import Material
from vitreous.report.micrographs import count_table, micrograph_table
from vitreous.report.overlays import overlays
from vitreous.report.results import Result, read_table
from vitreous.report.scores import (
    Score,
    Subject,
    best_of,
    column,
    name_of,
    part,
    published_beside,
    quantity,
    written,
)  # fmt: skip

# The tables of scores: two, so that neither is wider than the page.
SHOWN = {
    "What is found": (
        "f1_micro", "precision_micro", "recall_micro", "oracle_f1", "average_precision", "f1_macro",
        "count_picks", "count_truth",
    ),
    "How well it is placed": ("median_distance", "iou_published", "iou_published_f1"),
}  # fmt: skip
# More dots than this are a chart to open.
DOTS = 40
COMPARED = ("f1_micro", "precision_micro", "recall_micro", "f1_macro", "iou_published", "iou_published_f1")
POINTS = 160
COLOURS = 7


def picking_section(material: Material) -> Section:
    """Everything about picks."""
    section = Section(
        "picking",
        "Picking",
        "A pick is a hit where it is matched one to one with a true particle within the matching radius. "
        "Scores are those of the picker's own, automatic threshold; an interval is a bootstrap over "
        "micrographs, of F1 macro one standard deviation over micrographs.",
        empty="No picks were made or compared in this run.",
    )
    results = material.run.of("picks")
    scored = material.scores("picks")
    if scored:
        section.blocks += _scores_tables(material, scored)
        section.blocks.append(_dots(material, scored))
    drawn = {result: overlays(material, result) for result in best_first(material, results, scored)}
    for dataset in material.datasets_of(results):
        section.blocks += _dataset_blocks(material, dataset, scored, drawn)
    return section


def best_first(
    material: Material, results: list[Result], scored: dict[Subject, dict[str, Score]]
) -> list[Result]:
    """The best picker of every data set, then every second best: not all pictures may fit on the page."""
    ranked: list[tuple[int, Result]] = []
    for dataset in material.datasets_of(results):
        own = [result for result in results if result.names["dataset"] == dataset]
        ranked += enumerate(sorted(own, key=lambda one: -_ranked(_score_of(one, scored, "f1_micro"))))
    return [result for _, result in sorted(ranked, key=lambda pair: pair[0])]


def _scores_tables(material: Material, scored: dict[Subject, dict[str, Score]]) -> list[Table]:
    present = {metric for scores in scored.values() for metric in scores}
    wanted = {caption: [one for one in metrics if one in present] for caption, metrics in SHOWN.items()}
    return [_scores_table(material, scored, *one) for one in wanted.items() if one[1]]


def _scores_table(
    material: Material, scored: dict[Subject, dict[str, Score]], caption: str, metrics: list[str]
) -> Table:
    rows: list[Row] = []
    for dataset in dict.fromkeys(part(subject, "dataset") for subject in scored):
        subjects = [subject for subject in scored if part(subject, "dataset") == dataset]
        best = {metric: best_of([scored[s].get(metric) for s in subjects], metric) for metric in metrics}
        for index, subject in enumerate(subjects):
            cells = [Cell(name_of(subject, "denoiser", "picker"))]
            cells += [material.cell(scored[subject].get(metric), best[metric]) for metric in metrics]
            rows.append(Row(cells, group=dataset if index == 0 else ""))
        rows += _published_rows(material, dataset, metrics)
    columns = [Column("picker"), *(column(metric) for metric in metrics)]
    printed = "Italics: printed in a paper for the same data set." if any(row.kind for row in rows) else ""
    oracle = "Oracle F1: at the best threshold, known from the truth." if "oracle_f1" in metrics else ""
    note = " ".join(filter(None, ["Bold: the best of this run on a data set.", oracle, printed]))
    return Table(columns, rows, caption=caption, note=note)


def _published_rows(material: Material, dataset: str, metrics: list[str]) -> list[Row]:
    compared = [metric for metric in metrics if metric in COMPARED]
    beside = published_beside(material.published.rows(), dataset, material.accession(dataset), compared)
    rows = []
    for name, found in beside:
        cells = [Cell(name)]
        for metric in metrics:
            row = found.get(metric)
            text = written(float(row["value"]), quantity(metric)) if row else ""
            title = f"{row['source']}" if row else ""
            cells.append(Cell(text, sort=row["value"] if row else None, title=title))
        rows.append(Row(cells, kind="published"))
    return rows


def _dots(material: Material, scored: dict[Subject, dict[str, Score]]) -> Chart | Fold:
    dots: list[charts.Dot] = []
    for subject, scores in scored.items():
        score, dataset = scores.get("f1_micro"), part(subject, "dataset")
        if score is None:
            continue
        name = name_of(subject, "denoiser", "picker")
        interval = f" ({score.interval})" if score.interval else ""
        text = f"F1 {score.text}{interval}"
        dots.append(charts.Dot(name, score.value, score.low, score.high, 0, group=dataset, text=text))
    for dataset in list(dict.fromkeys(dot.group for dot in dots)):
        place = max(index for index, dot in enumerate(dots) if dot.group == dataset) + 1
        for name, found in published_beside(
            material.published.rows(), dataset, material.accession(dataset), ("f1_micro",)
        ):
            row, label = found["f1_micro"], name.rsplit(", paper", 1)[0]
            dot = charts.Dot(
                label, row["value"], published=True, group=dataset, text=f"F1 {row['value']}, {name}"
            )
            dots.insert(place, dot)
            place += 1
    svg = charts.dot_chart(
        dots,
        charts.share_axis("F1", dots),
        description="F1 of every picker with its bootstrap interval, by data set",
    )
    keys = [Key("ours, with interval", "s0", "circle")]
    keys += [Key("printed in a paper", "published", "diamond")] if any(dot.published for dot in dots) else []
    chart = Chart("F1 by picker", svg, keys, wide=True)
    return chart if len(dots) <= DOTS else Fold(f"F1 by picker, drawn ({len(dots)} rows)", [chart])


def _dataset_blocks(
    material: Material,
    dataset: str,
    scored: dict[Subject, dict[str, Score]],
    pictures: dict[Result, list[Block]],
) -> list[Block]:
    results = [result for result in material.run.of("picks") if result.names["dataset"] == dataset]
    blocks: list[Block] = [Heading(dataset)]
    curves = _curves(results)
    if curves:
        blocks.append(Charts([_precision_recall(curves, scored)]))
    for index, result in enumerate(results):
        drawn = [_threshold_chart(result, curves[result])] if result in curves else []
        counted = count_chart(result, with_rule=not drawn)
        drawn += [counted] if counted else []
        inner: list[Block] = [Charts(drawn)] if drawn else []
        inner += pictures[result]
        table = micrograph_table(material, result) or count_table(material, result)
        inner += [table] if table else []
        if inner:
            f1 = fixed(_score_of(result, scored, "f1_micro"), 3)
            reached = "" if f1 == NONE else f" · F1 {f1}"
            title = f"{result.label}{reached} · threshold and micrographs"
            blocks.append(Fold(title, inner, open=index == 0))
    if not any(result.file("scores.csv") for result in results):
        blocks.insert(1, Prose("This data set has no truth to compare its picks with.", kind="empty"))
    return blocks


def _thinned(table: pd.DataFrame) -> pd.DataFrame:
    if len(table) <= POINTS:
        return table
    return table.iloc[np.unique(np.linspace(0, len(table) - 1, POINTS).round().astype(int))]


def _score_of(result: Result, scored: dict[Subject, dict[str, Score]], metric: str) -> float:
    for subject, scores in scored.items():
        same = all(part(subject, name) == result.names[name] for name in ("dataset", "denoiser", "picker"))
        if same and metric in scores:
            return scores[metric].value
    return math.nan


def _curves(results: list[Result]) -> dict[Result, pd.DataFrame]:
    """The threshold curves of the pickers that have one."""
    curves = {result: _thinned(read_table(result.file("curve.csv"))) for result in results}
    curves = {result: curve for result, curve in curves.items() if {"recall", "precision"} <= set(curve)}
    return {result: curve for result, curve in curves.items() if len(curve)}


def _precision_recall(curves: dict[Result, pd.DataFrame], scored: dict[Subject, dict[str, Score]]) -> Chart:
    """Precision against recall of the pickers with the highest F1, as many as have a colour of their own."""
    series, keys = [], []
    best = sorted(curves, key=lambda result: -_ranked(_score_of(result, scored, "f1_micro")))[:COLOURS]
    for style, result in enumerate(result for result in curves if result in best):
        curve = curves[result]
        series.append(charts.Series(result.label, list(curve["recall"]), list(curve["precision"]), style))
        keys.append(Key(result.label, f"s{style}"))
        point = [_score_of(result, scored, f"{name}_micro") for name in ("recall", "precision")]
        series.append(charts.Series(f"{result.label}, automatic", point[:1], point[1:], style, dots=True))
    unit = charts.axis("", [0.0, 1.0], low=0.0, high=1.0).ticks
    svg = charts.line_chart(
        series,
        charts.Axis("recall", 0.0, 1.0, unit),
        charts.Axis("precision", 0.0, 1.0, unit),
        description="Precision against recall over all thresholds; the dot is the automatic threshold",
    )
    keys.append(Key("automatic threshold", "plain", "circle"))
    few = f"The {len(best)} pickers with the highest F1, of {len(curves)} that score their picks."
    note = few if len(best) < len(curves) else ""
    return Chart("Precision against recall", svg, keys, note=note)


def _ranked(value: float) -> float:
    return value if math.isfinite(value) else -1.0


def _threshold_chart(result: Result, curve: pd.DataFrame) -> Chart:
    curve = curve.sort_values("threshold")
    names = ("f1", "precision", "recall")
    series = [
        charts.Series({"f1": "F1"}.get(name, name), list(curve["threshold"]), list(curve[name]), style)
        for style, name in enumerate(names)
    ]
    marks = automatic_mark(result)
    x = charts.axis("threshold on the picker's score", [*curve["threshold"], *(mark.at for mark in marks)])
    y = charts.axis("F1, precision, recall", [0.0, 1.0], low=0.0, high=1.0)
    svg = charts.line_chart(
        series,
        x,
        y,
        marks=marks,
        description=f"F1, precision and recall of {result.label} against the threshold",
    )
    keys = [Key(one.label, f"s{one.style}") for one in series]
    return Chart("Scores against the threshold", svg, keys, note=rule_note(result))
