"""What comparisons and experiments may not ask for."""

from __future__ import annotations

from collections.abc import Iterator

from vitreous.config.experiment_models import LatentsExperiment, PickingExperiment
from vitreous.config.experiments import group_picker
from vitreous.config.faults import unknown, without_truth
from vitreous.config.models import Config
from vitreous.metrics.settings import ComparisonSettings
from vitreous.picking.emmae.settings import EmmaeSettings

METHODS = "experiments.picking.methods"


def comparison_faults(config: Config) -> Iterator[str]:
    """Names that comparisons do not define, or define twice; sets without a truth."""
    for name, block in config.comparisons.items():
        place = f"comparisons.{name}"
        known = {**config.pickers, **config.experiments.picking.methods}
        yield from unknown(f"{place}.pickers", block.pickers, known, "picker")
        for family, members in block.families.items():
            where = f"{place}.families.{family}"
            yield from unknown(where, members, block.pickers, "picker of this comparison")
            if family in block.pickers:
                yield f"{where}: a picker of this comparison has the same name"
        rows = [*block.pickers, *block.families]
        yield from unknown(f"{place}.against", block.against, rows, "row of this comparison")
        names = [group.name for group in block.groups]
        for index, group in enumerate(block.groups):
            where = f"{place}.groups.{index}"
            yield from unknown(f"{where}.datasets", group.datasets, config.datasets, "dataset")
            yield from unknown(f"{where}.trained_on", group.trained_on, config.datasets, "dataset")
            yield from _shared_datasets(config, f"{where}.datasets", block, index)
            yield from without_truth(config, f"{where}.datasets", group.datasets)
            if group.name in names[:index]:
                yield f"{where}.name: another group is called '{group.name}'"


def _shared_datasets(config: Config, place: str, block: ComparisonSettings, index: int) -> Iterator[str]:
    """A data set that two groups of a comparison judge by differently trained models."""
    group = block.groups[index]
    for other in block.groups[:index]:
        shared = sorted(set(group.datasets) & set(other.datasets))
        pairs = (
            (group_picker(config, one, group), group_picker(config, one, other)) for one in block.pickers
        )
        if shared and any(mine != theirs for mine, theirs in pairs):
            yield f"{place}: '{shared[0]}' is in group '{other.name}' with another training; compare apart"


def experiment_faults(config: Config) -> Iterator[str]:
    """Names that experiments do not define, methods that cannot be varied so, sets without a truth."""
    experiments = config.experiments.picking
    for name, block in experiments.tables():
        yield from _table_faults(config, f"experiments.picking.{name}", block)
    if experiments.latents is not None:
        yield from _latents_faults(config, "experiments.picking.latents", experiments.latents)


def _table_faults(config: Config, place: str, block: PickingExperiment) -> Iterator[str]:
    methods = config.experiments.picking.methods
    yield from unknown(f"{place}.methods", block.methods, methods, f"method of `{METHODS}`")
    for key in ("train", "test"):
        yield from unknown(f"{place}.{key}", getattr(block, key), config.datasets, "dataset")
    yield from without_truth(config, f"{place}.test", block.test)
    known = {name: methods[name] for name in block.methods if name in methods}
    for name, settings in known.items():
        if settings.NEEDS_MODEL and not block.train:
            yield f"{place}.train: method '{name}' is trained; name training sets"
        if block.clusters and settings.NEEDS_MODEL and not isinstance(settings, EmmaeSettings):
            yield f"{place}.clusters: method '{name}' has no clusters of a micrograph"
        if settings.diameter_A is None:
            used = {*block.test, *(block.train if settings.NEEDS_MODEL else ())}
            for dataset in sorted(used & set(config.datasets)):
                if not config.datasets[dataset].targets:
                    yield f"{METHODS}.{name}.diameter_A: missing, and dataset '{dataset}' names no target"


def _latents_faults(config: Config, place: str, block: LatentsExperiment) -> Iterator[str]:
    methods = config.experiments.picking.methods
    yield from unknown(f"{place}.method", [block.method], methods, f"method of `{METHODS}`")
    yield from unknown(f"{place}.train", [block.train], config.datasets, "dataset")
    yield from unknown(f"{place}.dataset", [block.dataset], config.datasets, "dataset")
    if block.method in methods and not isinstance(methods[block.method], EmmaeSettings):
        yield f"{place}.method: method '{block.method}' has no latents; name one of variant `emmae`"
