"""The page's section that sets all pickers side by side, on groups of data sets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vitreous.report import charts
from vitreous.report.blocks import (
    Block,
    Cell,
    Chart,
    Column,
    Fold,
    Heading,
    Key,
    Prose,
    Row,
    Section,
    Table,
    fixed,
    plural,
    signed,
    span,
)  # fmt: skip
from vitreous.report.links import linked
from vitreous.report.material import Material
from vitreous.report.published import Published
from vitreous.report.results import read_table
from vitreous.report.scores import column, published_beside, quantity, written

PREFIX = "comparison-"
LEAD = (
    "All pickers on the same micrographs. F1 is that of counts pooled over a group at the picker's own, "
    "automatic threshold; oracle F1 is that at the best thresholds (one a data set), chosen with the truth "
    "in hand: an upper bound, never a result. Intervals are bootstraps over micrographs, drawn within sets."
)
# Tables of everything else: caption, metrics, note.
DETAILS = (
    (
        "What is found",
        ("f1_micro", "precision_micro", "recall_micro", "oracle_f1", "average_precision", "count_picks",
         "count_truth"),
        "Precision, recall and F1 are of pooled counts; AUPRC is the mean over the data sets of a group.",
    ),
    (
        "How well it is placed",
        ("centre_error", "offset_x", "offset_y", "iou_one_to_one", "iou_one_to_one_f1", "iou_published",
         "iou_published_f1"),
        "Centre error: median over hits, in particle diameters. Offset: mean of pick − truth over hits. IoU: "
        "overlap of boxes, each pick with one particle (`one to one`) or in the published form (nearest "
        "prediction, shared ones allowed), the mean over the data sets of a group.",
    ),
)  # fmt: skip
Scores = dict[tuple[str, str], dict[str, dict[str, Any]]]


def comparison_section(material: Material) -> Section:
    """Every comparison of the run."""
    section = Section(
        "comparison",
        "Comparison",
        LEAD,
        empty="This run compares no pickers; the configuration's block `comparisons` does.",
    )
    for path in material.run.tables:
        if path.name.startswith(PREFIX):
            ahead = read_table(path.with_name(f"{path.stem}.differences.csv"))
            name = path.stem.removeprefix(PREFIX)
            accessions = {one: material.accession(one) for one in material.run.datasets}
            section.blocks.append(Heading(name))
            table = read_table(path)
            blocks = comparison_blocks(table, ahead, material.published, accessions)
            section.blocks += linked(blocks, material, path)
            section.blocks += [_chart(gather_groups(table))] if len(table) else []
    return section


def comparison_blocks(
    table: pd.DataFrame, ahead: pd.DataFrame, published: Published, accessions: Mapping[str, str | None]
) -> list[Block]:
    """A comparison as tables: F1 at a glance, paired differences by opponent, what is found and how well."""
    if table.empty:
        return [Prose("The table is empty.", kind="empty")]
    scores = gather_groups(table)
    blocks: list[Block] = [_overview(scores)]
    if len(ahead):
        blocks += _differences(ahead)
    known = {metric for of_picker in scores.values() for metric in of_picker}
    for caption, wanted, note in DETAILS:
        metrics = [metric for metric in wanted if metric in known]
        if metrics:
            rows = _details(metrics, scores, published, accessions)
            blocks.append(_detail_table(caption, metrics, rows, note))
    return blocks


def gather_groups(table: pd.DataFrame) -> Scores:
    """Rows by (group, picker) and metric, in the table's order."""
    found: Scores = {}
    for row in table.to_dict("records"):
        known = {str(key): value for key, value in row.items()}
        found.setdefault((str(row["group"]), str(row["picker"])), {})[str(row["metric"])] = known
    return found


def _names(scores: Scores) -> tuple[list[str], list[str]]:
    groups = list(dict.fromkeys(group for group, _ in scores))
    return groups, list(dict.fromkeys(picker for _, picker in scores))


def _value(scores: Scores, group: str, picker: str, metric: str) -> float:
    return float(scores.get((group, picker), {}).get(metric, {}).get("value", math.nan))


def _best(scores: Scores, group: str, metric: str) -> float:
    values = [_value(scores, *key, metric) for key in scores if key[0] == group]
    known = [value for value in values if math.isfinite(value)]
    better = quantity(metric).better
    if len(known) < 2 or not better:
        return math.nan
    return max(known) if better == "high" else min(known)


def _interval(row: Mapping[str, Any], decimals: int = 3) -> str:
    return span(float(row.get("low", math.nan)), float(row.get("high", math.nan)), decimals)


def _overview(scores: Scores) -> Table:
    """Pickers down, groups across: F1 with its interval, and the oracle's."""
    groups, pickers = _names(scores)
    columns = [Column("picker")]
    for group in groups:
        oracle = Column("oracle F1", numeric=True, title=f"{group}, {quantity('oracle_f1').meaning}")
        columns += [Column(f"{group}: F1", numeric=True), oracle]
    rows = []
    for picker in pickers:
        cells = [Cell(picker)]
        for group in groups:
            for metric in ("f1_micro", "oracle_f1"):
                row = scores.get((group, picker), {}).get(metric, {})
                value = float(row.get("value", math.nan))
                note = _interval(row) if metric == "f1_micro" else _member(row)
                best = metric == "f1_micro" and value == _best(scores, group, metric)
                cells.append(Cell(fixed(value, 3), sort=_sort(value), kind="best" if best else "", note=note))
        rows.append(Row(cells))
    note = "Bold: the highest F1 of a group. Oracle F1: at the best thresholds, known from the truth."
    if any(_member(row) for of_picker in scores.values() for row in of_picker.values()):
        note += " Below it, for the best of a family: which one it was."
    return Table(columns, rows, caption="F1 of every picker on every group", note=note, sortable=True)


def _member(row: Mapping[str, Any]) -> str:
    """Which picker of a family it was."""
    member = row.get("member")
    return member if isinstance(member, str) else ""


def _sort(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _differences(ahead: pd.DataFrame) -> list[Fold]:
    """Paired differences: a part for each picker that others are set against."""
    groups = list(dict.fromkeys(ahead["group"]))
    return [
        Fold(f"Paired differences of F1 to {other}", [_against(str(other), part, groups)])
        for other, part in ahead.groupby("against", sort=False)
    ]


def _against(other: str, ahead: pd.DataFrame, groups: Sequence[str]) -> Table:
    """F1 of every picker less that of `other` at its automatic and its best threshold, groups across."""
    rows = []
    for at, part in ahead.groupby("against_at", sort=False):
        heading = f"F1 less that of {other} at its {'automatic' if at == 'automatic' else 'best'} threshold"
        for picker, own in part.groupby("picker", sort=False):
            by_group = {str(row["group"]): row for row in own.to_dict("records")}
            cells = [Cell(str(picker))] + [_difference(by_group.get(group)) for group in groups]
            rows.append(Row(cells, group=heading))
            heading = ""
    columns = [Column("picker"), *(Column(group, numeric=True) for group in groups)]
    note = (
        "Each picker at its automatic threshold; both on the same resamples of the micrographs. Bold: the "
        "interval is above zero."
    )
    return Table(columns, rows, note=note)


def _difference(row: Mapping[Any, Any] | None) -> Cell:
    if row is None:
        return Cell("–", kind="none")
    value, low, high = (float(row[name]) for name in ("difference", "low", "high"))
    micrographs = plural(int(row["n"]), "micrograph")
    title = f"ahead in {float(row['share_ahead']):.0%} of the resamples of {micrographs}"
    note = f"{signed(low)} to {signed(high)}"
    return Cell(signed(value), sort=_sort(value), kind="best" if low > 0 else "", note=note, title=title)


def _details(
    metrics: Sequence[str], scores: Scores, published: Published, accessions: Mapping[str, str | None]
) -> list[Row]:
    """Some metrics of each picker on each group, with what papers print for the same data."""
    groups, pickers = _names(scores)
    rows: list[Row] = []
    for group in groups:
        heading = f"{group} · {_meant(scores, group)}"
        for picker in pickers:
            own = scores.get((group, picker), {})
            cells = [Cell(picker)]
            for metric in metrics:
                value = float(own.get(metric, {}).get("value", math.nan))
                kind = "best" if value == _best(scores, group, metric) else ""
                cells.append(
                    Cell(
                        _written(value, metric), _sort(value), kind=kind, title=_interval(own.get(metric, {}))
                    )
                )
            rows.append(Row(cells, group=heading))
            heading = ""
        rows += _published_rows(scores, group, metrics, published, accessions)
    return rows


def _detail_table(caption: str, metrics: Sequence[str], rows: list[Row], note: str) -> Table:
    columns = [Column("picker"), *(column(metric) for metric in metrics)]
    note += " Italics: printed in a paper for the same data set." if any(row.kind for row in rows) else ""
    return Table(columns, rows, caption=caption, note=f"Bold: the best of this run on a group. {note}")


def _written(value: float, metric: str) -> str:
    return written(value, quantity(metric)) if math.isfinite(value) else "–"


def _some(scores: Scores, group: str) -> dict[str, Any]:
    """Any row of a group: they share its data sets and its border."""
    return next(row for key, of_picker in scores.items() if key[0] == group for row in of_picker.values())


def _meant(scores: Scores, group: str) -> str:
    """The data sets of a group and the border that is left out of them."""
    some = _some(scores, group)
    datasets, border_px = str(some["dataset"]).split("+"), float(some["border_px"])
    names = ", ".join(datasets) if len(datasets) < 4 else plural(len(datasets), "data set")
    return f"{names}, less a border of {border_px:g} px" if border_px else names


def _published_rows(
    scores: Scores,
    group: str,
    metrics: Sequence[str],
    published: Published,
    accessions: Mapping[str, str | None],
) -> list[Row]:
    """What papers print for the one data set of a group that is not cut."""
    some = _some(scores, group)
    dataset = str(some["dataset"])
    if "+" in dataset or float(some["border_px"]) > 0:
        return []
    rows = []
    for name, found in published_beside(published.rows(), dataset, accessions.get(dataset), metrics):
        cells = [Cell(name)]
        for metric in metrics:
            value = float(found[metric]["value"]) if metric in found else math.nan
            cells.append(Cell(_written(value, metric) if metric in found else "", _sort(value)))
        rows.append(Row(cells, kind="published"))
    return rows


def _chart(scores: Scores) -> Chart:
    """F1 with intervals by group; beside each the oracle's as a hollow mark."""
    groups, pickers = _names(scores)
    dots = []
    for group in groups:
        for picker in pickers:
            row = scores.get((group, picker), {}).get("f1_micro", {})
            low, high = float(row.get("low", math.nan)), float(row.get("high", math.nan))
            value, best = (_value(scores, group, picker, name) for name in ("f1_micro", "oracle_f1"))
            text = f"F1 {fixed(value, 3)} ({_interval(row)}), oracle {fixed(best, 3)}"
            dots.append(charts.Dot(picker, value, low, high, 0, group=group, text=text, other=best))
    svg = charts.dot_chart(
        dots, charts.share_axis("F1", dots), description="F1 of every picker by group, with its interval"
    )
    keys = [Key("F1 at the automatic threshold, with interval", "s0", "circle")]
    keys.append(Key("oracle F1, at the best threshold", "other", "diamond"))
    return Chart("F1 by group", svg, keys, wide=True)


def text_of(path: Path, differences: Path | None, published: Published) -> list[Block]:
    """The blocks of a comparison's text, from its files."""
    return comparison_blocks(read_table(path), read_table(differences), published, {})
