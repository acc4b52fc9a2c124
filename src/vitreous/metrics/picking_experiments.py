"""Stages that gather pickers: a comparison on groups of data sets, a paper's experiment from its scores."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vitreous.errors import InputError
from vitreous.io.dataset import Dataset
from vitreous.io.micrograph import micrograph_shape
from vitreous.io.tidy import COLUMNS, read_tidy, tidy_row
from vitreous.metrics.pick_comparison import (
    DIFFERENCES,
    ByMicrograph,
    Field,
    Found,
    Judged,
    best_of,
    differences,
    inside,
    judge,
    on_group,
    score_rows,
)
from vitreous.metrics.pick_files import diameter_px, radius_px, read_annotated, read_truth
from vitreous.metrics.settings import ComparisonSettings, EvaluationSettings
from vitreous.runtime.device import Runtime
from vitreous.runtime.files import atomic_path
from vitreous.runtime.plural import plural
from vitreous.runtime.provenance import write_provenance

log = logging.getLogger(__name__)
PathLike = str | Path
Shapes = Mapping[str, tuple[int, int]]
# What a comparison adds to the columns of the tidy table, and what an experiment does.
OF_GROUP = ("group", "border_px", "member")
OF_EXPERIMENT = ("training_micrographs", "clusters")
# What an experiment gathers of a picker on one set; papers print the means over the sets.
GATHERED = (
    "f1_micro", "precision_micro", "recall_micro", "oracle_f1", "average_precision", "iou_published",
    "iou_published_recall", "iou_published_precision", "iou_published_f1", "iou_one_to_one",
    "iou_one_to_one_f1", "count_truth", "count_picks", "count_hits",
)  # fmt: skip


def compare_pickers(
    folders: Mapping[str, Mapping[str, PathLike]],
    dataset_folders: Mapping[str, PathLike],
    out_csv: PathLike,
    out_differences: PathLike,
    *,
    settings: ComparisonSettings,
    evaluation: EvaluationSettings,
    labels: Mapping[str, Mapping[str, Any]],
    provenance: PathLike,
    runtime: Runtime,
) -> None:
    """Compare pickers on groups of data sets: a table of scores and one of paired differences of F1.

    `folders`: results by data set and picker (picks.star, candidates.star); `labels`: more columns by picker.
    The column `member` says which picker of a family was the best on a group. Everything is matched anew from
    picks and truth, since a border leaves some of both out.
    """
    scores: list[dict[str, Any]] = []
    ahead: list[dict[str, Any]] = []
    seed, inputs = runtime.key("bootstrap"), list[Path]()
    for group in settings.groups:
        judged: dict[str, list[Judged]] = {picker: [] for picker in settings.pickers}
        for dataset_name in group.datasets:
            dataset = Dataset(dataset_folders[dataset_name])
            shapes = _shapes(dataset) if group.border_px else {}
            field = _field(dataset, dataset_name, evaluation, shapes, group.border_px)
            for picker in settings.pickers:
                folder = Path(folders[dataset_name][picker])
                found = _found(folder, dataset, shapes, group.border_px)
                judged[picker].append(judge(field, found, evaluation))
                inputs += [folder / "picks.star", folder / "candidates.star"]
        groups = {picker: on_group(parts) for picker, parts in judged.items()}
        members = {name: best_of(groups, family) for name, family in settings.families.items()}
        groups |= {name: groups[member] for name, member in members.items()}
        about: dict[str, Any] = {"dataset": "+".join(group.datasets), "denoiser": "raw", "room": "picking"}
        about |= {"group": group.name, "border_px": group.border_px, "seed": runtime.seed}
        for picker, of_group in groups.items():
            own = {**about, "picker": picker, **labels.get(members.get(picker, picker), {})}
            own |= {"member": members.get(picker, "")}
            scores += [{**own, **row} for row in score_rows(of_group, evaluation, seed)]
        rows = differences(groups, settings.against, evaluation, seed)
        ahead += [{"group": group.name, **row} for row in rows]
        sets = plural(len(group.datasets), "data set")
        log.info("%s: %s on %s", group.name, plural(len(groups), "picker"), sets)
    _write(out_csv, scores, OF_GROUP)
    with atomic_path(out_differences) as part:
        pd.DataFrame(ahead, columns=list(DIFFERENCES)).to_csv(part, index=False)
    _provenance(provenance, "compare_pickers", settings.model_dump(mode="json"), inputs, runtime)


def gather_experiment(
    scores: Sequence[PathLike],
    rows: Sequence[Mapping[str, Any]],
    out_csv: PathLike,
    *,
    labels: Mapping[str, Any],
    provenance: PathLike,
    runtime: Runtime,
) -> None:
    """Gather scores.csv of every picker and test set of an experiment, with means over the test sets.

    `rows` say what each file is about (dataset, picker, model, trained_on, training_micrographs, clusters);
    the data set of a mean is `mean-of-<n>`. Raises InputError where a file holds none of the metrics.
    """
    gathered: list[dict[str, Any]] = []
    for path, about in zip(scores, rows, strict=True):
        table = read_tidy(path)
        table = table[table["metric"].isin(GATHERED)]
        if table.empty:
            raise InputError("no scores of picks", file=path, expected=", ".join(GATHERED[:3]))
        kept = ["metric", "value", "unit", "low", "high", "spread_kind", "n", "seed"]
        gathered += [
            {**labels, **about, **dict(zip(kept, row, strict=True))} for row in table[kept].to_numpy()
        ]
    _write(out_csv, gathered + _means(gathered), OF_EXPERIMENT)
    _provenance(provenance, "gather_experiment", {"rows": len(rows)}, list(scores), runtime)


def _means(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each metric's mean over the test sets, for each picker of an experiment; counts are summed."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    own = ("picker", "model", "trained_on", *OF_EXPERIMENT, "metric")
    for row in rows:
        groups.setdefault(tuple(row.get(key, "") for key in own), []).append(row)
    means = []
    for group in groups.values():
        values = np.array([float(row["value"]) for row in group])
        counted = str(group[0]["metric"]).startswith("count_")
        known = values[np.isfinite(values)]
        value = float(known.sum() if counted else known.mean()) if len(known) else float("nan")
        about = {key: entry for key, entry in group[0].items() if key not in ("low", "high", "spread_kind")}
        dataset = f"{'sum' if counted else 'mean'}-of-{len(group)}"
        means.append({**about, "dataset": dataset, "value": value, "n": len(known)})
    return means


def _field(
    dataset: Dataset, name: str, evaluation: EvaluationSettings, shapes: Shapes, border_px: float
) -> Field:
    size_px = diameter_px(dataset, None)
    truth = {
        key: points[_kept(points, key, shapes, border_px)] for key, points in read_truth(dataset).items()
    }
    return Field(name, truth, radius_px(evaluation, size_px), size_px)


def _found(folder: Path, dataset: Dataset, shapes: Shapes, border_px: float) -> Found:
    picks, _ = read_annotated(folder / "picks.star", dataset)
    candidates, scores = read_annotated(folder / "candidates.star", dataset)
    scored = not any(np.isnan(values).any() for values in scores.values())
    kept = {name: _kept(points, name, shapes, border_px) for name, points in candidates.items()}
    return Found(
        _cut(picks, {name: _kept(points, name, shapes, border_px) for name, points in picks.items()}),
        _cut(candidates, kept),
        _cut(scores, kept) if scored else None,
    )


def _kept(points: Any, name: str, shapes: Shapes, border_px: float) -> Any:
    return inside(points, shapes[name], border_px) if border_px else np.ones(len(points), dtype=bool)


def _cut(values: ByMicrograph, kept: Mapping[str, Any]) -> ByMicrograph:
    """What is kept of each micrograph; one of which nothing is kept has no entry, as one without picks."""
    return {name: values[name][mask] for name, mask in kept.items() if mask.any()}


def _shapes(dataset: Dataset) -> dict[str, tuple[int, int]]:
    return {name: micrograph_shape(dataset.micrograph_path(name)) for name in sorted(dataset.annotated())}


def _write(path: PathLike, rows: Sequence[Mapping[str, Any]], more: tuple[str, ...]) -> None:
    """Rows with the columns of the tidy table and those of `more`, whole or not at all."""
    made = [
        {key: row.get(key, "") for key in more} | tidy_row(**{k: v for k, v in row.items() if k not in more})
        for row in rows
    ]
    with atomic_path(path) as part:
        pd.DataFrame(made, columns=[*more, *COLUMNS]).to_csv(part, index=False)


def _provenance(
    path: PathLike, stage: str, settings: Mapping[str, Any], inputs: Sequence[PathLike], runtime: Runtime
) -> None:
    name = f"{__name__}:{stage}"
    write_provenance(path, stage=name, settings=dict(settings), inputs=inputs, seed=runtime.seed)
