"""The faults that several checks of a configuration look for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vitreous.config.models import Config, SimulatedDataset


def unknown(place: str, names: Iterable[str], known: Iterable[str], what: str) -> Iterator[str]:
    """A fault for each of `names` that is not among `known`."""
    known = sorted(known)
    for name in names:
        if name not in known:
            yield f"{place}: no {what} is called '{name}'; there are: {', '.join(known) or 'none'}"


def has_truth(config: Config, dataset: str) -> bool:
    """Whether a dataset brings reference picks."""
    block = config.datasets[dataset]
    return isinstance(block, SimulatedDataset) or bool(getattr(block, "coordinates", []))


def holds_micrographs(config: Config, dataset: str) -> bool:
    """Whether a dataset holds micrographs, and not particles alone."""
    block = config.datasets[dataset]
    return isinstance(block, SimulatedDataset) or bool(getattr(block, "micrographs", []))


def without_micrographs(config: Config, place: str, datasets: Iterable[str]) -> Iterator[str]:
    """A fault for each known dataset that is asked for micrographs and has none."""
    for name in datasets:
        if name in config.datasets and not holds_micrographs(config, name):
            yield f"{place}: dataset '{name}' holds particles and no micrographs"


def without_truth(config: Config, place: str, datasets: Iterable[str]) -> Iterator[str]:
    """A fault for each known dataset that picks cannot be judged on."""
    for name in datasets:
        if name in config.datasets and not has_truth(config, name):
            yield f"{place}: dataset '{name}' has no coordinates to judge picks with"
