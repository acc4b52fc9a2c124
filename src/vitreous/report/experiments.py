"""The page's section on the papers' experiments: our tables with the printed ones beside, curves, latents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from vitreous.report import charts
from vitreous.report.blocks import (
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
    plural,
)  # fmt: skip
from vitreous.report.latents import latents_blocks
from vitreous.report.links import linked
from vitreous.report.material import Material
from vitreous.report.published import Published
from vitreous.report.results import read_table
from vitreous.report.scores import quantity, written

PREFIX = "picking_"
METRICS = (
    "iou_published", "iou_published_recall", "iou_published_precision", "iou_published_f1", "iou_one_to_one",
    "iou_one_to_one_f1", "recall_micro", "precision_micro", "f1_micro", "oracle_f1",
)  # fmt: skip
# What an experiment is called, where the paper has it, and what is known of it beside printed numbers.
TITLES = {
    "table1": ("Table 1: training sets and test sets", ("002", "1"), ""),
    "curve": (
        "Training micrographs",
        None,
        "Figure 2 of the paper (no numbers): F1 saturates at 5 micrographs.",
    ),
    "clusters": ("Number of clusters", None, "Figure 2 of the paper, without numbers: F1 is best at 5."),
    "sets20": ("One model of many sets", None, "Tables S1 to S6 of the paper are not at hand."),
    "latents": ("Latents in principal components", None, ""),
}
Values = dict[tuple[str, ...], dict[str, float]]
VARIED = {"curve": ("training_micrographs", "training micrographs"), "clusters": ("clusters", "clusters")}


def experiments_section(material: Material) -> Section:
    """Every experiment of which there is a table."""
    section = Section(
        "experiments",
        "Paper experiments",
        "The experiments of cryo-EMMAE (paper 002) on this run's data; printed numbers stand in italics.",
        empty="No experiment on picking was made; `snakemake picking_table1` makes one that is configured.",
    )
    paths = {path.stem: path for path in material.run.tables}
    for name in TITLES:
        path = paths.get(f"{PREFIX}{name}")
        if path is not None:
            section.blocks.append(Heading(TITLES[name][0]))
            made = [] if name == "latents" else experiment_blocks(name, read_table(path), material.published)
            section.blocks += linked(made, material, path) or latents_blocks(path)
    return section


def experiment_blocks(name: str, table: pd.DataFrame, published: Published) -> list[Block]:
    """An experiment: its curve where something is varied, means over the test sets, each test set."""
    if table.empty:
        return [Prose("The table is empty.", kind="empty")]
    _, printed, known = TITLES[name]
    rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    blocks: list[Block] = [Prose(known)] if known else []
    if name in VARIED:
        blocks.append(Charts(_varied(rows, *VARIED[name])))
    tests = [row for row in rows if not _is_mean(row)]
    blocks.append(_means([row for row in rows if _is_mean(row)], _printed(published, printed)))
    return [*blocks, Fold("Test set by test set", [_by_set(tests)])]


def _is_mean(row: Mapping[str, Any]) -> bool:
    return str(row["dataset"]).startswith(("mean-of-", "sum-of-"))


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        _text(row.get(name)) for name in ("trained_on", "picker", "training_micrographs", "clusters")
    )


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _by_picker(rows: Sequence[Mapping[str, Any]]) -> Values:
    found: Values = {}
    for row in rows:
        found.setdefault(_key(row), {})[str(row["metric"])] = float(row["value"])
    return found


def _printed(published: Published, place: tuple[str, str] | None) -> list[dict[str, Any]]:
    tables = [one for one in published.tables if place == (one.paper, one.table)]
    return [row for table in tables for row in table.rows if row.get("value") is not None]


def _means(rows: list[dict[str, Any]], printed: list[dict[str, Any]]) -> Table:
    """Means over the test sets by training set and method, printed ones below ours."""
    ours, paper = _by_picker(rows), _by_picker(printed)
    metrics = [name for name in METRICS if any(name in values for values in ours.values())]
    varied = [place for place in (2, 3) if any(key[place] for key in ours)]
    made: list[Row] = []
    for trained in sorted(dict.fromkeys(key[0] for key in [*ours, *paper]), key=lambda name: not name):
        heading = _trained(trained)
        for source, kind in ((ours, ""), (paper, "published")):
            for key, values in source.items():
                if key[0] == trained:
                    name = f"{key[1]}, printed" if kind else key[1]
                    cells = [Cell(name), *(Cell(key[place]) for place in varied)]
                    cells += [_cell(values, metric) for metric in metrics]
                    made.append(Row(cells, kind=kind, group=heading))
                    heading = ""
    made += _over_training(ours, paper, metrics) if not varied else []
    names = {2: "training micrographs", 3: "clusters"}
    columns = [Column("method"), *(Column(names[place], numeric=True) for place in varied)]
    columns += [_column(metric) for metric in metrics]
    sets = next((str(row["dataset"]).rsplit("-", 1)[-1] for row in rows), "0")
    note = (
        "Ours is at the automatic threshold; `oracle F1` at the best of each test set. IoU, and what is "
        "`by IoU`, is in the published form (nearest prediction, shared ones allowed) unless `one to one`."
    )
    note += " Printed: means over 14 test sets." if printed else ""
    return Table(columns, made, caption=f"Means over {plural(int(sets), 'test set')}", note=note)


def _over_training(ours: Values, paper: Values, metrics: Sequence[str]) -> list[Row]:
    """Means over the training sets of each method that was trained on several, printed ones below ours."""
    made: list[Row] = []
    heading = "mean over training sets"
    for source, kind in ((ours, ""), (paper, "published")):
        for method in dict.fromkeys(key[1] for key in source):
            own = [values for key, values in source.items() if key[1] == method and key[0]]
            if len(own) < 2:
                continue
            means = {metric: sum(one.get(metric, math.nan) for one in own) / len(own) for metric in metrics}
            cells = [_cell(means, metric) for metric in metrics]
            made.append(Row([Cell(f"{method}, printed" if kind else method), *cells], kind, heading))
            heading = ""
    return made


def _trained(trained: str) -> str:
    sets = trained.split("+")
    if not trained:
        return "not trained"
    return f"trained on {trained}" if len(sets) < 4 else f"trained on {len(sets)} sets"


def _cell(values: Mapping[str, float], metric: str) -> Cell:
    value = values.get(metric, math.nan)
    known = math.isfinite(value)
    return Cell(written(value, quantity(metric)) if known else "–", value if known else None)


def _column(metric: str) -> Column:
    how = quantity(metric)
    return Column(how.label, how.unit, numeric=True, title=how.meaning)


def _by_set(rows: list[dict[str, Any]]) -> Table:
    """F1 of every method on every test set: across goes what there is less of."""
    sets = list(dict.fromkeys(str(row["dataset"]) for row in rows))
    parts = {one: _by_picker([row for row in rows if row["dataset"] == one]) for one in sets}
    keys = list(dict.fromkeys(_key(row) for row in rows))
    names = [" · ".join(filter(None, [key[1], _short(key[0]), *_varied_words(key)])) for key in keys]
    cells = [[_cell(parts[one].get(key, {}), "f1_micro") for one in sets] for key in keys]
    corner, down, across = "method", names, sets
    if len(sets) > len(keys):
        corner, down, across = "test set", sets, names
        cells = [list(row) for row in zip(*cells, strict=True)]
    made = [Row([Cell(name), *own]) for name, own in zip(down, cells, strict=True)]
    columns = [Column(corner), *(Column(one, numeric=True) for one in across)]
    return Table(columns, made, caption="F1, one to one within half a diameter", sortable=True)


def _short(trained: str) -> str:
    return _trained(trained).removeprefix("trained ") if trained else ""


def _varied_words(key: tuple[str, ...]) -> list[str]:
    size, clusters = (int(float(value)) if value else 0 for value in key[2:4])
    return [plural(size, "micrograph") if size else "", plural(clusters, "cluster") if clusters else ""]


def _varied(rows: list[dict[str, Any]], column: str, label: str) -> list[Chart]:
    """Mean scores over the test sets against what is varied; a method that does not vary is a level line."""
    means = [row for row in rows if _is_mean(row)]
    places = sorted({float(row[column]) for row in means if _text(row.get(column))})
    made = []
    for metric in ("f1_micro", "iou_published_f1"):
        series, keys, marks = [], [], []
        lines: dict[tuple[str, str], dict[float, float]] = {}
        for row in (row for row in means if row["metric"] == metric):
            place = float(row[column]) if _text(row.get(column)) else math.nan
            lines.setdefault((str(row["picker"]), _text(row.get("trained_on"))), {})[place] = float(
                row["value"]
            )
        for style, ((method, trained), values) in enumerate(lines.items()):
            name = f"{method} {_short(trained)}".strip()
            if any(math.isnan(place) for place in values):
                marks.append(charts.Mark(next(iter(values.values())), name))
                continue
            x = sorted(values)
            # A logarithm spreads 1, 3, 5, 20, … evenly; the ticks say the numbers themselves.
            points = [math.log(one) for one in x], [values[one] for one in x]
            series.append(charts.Series(name, *points, style % 7))
            series.append(charts.Series(name, *points, style % 7, dots=True))
            keys.append(Key(name, f"s{style % 7}"))
        made.append(_varied_chart(metric, series, keys, marks, places, label))
    return made


def _varied_chart(
    metric: str,
    series: list[charts.Series],
    keys: list[Key],
    marks: list[charts.Mark],
    places: list[float],
    label: str,
) -> Chart:
    ends = (math.log(min(places)), math.log(max(places))) if places else (0.0, 1.0)
    margin = 0.05 * (ends[1] - ends[0]) or 0.5
    ticks = [(math.log(place), f"{place:g}") for place in places]
    x = charts.Axis(f"{label} (logarithmic)", ends[0] - margin, ends[1] + margin, ticks)
    how = quantity(metric)
    y = charts.axis(f"{how.label}, mean over test sets", [0.0, 1.0], low=0.0, high=1.0)
    svg = charts.line_chart(series, x, y, marks=marks, description=f"{how.label} against {label}", log_x=True)
    return Chart(f"{how.label} against {label}", svg, keys)
