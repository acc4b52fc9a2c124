"""Files that the room's stages share: rows with counts, blocks of a STAR file, lists of failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vitreous.errors import InputError
from vitreous.io.particles import ParticleSet, check_particles
from vitreous.io.star import Block, read_star, write_star
from vitreous.runtime.files import atomic_path

PathLike = str | Path
COUNTS = "vitreous_counts"


def save_rows(path: Path, result: tuple[pd.DataFrame, dict[str, int]]) -> None:
    """Write the rows of a micrograph's particles and their counts: the form of a finished item."""
    write_star(path, {"particles": result[0], COUNTS: result[1]})


def load_rows(path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """Read what `save_rows` has written."""
    blocks = read_star(path)
    return table_of(blocks, "particles", path), counts_of(blocks)


def counts_of(blocks: Mapping[str, Block]) -> dict[str, int]:
    """The counts in the blocks of a STAR file; none where there are none."""
    found = blocks.get(COUNTS, {})
    return {} if isinstance(found, pd.DataFrame) else {key: int(value) for key, value in found.items()}


def write_rows(out: Path, optics: pd.DataFrame, rows: pd.DataFrame, counts: Mapping[str, int]) -> None:
    """Write particles with optics and counts, after the checks of `io.particles`."""
    check_particles(ParticleSet(optics, rows), file=out)
    write_star(out, {"optics": optics, "particles": rows, COUNTS: dict(counts)})


def table_of(blocks: Mapping[str, Block], name: str, path: PathLike) -> pd.DataFrame:
    """The table `name` of a STAR file's blocks; InputError where there is none."""
    block = blocks.get(name)
    if not isinstance(block, pd.DataFrame):
        raise InputError("block missing", file=path, found=", ".join(blocks), expected=f"data_{name}")
    return block


def errors_table(errors: Mapping[str, Any]) -> pd.DataFrame:
    """Columns micrograph and error, one row a member that failed."""
    return pd.DataFrame(
        {
            "micrograph": pd.Series(list(errors), dtype="str"),
            "error": pd.Series([str(error) for error in errors.values()], dtype="str"),
        }
    )


def collect_failed(batches: Sequence[PathLike], out: Path) -> pd.DataFrame:
    """Join the `.failed.csv` of all batches."""
    tables = [pd.read_csv(Path(path).with_suffix(".failed.csv"), dtype=str) for path in batches]
    joined = pd.concat(tables, ignore_index=True)
    write_csv(out, joined)
    return joined


def collect_curves(batches: Sequence[PathLike], out: Path) -> None:
    """Join the `.curves.csv` of all batches, by micrograph."""
    tables = [
        pd.read_csv(Path(path).with_suffix(".curves.csv"), dtype={"micrograph": str}) for path in batches
    ]
    filled = [table for table in tables if len(table)] or tables[:1]
    write_csv(out, pd.concat(filled, ignore_index=True).sort_values("micrograph", kind="stable"))


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, whole or not at all."""
    with atomic_path(path) as part:
        table.to_csv(part, index=False)
