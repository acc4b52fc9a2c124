"""Stages of multi-target detection: the trials of one method, the table of an experiment."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vitreous.errors import InputError
from vitreous.io.mrc import write_stack
from vitreous.io.tidy import COLUMNS, tidy_row
from vitreous.multitarget.image_settings import ImagesSettings
from vitreous.multitarget.images.registry import target_images
from vitreous.multitarget.priors.base import Prior
from vitreous.multitarget.priors.registry import load_prior
from vitreous.multitarget.priors.seen import was_seen
from vitreous.multitarget.settings import EmSettings, MeasurementSettings
from vitreous.multitarget.trials import Row, Trial, checked_images, mean_and_error, run_target
from vitreous.runtime.device import Runtime
from vitreous.runtime.files import atomic_path, write_json
from vitreous.runtime.provenance import write_provenance
from vitreous.runtime.work import Work, run_items

log = logging.getLogger(__name__)
STAGE = "vitreous.multitarget.stages"
# What the table of an experiment has beside the columns of the tidy table.
OF_EXPERIMENT = ("method", "snr")
# Metrics of a trial whose means are reported, with what they are called.
MEANS = (
    "error", "error_aligned", "prior_error", "prior_error_aligned", "known_error", "known_prior_error",
    "start_error", "frc_shell", "found", "planted", "iterations", "pose_precision", "pose_recall",
    "log_evidence", "claimed",
)  # fmt: skip
OF_CONTROLS = ("grown", "claimed", "log_evidence")


def run_trials(
    out_csv: Path,
    out_images: Path,
    out_targets: Path,
    *,
    settings: EmSettings,
    images: ImagesSettings,
    measurement: MeasurementSettings,
    snr: float,
    seeds: int,
    controls: int,
    root: Path,
    prior: Path | None,
    provenance: Path,
    runtime: Runtime,
) -> None:
    """Try a method at one SNR on every target: a row a measurement, estimates and targets as stacks.

    The estimates have an image for each row, the targets one for each. Finished targets are not done again
    after a kill. Raises InputError where the prior was trained on a target, has images of another size, or a
    target is not an image.
    """
    targets = target_images(images, root, runtime)
    checked_images(targets.images, targets.names)
    known = None if prior is None else _fitting_prior(prior, targets.images, targets.names, runtime)
    trial = Trial(settings, measurement, snr, seeds, controls, known)
    by_name = dict(zip(targets.names, targets.images, strict=True))

    def compute(name: str) -> tuple[list[Row], Tensor]:
        return run_target(by_name[name], name, targets.start, trial, runtime)

    plain = {
        "method": settings.model_dump(mode="json"), "images": images.model_dump(mode="json"), "snr": snr,
        "measurement": measurement.model_dump(mode="json"), "seeds": seeds, "controls": controls,
        "seed": runtime.seed,
    }  # fmt: skip
    inputs = [prior] if prior is not None else []
    with Work(out_csv, settings=plain, stage=f"{STAGE}:run_trials", inputs=inputs) as work:
        done, _ = run_items(targets.names, compute, work, _save, _load, max_failed_share=0.0, label="target")
    rows = [row for name in targets.names for row in done[name][0]]
    pixel_size_A = targets.pixel_size_A or 1.0
    write_stack(out_images, torch.cat([done[name][1] for name in targets.names]).numpy(), pixel_size_A)
    write_stack(out_targets, targets.images.numpy(), pixel_size_A)
    with atomic_path(out_csv) as part:
        pd.DataFrame(rows).to_csv(part, index=False)
    write_provenance(
        provenance, stage=f"{STAGE}:run_trials", settings=plain, inputs=inputs, seed=runtime.seed
    )


def _fitting_prior(path: Path, images: Tensor, names: Sequence[str], runtime: Runtime) -> Prior:
    prior = load_prior(path, runtime)
    if prior.size != images.shape[-1]:
        raise InputError(
            "the prior is for images of another size", file=path, found=f"{prior.size} px",
            expected=f"{images.shape[-1]} px",
        )  # fmt: skip
    seen = [name for name, was in zip(names, was_seen(prior.seen, images).tolist(), strict=True) if was]
    if seen:
        raise InputError(
            "the prior was trained on a target", file=path, found=", ".join(seen[:3]),
            todo="train it without the targets, or plant other images",
        )  # fmt: skip
    return prior


def _save(path: Path, result: tuple[list[Row], Tensor]) -> None:
    rows, images = result
    torch.save({"rows": rows, "images": images}, path)


def _load(path: Path) -> tuple[list[Row], Tensor]:
    stored = torch.load(path, weights_only=True)
    return stored["rows"], stored["images"]


def gather_trials(
    tables: Sequence[Path],
    rows: Sequence[Mapping[str, Any]],
    out_csv: Path,
    out_facts: Path,
    *,
    labels: Mapping[str, Any],
    facts: Mapping[str, Any],
    recovered: float,
    provenance: Path,
    runtime: Runtime,
) -> None:
    """Gather the trials of every method and SNR of an experiment: means with standard errors over targets.

    `rows` say what each file is about (method, snr, dataset, model); `facts` of the experiment go into the
    file `out_facts` for whoever draws it. `recovered` is the share of trials whose
    aligned error is below that number. Raises InputError for a file that holds no trials.
    """
    gathered: list[dict[str, Any]] = []
    for path, about in zip(tables, rows, strict=True):
        trials = pd.read_csv(path)
        if trials.empty or "control" not in trials:
            raise InputError("no trials in this file", file=path)
        planted, controls = trials[trials["control"] == 0], trials[trials["control"] == 1]
        own = {**labels, **about, "seed": runtime.seed}
        gathered += [{**own, **row} for row in _summary(planted, recovered)]
        gathered += [{**own, **row} for row in _of_controls(controls)]
    made = [
        {key: row.get(key, "") for key in OF_EXPERIMENT}
        | tidy_row(**{key: value for key, value in row.items() if key not in OF_EXPERIMENT})
        for row in gathered
    ]
    write_json(out_facts, {**facts, "recovered": recovered})
    with atomic_path(out_csv) as part:
        pd.DataFrame(made, columns=[*OF_EXPERIMENT, *COLUMNS]).to_csv(part, index=False)
    write_provenance(
        provenance, stage=f"{STAGE}:gather_trials", settings={"recovered": recovered}, inputs=tables,
        seed=runtime.seed,
    )  # fmt: skip


def _summary(trials: pd.DataFrame, recovered: float) -> list[dict[str, Any]]:
    groups = trials["target"].to_numpy()
    values = {name: trials[name].to_numpy(dtype=float) for name in MEANS if name in trials}
    if not _tested(trials):
        values.pop("claimed", None)
    values["recovered"] = (trials["error_aligned"].to_numpy() < recovered).astype(float)
    return [_row(name, value, groups) for name, value in values.items() if np.isfinite(value).any()]


def _of_controls(trials: pd.DataFrame) -> list[dict[str, Any]]:
    groups = trials["target"].to_numpy()
    names = OF_CONTROLS if _tested(trials) else tuple(name for name in OF_CONTROLS if name != "claimed")
    return [
        _row(f"control_{name}", trials[name].to_numpy(dtype=float), groups)
        for name in names
        if len(trials) and np.isfinite(trials[name].to_numpy(dtype=float)).any()
    ]


def _tested(trials: pd.DataFrame) -> bool:
    """Whether the method asks for evidence; one that does not claims whatever it grows."""
    return bool(np.isfinite(trials["log_evidence"].to_numpy(dtype=float)).any())


def _row(metric: str, values: Any, groups: Any) -> dict[str, Any]:
    mean, error, count = mean_and_error(values, groups)
    ends = {} if not np.isfinite(error) else {"low": mean - error, "high": mean + error}
    spread = "standard error over targets" if ends else ""
    return {"metric": metric, "value": mean, "n": count, "spread_kind": spread, "unit": "", **ends}
