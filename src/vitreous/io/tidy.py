"""The one table that every evaluation writes: one row a number, the same columns everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from vitreous.errors import InputError
from vitreous.runtime.files import atomic_path

COLUMNS = (
    "paper", "table", "room", "dataset", "denoiser", "picker", "selection", "engine", "target", "model",
    "trained_on", "metric", "value", "unit", "low", "high", "spread_kind", "n", "seed", "preset",
)  # fmt: skip
NUMBERS = ("value", "low", "high", "n")


def tidy_row(**values: Any) -> dict[str, Any]:
    """A row with every column of `COLUMNS`, empty where not given; raises ValueError for another column."""
    unknown = sorted(set(values) - set(COLUMNS))
    if unknown or "metric" not in values or "value" not in values:
        raise ValueError(f"a tidy row needs metric and value, and no {unknown}")
    return {column: values.get(column, "") for column in COLUMNS}


def write_tidy(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV, columns in their order, whole or not at all; no row gives the header alone."""
    frame = pd.DataFrame([tidy_row(**row) for row in rows], columns=list(COLUMNS))
    with atomic_path(path) as part:
        frame.to_csv(part, index=False)


def read_tidy(path: str | Path) -> pd.DataFrame:
    """Read a tidy table: text as str (empty where absent), value, low, high and n as numbers or NaN."""
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError("not a tidy table", file=path, found=str(error)) from error
    if list(frame) != list(COLUMNS):
        missing = sorted(set(COLUMNS) - set(frame)) or "another order"
        raise InputError("not a tidy table", file=path, found=missing, expected=", ".join(COLUMNS))
    for column in NUMBERS:
        try:
            frame[column] = pd.to_numeric(frame[column].where(frame[column] != "", None)).astype(float)
        except ValueError as error:
            raise InputError("not a number", file=path, place=f"column {column}", found=str(error)) from error
    return frame
