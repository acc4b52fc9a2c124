"""Experiments expanded into ordinary models and pickers, so that the rules which make those do all the work.

A name says what it stands for: `emmae-on-empiar-10291-first-5` is the method `emmae` trained on the first
five micrographs of that set. Two experiments that need the same model share it; matrix and comparisons may
name what they make.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from vitreous.config.experiment_models import LatentsExperiment, PickingExperiment
from vitreous.config.models import (
    Combination,
    Config,
    PickingModel,
    TrainedPicker,
    Training,
)
from vitreous.errors import SettingsError
from vitreous.metrics.settings import GroupSettings
from vitreous.picking.emmae.settings import EmmaeSettings

PLACE = "experiments.picking"
# The published refinement goes through 3, 4, 5 clusters; its ablation moves the last.
FIRST_CLUSTERS = 3


@dataclass(frozen=True)
class Variation:
    """One picker of an experiment: its method, what it is trained on, and what is varied."""

    picker: str
    method: str
    model: str | None = None
    trained_on: tuple[str, ...] = ()
    size: int | None = None
    clusters: int | None = None


def trained_name(method: str, where: str, size: int | None = None) -> str:
    """The name of a method's model."""
    return f"{method}-on-{where}" + (f"-first-{size}" if size is not None else "")


def variations(config: Config, name: str, experiment: PickingExperiment) -> list[Variation]:
    """Every picker that an experiment compares."""
    return list(_variations(config, name, experiment))


def _variations(config: Config, name: str, experiment: PickingExperiment) -> Iterator[Variation]:
    groups = [tuple(experiment.train)] if experiment.together else [(one,) for one in experiment.train]
    for method in experiment.methods:
        if not type(config.experiments.picking.methods[method]).NEEDS_MODEL:
            yield Variation(method, method)
            continue
        for group in groups:
            where = name if experiment.together else group[0]
            for size in _or_none(experiment.sizes):
                model = trained_name(method, where, size)
                for clusters in _or_none(experiment.clusters):
                    picker = model if clusters is None else f"{model}-k{clusters}"
                    yield Variation(picker, method, model, group, size, clusters)


def latents_variation(experiment: LatentsExperiment) -> Variation:
    """The model behind the latents."""
    name = trained_name(experiment.method, experiment.train, experiment.size)
    return Variation(name, experiment.method, name, (experiment.train,), experiment.size)


def group_variation(config: Config, picker: str, group: GroupSettings) -> Variation | None:
    """The picker that a row of a comparison stands for in a group, where it is a method; else None.

    A method that is trained learns from what the group says, its own data sets if nothing.
    """
    methods = config.experiments.picking.methods
    if picker not in methods:
        return None
    if not type(methods[picker]).NEEDS_MODEL:
        return Variation(picker, picker)
    learnt = tuple(group.trained_on or group.datasets)
    where = learnt[0] if len(learnt) == 1 else f"{learnt[0]}-and-{len(learnt) - 1}-more"
    name = trained_name(picker, where, group.training_micrographs)
    return Variation(name, picker, name, learnt, group.training_micrographs)


def group_picker(config: Config, picker: str, group: GroupSettings) -> str:
    """The name of the picker that a row of a comparison stands for in a group."""
    variation = group_variation(config, picker, group)
    return picker if variation is None else variation.picker


def _compared(config: Config) -> Iterator[Variation]:
    for block in config.comparisons.values():
        for group, picker in product(block.groups, block.pickers):
            variation = group_variation(config, picker, group)
            if variation is not None:
                yield variation


def combination(config: Config, name: str, experiment: PickingExperiment) -> Combination:
    """What an experiment wants picked and judged, as an entry of the matrix."""
    pickers = [one.picker for one in variations(config, name, experiment)]
    return Combination(datasets=experiment.test, pickers=list(dict.fromkeys(pickers)))


def expanded(config: Config) -> Config:
    """The configuration with the models and pickers of its experiments and comparisons.

    Raises SettingsError where one of their names is taken by something else.
    """
    experiments = config.experiments.picking
    found = [one for name, block in experiments.tables() for one in _variations(config, name, block)]
    found += [latents_variation(experiments.latents)] if experiments.latents else []
    found += _compared(config)
    models, pickers = dict(config.models.picking), dict(config.pickers)
    for one in found:
        method = experiments.methods[one.method]
        if one.model is None:
            _put(pickers, "pickers", one.picker, method)
            continue
        train = Training(datasets=list(one.trained_on), micrographs=one.size)
        _put(models, "models.picking", one.model, PickingModel(settings=method, train=train))
        own = None if one.clusters is None else _with_clusters(method, one.clusters)
        _put(pickers, "pickers", one.picker, TrainedPicker(model=one.model, settings=own))
    if not found:
        return config
    return config.model_copy(
        update={"models": config.models.model_copy(update={"picking": models}), "pickers": pickers}
    )


def _put(blocks: dict[str, Any], place: str, name: str, block: Any) -> None:
    if name in blocks and blocks[name] != block:
        todo = "rename one of the two, or write both alike"
        raise SettingsError(f"{place}.{name}: an experiment's method of this name is another", todo=todo)
    blocks[name] = block


def _with_clusters(method: Any, clusters: int) -> EmmaeSettings:
    assert isinstance(method, EmmaeSettings)
    refine = list(range(min(FIRST_CLUSTERS, clusters), clusters + 1))
    own = method.clusters.model_copy(update={"refine": refine, "micrograph": "refined"})
    return method.model_copy(update={"clusters": own})


def _or_none(values: list[int]) -> Sequence[int | None]:
    """What is varied; one None where nothing is."""
    return values or [None]
