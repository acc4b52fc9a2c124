"""The page's section that sets all pickers side by side, on groups of data sets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vitreous.report import charts
from vitreous.report.blocks import Block, Cell, Chart, Column, Heading, Key, Prose, Row, Section, Table, fixed
from vitreous.report.links import linked
from vitreous.report.material import Material
from vitreous.report.published import Published
from vitreous.report.results import read_table
from vitreous.report.scores import published_beside, quantity, written

PREFIX = "comparison-"
LEAD = (
    "All pickers on the same micrographs. F1 is that of counts pooled over a group at the picker's own, "
    "automatic threshold; `best` is the F1 at the thresholds (one a data set) that are best with the truth "
    "in hand: an upper bound, never a result. Intervals are bootstraps over micrographs, drawn within sets."
)
DETAILS = (
    "precision_micro", "recall_micro", "f1_micro", "oracle_f1", "average_precision", "centre_error",
    "offset_x", "offset_y", "iou_one_to_one", "iou_one_to_one_f1", "iou_published", "iou_published_f1",
    "count_picks", "count_truth",
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
    """A comparison as tables: F1 at a glance, paired differences, everything else by group."""
    if table.empty:
        return [Prose("The table is empty.", kind="empty")]
    scores = gather_groups(table)
    blocks: list[Block] = [_overview(scores)]
    if len(ahead):
        blocks.append(_differences(ahead))
    return [*blocks, _details(scores, published, accessions)]


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
    low, high = float(row.get("low", math.nan)), float(row.get("high", math.nan))
    both = math.isfinite(low) and math.isfinite(high)
    return f"{fixed(low, decimals)}–{fixed(high, decimals)}" if both else ""


def _overview(scores: Scores) -> Table:
    """Pickers down, groups across: F1 with its interval, and the best threshold's."""
    groups, pickers = _names(scores)
    columns = [Column("picker")]
    for group in groups:
        columns += [Column(f"{group}: F1", numeric=True), Column("best", numeric=True)]
    rows = []
    for picker in pickers:
        cells = [Cell(picker)]
        for group in groups:
            for metric in ("f1_micro", "oracle_f1"):
                row = scores.get((group, picker), {}).get(metric, {})
                value = float(row.get("value", math.nan))
                note = _interval(row) if metric == "f1_micro" else _member(row)
                kind = "best" if value == _best(scores, group, metric) else ""
                cells.append(Cell(fixed(value, 3), sort=_sort(value), kind=kind, note=note))
        rows.append(Row(cells))
    note = (
        "Bold: the highest of its column. `best`: F1 at the best thresholds, chosen with the truth in hand."
    )
    return Table(columns, rows, caption="F1 of every picker on every group", note=note, sortable=True)


def _member(row: Mapping[str, Any]) -> str:
    """Which picker of a family it was."""
    member = row.get("member")
    return member if isinstance(member, str) else ""


def _sort(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _differences(ahead: pd.DataFrame) -> Table:
    """Paired differences: one row a picker for each it is set against, one column a group."""
    groups = list(dict.fromkeys(ahead["group"]))
    rows, last = [], ""
    for (other, at), part in ahead.groupby(["against", "against_at"], sort=False):
        heading = f"F1 less that of {other} at its {'automatic' if at == 'automatic' else 'best'} threshold"
        for picker, own in part.groupby("picker", sort=False):
            by_group = {str(row["group"]): row for row in own.to_dict("records")}
            cells = [Cell(str(picker))] + [_difference(by_group.get(group)) for group in groups]
            rows.append(Row(cells, group=heading if heading != last else ""))
            last = heading
    columns = [Column("picker"), *(Column(group, numeric=True) for group in groups)]
    note = (
        "Each picker at its automatic threshold; both on the same resamples of the micrographs. Bold: the "
        "interval is above zero."
    )
    return Table(columns, rows, caption="Paired differences of F1", note=note)


def _difference(row: Mapping[Any, Any] | None) -> Cell:
    if row is None:
        return Cell("–", kind="none")
    value, low, high = (float(row[name]) for name in ("difference", "low", "high"))
    title = f"ahead in {float(row['share_ahead']):.0%} of the resamples, {int(row['n'])} micrographs"
    note = f"{_signed(low)} to {_signed(high)}"
    return Cell(_signed(value), sort=value, kind="best" if low > 0 else "", note=note, title=title)


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−") if math.isfinite(value) else "–"


def _details(scores: Scores, published: Published, accessions: Mapping[str, str | None]) -> Table:
    """Everything that is known of each picker on each group, with what papers print for the same data."""
    groups, pickers = _names(scores)
    metrics = [name for name in DETAILS if any(name in of_picker for of_picker in scores.values())]
    rows = []
    for group in groups:
        heading = group
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
    columns = [Column("picker")]
    for metric in metrics:
        how = quantity(metric)
        columns.append(Column(how.label, how.unit, numeric=True, title=how.meaning))
    note = (
        "Average precision and the published IoU form are means over the data sets of a group; the centre "
        "error is the median over its hits, in shares of the particle's diameter; offsets are pick − truth."
    )
    return Table(columns, rows, caption="All scores", note=note)


def _written(value: float, metric: str) -> str:
    return written(value, quantity(metric)) if math.isfinite(value) else "–"


def _published_rows(
    scores: Scores,
    group: str,
    metrics: Sequence[str],
    published: Published,
    accessions: Mapping[str, str | None],
) -> list[Row]:
    """What papers print for the one data set of a group that is not cut."""
    some = next(row for key, of_picker in scores.items() if key[0] == group for row in of_picker.values())
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
    """F1 with intervals by group; beside each the best threshold's as a hollow mark."""
    groups, pickers = _names(scores)
    dots = []
    for group in groups:
        for picker in pickers:
            row = scores.get((group, picker), {}).get("f1_micro", {})
            low, high = float(row.get("low", math.nan)), float(row.get("high", math.nan))
            value, best = (_value(scores, group, picker, name) for name in ("f1_micro", "oracle_f1"))
            text = f"F1 {fixed(value, 3)} ({_interval(row)}), best threshold {fixed(best, 3)}"
            dots.append(charts.Dot(picker, value, low, high, 0, group=group, text=text, other=best))
    axis = charts.axis("F1", [0.0, 1.0], low=0.0, high=1.0)
    svg = charts.dot_chart(dots, axis, description="F1 of every picker by group, with its interval")
    keys = [Key("automatic threshold, with interval", "s0", "circle")]
    keys.append(Key("best threshold", "published", "diamond"))
    return Chart("F1 by group", svg, keys, wide=True)


def text_of(path: Path, differences: Path | None, published: Published) -> list[Block]:
    """The blocks of a comparison's text, from its files."""
    return comparison_blocks(read_table(path), read_table(differences), published, {})
