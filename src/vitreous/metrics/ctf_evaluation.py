"""What a table of estimated CTFs says, by itself and against the CTFs that came with the data set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitreous.metrics.ctf_errors import ctf_errors

Rows = list[dict[str, Any]]
NAME = "rlnMicrographName"
DEFOCUS = ["rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"]
SUMMARISED = {
    "rlnDefocusU": ("defocus_u", "Å"),
    "vitreousCtfAstigmatism": ("astigmatism", "Å"),
    "rlnCtfFigureOfMerit": ("ctf_quality", ""),
    "rlnCtfMaxResolution": ("ctf_max_resolution", "Å"),
}


def ctf_rows(found: pd.DataFrame, known: pd.DataFrame) -> Rows:
    """Scores of the CTFs `found` against those `known`, tables with RELION's columns, one row a micrograph.

    Count of failed fits (vitreousCtfFailed = 1, which are left out of the rest), medians with quartiles of
    what was found and, where `known` has defocus columns, of the errors on the micrographs known there.
    """
    failed = found["vitreousCtfFailed"].to_numpy(dtype=float) == 1 if "vitreousCtfFailed" in found else None
    rows: Rows = [
        {"metric": "ctf_failed", "value": 0 if failed is None else int(failed.sum()), "n": len(found)}
    ]
    fitted = found if failed is None else found[~failed]
    for column, (metric, unit) in SUMMARISED.items():
        if column in fitted:
            rows.append(_median_row(metric, fitted[column].to_numpy(dtype=float), unit))
    if all(column in table for table in (fitted, known) for column in DEFOCUS):
        rows += _error_rows(fitted, known)
    return rows


def _error_rows(fitted: pd.DataFrame, known: pd.DataFrame) -> Rows:
    both = fitted[[NAME, *DEFOCUS]].merge(known[[NAME, *DEFOCUS]], on=NAME, suffixes=("", "_true")).dropna()
    errors = ctf_errors(
        *(both[name].to_numpy(dtype=float) for name in DEFOCUS),
        *(both[f"{name}_true"].to_numpy(dtype=float) for name in DEFOCUS),
    )
    return [
        _median_row("defocus_error", np.abs(errors.defocus_A), "Å"),
        _median_row("defocus_bias", errors.defocus_A, "Å"),
        _median_row("astigmatism_error", errors.astigmatism_A, "Å"),
        _median_row("astigmatism_angle_error", errors.angle_deg, "degrees"),
    ]


def _median_row(metric: str, values: NDArray[np.float64], unit: str) -> dict[str, Any]:
    values = values[np.isfinite(values)]
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75]) if len(values) else [np.nan] * 3
    spread = {"low": float(low), "high": float(high), "spread_kind": "quartiles", "n": len(values)}
    return {"metric": f"{metric}_median", "value": float(median), "unit": unit, **spread}
