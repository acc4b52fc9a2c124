"""The files of a batch: candidates with their scores, what noise puts into each score map, what failed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from vitreous.errors import InputError
from vitreous.io.dataset import NAME
from vitreous.io.picks import empty_picks, read_picks
from vitreous.io.star import read_star, require_columns
from vitreous.picking.candidates import Candidates
from vitreous.runtime.files import atomic_path

PathLike = str | Path
COUNT, EVIDENCE = "vitreousCandidates", "vitreousDetailEvidence"
COLUMNS = {
    "rlnCoordinateX": "x",
    "rlnCoordinateY": "y",
    "rlnAutopickFigureOfMerit": "score",
    EVIDENCE: "evidence",
}
LEVELS = {
    "vitreousScoreNoise": "noise", "vitreousScoreSpread": "spread", "vitreousStructure": "structure",
    "vitreousDecision": "decision",
}  # fmt: skip


def batch_tables(names: Sequence[str], found: dict[str, Candidates]) -> dict[str, pd.DataFrame]:
    """The blocks of a batch's file: particles as in picks.star, and what noise puts into each map."""
    parts = [found[name] for name in names]
    lengths = [len(part.x) for part in parts]
    repeated = np.repeat(np.array(names, dtype=object), lengths)
    particles = pd.DataFrame({NAME: pd.Series(repeated, dtype="str")})
    for column, key in COLUMNS.items():
        particles[column] = np.concatenate([np.zeros(0), *(getattr(part, key) for part in parts)])
    micrographs = pd.DataFrame({NAME: pd.Series(list(names), dtype="str")})
    micrographs[COUNT] = np.array(lengths, dtype=int)
    for column, key in LEVELS.items():
        micrographs[column] = np.array([getattr(part, key) for part in parts], dtype=float)
    return {"particles": particles, "micrographs": micrographs}


def read_levels(path: PathLike) -> pd.DataFrame:
    """The levels of each micrograph of a batch's file, columns rlnMicrographName and those of `LEVELS`."""
    table = read_star(path).get("micrographs")
    if not isinstance(table, pd.DataFrame):
        raise InputError("block missing", file=path, expected="data_micrographs of a batch of candidates")
    require_columns(table, (NAME, *LEVELS), file=path, block="micrographs")
    return table


def read_candidates(path: PathLike) -> pd.DataFrame:
    """A batch's candidates as micrograph, x, y, score, evidence."""
    table = read_star(path)["particles"]
    require_columns(table, (EVIDENCE,), file=path, block="particles")
    return read_picks(path).assign(evidence=np.asarray(table[EVIDENCE], dtype=float))


def joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """All rows by micrograph, best score first."""
    filled = [table for table in tables if len(table)]
    if not filled:
        return empty_picks().assign(evidence=np.zeros(0))
    joined = pd.concat(filled, ignore_index=True)
    best_first = joined.sort_values("score", ascending=False, kind="stable")
    return best_first.sort_values("micrograph", kind="stable", ignore_index=True)


def failed_table(errors: dict[str, str]) -> pd.DataFrame:
    """Micrographs and what was wrong with each."""
    return pd.DataFrame({"micrograph": list(errors), "error": list(errors.values())}, dtype="str")


def read_failed(batch: Path) -> pd.DataFrame:
    """What failed in a batch, columns micrograph and error, from the table beside its file."""
    path = batch.with_suffix(".failed.csv")
    table: pd.DataFrame = pd.read_csv(path, dtype="str", keep_default_na=False)
    return table


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table; it appears whole or not at all."""
    with atomic_path(path) as part:
        table.to_csv(part, index=False)
