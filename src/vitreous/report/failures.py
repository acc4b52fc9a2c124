"""The page's section on what went wrong: members left out, warnings, empty results, missing files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vitreous.report.blocks import Cell, Column, Prose, Row, Section, Table, plural
from vitreous.report.material import Material
from vitreous.report.results import pick_counts, read_facts, read_table

LOGGED = re.compile(r"\b(WARNING|ERROR)\b[\s:]*(.*)")
MOST_LINES = 60


@dataclass(frozen=True)
class Failure:
    """Something left out: by which stage, of which data set, what, and why."""

    stage: str
    dataset: str
    member: str
    why: str
    file: Path


def failures(material: Material) -> list[Failure]:
    """Every row of every `failed.csv`; where a gathered one is missing, of its batches."""
    found = []
    for result in material.run.results:
        gathered = result.file("failed.csv")
        paths = [gathered] if gathered else sorted(result.folder.glob("batch-*.failed.csv"))
        stage = {"ctf": "CTF", "picks": "picking", "particles": "extraction"}.get(result.kind, result.kind)
        name = result.names.get("dataset", "")
        found += [one for path in paths for one in _read(f"{stage}, {result.label}", name, path)]
    for name, folder in material.run.datasets.items():
        if (folder / "failed.csv").exists():
            found += _read("import", name, folder / "failed.csv")
    return found


def _read(stage: str, dataset: str, path: Path) -> Iterator[Failure]:
    for row in read_table(path).astype(str).to_dict("records"):
        why = row.get("error") or row.get("reason") or ", ".join(row.values())
        member = row.get("micrograph") or row.get("name") or "–"
        yield Failure(stage, dataset, member, why, path)


def warnings(material: Material) -> list[str]:
    """What a reader must know before believing a number."""
    found = []
    if len(material.table):
        frame = material.table[material.table["metric"] == "frame_warning"]
        for row in frame[pd.to_numeric(frame["value"], errors="coerce") > 0].to_dict("records"):
            found.append(
                f"{row['dataset']}, {row.get('picker', '')}: the picks fit the truth better flipped or "
                "transposed; check the coordinate frame."
            )
        picks = material.table[material.table["metric"] == "count_picks"]
        for row in picks[pd.to_numeric(picks["value"], errors="coerce") == 0].to_dict("records"):
            found.append(f"{row['dataset']}, {row.get('picker', '')}: no picks at all.")
    for result in material.run.of("picks"):
        if not result.file("scores.csv") and pick_counts(result).sum() == 0 and result.file("picks.star"):
            found.append(f"{result.names['dataset']}, {result.label}: no picks at all.")
    for result in material.run.of("maps"):
        if read_facts(result.file("reconstruct.json")).get("status") == "empty":
            found.append(
                f"{result.names['dataset']}, {result.label}: no or too few particles, so the map is empty."
            )
    for entry in material.records.entries:
        for key in ("frame_warning", "warning"):
            if isinstance(entry.facts.get(key), str) and entry.facts[key]:
                found.append(f"{entry.place}: {entry.facts[key]}")
        if entry.facts.get("mask_too_tight"):
            found.append(
                f"{entry.place}: the mask correlates by itself; read the corrected curve, widen the mask."
            )
    return list(dict.fromkeys(found))


def logged(run_folder: Path) -> list[tuple[str, str]]:
    """Lines of the logs that warn, each once: log file and message."""
    lines: dict[tuple[str, str], None] = {}
    for path in sorted((run_folder / "logs").rglob("*.log")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if match := LOGGED.search(line):
                lines[path.relative_to(run_folder).as_posix(), match[2].strip()[:400]] = None
    return list(lines)


def failures_section(material: Material) -> Section:
    """Members left out, warnings, missing results."""
    section = Section(
        "failures", "Failures and bad inputs", empty="Nothing was left out, and nothing warned."
    )
    section.blocks += [Prose(text, kind="warning") for text in warnings(material)]
    if material.run.missing:
        names = ", ".join(str(path) for path in material.run.missing[:8])
        more = f" and {len(material.run.missing) - 8} more" if len(material.run.missing) > 8 else ""
        section.blocks.append(Prose(f"Expected and not there: {names}{more}.", kind="warning"))
    found = failures(material)
    if found:
        most = material.settings.rows_per_table
        rows = [
            Row([
                Cell(one.stage), Cell(one.dataset), Cell(one.member, kind="name"),
                Cell(one.why, kind="prose", href=material.anchor(one.file), title=str(one.file)),
            ])
            for one in found[:most]
        ]  # fmt: skip
        columns = [Column("stage"), Column("data set"), Column("left out"), Column("why")]
        note = f"{most} of {len(found)}." if len(found) > most else ""
        section.blocks.append(Table(columns, rows, caption="Left out", note=note, sortable=True))
    lines = logged(material.run.folder)
    if lines:
        rows = [Row([Cell(name, kind="name"), Cell(text, kind="prose")]) for name, text in lines[:MOST_LINES]]
        note = f"{MOST_LINES} of {plural(len(lines), 'line')}." if len(lines) > MOST_LINES else ""
        columns = [Column("log"), Column("message")]
        section.blocks.append(Table(columns, rows, caption="Warnings in the logs", note=note, sortable=True))
    return section
