"""Tables that gather several results: comparisons of pickers, the papers' experiments; paths and settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

from vitreous.config import paths
from vitreous.config.canonical import canonical
from vitreous.config.experiment_models import LatentsExperiment
from vitreous.config.experiments import (
    Variation,
    combination,
    group_picker,
    latents_variation,
    variations,
)  # fmt: skip
from vitreous.config.models import Combination, Config, PickerBlock, TrainedPicker
from vitreous.config.paths import Layout, alternatives

FOLDER = "tables"
LATENTS = "latents"


class Tables:
    """What a configuration wants tabulated, as plain values for Snakemake."""

    def __init__(self, config: Config, layout: Layout) -> None:
        """Lay the tables out."""
        self.config, self.layout = config, layout
        self.experiments = dict(config.experiments.picking.tables())

    # what is wanted

    def entries(self) -> list[Combination]:
        """The picks behind the tables that every run makes."""
        return [
            *(one for name in self.config.comparisons for one in self.comparison_entries(name)),
            *(self.experiment_entry(name) for name in self.experiments if self.config.experiments.in_report),
        ]

    def comparison_entries(self, name: str) -> list[Combination]:
        """The picks behind a comparison."""
        block = self.config.comparisons[name]
        return [
            Combination(
                datasets=list(group.datasets),
                pickers=[group_picker(self.config, picker, group) for picker in block.pickers],
            )
            for group in block.groups
        ]

    def experiment_entry(self, name: str) -> Combination:
        """The picks behind an experiment."""
        return combination(self.config, name, self.experiments[name])

    def models(self) -> set[tuple[str, int]]:
        """Every (model, seed) that a table of every run needs beside those that pick."""
        wanted = self.config.experiments.in_report and LATENTS in self.experiment_names()
        model = self._latents().model if wanted else None
        return set() if model is None else {(model, 0)}

    def datasets(self) -> set[str]:
        """Every data set that a table of every run reads beside those that are picked."""
        wanted = self.config.experiments.in_report and LATENTS in self.experiment_names()
        return {self._latents_block().dataset} if wanted else set()

    def jobs(self) -> dict[str, int]:
        """Jobs by rule behind the tables of every run."""
        compared = len(self.config.comparisons)
        shown = self.config.experiments.in_report
        gathered = len(self.experiments) if shown else 0
        latents = int(shown and LATENTS in self.experiment_names())
        jobs = {
            "compare_pickers": compared,
            "gather_experiment": gathered,
            "write_table": compared + gathered,
            "project_latents": latents,
        }
        return {rule: count for rule, count in jobs.items() if count}

    def wanted(self) -> Iterator[str]:
        """The files that every run makes and its report shows."""
        for name in self.config.comparisons:
            yield from self.comparison_files(name)
        if self.config.experiments.in_report:
            for name in self.experiment_names():
                yield from self.experiment_files(name)

    def experiment_names(self) -> list[str]:
        """The experiments that are described, the projection of latents too."""
        return [*self.experiments, *([LATENTS] if self.config.experiments.picking.latents else [])]

    def targets(self) -> dict[str, list[str]]:
        """Targets of the workflow by name, with the files that each makes."""
        compared = {
            f"comparison_{name.replace('-', '_')}": self.comparison_files(name)
            for name in self.config.comparisons
        }
        experiments = {f"picking_{name}": self.experiment_files(name) for name in self.experiment_names()}
        return compared | experiments

    # paths

    def file(self, name: str) -> str:
        """A file of the folder of tables, with wildcards of the names that this configuration has."""
        compared = [f"comparison-{one}" for one in self.config.comparisons]
        names: dict[str, Iterable[str]] = {"comparison": self.config.comparisons, "latents": [LATENTS]}
        names["experiment"] = self.experiments
        detections = self.config.experiments.multitarget.tables
        names["table"] = [
            *compared,
            *(f"picking_{one}" for one in self.experiments),
            *(f"multitarget_{one}" for one in detections),
        ]
        for wildcard, known in names.items():
            name = name.replace(f"{{{wildcard}}}", f"{{{wildcard},{alternatives(known)}}}")
        return self.folder_file(name)

    def folder_file(self, name: str) -> str:
        """A file of the folder of tables, without wildcards."""
        return self.layout.result(FOLDER, name)

    def comparison_files(self, name: str) -> list[str]:
        """What the target of a comparison makes."""
        return [self.folder_file(f"comparison-{name}.{end}") for end in ("csv", "md")]

    def experiment_files(self, name: str) -> list[str]:
        """What the target of an experiment makes."""
        ends = ("csv",) if name == LATENTS else ("csv", "md")
        return [self.folder_file(f"picking_{name}.{end}") for end in ends]

    def provenance(self) -> list[str]:
        """The provenance files of the tables that every run makes."""
        ends = {".csv": ".provenance.json", ".md": ".md.provenance.json"}
        files = [Path(path) for path in self.wanted()]
        return [str(path.with_suffix(ends[path.suffix])) for path in files]

    # comparisons

    def comparison_datasets(self, name: str) -> list[str]:
        """The data sets of a comparison, each once."""
        groups = self.config.comparisons[name].groups
        return list(dict.fromkeys(dataset for group in groups for dataset in group.datasets))

    def comparison_inputs(self, name: str, file: str) -> list[str]:
        """A file of every picker on every data set of a comparison."""
        return [
            f"{folder}/{file}"
            for folders in self.comparison_folders(name).values()
            for folder in folders.values()
        ]

    def comparison_folders(self, name: str) -> dict[str, dict[str, str]]:
        """The folders of picks by data set and picker."""
        block = self.config.comparisons[name]
        return {
            dataset: {
                picker: self._picks(dataset, group_picker(self.config, picker, group))
                for picker in block.pickers
            }
            for group in block.groups
            for dataset in group.datasets
        }

    def comparison_descriptions(self, name: str) -> list[str]:
        """The descriptions of a comparison's data sets."""
        return [f"{self._dataset(one)}/dataset.json" for one in self.comparison_datasets(name)]

    def comparison_results(self, name: str) -> dict[str, Any]:
        """Where a comparison's results and data sets lie, and what its rows say of each picker."""
        labels = {
            picker: picker_labels(self.config, self.config.pickers.get(picker))
            for picker in self.config.comparisons[name].pickers
        }
        datasets = {one: self._dataset(one) for one in self.comparison_datasets(name)}
        return {"picks": self.comparison_folders(name), "datasets": datasets, "labels": labels}

    def comparison_settings(self, name: str) -> dict[str, Any]:
        """A comparison's settings."""
        return canonical(self.config.comparisons[name])

    def differences_of(self, table: str) -> list[str]:
        """The paired differences that belong to a table, where it has some."""
        if not table.startswith("comparison-"):
            return []
        return [self.folder_file(f"{table}.differences.csv")]

    def _picks(self, dataset: str, picker: str) -> str:
        return f"{self.layout.run_folder}/sets/{dataset}/picks/raw/{picker}"

    def _dataset(self, name: str) -> str:
        return f"{self.layout.dataset_root}/{name}"

    # experiments

    def experiment_scores(self, name: str) -> list[str]:
        """The scores of every picker of an experiment on every test set, in the order of its rows."""
        return [f"{self._picks(dataset, one.picker)}/scores.csv" for one, dataset in self._judged(name)]

    def experiment_rows(self, name: str) -> list[dict[str, Any]]:
        """What each file of `experiment_scores` is about."""
        return [{"dataset": dataset, **_labels(one)} for one, dataset in self._judged(name)]

    def _judged(self, name: str) -> list[tuple[Variation, str]]:
        block = self.experiments[name]
        return list(product(variations(self.config, name, block), block.test))

    # latents

    def latents_model(self) -> str:
        """The model whose latents are projected."""
        pattern = self.layout.result(paths.MODEL.format(room="picking"), "model.pt")
        return pattern.format(model=self._latents().model, seed=0)

    def latents_settings(self) -> dict[str, Any]:
        """The settings of that model."""
        model = self._latents().model
        assert model is not None
        return canonical(self.config.models.picking[model].settings)

    def latents_micrographs(self) -> str:
        """The list of micrographs that holds the one whose latents are projected."""
        return f"{self._dataset(self._latents_block().dataset)}/micrographs.star"

    def latents_micrograph(self) -> int:
        """Which of them it is, from 1, by name."""
        return self._latents_block().micrograph

    def _latents_block(self) -> LatentsExperiment:
        block = self.config.experiments.picking.latents
        assert block is not None
        return block

    def _latents(self) -> Variation:
        return latents_variation(self._latents_block())


def picker_labels(config: Config, block: PickerBlock | None) -> dict[str, str]:
    """What the rows of a trained picker say of its model; nothing for others."""
    if not isinstance(block, TrainedPicker):
        return {}
    train = config.models.picking[block.model].train
    return {"model": block.model, "trained_on": "+".join(train.datasets if train else ["file"])}


def _labels(one: Variation) -> dict[str, Any]:
    labels = {
        "picker": one.method,
        "model": one.model or "",
        "trained_on": "+".join(one.trained_on),
        "training_micrographs": one.size,
        "clusters": one.clusters,
    }
    return {key: value for key, value in labels.items() if value is not None}
