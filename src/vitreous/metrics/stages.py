"""Stages of the evaluation: result files and a data set in, tables of scores out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from vitreous.errors import InputError
from vitreous.io.dataset import Dataset
from vitreous.io.micrograph import micrograph_shape
from vitreous.io.mrc import read_volume
from vitreous.io.star import read_star, require_columns
from vitreous.io.tidy import write_tidy
from vitreous.metrics.ctf_evaluation import ctf_rows
from vitreous.metrics.map_evaluation import fsc_table, half_map_curves, half_map_rows, truth_rows
from vitreous.metrics.pick_curve import CURVE, threshold_curve
from vitreous.metrics.pick_evaluation import (
    Comparison,
    count_rows,
    curve_rows,
    frame_rows,
    match_table,
    overlap_rows,
    position_rows,
)
from vitreous.metrics.pick_files import diameter_px, radius_px, read_annotated, read_truth
from vitreous.metrics.pick_frame import FrameVerdict, frame_check
from vitreous.metrics.pick_scores import per_micrograph
from vitreous.metrics.postprocess import default_mask
from vitreous.metrics.sampling import match_sampling
from vitreous.metrics.settings import EvaluationSettings
from vitreous.runtime.device import Runtime
from vitreous.runtime.files import atomic_path
from vitreous.runtime.provenance import write_provenance

log = logging.getLogger(__name__)
PathLike = str | Path


def evaluate_picks(
    picks_star: PathLike,
    candidates_star: PathLike | None,
    dataset_folder: PathLike,
    out_folder: PathLike,
    *,
    failed_csv: PathLike | None = None,
    settings: EvaluationSettings,
    labels: Mapping[str, Any],
    provenance: PathLike,
    runtime: Runtime,
) -> None:
    """Compare picks with the truth of a data set; writes matches, per_micrograph, curve and scores .csv.

    Only annotated micrographs count, all of them: one without picks, or listed in `failed_csv` (column
    micrograph), has all its particles missed. `candidates_star` holds all candidates with scores for the
    curve, None where there are none. Picks in a flipped or transposed frame are logged as a warning and put
    into the scores, not repaired. Raises InputError without truth and on picks of unknown micrographs.
    """
    dataset, out = Dataset(dataset_folder), Path(out_folder)
    truth = read_truth(dataset)
    picks, scores = read_annotated(picks_star, dataset)
    size_px = diameter_px(dataset, labels.get("target"))
    radius = radius_px(settings, size_px)
    comparison = Comparison(truth, picks, scores, radius, size_px / 2, dataset.info.pixel_size_A)
    counts = per_micrograph(truth, picks, comparison.matches, _failed(failed_csv))
    curve = _curve(candidates_star, comparison, dataset)
    verdict = _frame(comparison, dataset)
    rows = count_rows(counts, settings, runtime.key("bootstrap")) + curve_rows(curve)
    rows += position_rows(comparison) + overlap_rows(comparison, settings) + frame_rows(verdict)
    _write_csv(out / "matches.csv", match_table(comparison))
    _write_csv(out / "per_micrograph.csv", counts)
    _write_csv(out / "curve.csv", curve)
    _write_scores(out / "scores.csv", rows, labels, runtime)
    inputs = [path for path in (picks_star, candidates_star, failed_csv) if path is not None]
    facts = {"frames_f1": verdict.f1, "frame_warning": verdict.warning}
    _write_provenance(
        provenance, "evaluate_picks", settings, [*inputs, dataset.folder / "dataset.json"], runtime, facts
    )


def evaluate_map(
    map_folder: PathLike,
    dataset_folder: PathLike,
    target: str,
    out_folder: PathLike,
    *,
    settings: EvaluationSettings,
    labels: Mapping[str, Any],
    provenance: PathLike,
    runtime: Runtime,
) -> None:
    """FSC of half1.mrc and half2.mrc, and of map.mrc with the true map; writes fsc.csv and scores.csv.

    The mask is a soft ball about n//2 of the target's diameter. A truth/maps/<target>.mrc of the data set
    is brought to the map's grid; the two must stand in one frame, nothing is aligned here. Raises
    InputError where boxes or pixel sizes of the maps differ or the true map cannot be sampled on the grid.
    """
    dataset, folder, device = Dataset(dataset_folder), Path(map_folder), runtime.torch_device()
    (half1, half2, volume), pixel_size_A = _read_maps(
        [folder / f"{name}.mrc" for name in ("half1", "half2", "map")]
    )
    if not volume.any():
        log.warning("%s: EMPTY MAP: it is zero everywhere, so its scores say nothing", folder)
    diameter_px = dataset.target(target).diameter_A * settings.mask.diameter_factor / pixel_size_A
    mask = default_mask(len(volume), diameter_px, edge_share=settings.mask.edge_share).to(device)
    curves = half_map_curves(half1.to(device), half2.to(device), mask, pixel_size_A, settings)
    rows = half_map_rows(curves, settings)
    if curves.mask_too_tight:
        log.warning(
            "%s: the mask correlates by itself (randomised FSC %.2f at the resolution found); "
            "read the corrected curve and widen `evaluation.mask`",
            folder,
            curves.randomised_at(),
        )
    truth_path, truth_curve = dataset.truth_map(target), None
    if truth_path is not None:
        stored, truth_pixel_A = read_volume(truth_path)
        truth = match_sampling(torch.tensor(stored), truth_pixel_A, len(volume), pixel_size_A)
        truth_curve, more = truth_rows(volume.to(device), truth.to(device), mask, pixel_size_A, settings)
        rows += more
    _write_csv(Path(out_folder) / "fsc.csv", fsc_table(curves, truth_curve))
    _write_scores(Path(out_folder) / "scores.csv", rows, {"target": target, **labels}, runtime)
    inputs = [folder / f"{name}.mrc" for name in ("half1", "half2", "map")]
    facts = {"randomise_from_A": curves.randomise_from_A, "mask_too_tight": curves.mask_too_tight}
    _write_provenance(provenance, "evaluate_map", settings, inputs, runtime, facts)


def evaluate_ctf(
    ctf_star: PathLike,
    dataset_folder: PathLike,
    out_folder: PathLike,
    *,
    settings: EvaluationSettings,
    labels: Mapping[str, Any],
    provenance: PathLike,
    runtime: Runtime,
) -> None:
    """Summarise estimated CTFs and, where the data set brings its own, their errors; writes scores.csv.

    Those are of truth/micrographs.star, else the columns of micrographs.star itself. The estimator's name in
    `labels["ctf"]` goes into the column engine. Raises InputError where a micrograph
    of the data set has no row.
    """
    dataset = Dataset(dataset_folder)
    found = _ctf_table(Path(ctf_star))
    absent = sorted(set(dataset.micrographs()["rlnMicrographName"]) - set(found["rlnMicrographName"]))
    if absent:
        count = f"{len(absent)}, {absent[0]} first"
        raise InputError("micrographs without a row", file=ctf_star, found=count)
    truth = dataset.folder / "truth" / "micrographs.star"
    known = truth if truth.exists() else dataset.folder / "micrographs.star"
    rows = ctf_rows(found, _ctf_table(known))
    own = {("engine" if name == "ctf" else name): value for name, value in labels.items()}
    _write_scores(Path(out_folder) / "scores.csv", rows, own, runtime)
    inputs = [ctf_star, dataset.folder / "dataset.json", known]
    _write_provenance(provenance, "evaluate_ctf", settings, inputs, runtime, {})


def _ctf_table(path: Path) -> pd.DataFrame:
    table = read_star(path).get("micrographs")
    if not isinstance(table, pd.DataFrame):
        raise InputError("block missing", file=path, expected="data_micrographs")
    require_columns(table, ("rlnMicrographName",), file=path, block="micrographs")
    return table


def _failed(path: PathLike | None) -> frozenset[str]:
    if path is None:
        return frozenset()
    return frozenset(pd.read_csv(path, dtype=str, keep_default_na=False)["micrograph"])


def _curve(path: PathLike | None, comparison: Comparison, dataset: Dataset) -> pd.DataFrame:
    """The threshold curve of the candidates; without rows where there are none or they have no scores."""
    if path is not None:
        candidates, scores = read_annotated(path, dataset)
        if not any(np.isnan(values).any() for values in scores.values()):
            return threshold_curve(comparison.truth, candidates, scores, comparison.radius_px)
        log.info("%s: candidates without scores, so no curve", path)
    return pd.DataFrame({name: [] for name in CURVE})


def _frame(comparison: Comparison, dataset: Dataset) -> FrameVerdict:
    shapes = {name: micrograph_shape(dataset.micrograph_path(name)) for name in comparison.picks}
    verdict = frame_check(comparison.truth, comparison.picks, shapes, comparison.radius_px)
    if verdict.warning is not None:
        log.warning("%s: %s", dataset.folder, verdict.warning)
    return verdict


def _read_maps(paths: list[Path]) -> tuple[list[torch.Tensor], float]:
    """The maps and their one pixel size in Å; InputError where sizes differ."""
    read = [read_volume(path) for path in paths]
    array, pixel_size_A = read[0]
    for path, (other, size_A) in zip(paths, read, strict=True):
        if other.shape != array.shape or abs(size_A - pixel_size_A) > 1e-3 * pixel_size_A:
            found, expected = f"{other.shape} at {size_A:g} Å", f"{array.shape} at {pixel_size_A:g} Å"
            raise InputError("maps of different size", file=path, found=found, expected=expected)
    return [torch.tensor(array) for array, _ in read], pixel_size_A


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    with atomic_path(path) as part:
        table.to_csv(part, index=False)


def _write_scores(
    path: Path, rows: list[dict[str, Any]], labels: Mapping[str, Any], runtime: Runtime
) -> None:
    write_tidy(path, [{"seed": runtime.seed, **labels, **row} for row in rows])


def _write_provenance(
    path: PathLike,
    stage: str,
    settings: EvaluationSettings,
    inputs: Sequence[PathLike],
    runtime: Runtime,
    facts: Mapping[str, Any],
) -> None:
    changed = settings.model_dump(mode="json", exclude_defaults=True)
    name = f"{__name__}:{stage}"
    write_provenance(path, stage=name, settings=changed, inputs=inputs, seed=runtime.seed, facts=facts)
