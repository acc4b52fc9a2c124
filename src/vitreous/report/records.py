"""The page's sections on where things come from: the papers' tables, assumptions, provenance, commands."""

from __future__ import annotations

import json

from vitreous.report.blocks import (
    Block,
    Cell,
    Column,
    Fold,
    Listing,
    Prose,
    Row,
    Section,
    Table,
    plural,
)  # fmt: skip
from vitreous.report.material import Material
from vitreous.report.provenance import Assumption, Record
from vitreous.report.published import PublishedTable


def published_section(material: Material) -> Section:
    """Every table of the five papers as printed."""
    section = Section(
        "papers",
        "The papers' tables",
        "As printed. Where this run has the same data set and metric, the numbers also stand beside ours.",
    )
    for number, paper in material.published.papers.items():
        tables = [table for table in material.published.tables if table.paper == number]
        year = f" ({paper.year})" if paper.year else ""
        blocks: list[Block] = [Prose(f"{paper.authors}. {paper.title}. {paper.where}{year}.")]
        blocks += [Prose(paper.note)] if paper.note else []
        blocks += [_printed(table) for table in tables]
        numbers = sum(row.get("value") is not None for table in tables for row in table.rows)
        section.blocks.append(Fold(f"{number} · {paper.short} · {plural(numbers, 'number')}", blocks))
    return section


def _printed(table: PublishedTable) -> Table:
    columns = [Column(""), *(Column(head, numeric=True) for head in table.heads)]
    rows = [Row([Cell(label), *(Cell(text) for text in texts)]) for label, texts in table.lines]
    note = f"{table.source}. {table.note}".strip()
    name = f"Table {table.table}" if not table.table.startswith("text") else "Text"
    return Table(columns, rows, caption=f"{name}: {table.title}", note=note)


def assumptions_section(assumed: list[Assumption]) -> Section:
    """The choices made where a paper is silent."""
    section = Section(
        "assumptions",
        "Assumptions",
        "Where a paper or a format is silent a choice was made; each is marked in the code with `ASSUME`.",
        empty="The code marks no assumption.",
    )
    if assumed:
        rows = [
            Row([Cell(one.text, kind="prose"), Cell(f"{one.file}:{one.line}", kind="name")])
            for one in assumed
        ]
        table = Table([Column("assumption"), Column("place")], rows, sortable=True)
        section.blocks.append(table)
    return section


def provenance_section(material: Material) -> Section:
    """How every result was made, and whether the code has changed since."""
    section = Section(
        "provenance",
        "Provenance",
        "Every number above leads to its entry here: the stage, its settings and inputs, and the command "
        "that makes it again. A result is stale where the code of its stage has changed since; "
        "comments do not count.",
        empty="No provenance file was found.",
    )
    entries = sorted(material.records.entries, key=lambda entry: not entry.stale)
    groups: dict[str, list[Record]] = {}
    for entry in entries:
        groups.setdefault(_experiment(entry) or entry.anchor, []).append(entry)
    for name, own in groups.items():
        folds = [_entry(material, entry) for entry in own]
        section.blocks += [_folded(name, own, folds)] if _experiment(own[0]) else folds
    return section


def _experiment(entry: Record) -> str:
    """The experiment whose trials an entry is about, as `run/experiments/room/name`; empty for others."""
    parts = entry.place.split("/")
    return "/".join(parts[:4]) if parts[1:2] == ["experiments"] and len(parts) > 4 else ""


def _folded(name: str, entries: list[Record], folds: list[Fold]) -> Fold:
    """The trials of an experiment, a result for each method and SNR, in one fold."""
    stale = sum(bool(entry.stale) for entry in entries)
    return Fold(f"{name} · {plural(len(entries), 'result')}" + (f" · {stale} stale" if stale else ""), folds)


def _entry(material: Material, entry: Record) -> Fold:
    state = f"stale ({len(entry.stale)} of {len(entry.files)})" if len(entry.files) > 1 else "stale"
    marks = [state] if entry.stale else []
    marks += ["does not say which code"] if entry.unreadable else []
    batches = f", {len(entry.files)} batches" if len(entry.files) > 1 else ""
    facts = entry.facts
    target = entry.files[0]
    inputs = facts.get("inputs") or {}
    listed = list(inputs)[:12]
    more = [f"… and {len(inputs) - 12} more"] if len(inputs) > 12 else []
    blocks: list[Block] = [
        Listing(material.command(target), "Make it again"),
        Listing(str(facts.get("command", "–")), "Made by"),
        Table(
            [Column("fact"), Column("value")],
            [
                Row([Cell("stage"), Cell(entry.stage, kind="name")]),
                Row([Cell("made"), Cell(str(facts.get("created", "–")))]),
                Row([Cell("code"), Cell(str(facts.get("code", "–")), kind="name")]),
                Row([Cell("seed"), Cell(str(facts.get("seed", "–")))]),
                Row([Cell("versions"), Cell(_pairs(facts.get("versions")))]),
                Row([Cell("inputs"), Cell("\n".join([*map(str, listed), *more]) or "–", kind="name lines")]),
            ],
        ),
        Listing(json.dumps(facts.get("settings", {}), indent=1, ensure_ascii=False)[:6000], "Settings"),
    ]
    stage = entry.stage.rsplit(".", 1)[-1].replace(":", ": ")
    title = f"{entry.place} · {stage}{batches}" + "".join(f" · {mark}" for mark in marks)
    return Fold(title, blocks, anchor=entry.anchor)


def _pairs(values: object) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items()) if isinstance(values, dict) else "–"


def reproduce_section(material: Material) -> Section:
    """The commands that make the run again."""
    facts = material.run.facts
    configfile = facts.get("configfile")
    option = f" --configfile {configfile}" if configfile else ""
    section = Section("reproduce", "Make it again")
    lines = [
        f"snakemake --cores all{option}",
        f"vitreous run{' ' + str(configfile) if configfile else ''} --refresh-stale",
    ]
    section.blocks.append(Listing(lines[0], "The whole run; what is there already is not made again"))
    section.blocks.append(Listing(lines[1], "The same, with what is older than the code made again"))
    plain = {key: value for key, value in facts.items() if isinstance(value, str | int | float)}
    if plain:
        rows = [Row([Cell(key), Cell(str(value), kind="name")]) for key, value in plain.items()]
        section.blocks.append(Table([Column("fact"), Column("value")], rows, caption="This run"))
    if isinstance(facts.get("config"), dict):
        text = json.dumps(facts["config"], indent=1, ensure_ascii=False)
        section.blocks.append(Fold("The configuration", [Listing(text)]))
    elif isinstance(facts.get("config"), str):
        section.blocks.append(Fold("The configuration", [Listing(facts["config"])]))
    return section
