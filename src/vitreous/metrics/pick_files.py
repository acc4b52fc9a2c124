"""Picks and truth of a data set's annotated micrographs, read from their files."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from vitreous.errors import InputError
from vitreous.io.dataset import Dataset
from vitreous.io.picks import read_picks
from vitreous.metrics.pick_evaluation import points_by_micrograph
from vitreous.metrics.pick_matching import Points
from vitreous.metrics.settings import EvaluationSettings
from vitreous.runtime.plural import plural

log = logging.getLogger(__name__)
PathLike = str | Path


def read_truth(dataset: Dataset) -> dict[str, Points]:
    """The true centres (n, 2: x, y) of every annotated micrograph; InputError where there is none."""
    table, names = dataset.truth_picks(), sorted(dataset.annotated())
    if table is None or not names:
        raise InputError("no annotated micrograph", file=dataset.folder, todo="leave the evaluation out")
    truth = dict.fromkeys(names, np.empty((0, 2)))
    return truth | points_by_micrograph(_annotated(table, dataset, names, "the truth"))[0]


def read_annotated(path: PathLike, dataset: Dataset) -> tuple[dict[str, Points], dict[str, Points]]:
    """Centres (n, 2) and scores (n,) of a picks file by annotated micrograph.

    Raises InputError for a micrograph that the data set does not have.
    """
    return points_by_micrograph(_annotated(read_picks(path), dataset, sorted(dataset.annotated()), path))


def diameter_px(dataset: Dataset, target: str | None) -> float:
    """Diameter in px of the named target, else of the only or smallest one."""
    # ASSUME: for picks of several targets at once the smallest diameter, the strictest radius, counts.
    targets = [dataset.target(target)] if target else dataset.info.targets
    if not targets:
        raise InputError("no target, so no diameter", file=dataset.folder / "dataset.json")
    return min(one.diameter_A for one in targets) / dataset.info.pixel_size_A


def radius_px(settings: EvaluationSettings, diameter_px: float) -> float:
    """The distance in px within which a pick is a hit."""
    return diameter_px / 2 if settings.radius == "half-diameter" else float(settings.radius)


def _annotated(table: pd.DataFrame, dataset: Dataset, names: list[str], file: PathLike) -> pd.DataFrame:
    """Rows on annotated micrographs; InputError for a micrograph the data set does not have."""
    unknown = sorted(set(table["micrograph"]) - set(dataset.micrographs()["rlnMicrographName"]))
    if unknown:
        found = f"{unknown[0]}, {len(unknown)} such"
        raise InputError("picks of a micrograph that the data set does not have", file=file, found=found)
    kept = table[table["micrograph"].isin(names)]
    if len(kept) < len(table):
        log.info(
            "%s: %d of %s on micrographs without annotation left out",
            file,
            len(table) - len(kept),
            plural(len(table), "row"),
        )
    return kept
