"""Rows of the table of CTFs: one a micrograph, RELION's columns and our own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from vitreous.errors import InputError
from vitreous.io.dataset import Dataset
from vitreous.io.particles import DEFOCUS
from vitreous.io.star import read_star
from vitreous.physics.ctf_fit import CtfFit

NAME = "rlnMicrographName"
FAILED = "vitreousCtfFailed"
QUALITY, REACH = "rlnCtfFigureOfMerit", "rlnCtfMaxResolution"
ASTIGMATISM = "vitreousCtfAstigmatism"
# What a particle takes over from its micrograph.
INHERITED = (*DEFOCUS, "rlnPhaseShift", "rlnCtfBfactor", "rlnCtfScalefactor", QUALITY, REACH)

# Points of a fit's curves that are kept: more than a chart shows.
MOST_POINTS = 200
CURVES = ("frequency_per_A", "measured", "model")

Row = dict[str, float]


class Fitted(TypedDict):
    """What is kept of a fit: its row, and its curves (`CURVES`), thinned."""

    row: Row
    curves: dict[str, list[float]]


def optics_of(dataset: Dataset) -> tuple[float, float, float]:
    """Voltage (kV), Cs (mm) and amplitude contrast of a data set; InputError naming what is not known."""
    info = dataset.info
    values = {
        "voltage_kv": info.voltage_kv,
        "cs_mm": info.cs_mm,
        "amplitude_contrast": info.amplitude_contrast,
    }
    missing = [key for key, value in values.items() if value is None]
    if missing:
        raise InputError(
            "the CTF needs values that the data set does not state",
            found=", ".join(missing),
            file=dataset.folder / "dataset.json",
            todo="state them in the dataset's block",
        )
    voltage_kv, cs_mm, amplitude_contrast = (float(value) for value in values.values() if value is not None)
    return voltage_kv, cs_mm, amplitude_contrast


def fitted(fit: CtfFit, phase_shift_deg: float) -> Fitted:
    """The columns and curves of a fit; whether its quality is enough is decided when the table is written."""
    row = {
        DEFOCUS[0]: fit.defocus_u_A,
        DEFOCUS[1]: fit.defocus_v_A,
        DEFOCUS[2]: fit.defocus_angle_deg,
        "rlnPhaseShift": phase_shift_deg,
        QUALITY: fit.quality,
        REACH: fit.max_resolution_A,
        ASTIGMATISM: fit.astigmatism_A,
    }
    every = -(-len(fit.frequency_per_A) // MOST_POINTS)
    curves = {name: np.round(getattr(fit, name)[::every], 6).tolist() for name in CURVES}
    return {"row": row, "curves": curves}


def curve_table(curves: Mapping[str, Mapping[str, list[float]]]) -> pd.DataFrame:
    """Columns micrograph, frequency_per_A, measured, model: the curves of all fits below one another."""
    columns = {name: [value for one in curves.values() for value in one[name]] for name in CURVES}
    names = [name for name, one in curves.items() for _ in one[CURVES[0]]]
    return pd.DataFrame({"micrograph": pd.Series(names, dtype="str"), **columns})


# A micrograph that could not be read has a row too, so that no table counts it as never seen.
UNREADABLE: Row = {
    DEFOCUS[0]: 0.0,
    DEFOCUS[1]: 0.0,
    DEFOCUS[2]: 0.0,
    "rlnPhaseShift": 0.0,
    QUALITY: 0.0,
    REACH: float("inf"),
    ASTIGMATISM: 0.0,
}


def ctf_table(micrographs: pd.DataFrame, rows: Mapping[str, Row], min_quality: float) -> pd.DataFrame:
    """Name, optics group, CTF and vitreousCtfFailed of `micrographs`; one without a row has failed too."""
    names = micrographs[NAME].tolist()
    table = pd.DataFrame(
        [rows.get(name, UNREADABLE) for name in names], columns=list(UNREADABLE), dtype=float
    )
    table.insert(0, NAME, pd.Series(names, dtype="str"))
    table.insert(1, "rlnOpticsGroup", micrographs["rlnOpticsGroup"].to_numpy(int))
    read = table[NAME].isin(list(rows)).to_numpy()
    table[FAILED] = (~read | (table[QUALITY].to_numpy() < min_quality)).astype(int)
    return table


def failures(table: pd.DataFrame, errors: Mapping[str, Any], min_quality: float) -> pd.DataFrame:
    """Micrograph and error of every failed row: what could not be read, and what shows no rings."""
    failed = table[table[FAILED] == 1]
    texts = [
        str(errors[name])
        if name in errors
        else f"no Thon rings: quality {quality:.2f}, at least {min_quality:g} needed"
        for name, quality in zip(failed[NAME], failed[QUALITY], strict=True)
    ]
    return pd.DataFrame({"micrograph": failed[NAME].to_numpy(), "error": pd.Series(texts, dtype="str")})


def given_table(dataset: Dataset) -> pd.DataFrame:
    """The CTFs that came with a data set: those of truth/micrographs.star, else its own columns.

    Raises InputError where it brings none.
    """
    path = dataset.folder / "truth" / "micrographs.star"
    truth = read_star(path).get("micrographs") if path.exists() else None
    table = truth if isinstance(truth, pd.DataFrame) else dataset.micrographs()
    missing = [label for label in DEFOCUS if label not in table]
    if missing:
        raise InputError(
            "the data set brings no CTF",
            file=dataset.folder / "micrographs.star",
            place=missing[0],
            todo="name an estimator for `ctf` instead of `given`",
        )
    kept = table[[NAME, "rlnOpticsGroup", *(label for label in INHERITED if label in table)]].copy()
    if "rlnPhaseShift" not in kept:
        kept["rlnPhaseShift"] = 0.0
    kept[ASTIGMATISM] = (kept[DEFOCUS[0]] - kept[DEFOCUS[1]]).abs()
    # ASSUME: a micrograph without a defocus among others that have one was rejected by whoever made the
    # table.
    unusable = kept[list(DEFOCUS)].isna().any(axis=1)
    kept.loc[unusable, [*DEFOCUS, ASTIGMATISM]] = 0.0
    kept[FAILED] = unusable.astype(int)
    return kept
