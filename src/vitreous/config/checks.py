"""Names that no block defines and combinations that make no sense, refused before any job."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

from vitreous.config.blocks import RESERVED
from vitreous.config.faults import has_truth, holds_micrographs, unknown, without_micrographs
from vitreous.config.models import (
    Combination,
    Config,
    SimulatedDataset,
    TrainedPicker,
)
from vitreous.config.multitarget import faults as multitarget_faults
from vitreous.config.table_checks import comparison_faults, experiment_faults
from vitreous.errors import SettingsError

# What `physics.symmetry.parse` takes; that module needs torch, which must not be imported to read settings.
_POINT_GROUP = re.compile(r"([CD][1-9]\d{0,3}|T|O|I[1-4]?)", re.IGNORECASE)


def _reserved(config: Config) -> Iterator[str]:
    blocks: dict[str, Iterable[str]] = {
        "pickers": config.pickers,
        "ctf": config.ctf,
        "engines": config.engines,
        "datasets": config.datasets,
    }
    for block, names in blocks.items():
        for name in sorted(RESERVED & set(names)):
            yield f"{block}.{name}: this name is reserved"


def _combination(config: Config, place: str, entry: Combination) -> Iterator[str]:
    absent = list(unknown(f"{place}.datasets", entry.datasets, config.datasets, "dataset"))
    yield from absent
    yield from unknown(f"{place}.denoisers", entry.denoisers, ["raw"], "denoiser")
    yield from unknown(f"{place}.pickers", entry.pickers, [*config.pickers, "truth"], "picker")
    yield from unknown(f"{place}.selections", entry.selections, ["all"], "selection")
    yield from unknown(f"{place}.engines", entry.engines, config.engines, "engine")
    yield from unknown(f"{place}.ctf", entry.ctf, config.ctf, "CTF block")
    if entry.engines and not entry.extract:
        yield f"{place}: engines need particles; say `extract: true`"
    if entry.extract and not entry.pickers:
        yield f"{place}: extraction needs picks; name `pickers`"
    yield from without_micrographs(config, f"{place}.datasets", entry.datasets)
    for dataset in entry.datasets if not absent else []:
        if not holds_micrographs(config, dataset):
            continue
        if "truth" in entry.pickers and not has_truth(config, dataset):
            yield f"{place}.pickers: dataset '{dataset}' has no coordinates to take as `truth`"
        if entry.engines and not config.datasets[dataset].targets:
            yield f"{place}.engines: dataset '{dataset}' names no target to reconstruct"
        if entry.extract:
            yield from _box(config, dataset)
        if not config.datasets[dataset].targets:
            yield from _diameters(config, entry, dataset)


def _models(config: Config) -> Iterator[str]:
    for name, block in config.models.picking.items():
        if block.train is not None:
            place = f"models.picking.{name}.train.datasets"
            yield from unknown(place, block.train.datasets, config.datasets, "dataset")
            yield from without_micrographs(config, place, block.train.datasets)
    for name, picker in config.pickers.items():
        if not isinstance(picker, TrainedPicker):
            if type(picker).NEEDS_MODEL:
                yield (
                    f"pickers.{name}: variant '{picker.variant}' is trained; put it into models.picking "
                    "and say {variant: model, model: NAME} here"
                )
            continue
        missing = list(unknown(f"pickers.{name}.model", [picker.model], config.models.picking, "model"))
        yield from missing
        model = None if missing else config.models.picking[picker.model]
        train = model.train if model else None
        if model and picker.settings and picker.settings.variant != model.settings.variant:
            yield (
                f"pickers.{name}.settings.variant: found '{picker.settings.variant}', the variant of model "
                f"'{picker.model}' is '{model.settings.variant}'"
            )
        if train and picker.seed is not None and picker.seed not in train.seeds:
            yield f"pickers.{name}.seed: model '{picker.model}' has the seeds {train.seeds}"


def _datasets(config: Config) -> Iterator[str]:
    for name in sorted(set(config.datasets) & set(config.downloads)):
        yield f"downloads.{name}: a dataset has the same name"
    for name, dataset in config.datasets.items():
        if dataset.ctf is not None and dataset.ctf != "given":
            yield from unknown(f"datasets.{name}.ctf", [dataset.ctf], [*config.ctf, "given"], "CTF block")
        for index, group in enumerate([target.symmetry for target in dataset.targets]):
            if group is not None and not _POINT_GROUP.fullmatch(group.strip()):
                place = f"datasets.{name}.targets.{index}.symmetry"
                yield f"{place}: found '{group}', expected C<n>, D<n>, T, O, I, I1 to I4"


def _diameters(config: Config, entry: Combination, dataset: str) -> Iterator[str]:
    """What picking and its scores would miss on a dataset that names no target: a diameter."""
    if has_truth(config, dataset) and set(entry.pickers) - {"truth"}:
        yield f"datasets.{dataset}.targets: none, so no diameter to score its picks with"
    for name in entry.pickers:
        block = config.pickers.get(name)
        model = config.models.picking.get(block.model) if isinstance(block, TrainedPicker) else None
        settings = model.settings if model else block
        if settings and not isinstance(settings, TrainedPicker) and settings.diameter_A is None:
            yield f"pickers.{name}.diameter_A: missing, and dataset '{dataset}' names no target"


def _box(config: Config, dataset: str) -> Iterator[str]:
    """What extraction would refuse at its first file: box, diameter and pixel sizes that contradict."""
    block, extraction = config.datasets[dataset], config.extraction
    if not block.targets:
        yield f"datasets.{dataset}.targets: none, so no diameter for the box of its particles"
        return
    if getattr(block, "trust", None) == "header":
        return  # the pixel size is not known before the files are read
    diameter_A = max(target.diameter_A for target in block.targets)
    written_A = extraction.pixel_size_A or block.pixel_size_A
    box_A = extraction.box_px * written_A if extraction.box_px else extraction.box_factor * diameter_A
    if written_A < 0.999 * block.pixel_size_A:
        yield (
            f"extraction.pixel_size_A: found {written_A:g} Å, below that of dataset '{dataset}', "
            f"{block.pixel_size_A:g} Å"
        )
    if box_A < diameter_A:
        yield (
            f"extraction.box_px: a box of {box_A:.0f} Å is smaller than the particles of dataset "
            f"'{dataset}', {diameter_A:g} Å; give {math.ceil(diameter_A / written_A)} px or more"
        )
    if isinstance(block, SimulatedDataset) and box_A > min(block.shape) * block.pixel_size_A:
        yield (
            f"extraction: a box of {box_A:.0f} Å is larger than the micrographs of dataset '{dataset}', "
            f"{min(block.shape) * block.pixel_size_A:g} Å"
        )


def check(config: Config) -> None:
    """Raise SettingsError that names every reference to nothing and every senseless combination."""
    faults = [*_reserved(config), *_datasets(config), *_models(config)]
    for index, entry in enumerate(config.matrix):
        faults += _combination(config, f"matrix.{index}", entry)
    _refuse([*faults, *comparison_faults(config), *multitarget_faults(config)])


def check_experiments(config: Config) -> None:
    """The same for what experiments name, before they are expanded."""
    _refuse([*experiment_faults(config)])


def _refuse(faults: list[str]) -> None:
    if faults:
        raise SettingsError(" | ".join(dict.fromkeys(faults)))
