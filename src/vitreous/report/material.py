"""What all sections of the page are made from, read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from vitreous.report.blocks import Cell
from vitreous.report.pictures import Budget, Picture
from vitreous.report.provenance import Records, snakemake_command
from vitreous.report.published import Published
from vitreous.report.results import Result, Run, read_facts, read_scores
from vitreous.report.scores import Score, Subject, gather, score_cell
from vitreous.report.settings import ReportSettings


@dataclass
class Material:
    """The run, its scores and provenance, the papers' numbers, and what pictures may still take."""

    run: Run
    settings: ReportSettings
    records: Records
    published: Published
    budget: Budget = field(default_factory=lambda: Budget(0))
    table: pd.DataFrame = field(init=False)
    described: dict[str, dict[str, Any]] = field(init=False)
    links: dict[str, tuple[str, str]] = field(init=False)
    gathered: dict[str, dict[Subject, dict[str, Score]]] = field(default_factory=dict)
    pictures: dict[tuple[str, str], tuple[Picture, int, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read the scores and the data sets' descriptions."""
        self.table = read_scores(self.run.results)
        self.described = {
            name: read_facts(folder / "dataset.json") for name, folder in self.run.datasets.items()
        }
        files = [Path(file) for file in self.table["file"].unique()] if len(self.table) else []
        self.links = {str(path): (self.anchor(path), self.command(path)) for path in files}

    def scores(self, kind: str) -> dict[Subject, dict[str, Score]]:
        """Scores by subject and metric of one kind of results."""
        if kind not in self.gathered:
            own = self.table[self.table["kind"] == kind] if len(self.table) else self.table
            self.gathered[kind] = gather(own)
        return self.gathered[kind]

    def anchor(self, path: Path) -> str:
        """Where the page tells how the file was made; empty where nothing is known."""
        entry = self.records.made_by(path)
        return f"#{entry.anchor}" if entry else ""

    def command(self, path: Path) -> str:
        """The command that makes the file through the workflow."""
        return snakemake_command(path, self.run.facts.get("configfile"))

    def cell(self, score: Score | None, best: float = float("nan")) -> Cell:
        """The cell of a score, leading to how it was made."""
        return score_cell(score, self.links, best)

    def accession(self, dataset: str) -> str | None:
        """The data set's accession, where it has one."""
        value = self.described.get(dataset, {}).get("accession")
        return str(value) if value else None

    def pixel_size_A(self, dataset: str) -> float | None:
        """The data set's pixel size in Å, where it is known."""
        value = self.described.get(dataset, {}).get("pixel_size_A")
        return float(value) if value else None

    def diameter_px(self, dataset: str) -> float | None:
        """The smallest target's diameter in pixels of the micrograph, where it is known."""
        targets: Sequence[Mapping[str, Any]] = self.described.get(dataset, {}).get("targets") or []
        sizes = [float(target["diameter_A"]) for target in targets if target.get("diameter_A")]
        pixel = self.pixel_size_A(dataset)
        return min(sizes) / pixel if sizes and pixel else None

    def datasets_of(self, results: Sequence[Result]) -> list[str]:
        """The data sets of `results`, in order."""
        return list(dict.fromkeys(result.names["dataset"] for result in results))
