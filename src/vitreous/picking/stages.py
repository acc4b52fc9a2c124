"""Stages of picking: candidates by batch, the threshold of a dataset, the training of a picker."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from vitreous.errors import InputError, SettingsError
from vitreous.io.dataset import NAME, Dataset, read_batch
from vitreous.io.micrograph import read_micrograph
from vitreous.io.picks import write_picks
from vitreous.io.star import write_star
from vitreous.picking.batch_files import (
    LEVELS,
    batch_tables,
    failed_table,
    joined,
    read_candidates,
    read_failed,
    read_levels,
    write_csv,
)
from vitreous.picking.candidates import Candidates, Image, load_candidates, save_candidates
from vitreous.picking.emmae.settings import EmmaeSettings
from vitreous.picking.registry import load, modules_of, plugin_file, variant_of
from vitreous.picking.settings import PickerSettings
from vitreous.picking.structure import combined, median
from vitreous.picking.threshold import Threshold, choose_threshold
from vitreous.picking.training import Source
from vitreous.runtime.device import Runtime
from vitreous.runtime.files import atomic_path, write_json
from vitreous.runtime.plural import plural
from vitreous.runtime.provenance import write_provenance
from vitreous.runtime.work import Work, run_items

log = logging.getLogger(__name__)
PathLike = str | Path
STAGE = "vitreous.picking.stages"


def pick_batch(
    batch: PathLike,
    dataset_folder: PathLike,
    out_star: PathLike,
    *,
    settings: PickerSettings,
    max_failed_share: float,
    model: PathLike | None = None,
    provenance: PathLike,
    runtime: Runtime,
) -> None:
    """Write all candidates of a batch's micrographs with their scores, and `.failed.csv` beside the file.

    The block `micrographs` says of each what noise puts into its scores. Micrographs that cannot be used are
    listed and gone past; more than `max_failed_share` of them raise StageError.
    """
    dataset, out, names = Dataset(dataset_folder), Path(out_star), read_batch(batch)
    diameter_A, contrast = _diameter_A(dataset, settings), _contrast(dataset, settings)
    pixel_size_A, variant = dataset.info.pixel_size_A, variant_of(settings)
    runtime.torch_device()
    find = load(variant.find)
    trained = _model(settings, model, runtime)

    def compute(name: str) -> Candidates:
        image = read_micrograph(dataset.micrograph_path(name))
        found: Candidates = find(image, pixel_size_A, diameter_A, contrast, settings, runtime, model=trained)
        return _checked(found, image.shape, variant.find)

    inputs = _inputs(settings, model)
    optics = [pixel_size_A, diameter_A, contrast]
    key = {"settings": settings.model_dump(mode="json"), "optics": optics, "seed": runtime.seed}
    stage, modules = f"{STAGE}:pick_batch", modules_of(settings)
    with Work(out, settings=key, stage=stage, modules=modules, inputs=inputs) as work:
        found, errors = run_items(
            names,
            compute,
            work,
            save_candidates,
            load_candidates,
            max_failed_share=max_failed_share,
            inputs=lambda name: [dataset.folder / name],
            label="micrograph",
        )
    write_star(out, batch_tables([name for name in names if name in found], found))
    failed = {name: str(error) for name, error in errors.items()}
    write_csv(out.with_suffix(".failed.csv"), failed_table(failed))
    write_provenance(
        provenance, stage=stage, modules=modules, settings=key, seed=runtime.seed,
        inputs=[batch, *inputs, dataset.folder / "dataset.json"], facts={"failed": len(errors)},
    )  # fmt: skip


def collect_picks(
    batches: Sequence[PathLike],
    dataset_folder: PathLike,
    out_folder: PathLike,
    *,
    settings: PickerSettings,
    provenance: PathLike,
    runtime: Runtime,
) -> None:
    """Join the batches and cut: picks.star, candidates.star, threshold.json, failed.csv in `out_folder`.

    The automatic threshold is chosen over the whole dataset. No pick at all gives valid, empty files and a
    warning. Raises InputError where the batches name other micrographs than the dataset.
    """
    dataset, out = Dataset(dataset_folder), Path(out_folder)
    candidates = joined([read_candidates(path) for path in batches])
    tables = pd.concat([read_levels(path) for path in batches], ignore_index=True)
    failed = pd.concat([read_failed(Path(path)) for path in batches], ignore_index=True)
    _check_names(dataset, [*tables[NAME], *failed["micrograph"]], out)
    chosen = _threshold(candidates, tables, settings)
    picks = candidates[candidates["score"] >= chosen.value].reset_index(drop=True)
    write_picks(out / "candidates.star", candidates)
    write_picks(out / "picks.star", picks)
    write_json(out / "threshold.json", _facts(chosen, settings, len(candidates), len(picks)))
    write_csv(out / "failed.csv", failed)
    counts = {"micrographs": len(tables), "candidates": len(candidates), "picks": len(picks)}
    log.info("threshold %.4g (%s): %s", chosen.value, chosen.rule, counts)
    if len(picks) == 0:
        number = plural(len(candidates), "candidate")
        log.warning("NO PICKS in %s: %s, none above the threshold", dataset.folder, number)
    write_provenance(
        provenance, stage=f"{STAGE}:collect_picks", settings=settings.model_dump(mode="json"),
        inputs=[*batches], seed=runtime.seed, facts=counts,
    )  # fmt: skip


def train_picker(
    dataset_folders: Sequence[PathLike],
    out_model: PathLike,
    out_log: PathLike,
    *,
    settings: PickerSettings,
    micrographs: int | None = None,
    provenance: PathLike,
    runtime: Runtime,
) -> None:
    """Train a picker on the micrographs of datasets, without their truth; writes the model and its log (CSV).

    `micrographs`: only the first so many of each dataset, by name; None: all. Checkpoints lie beside the
    model until it is whole. Raises SettingsError for a picker that does not learn.
    """
    train = variant_of(settings).train
    if train is None:
        raise SettingsError("this picker is not trained", place="variant", found=settings.variant)
    runtime.torch_device()
    datasets = [Dataset(folder) for folder in dataset_folders]
    sources = [source for dataset in datasets for source in _sources(dataset, settings, micrographs)]
    inputs = [dataset.folder / "micrographs.star" for dataset in datasets]
    plain, modules, stage = settings.model_dump(mode="json"), modules_of(settings), f"{STAGE}:train_picker"
    key = {"settings": plain, "micrographs": micrographs, "seed": runtime.seed}
    with Work(out_model, settings=key, stage=stage, modules=modules, inputs=inputs) as work:
        training = load(train)(sources, settings, runtime, work.folder)
    for row in training.log:
        log.info("training: %s", {key: f"{value:.4g}" for key, value in row.items()})
    # by its path torch would write the temporary name into the file: no two would be the same bytes
    with atomic_path(out_model) as part, open(part, "wb") as handle:
        torch.save(dict(training.model), handle)
    write_csv(Path(out_log), pd.DataFrame(training.log))
    write_provenance(
        provenance, stage=stage, modules=modules, settings=plain, seed=runtime.seed, inputs=inputs,
        facts={"micrographs": len(sources)},
    )  # fmt: skip


def project_latents(
    model: PathLike,
    dataset_folder: PathLike,
    micrograph: int,
    out_csv: PathLike,
    out_variance: PathLike,
    *,
    settings: PickerSettings,
    provenance: PathLike,
    runtime: Runtime,
) -> None:
    """Write the tokens of a micrograph on their first three principal components, and what each explains.

    `micrograph` counts from 1 in the order of names. `out_csv`: row, column (token grid), component1-3,
    cluster, particle (0 or 1); `out_variance`: component, share. Raises SettingsError for another picker than
    cryo-EMMAE, InputError where there is no such micrograph.
    """
    from vitreous.picking.emmae.latents import latent_tables

    if not isinstance(settings, EmmaeSettings):
        raise SettingsError("only cryo-EMMAE has latents", place="variant", found=settings.variant)
    dataset = Dataset(dataset_folder)
    sources = _sources(dataset, settings, None)
    if not 1 <= micrograph <= len(sources):
        expected = f"1 to {len(sources)}"
        raise InputError("no such micrograph", file=dataset.folder, found=micrograph, expected=expected)
    trained = _model(settings, model, runtime)
    tokens, variance = latent_tables(sources[micrograph - 1], trained, settings, runtime)
    write_csv(Path(out_csv), tokens)
    write_csv(Path(out_variance), variance)
    write_provenance(
        provenance, stage=f"{STAGE}:project_latents", modules=modules_of(settings),
        settings=settings.model_dump(mode="json"), seed=runtime.seed,
        inputs=[model, dataset.folder / "micrographs.star"],
        facts={"micrograph": sources[micrograph - 1].name},
    )  # fmt: skip


def _diameter_A(dataset: Dataset, settings: PickerSettings) -> float:
    if settings.diameter_A is not None:
        return settings.diameter_A
    if not dataset.info.targets:
        raise SettingsError(
            "no particle diameter", file=dataset.folder / "dataset.json", found="no targets",
            todo="give `diameter_A` with the picker",
        )  # fmt: skip
    return max(target.diameter_A for target in dataset.info.targets)


def _contrast(dataset: Dataset, settings: PickerSettings) -> str:
    return dataset.info.contrast if settings.contrast == "dataset" else settings.contrast


def _model(settings: PickerSettings, path: PathLike | None, runtime: Runtime) -> Any:
    loader = variant_of(settings).load
    if path is None:
        if settings.NEEDS_MODEL:
            raise SettingsError(
                "this picker needs a trained model", place="variant", found=settings.variant,
                todo="name a block of `models.picking`: `{variant: model, model: ...}`",
            )  # fmt: skip
        return None
    if loader is None:
        raise SettingsError("this picker takes no model", place="variant", found=settings.variant)
    return load(loader)(Path(path), runtime)


def _inputs(settings: PickerSettings, model: PathLike | None) -> list[Path]:
    plugin = plugin_file(variant_of(settings).find)
    return [Path(path) for path in (model, plugin) if path is not None]


def _checked(found: Candidates, shape: tuple[int, ...], picker: str) -> Candidates:
    """Candidates as floats, of equal length, finite, inside the image: a plugin may have erred."""
    x, y, score = (np.asarray(values, dtype=float).reshape(-1) for values in (found.x, found.y, found.score))
    if not len(x) == len(y) == len(score) or not np.isfinite([*x, *y, *score]).all():
        raise InputError("picker returned unequal or non-finite arrays", place=picker)
    h, w = shape
    if ((x < -0.5) | (x > w - 0.5) | (y < -0.5) | (y > h - 0.5)).any():
        expected = f"x < {w}, y < {h}"
        raise InputError("picker returned centres outside the image", place=picker, expected=expected)
    evidence = np.asarray(found.evidence, dtype=float).reshape(-1)
    if len(evidence) != len(x):
        raise InputError("picker returned unequal or non-finite arrays", place=picker)
    return replace(found, x=x, y=y, score=score, evidence=evidence)


def _threshold(candidates: pd.DataFrame, tables: pd.DataFrame, settings: PickerSettings) -> Threshold:
    if settings.threshold != "auto":
        return Threshold(float(settings.threshold), "given in the settings")
    noise, spread, structure, decision = (tables[column].tolist() for column in LEVELS)
    own = median(decision)
    if math.isfinite(own):
        return Threshold(own, "the picker's own decision")
    scores, evidence = (candidates[column].to_numpy(float) for column in ("score", "evidence"))
    return choose_threshold(scores, median(noise), median(spread), combined(structure), evidence)


def _facts(chosen: Threshold, settings: PickerSettings, candidates: int, picks: int) -> dict[str, Any]:
    automatic = {"automatic": chosen.value} if settings.threshold == "auto" else {}
    counts = {"candidates": candidates, "picks": picks}
    return {"threshold": chosen.value, "rule": chosen.rule, **automatic, **counts, "fit": dict(chosen.facts)}


def _check_names(dataset: Dataset, names: Sequence[str], out: Path) -> None:
    known = set(dataset.micrographs()[NAME])
    missing, unknown = sorted(known - set(names)), sorted(set(names) - known)
    if missing or unknown:
        raise InputError(
            "batches do not match the dataset", file=out, expected=str(dataset.folder / "micrographs.star"),
            found=f"{plural(len(missing), 'micrograph')} missing, {len(unknown)} unknown: "
            f"{(missing + unknown)[0]}",
        )  # fmt: skip


def _sources(dataset: Dataset, settings: PickerSettings, most: int | None) -> list[Source]:
    """The micrographs of a dataset to learn from, sorted by name, at most the first `most`."""

    def reader(name: str) -> Callable[[], Image]:
        return lambda: read_micrograph(dataset.micrograph_path(name))

    fixed = (dataset.info.pixel_size_A, _diameter_A(dataset, settings), _contrast(dataset, settings))
    names = sorted(str(name) for name in dataset.micrographs()[NAME])
    if most is not None and most > len(names):
        wanted = plural(most, "micrograph")
        log.warning("%s: %s wanted to train on, %d there", dataset.folder, wanted, len(names))
    names = names[:most]
    return [Source(str(dataset.folder), name, *fixed, reader(name)) for name in names]
