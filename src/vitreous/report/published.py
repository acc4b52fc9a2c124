"""The papers' numbers, and what of ours stands beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vitreous.errors import InputError

ROW_KEYS = (
    "paper", "table", "room", "dataset", "denoiser", "picker", "selection", "engine", "target", "model",
    "trained_on", "metric", "value", "unit", "low", "high", "spread", "spread_kind", "n", "preset", "note",
    "source",
)  # fmt: skip
EMPIAR = re.compile(r"(?<!\d)(1\d{4})(?!\d)")


@dataclass(frozen=True)
class Paper:
    """A paper: number, short name, authors, title and where it appeared."""

    number: str
    short: str
    authors: str
    title: str
    where: str
    year: str
    note: str = ""


@dataclass(frozen=True)
class PublishedTable:
    """A printed table: its rows as mappings with the keys of the tidy tables, and its layout as printed."""

    paper: str
    table: str
    title: str
    source: str
    note: str
    heads: tuple[str, ...]
    lines: tuple[tuple[str, tuple[str, ...]], ...]
    rows: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Published:
    """All papers and all tables of `config/published.yaml`."""

    papers: dict[str, Paper]
    tables: tuple[PublishedTable, ...]

    def rows(self) -> list[dict[str, Any]]:
        """Every published number, one mapping each."""
        return [row for table in self.tables for row in table.rows]


def read_published(path: Path) -> Published:
    """Read the papers' numbers; raises InputError with table and row where something does not fit.

    A table of the file has the layout of the printed one: `columns` and `rows` say what their cells are
    about, in the keys of the tidy tables; a cell is a number, a mapping with `value` and more, or
    null with nothing printed there.
    """
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InputError("the published numbers cannot be read", file=path, found=str(error)) from error
    papers = {number: Paper(number=number, **facts) for number, facts in data["papers"].items()}
    tables = tuple(_table(path, papers, entry) for entry in data["tables"])
    return Published(papers, tables)


def _table(path: Path, papers: Mapping[str, Paper], entry: Mapping[str, Any]) -> PublishedTable:
    place = f"paper {entry.get('paper')}, table {entry.get('table')}"
    if entry.get("paper") not in papers:
        raise InputError("a table of an unknown paper", file=path, place=place, expected=", ".join(papers))
    columns = entry["columns"]
    rows = []
    for number, line in enumerate(entry["rows"], start=1):
        where = f"{place}, row {number}"
        if len(line["cells"]) != len(columns):
            found, expected = len(line["cells"]), len(columns)
            raise InputError(
                "cells do not fit the columns", file=path, place=where, found=found, expected=expected
            )
        made = [_row(entry, line, *pair) for pair in zip(columns, line["cells"], strict=True)]
        unknown = sorted({key for row in made for key in row} - set(ROW_KEYS))
        if unknown:
            raise InputError("unknown key", file=path, place=where, found=", ".join(unknown))
        rows += made
    decimals = _decimals(rows)
    texts = [_cell_text(row, decimals.get(row["metric"], 0)) for row in rows]
    width = len(columns)
    return PublishedTable(
        paper=entry["paper"],
        table=entry["table"],
        title=str(entry["title"]),
        source=entry["source"],
        note=str(entry.get("note", "")),
        heads=tuple(str(column["label"]) for column in columns),
        lines=tuple(
            (str(line["label"]), tuple(texts[index * width : (index + 1) * width]))
            for index, line in enumerate(entry["rows"])
        ),
        rows=tuple(rows),
    )


def _row(
    entry: Mapping[str, Any], line: Mapping[str, Any], column: Mapping[str, Any], raw: Any
) -> dict[str, Any]:
    """A cell with all its keys; the nearer say wins: cell, column, row, table."""
    cell = raw if isinstance(raw, dict) else {"value": raw}
    own = {key: value for key, value in line.items() if key not in ("cells", "label")}
    keys = {key: value for key, value in column.items() if key != "label"}
    named = {"paper": entry["paper"], "table": entry["table"], "source": entry["source"]}
    return {**entry.get("common", {}), **own, **keys, **cell, **named}


def _decimals(rows: list[dict[str, Any]]) -> dict[str, int]:
    """How many decimals a metric is printed with: the most that any of its numbers has."""
    found: dict[str, int] = {}
    for row in rows:
        for value in (row.get("value"), row.get("spread")):
            if isinstance(value, float) and "e" not in repr(value):
                digits = len(repr(value).split(".")[1])
                found[row["metric"]] = max(found.get(row["metric"], 0), digits)
    return found


def _cell_text(cell: Mapping[str, Any], decimals: int) -> str:
    value = cell.get("value")
    if value is None:
        return cell.get("note", "–")
    text = f"{value:,}".replace(",", "\u202f") if isinstance(value, int) else f"{value:.{decimals}f}"
    text = f"{value:g}" if 0 < value < 1e-3 else text
    text = f"{text} ± {cell['spread']:.{decimals}f}" if "spread" in cell else text
    return f"{text} ({cell['note']})" if "note" in cell else text


def dataset_key(name: str, accession: str | None = None) -> str:
    """What a dataset is compared under: `empiar-10291` where its accession or name holds that number."""
    match = EMPIAR.search(accession or "") or EMPIAR.search(name)
    return f"empiar-{match[1]}" if match else name
