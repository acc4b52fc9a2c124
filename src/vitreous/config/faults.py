"""The faults that several checks of a configuration look for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vitreous.config.models import Config, LocalDataset


def unknown(place: str, names: Iterable[str], known: Iterable[str], what: str) -> Iterator[str]:
    """A fault for each of `names` that is not among `known`."""
    known = sorted(known)
    for name in names:
        if name not in known:
            yield f"{place}: no {what} is called '{name}'; there are: {', '.join(known) or 'none'}"


def has_truth(config: Config, dataset: str) -> bool:
    """Whether a dataset brings reference picks."""
    block = config.datasets[dataset]
    return not isinstance(block, LocalDataset) or bool(block.coordinates)


def without_truth(config: Config, place: str, datasets: Iterable[str]) -> Iterator[str]:
    """A fault for each known dataset that picks cannot be judged on."""
    for name in datasets:
        if name in config.datasets and not has_truth(config, name):
            yield f"{place}: dataset '{name}' has no coordinates to judge picks with"
