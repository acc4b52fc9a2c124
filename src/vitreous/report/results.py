"""Finds the results of a run: which folders hold what, by the layout of the paths alone."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from vitreous.errors import VitreousError
from vitreous.io.picks import empty_picks, read_picks

LAYOUT = {
    "ctf": "sets/{dataset}/ctf/{ctf}",
    "picks": "sets/{dataset}/picks/{denoiser}/{picker}",
    "particles": "sets/{dataset}/particles/{denoiser}/{picker}",
    "maps": "sets/{dataset}/maps/{denoiser}/{picker}/{selection}/{target}/{engine}",
    "model": "models/{room}/{model}/{half}/seed-{seed}",
    "trials": "experiments/multitarget/{experiment}/{method}/snr-{snr}",
}
DETECTION = "multitarget_"  # how the name of a table begins that is gathered from trials
SEED = re.compile(r"^seed-(\d+)$")


@dataclass(frozen=True)
class Result:
    """A folder of results: its kind, the names that its path gives, and where it lies."""

    kind: str
    folder: Path
    names: dict[str, str] = field(compare=False)

    def file(self, name: str) -> Path | None:
        """The file of that name, or None where it is missing."""
        path = self.folder / name
        return path if path.is_file() else None

    @property
    def label(self) -> str:
        """The names in order of the path, without those that say `raw` or `all`."""
        plain = {"raw", "all"}
        skipped = {"dataset", "half"} if self.kind == "model" else {"dataset"}
        return " · ".join(v for k, v in self.names.items() if k not in skipped and v not in plain) or "raw"


@dataclass
class Run:
    """Everything of a run that the report looks at."""

    folder: Path
    results: list[Result]
    datasets: dict[str, Path]
    facts: dict[str, Any]
    missing: list[Path] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)

    def of(self, kind: str) -> list[Result]:
        """The results of one kind, in order of their paths."""
        return [result for result in self.results if result.kind == kind]


def find_results(run_folder: Path, files: Sequence[Path] | None = None) -> list[Result]:
    """The folders of results in `run_folder`: those that hold one of `files`, or all where none are given.

    Models, the particles behind a map that is wanted, and the trials behind a table are always looked for.
    """
    found = {result.folder: result for result in _walk(run_folder)}
    if files is None:
        return [found[folder] for folder in sorted(found)]
    wanted = {Path(path).resolve().parent for path in files}
    gathered = {Path(path).stem.removeprefix(DETECTION) for path in files if path.name.startswith(DETECTION)}
    kept = [r for r in found.values() if r.folder.resolve() in wanted or r.kind == "model"]
    kept += [r for r in found.values() if r.names.get("experiment") in gathered and r not in kept]
    behind = {_particles_of(result) for result in kept if result.kind in ("maps", "picks")}
    kept += [r for r in found.values() if r.kind == "particles" and _key(r) in behind and r not in kept]
    return sorted(kept, key=lambda result: result.folder)


def find_tables(run_folder: Path, files: Sequence[Path] | None = None) -> list[Path]:
    """The tables of several results in `run_folder/tables`: those among `files`, or all where None."""
    found = sorted((run_folder / "tables").glob("*.csv"))
    found = [path for path in found if "." not in path.stem]
    if files is None:
        return found
    wanted = {Path(path).resolve() for path in files}
    return [path for path in found if path.resolve() in wanted]


def _key(result: Result) -> tuple[str, ...]:
    return tuple(result.names[name] for name in ("dataset", "denoiser", "picker"))


def _particles_of(result: Result) -> tuple[str, ...]:
    return _key(result)


def _walk(run_folder: Path) -> Iterable[Result]:
    for kind, pattern in LAYOUT.items():
        keys = re.findall(r"{(\w+)}", pattern)
        expression = re.compile(
            "^" + re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", pattern) + r"(/seed-(?P<repeat>\d+))?$"
        )
        glob = re.sub(r"{\w+}", "*", pattern)
        for folder in [*run_folder.glob(glob), *run_folder.glob(glob + "/seed-*")]:
            match = expression.match(folder.relative_to(run_folder).as_posix())
            if not match or not any(path.is_file() for path in folder.iterdir()):
                continue
            names = {key: match[key] for key in keys}
            if match["repeat"]:
                names["seed"] = match["repeat"]
            yield Result(kind, folder, names)


def read_table(path: Path | None) -> pd.DataFrame:
    """A CSV file as a table; empty where it is missing, empty or unreadable."""
    if path is None or not path.is_file():
        return pd.DataFrame()
    try:
        return pd.read_csv(path)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError):
        return pd.DataFrame()


def read_result_picks(result: Result) -> pd.DataFrame:
    """The picks of a result: micrograph, x, y, score; no rows where the file is missing or unreadable."""
    path = result.file("picks.star")
    try:
        return read_picks(path) if path else empty_picks()
    except (VitreousError, OSError):
        return empty_picks()


def pick_counts(result: Result) -> pd.Series:
    """How many picks each micrograph has, in order of the names; micrographs without picks are not listed."""
    return read_result_picks(result).groupby("micrograph").size()


def read_facts(path: Path | None) -> dict[str, Any]:
    """A JSON file as a mapping; empty where it is missing or unreadable."""
    if path is None or not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError):
        return {}
    return value if isinstance(value, dict) else {}


def read_scores(results: Iterable[Result]) -> pd.DataFrame:
    """The tidy rows of all `scores.csv`, with the path's names where a row leaves them out, and `file`."""
    tables = []
    for result in results:
        table = read_table(result.file("scores.csv"))
        if table.empty or "metric" not in table or "value" not in table:
            continue
        for name, value in result.names.items():
            known = (
                table[name].astype(object) if name in table else pd.Series([None] * len(table), dtype=object)
            )
            table[name] = known.where(known.notna() & (known != ""), value)
        tables.append(table.assign(file=str(result.folder / "scores.csv"), kind=result.kind))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def read_benchmarks(run_folder: Path) -> pd.DataFrame:
    """All Snakemake benchmark files: columns job, s, max_rss (MB), cpu_time …, one row a repeat."""
    rows: list[dict[str, Any]] = []
    for path in sorted((run_folder / "benchmarks").rglob("*.tsv")):
        job = path.relative_to(run_folder / "benchmarks").with_suffix("").as_posix()
        with path.open(encoding="utf-8", newline="") as handle:
            rows += [{"job": job, **row} for row in csv.DictReader(handle, delimiter="\t")]
    table = pd.DataFrame(rows)
    for column in table.columns:
        if column not in ("job", "h:m:s"):
            table[column] = pd.to_numeric(table[column], errors="coerce")
    return table
