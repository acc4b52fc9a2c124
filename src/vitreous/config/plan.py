"""What is to be built and from which settings: the one object that the rule files ask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from vitreous.config import paths
from vitreous.config.blocks import NAME
from vitreous.config.canonical import canonical
from vitreous.config.faults import has_truth
from vitreous.config.fetch import PLANNING_ONLY, FetchPlan
from vitreous.config.models import (
    FETCHED,
    Combination,
    Config,
    LocalDataset,
    SimulatedDataset,
    TrainedPicker,
)
from vitreous.config.multitarget import MultitargetPlan
from vitreous.config.paths import Layout, alternatives, batch_name
from vitreous.config.tables import Tables, picker_labels
from vitreous.data.local import local_files
from vitreous.io.batches import batch_of

# The papers' numbers, beside the configurations of the repository that this package is installed from.
PUBLISHED = Path(__file__).resolve().parents[3] / "config" / "published.yaml"
OPTICS = ("pixel_size_A", "voltage_kv", "cs_mm", "amplitude_contrast", "contrast", "targets")


class Plan:
    """Paths, settings and targets of a configuration, as plain values for Snakemake."""

    NAME = NAME

    def __init__(
        self, config: Config, configfile: str | None = None, entries: Sequence[Combination] | None = None
    ) -> None:
        """Lay the configuration out; nothing is read from disk before a rule asks.

        `entries` are the combinations wanted; by default the matrix and what the tables of every run need.
        """
        self.configfile = configfile
        self.config = config
        self.layout = Layout(config.dataset_root, config.results_root / config.run)
        self.tables = Tables(config, self.layout)
        self.multitarget = MultitargetPlan(config, self.layout)
        self.fetched = FetchPlan(config, self.layout)
        self.entries = [*config.matrix, *self.tables.entries()] if entries is None else list(entries)
        self.seed = config.seed
        self.report = f"{self.layout.run_folder}/report.html"
        self.report_provenance = f"{self.layout.run_folder}/report.provenance.json"
        self.evaluation = canonical(config.evaluation)
        self.extraction = canonical(config.extraction)
        self.report_settings = canonical(config.report)
        self.published = str(PUBLISHED)
        self.log = self.layout.log
        self.benchmark = self.layout.benchmark

    # paths, as patterns

    def _of_source(self, source: str | None) -> str:
        if source is None:
            return "{dataset}"
        names = [name for name in self.config.datasets if self.fetched.kind(name) == source]
        return f"{{dataset,{alternatives(names)}}}"

    def dataset_file(self, name: str, source: str | None = None) -> str:
        """A file of a dataset; `source` restricts the pattern to datasets of that kind (FetchPlan.kind)."""
        return self.layout.dataset(name).replace("{dataset}", self._of_source(source))

    def picks(self, name: str, computed: bool | None = None) -> str:
        """A file of picks; `computed` restricts the pattern to pickers (True) or to `truth` (False)."""
        pattern = {
            None: "{picker}",
            True: f"{{picker,{alternatives(self.config.pickers)}}}",
            False: "{picker,truth}",
        }
        return self.layout.result(paths.PICKS, name).replace("{picker}", pattern[computed])

    def ctf(self, name: str, computed: bool | None = None) -> str:
        """A file of CTFs; `computed` restricts the pattern to estimators (True) or to `given` (False)."""
        pattern = {None: "{ctf}", True: f"{{ctf,{alternatives(self.config.ctf)}}}", False: "{ctf,given}"}
        return self.layout.result(paths.CTF, name).replace("{ctf}", pattern[computed])

    def particles(self, name: str) -> str:
        """A file of extracted particles."""
        return self.layout.result(paths.PARTICLES, name)

    def maps(self, name: str) -> str:
        """A file of a map."""
        return self.layout.result(paths.MAPS, name)

    def model_file(self, room: str, name: str) -> str:
        """A file of a trained model."""
        return self.layout.result(paths.MODEL.format(room=room), name)

    # batches

    def batch_count(self, dataset: str) -> int:
        """How many batches a dataset is split into."""
        return self.config.datasets[dataset].batches or self.config.compute.batches

    def batch_names(self, dataset: str) -> list[str]:
        """The names of a dataset's batches."""
        count = self.batch_count(dataset)
        return [batch_name(index, count) for index in range(count)]

    def dataset_batches(self, dataset: str) -> list[str]:
        """The batch files of a dataset."""
        folder = f"{self.layout.dataset_root}/{dataset}"
        return [f"{folder}/batch-{batch}.star" for batch in self.batch_names(dataset)]

    def batches_of(self, pattern: str, wildcards: Any) -> list[str]:
        """The files of all batches for the other wildcards."""
        return [
            pattern.format(**dict(wildcards.items()), batch=name)
            for name in self.batch_names(wildcards.dataset)
        ]

    def _local(self, dataset: str) -> LocalDataset:
        block = self.config.datasets[dataset]
        assert isinstance(block, LocalDataset)
        return block

    def local_files(self, dataset: str, coordinates: bool = True) -> list[str]:
        """The micrographs and, if asked, coordinate files of a local dataset, as they are on disk now."""
        block, root = self._local(dataset), self.config.data_root
        if block.expected and not (root / block.folder).is_dir():
            return []  # planned before the data are there; the import says so where they never come
        return [str(path) for path in local_files(block, root=root, coordinates=coordinates)]

    def particle_files(self, dataset: str) -> list[str]:
        """The particle file of a local dataset that holds no micrographs; none of a fetched one."""
        return [] if dataset in self.fetched.blocks else self.local_files(dataset)

    def local_batch(self, dataset: str, batch: str) -> list[str]:
        """The stems of the micrographs of a local dataset that belong to a batch."""
        count = self.batch_count(dataset)
        stems = [Path(path).stem for path in self.local_files(dataset, coordinates=False)]
        return [stem for stem in stems if batch_name(batch_of(stem, count), count) == batch]

    def simulated_indices(self, dataset: str, batch: str) -> list[int]:
        """The numbers of the simulated micrographs that belong to a batch: every n-th."""
        block, count = self.config.datasets[dataset], self.batch_count(dataset)
        assert isinstance(block, SimulatedDataset)
        return [index for index in range(block.micrographs) if batch_name(index % count, count) == batch]

    def target_downloads(self, dataset: str) -> list[str]:
        """The records of the downloads that bring the maps and atoms of a simulated dataset."""
        block = self.config.datasets[dataset]
        assert isinstance(block, SimulatedDataset)
        files = [path for target in block.targets for path in (target.map, target.atoms) if path is not None]
        return sorted({record for path in files for record in self.fetched.brings_file(path)})

    def records(self) -> set[str]:
        """The records of every fetch that a run waits for."""
        shown = list(self.multitarget.experiments) if self.config.experiments.in_report else []
        found = self.multitarget.records(shown)
        if not self.computes():
            found |= {self.fetched.record(name) for name in self.config.downloads}
        for dataset in self.datasets_used():
            simulated = isinstance(self.config.datasets[dataset], SimulatedDataset)
            found |= set(self.target_downloads(dataset) if simulated else self.fetched.inputs(dataset))
        return found

    # settings, each rule its own block

    def dataset_settings(self, dataset: str) -> dict[str, Any]:
        """What a local import needs, its folder below `data_root`."""
        block = self.config.datasets[dataset]
        if isinstance(block, FETCHED):
            return self.fetched.import_settings(dataset)
        settings = canonical(block, without=PLANNING_ONLY)
        if isinstance(block, LocalDataset):
            settings["folder"] = str(self.config.data_root / block.folder)
        return settings

    def simulation_settings(self, dataset: str) -> dict[str, Any]:
        """What a micrograph's simulation needs; not how many there are, so one more changes none."""
        return canonical(self.config.datasets[dataset], without=(*PLANNING_ONLY, "micrographs"))

    def optics(self, dataset: str) -> dict[str, Any]:
        """What picking, CTF and extraction take from a dataset's description."""
        settings = self.dataset_settings(dataset)
        return {key: settings[key] for key in OPTICS if key in settings}

    def picker_settings(self, picker: str) -> dict[str, Any]:
        """A picker's settings; those of its model where it is a trained one."""
        return canonical(self.picker(picker))

    def picker(self, picker: str) -> Any:
        """What a picker picks with, as typed settings."""
        block = self.config.pickers[picker]
        if not isinstance(block, TrainedPicker):
            return block
        return block.settings or self.config.models.picking[block.model].settings

    def training_settings(self, room: str, model: str) -> dict[str, Any]:
        """A model's training settings, with `train` where it is trained on a part of the micrographs."""
        block = getattr(self.config.models, room)[model]
        count = block.train.micrographs if block.train else None
        part = {} if count is None else {"train": {"micrographs": count}}
        return {**canonical(block.settings), **part}

    def ctf_settings(self, ctf: str) -> dict[str, Any]:
        """A CTF estimator's settings."""
        return canonical(self.config.ctf[ctf])

    def engine_settings(self, engine: str) -> dict[str, Any]:
        """A reconstruction engine's settings."""
        return canonical(self.config.engines[engine])

    def symmetry(self, dataset: str, target: str) -> str:
        """The point group of a target."""
        block = self.config.datasets[dataset]
        if isinstance(block, SimulatedDataset):
            return next(item.group for item in block.targets if item.name == target)
        return next(item.symmetry for item in block.targets if item.name == target)

    def labels(self, wildcards: Any) -> dict[str, str]:
        """What a row of results is about, in the columns of the tidy tables."""
        known = ("dataset", "denoiser", "picker", "selection", "target", "engine", "ctf")
        labels = {key: value for key, value in wildcards.items() if key in known}
        return labels | picker_labels(self.config, self.config.pickers.get(labels.get("picker", "")))

    def jobs_config(self) -> dict[str, Any]:
        """What jobs read beside their parameters; no edit of it reruns anything."""
        network = self.config.network.model_dump(mode="json")
        return {"compute": self.config.compute.model_dump(mode="json"), "network": network}

    # what a rule reads that depends on settings

    def training_micrographs(self, room: str, model: str) -> list[str]:
        """The micrograph lists of the datasets a model is trained on."""
        train = getattr(self.config.models, room)[model].train
        return [f"{self.layout.dataset_root}/{dataset}/micrographs.star" for dataset in train.datasets]

    def picker_model(self, picker: str) -> list[str]:
        """The model file that a picker needs, if any."""
        block = self.config.pickers[picker]
        if not isinstance(block, TrainedPicker):
            return []
        model = self.config.models.picking[block.model]
        if model.train is None:
            return [str(model.file)]
        model_file = self.model_file("picking", "model.pt")
        return [model_file.format(model=block.model, seed=self._seed_of(block))]

    def extraction_ctf(self, dataset: str) -> list[str]:
        """The CTF table that goes into a dataset's particles, if any."""
        ctf = self.config.datasets[dataset].ctf
        return [] if ctf is None else [self.ctf("micrographs.star").format(dataset=dataset, ctf=ctf)]

    def selected(self, wildcards: Any) -> str:
        """The particles of a selection; `all` is every extracted particle."""
        return self.particles("particles.star").format(**dict(wildcards.items()))

    # GPUs

    def _gpus(self, uses_gpu: bool) -> int:
        return self.config.compute.gpus if uses_gpu and self.config.compute.device != "cpu" else 0

    def picker_gpus(self, picker: str) -> int:
        """GPUs that a picker asks for."""
        return self._gpus(type(self.picker(picker)).USES_GPU)

    def training_gpus(self, room: str, model: str) -> int:
        """GPUs that a training asks for."""
        return self._gpus(type(getattr(self.config.models, room)[model].settings).USES_GPU)

    def engine_gpus(self, engine: str) -> int:
        """GPUs that an engine asks for."""
        return self._gpus(type(self.config.engines[engine]).USES_GPU)

    # targets

    def combinations(self) -> Iterator[tuple[Combination, str, str, str]]:
        """Every wanted (entry, dataset, denoiser, picker)."""
        for entry in self.entries:
            for dataset, denoiser, picker in product(entry.datasets, entry.denoisers, entry.pickers):
                yield entry, dataset, denoiser, picker

    def map_wildcards(self, entry: Combination, dataset: str) -> Iterator[tuple[str, str, str]]:
        """Every wanted (selection, target, engine) of a dataset."""
        targets = [target.name for target in self.config.datasets[dataset].targets]
        yield from product(entry.selections, targets, entry.engines)

    def ctf_scored(self) -> set[tuple[str, str]]:
        """Every (dataset, CTF block) that is summarised."""
        return {pair for entry in self.entries for pair in product(entry.datasets, entry.ctf)}

    def ctf_wanted(self) -> set[tuple[str, str]]:
        """Every (dataset, CTF block) that is estimated or taken over."""
        extracted = {dataset for entry, dataset, *_ in self.combinations() if entry.extract}
        chosen = {(name, self.config.datasets[name].ctf) for name in extracted}
        return self.ctf_scored() | {(name, ctf) for name, ctf in chosen if ctf is not None}

    def models_trained(self, room: str) -> set[tuple[str, int]]:
        """Every (model, seed) that a wanted picker needs and that is trained here."""
        models, wanted = getattr(self.config.models, room), self.tables.models()
        for _entry, _dataset, _denoiser, picker in self.combinations():
            block = self.config.pickers.get(picker)
            if isinstance(block, TrainedPicker) and models[block.model].train is not None:
                wanted.add((block.model, self._seed_of(block)))
        return wanted

    def _seed_of(self, picker: TrainedPicker) -> int:
        train = self.config.models.picking[picker.model].train
        assert train is not None
        return train.seeds[0] if picker.seed is None else picker.seed

    def has_truth(self, dataset: str) -> bool:
        """Whether a dataset has reference picks."""
        return has_truth(self.config, dataset)

    def computes(self) -> bool:
        """Whether anything is wanted beside the data."""
        shown = self.config.experiments.in_report and self.multitarget.experiments
        return bool(self.entries or self.config.comparisons or self.tables.experiments or shown)

    def datasets_used(self) -> set[str]:
        """Every dataset that a combination or a training names; all of them where nothing is computed."""
        if not self.computes():
            return set(self.config.datasets)
        models = {model for model, _seed in self.models_trained("picking")}
        trained = [self.config.models.picking[model].train for model in models]
        named = [name for train in trained if train for name in train.datasets]
        entered = [name for entry in self.entries for name in entry.datasets]
        return {*entered, *named, *self.tables.datasets()}

    def _wanted(self) -> Iterator[str]:
        for dataset in sorted(self.datasets_used()):
            yield f"{self.layout.dataset_root}/{dataset}/dataset.json"
        if not self.computes():
            yield from (self.fetched.record(name) for name in self.config.downloads)
        for dataset, ctf in sorted(self.ctf_scored()):
            yield self.ctf("scores.csv").format(dataset=dataset, ctf=ctf)
        for entry, dataset, denoiser, picker in self.combinations():
            names = {"dataset": dataset, "denoiser": denoiser, "picker": picker}
            if picker != "truth":
                yield self.picks("scores.csv" if self.has_truth(dataset) else "picks.star").format(**names)
            if entry.extract:
                yield self.particles("particles.star").format(**names)
            for selection, target, engine in self.map_wildcards(entry, dataset):
                wildcards = {**names, "selection": selection, "target": target, "engine": engine}
                yield self.maps("scores.csv").format(**wildcards)
        yield from self.tables.wanted()
        yield from self.multitarget.wanted()

    @cached_property
    def _results(self) -> list[str]:
        return list(dict.fromkeys(self._wanted()))

    def results(self) -> list[str]:
        """Every file that the report is made from, each once."""
        return self._results

    def targets(self) -> dict[str, list[str]]:
        """Targets of the workflow by name, with the files that each makes."""
        return self.tables.targets() | self.multitarget.targets() | self.fetched.targets()

    def run_facts(self) -> dict[str, Any]:
        """What the report says about the run itself."""
        return {
            "name": self.config.run,
            "seed": self.seed,
            "folder": str(self.layout.run_folder),
            "configfile": self.configfile,
            "datasets": {name: f"{self.layout.dataset_root}/{name}" for name in sorted(self.datasets_used())},
        }
