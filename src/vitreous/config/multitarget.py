"""Paths, settings and targets of multi-target detection, as plain values for Snakemake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any

from vitreous.config import paths
from vitreous.config.canonical import canonical
from vitreous.config.faults import unknown
from vitreous.config.fetch import FetchPlan
from vitreous.config.models import Config
from vitreous.config.multitarget_models import DetectionExperiment, DetectionMethod
from vitreous.config.paths import Layout, alternatives
from vitreous.multitarget.image_files import image_files, image_side, target_count
from vitreous.multitarget.image_settings import MnistImages

ROOM = "multitarget"
TRIALS = f"experiments/{ROOM}/{{experiment}}/{{method}}/snr-{{snr}}"
SNR = r"[0-9.e-]+"
IN_MODEL = ("prior", "seed")


class MultitargetPlan:
    """What a configuration wants of multi-target detection."""

    def __init__(self, config: Config, layout: Layout) -> None:
        """Lay it out; nothing is read from disk before a rule asks."""
        self.config, self.layout = config, layout
        self.block = config.experiments.multitarget
        self.experiments = self.block.tables
        self._fetch = FetchPlan(config, layout)

    # paths

    def trials(self, name: str) -> str:
        """A file of the trials of one method at one SNR, as a pattern."""
        wildcards = {"experiment": alternatives(self.experiments), "method": alternatives(self.block.methods)}
        pattern = self.layout.result(TRIALS, name).replace("{snr}", f"{{snr,{SNR}}}")
        for wildcard, known in wildcards.items():
            pattern = pattern.replace(f"{{{wildcard}}}", f"{{{wildcard},{known}}}")
        return pattern

    def table(self, end: str) -> str:
        """A file of an experiment's table, as a pattern."""
        return self.layout.result("tables", f"{ROOM}_{{experiment,{alternatives(self.experiments)}}}.{end}")

    def facts_file(self) -> str:
        """What is known of an experiment, as a pattern."""
        experiment = f"{{experiment,{alternatives(self.experiments)}}}"
        return self.layout.result(f"experiments/{ROOM}/{experiment}", "experiment.json")

    def files(self, experiment: str) -> list[str]:
        """What the target of an experiment makes."""
        return [self.layout.result("tables", f"{ROOM}_{experiment}.{end}") for end in ("csv", "md")]

    def gathered(self, experiment: str, name: str = "trials.csv") -> list[str]:
        """A file of every method at every SNR of an experiment, in the order of its rows."""
        pattern = self.layout.result(TRIALS, name)
        return [
            pattern.format(experiment=experiment, method=method, snr=written(snr))
            for method, snr in self._pairs(experiment)
        ]

    def rows(self, experiment: str) -> list[dict[str, Any]]:
        """What each of the `gathered` files is about, in the columns of the table."""
        block = self.experiments[experiment]
        return [
            {
                "method": method,
                "snr": snr,
                "dataset": block.images,
                "model": self.block.methods[method].prior or "",
            }
            for method, snr in self._pairs(experiment)
        ]

    def _pairs(self, experiment: str) -> list[tuple[str, float]]:
        block = self.experiments[experiment]
        return list(product(block.methods, block.snr))

    # what is wanted

    def targets(self) -> dict[str, list[str]]:
        """Targets of the workflow by name, with the files that each makes."""
        return {f"{ROOM}_{name.replace('-', '_')}": self.files(name) for name in self.experiments}

    def wanted(self) -> Iterator[str]:
        """The files that every run makes and its report shows."""
        if self.config.experiments.in_report:
            for name in self.experiments:
                yield from self.files(name)

    def jobs(self, names: list[str]) -> Counter[str]:
        """Jobs by rule behind experiments."""
        trials = sum(len(self._pairs(name)) for name in names)
        priors = {self._prior_of(method) for name in names for method in self.experiments[name].methods}
        trained = [one for one in priors if one and self.config.models.multitarget[one[0]].settings]
        jobs = {
            "train_prior": len(trained),
            "run_trials": trials,
            "gather_trials": len(names),
            "write_table": len(names),
        }
        return Counter({rule: count for rule, count in jobs.items() if count})

    def records(self, names: list[str]) -> set[str]:
        """The records of the fetches that experiments and their priors wait for."""
        images = {self.experiments[name].images for name in names}
        methods = {method for name in names for method in self.experiments[name].methods}
        priors = [self._prior_of(method) for method in methods]
        models = [self.config.models.multitarget[prior[0]] for prior in priors if prior]
        images |= {model.images for model in models if model.images}
        return {record for name in images for record in self._fetched(name)}

    def work(self, experiment: str) -> Iterator[tuple[float, int, int]]:
        """Pixels of all measurements, rotations and iterations of each method at each SNR."""
        block = self.experiments[experiment]
        settings, layout = self.block.images[block.images], block.measurement
        count = target_count(settings) * (block.seeds + block.controls)
        for method, _snr in self._pairs(experiment):
            own = self.block.methods[method]
            twice = 2 if own.alarm_rate is not None else 1
            pixels = float(count * own.restarts * twice * layout.side(image_side(settings)) ** 2)
            yield pixels, layout.rotations, own.iterations

    # settings, each rule its own block

    def prior_settings(self, model: str) -> dict[str, Any]:
        """What a prior's training needs: its settings and its images."""
        block = self.config.models.multitarget[model]
        assert block.settings is not None and block.images is not None
        return {"prior": canonical(block.settings), "images": self._images(block.images)}

    def trial_settings(self, experiment: str, method: str) -> dict[str, Any]:
        """What trials need beside the SNR and the prior's file."""
        block = self.experiments[experiment]
        return {
            "method": canonical(self.block.methods[method], without=IN_MODEL),
            "images": self._images(block.images),
            "measurement": canonical(block.measurement),
            "seeds": block.seeds,
            "controls": block.controls,
        }

    def facts(self, experiment: str) -> dict[str, Any]:
        """What whoever draws an experiment wants to know of it."""
        block = self.experiments[experiment]
        source = self.block.images[block.images]
        methods = {name: self.block.methods[name] for name in block.methods}
        known = ("prior", "e_step", "m_step", "iterations", "restarts", "orient")
        return {
            "title": block.title,
            "images": block.images,
            "measurement": block.measurement.model_dump(mode="json"),
            "snr": list(block.snr),
            "methods": {name: {key: getattr(one, key) for key in known} for name, one in methods.items()},
            "pixel_size_A": getattr(source, "pixel_size_A", None),
        }

    def gather_settings(self, experiment: str) -> dict[str, Any]:
        """What an experiment's table needs."""
        return {"recovered": self.experiments[experiment].recovered}

    def data_root(self) -> str:
        """Where images lie."""
        return str(self.config.data_root)

    def _images(self, name: str) -> dict[str, Any]:
        return canonical(self.block.images[name])

    # what a rule reads that depends on settings

    def prior_images(self, model: str) -> list[str]:
        """The files that a prior is trained on, as they are on disk now."""
        name = self.config.models.multitarget[model].images
        assert name is not None
        return self._image_files(name)

    def target_images(self, experiment: str) -> list[str]:
        """The files that an experiment's targets come from, as they are on disk now."""
        return self._image_files(self.experiments[experiment].images)

    def _image_files(self, name: str) -> list[str]:
        """The files of a set of images; the record of the fetch where a download brings them."""
        settings = self.block.images[name]
        fetched = self._fetched(name)
        return fetched or [str(path) for path in image_files(settings, self.config.data_root)]

    def _fetched(self, name: str) -> list[str]:
        settings = self.block.images[name]
        return self._fetch.brings(settings.folder) if isinstance(settings, MnistImages) else []

    def prior_model(self, method: str) -> list[str]:
        """The prior's file that a method needs, if any."""
        found = self._prior_of(method)
        if found is None:
            return []
        model, seed = found
        block = self.config.models.multitarget[model]
        if block.file is not None:
            return [str(block.file)]
        pattern = self.layout.result(paths.MODEL.format(room=ROOM), "model.pt")
        return [pattern.format(model=model, seed=seed)]

    def _prior_of(self, method: str) -> tuple[str, int] | None:
        block = self.block.methods[method]
        if block.prior is None:
            return None
        seeds = self.config.models.multitarget[block.prior].seeds
        return block.prior, seeds[0] if block.seed is None else block.seed

    # GPUs

    def training_gpus(self, model: str) -> int:
        """GPUs that a prior's training asks for."""
        settings = self.config.models.multitarget[model].settings
        return self._gpus(type(settings).USES_GPU if settings else False)

    def trial_gpus(self) -> int:
        """GPUs that trials ask for."""
        return self._gpus(DetectionMethod.USES_GPU)

    def _gpus(self, uses_gpu: bool) -> int:
        return self.config.compute.gpus if uses_gpu and self.config.compute.device != "cpu" else 0


def written(snr: float) -> str:
    """An SNR as it stands in paths."""
    return f"{snr:g}"


def faults(config: Config) -> Iterator[str]:
    """Names that no block defines, methods whose prior cannot do what they ask."""
    block, models = config.experiments.multitarget, config.models.multitarget
    for name, model in models.items():
        place = f"models.multitarget.{name}.images"
        yield from unknown(place, [model.images] if model.images else [], block.images, "set of images")
    for name, method in block.methods.items():
        yield from _method_faults(config, f"experiments.multitarget.methods.{name}", method)
    for name, experiment in block.tables.items():
        yield from _experiment_faults(config, f"experiments.multitarget.tables.{name}", experiment)


def _method_faults(config: Config, place: str, method: DetectionMethod) -> Iterator[str]:
    models = config.models.multitarget
    if method.prior is None:
        if method.m_step == "plug-and-play" or method.start == "prior" or method.orient:
            yield f"{place}: plug-and-play, `start: prior` and `orient` need a `prior`"
        return
    missing = list(unknown(f"{place}.prior", [method.prior], models, "prior of `models.multitarget`"))
    yield from missing
    if missing:
        return
    model = models[method.prior]
    if method.seed is not None and method.seed not in model.seeds:
        yield f"{place}.seed: prior '{method.prior}' has the seeds {model.seeds}"
    if model.settings and model.settings.variant == "implicit" and method.m_step != "gradient":
        yield f"{place}.m_step: prior '{method.prior}' has a score and no denoiser; say `m_step: gradient`"


def _experiment_faults(config: Config, place: str, experiment: DetectionExperiment) -> Iterator[str]:
    block = config.experiments.multitarget
    yield from unknown(f"{place}.images", [experiment.images], block.images, "set of images")
    yield from unknown(f"{place}.methods", experiment.methods, block.methods, "method")
    words = [written(snr) for snr in experiment.snr]
    if len(set(words)) < len(words):
        yield f"{place}.snr: found {experiment.snr}, expected each once"
    sizes = experiment.measurement
    for name in experiment.methods:
        patchy = name in block.methods and block.methods[name].e_step == "patch"
        if patchy and sizes.size_in_images != round(sizes.size_in_images):
            yield (
                f"{place}.measurement.size_in_images: found {sizes.size_in_images:g}; patches of method "
                f"'{name}' need a whole number"
            )
