"""Made-up results of multi-target detection in the layout of a run, for the tests of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from report_fixture import _provenance, _write

from vitreous.io.mrc import write_stack
from vitreous.io.tidy import COLUMNS
from vitreous.runtime.files import write_json

OF_EXPERIMENT = ("method", "snr")
PLANTED = 13


@dataclass(frozen=True)
class Method:
    """A made-up method: its aligned error at each SNR, its prior with the floor after its denoiser."""

    errors: Mapping[float, float]
    prior: str = ""
    denoised: Mapping[float, float] | None = None
    e_step: str = "whole"
    m_step: str = "auto"
    false_alarms: float | None = None


@dataclass(frozen=True)
class Made:
    """A made-up experiment: what is planted under which names, methods, draws, and what is written of it."""

    truth: NDArray[np.float32]
    names: Sequence[str]
    methods: Mapping[str, Method]
    title: str = ""
    seeds: int = 2
    controls: int = 0
    rotations: int = 4
    size_in_images: float = 11
    recovered: float = 0.45
    pixel_size_A: float | None = None
    with_facts: bool = True
    with_targets: bool = True


def make_experiment(run: Path, name: str, made: Made, rng: np.random.Generator) -> Path:
    """Write the trials, the table and the facts of an experiment; returns the table."""
    rows: list[dict[str, object]] = []
    for method, how in made.methods.items():
        for snr in how.errors:
            folder = run / "experiments" / "multitarget" / name / method / f"snr-{snr:g}"
            trials = _trials(folder, made, how, snr, rng)
            about = {"method": method, "snr": snr, "paper": "001", "room": "multitarget", "model": how.prior}
            rows += [{**about, **row} for row in _means(trials, made.recovered)]
    if made.with_facts:
        write_json(run / "experiments" / "multitarget" / name / "experiment.json", _facts(made))
    table = run / "tables" / f"multitarget_{name}.csv"
    table.parent.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(rows, columns=[*OF_EXPERIMENT, *COLUMNS])
    frame.to_csv(table, index=False)
    _provenance(table.with_suffix(".provenance.json"))
    return table


def make_prior(run: Path, name: str, epochs: int = 12) -> None:
    """Write the training curve of a prior."""
    folder = run / "models" / "multitarget" / name / "all" / "seed-0"
    epoch = np.arange(1, epochs + 1)
    table = pd.DataFrame({"epoch": epoch, "loss": 0.2 + np.exp(-epoch / 4), "learning_rate": 2e-3})
    folder.mkdir(parents=True)
    table.to_csv(folder / "training.csv", index=False)
    _provenance(folder / "provenance.json")


def _facts(made: Made) -> dict[str, Any]:
    methods = {
        name: {"prior": how.prior or None, "e_step": how.e_step, "m_step": how.m_step, "iterations": 30}
        for name, how in made.methods.items()
    }
    measurement = {"size_in_images": made.size_in_images, "rotations": made.rotations, "density": 0.1}
    snrs = list(next(iter(made.methods.values())).errors)
    facts = {"title": made.title, "images": "digits", "measurement": measurement, "snr": snrs}
    return {**facts, "methods": methods, "pixel_size_A": made.pixel_size_A, "recovered": made.recovered}


def _trials(folder: Path, made: Made, how: Method, snr: float, rng: np.random.Generator) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    images = []
    for name, image in zip(made.names, made.truth, strict=True):
        for number in range(made.seeds + made.controls):
            control = number >= made.seeds
            row: dict[str, object] = {"target": name, "seed": number - made.seeds * control}
            error = max(how.errors[snr] * rng.normal(1, 0.08), 0.01)
            images.append(_estimate(image, error, bool(how.prior), rng))
            row |= {"control": int(control), "planted": 0 if control else PLANTED, "found": 12.4}
            row |= {"claimed": int(not control or rng.random() < (how.false_alarms or 0))}
            rows.append(row if control else row | _errors(error, how, snr))
    _write(folder / "trials.csv", pd.DataFrame(rows).to_csv(index=False))
    write_stack(folder / "estimates.mrcs", np.stack(images), made.pixel_size_A or 1.0)
    if made.with_targets:
        write_stack(folder / "targets.mrcs", made.truth, made.pixel_size_A or 1.0)
    _provenance(folder / "provenance.json")
    return pd.DataFrame(rows)


def _errors(error: float, how: Method, snr: float) -> dict[str, object]:
    known = 1 / np.sqrt(PLANTED * snr)
    row: dict[str, object] = {"error": min(error + 0.45, 1.1), "error_aligned": error, "known_error": known}
    row |= {"pose_precision": max(0.0, 1 - error / 2), "pose_recall": max(0.0, 0.97 - error / 2)}
    row |= {"frc_shell": 12.0, "start_error": 0.9}
    row |= {"prior_error_aligned": 0.71} if how.prior else {}
    return row | ({"known_prior_error": how.denoised[snr]} if how.denoised else {})


def _estimate(
    image: NDArray[np.float32], error: float, smooth: bool, rng: np.random.Generator
) -> NDArray[np.float32]:
    """The image with noise of the relative norm `error`, moved and turned as EM may leave it."""
    from scipy.ndimage import gaussian_filter

    noise = rng.normal(0, 1, image.shape)
    noise = gaussian_filter(noise, 1.2) if smooth else noise
    noise *= error * np.linalg.norm(image) / np.linalg.norm(noise)
    turned = np.rot90(image, rng.integers(4))
    return (np.roll(turned, rng.integers(-1, 2, 2), (0, 1)) + noise).astype(np.float32)


def _means(trials: pd.DataFrame, recovered: float) -> list[dict[str, object]]:
    planted, controls = trials[trials["control"] == 0], trials[trials["control"] == 1]
    values = planted.drop(columns=["target", "seed", "control"])
    values = values.assign(recovered=(planted["error_aligned"] < recovered).astype(float))
    rows = [_mean(str(name), values[name], planted["target"]) for name in values]
    if len(controls):
        rows.append(_mean("control_claimed", controls["claimed"], controls["target"]))
    return rows


def _mean(metric: str, values: pd.Series, targets: pd.Series) -> dict[str, object]:
    mean, error = values.mean(), values.groupby(targets).mean().sem()
    ends = {"low": mean - error, "high": mean + error, "spread_kind": "standard error over targets"}
    return {"metric": metric, "value": mean, "n": len(values), "seed": 0, **ends}
