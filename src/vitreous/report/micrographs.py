"""Tables of a picker's micrographs: hits, misses and false picks of each, or its picks alone."""

from __future__ import annotations

import math
from pathlib import Path

from vitreous.report.blocks import Cell, Column, Row, Table, count, fixed, plural
from vitreous.report.material import Material
from vitreous.report.results import Result, pick_counts, read_table


def micrograph_table(material: Material, result: Result) -> Table | None:
    """Counts and scores micrograph by micrograph, the worst first; None where there is no truth."""
    table = read_table(result.file("per_micrograph.csv"))
    if table.empty or not {"micrograph", "truth", "picks", "hits"} <= set(table):
        return None
    shown = table.sort_values("f1", na_position="last").head(material.settings.rows_per_table)
    rows = []
    for row in shown.to_dict("records"):
        missing = bool(row.get("missing", False))
        missed, false = row["truth"] - row["hits"], row["picks"] - row["hits"]
        cells = [_micrograph_cell(str(row["micrograph"]), " (failed)" if missing else "")]
        cells += [
            Cell(count(value), sort=value)
            for value in (row["truth"], row["picks"], row["hits"], missed, false)
        ]
        for name in ("precision", "recall", "f1"):
            value = float(row[name])
            cells.append(Cell(fixed(value, 3), sort=value if math.isfinite(value) else None))
        rows.append(Row(cells, kind="failed" if missing else ""))
    names = ("true", "picks", "hits", "missed", "false", "precision", "recall", "F1")
    columns = [Column("micrograph"), *(Column(name, numeric=True) for name in names)]
    more = f"The {len(shown)} worst of {len(table)}; all are in {result.folder / 'per_micrograph.csv'}."
    note = more if len(shown) < len(table) else ""
    return Table(columns, rows, caption="Micrographs, worst first", note=note, sortable=True)


def _micrograph_cell(name: str, remark: str = "") -> Cell:
    """A micrograph's file name; its folder shows on hovering."""
    return Cell(Path(name).name + remark, kind="name", title=name)


def count_table(material: Material, result: Result) -> Table | None:
    """Picks by micrograph where there is no truth."""
    counts = pick_counts(result).sort_values(ascending=False)
    if counts.empty or result.names["picker"] == "truth":
        return None
    shown = counts.head(material.settings.rows_per_table)
    rows = [
        Row([_micrograph_cell(str(name)), Cell(count(value), sort=value)]) for name, value in shown.items()
    ]
    columns = [Column("micrograph"), Column("picks", numeric=True)]
    note = f"{plural(int(counts.sum()), 'pick')} on {plural(len(counts), 'micrograph')}."
    note += f" The first {len(shown)} are listed." if len(shown) < len(counts) else ""
    return Table(columns, rows, caption="Picks by micrograph", note=note, sortable=True)
