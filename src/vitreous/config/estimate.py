"""How many jobs, how much disk and how many hours a plan means, before anything is there."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from vitreous.config.fetch import expected_bytes, expected_micrographs
from vitreous.config.hours import (
    GPU_GAIN,
    PRIOR,
    detection_hours,
    picking_hours,
    training_gain,
    training_hours,
)
from vitreous.config.models import FETCHED, LocalDataset, SimulatedDataset
from vitreous.config.plan import Plan
from vitreous.runtime.plural import plural

# Hours of one core (or one GPU where a rule uses it) for one micrograph of 4096^2.
# ASSUME: measured on one core of a server CPU with the benchmarks of this repository, rounded up; GPU rules
# are taken as ten times faster.
HOURS = {"simulate_batch": 0.004, "estimate_ctf_batch": 0.001, "extract_batch": 0.002}
HOURS_MAP = 0.5
REFERENCE_PIXELS = 4096**2
# ASSUME: a stack of extracted particles takes about as much room as its micrograph in float32.
BYTES_PER_PIXEL = 4


@dataclass(frozen=True)
class Estimate:
    """What a plan means from nothing: jobs by rule, disk in GB, hours of a core and of a GPU."""

    jobs: Counter[str]
    micrographs: int
    disk_gb: float
    cpu_hours: float
    gpu_hours: float

    def lines(self) -> list[str]:
        """The estimate as lines to print."""
        return [
            f"plan from nothing: {plural(self.jobs.total(), 'job', form=',')} on "
            f"{plural(self.micrographs, 'micrograph', form=',')}",
            f"expected: {self.disk_gb:,.1f} GB of disk, {self.cpu_hours:,.1f} core hours, "
            f"{self.gpu_hours:,.1f} GPU hours",
        ]


def _micrographs(plan: Plan, dataset: str) -> tuple[int, float]:
    """Number of micrographs of a dataset and their size as stored, GB."""
    block = plan.config.datasets[dataset]
    if isinstance(block, SimulatedDataset):
        height, width = block.shape
        return block.micrographs, block.micrographs * height * width * BYTES_PER_PIXEL / 1e9
    if isinstance(block, FETCHED):
        return expected_micrographs(block) or 0, (expected_bytes(block) or 0) / 1e9
    assert isinstance(block, LocalDataset)
    if block.expected:
        return block.expected.micrographs, block.expected.gigabytes
    return len(plan.local_files(dataset, coordinates=False)), 0.0


def _pixels(plan: Plan, dataset: str) -> float:
    block = plan.config.datasets[dataset]
    if isinstance(block, SimulatedDataset):
        return float(block.shape[0] * block.shape[1])
    return float(REFERENCE_PIXELS)


def _dataset_jobs(plan: Plan, dataset: str) -> Counter[str]:
    batches, kind = plan.batch_count(dataset), plan.fetched.kind(dataset)
    if kind == "particles" or (kind != "simulate" and not plan.computes()):
        return Counter(
            {{"local": "import_local", "fetched": "import_fetched"}.get(kind, "import_particles"): 1}
        )
    if kind == "fetched":
        return Counter(import_fetched=1, fetched_batch=batches)
    if kind == "simulate":
        return Counter(simulate_batch=batches, collect_simulated=1)
    return Counter(import_local=1, local_batch=batches)


def _ctf_jobs(plan: Plan, dataset: str, ctf: str) -> Counter[str]:
    if ctf == "given":
        return Counter(given_ctf=1)
    return Counter(estimate_ctf_batch=plan.batch_count(dataset), collect_ctf=1)


def _trained_on(plan: Plan, model: str) -> float:
    """Micrographs, as many as 4096^2 would be, that a model is trained on."""
    train = plan.config.models.picking[model].train
    total = 0.0
    for dataset in train.datasets if train else ():
        count = _micrographs(plan, dataset)[0]
        used = count if train is None or train.micrographs is None else min(count, train.micrographs)
        total += used * _pixels(plan, dataset) / REFERENCE_PIXELS
    return total


def count_jobs(plan: Plan) -> Counter[str]:
    """Jobs by rule of a run from nothing, the same as Snakemake's own table."""
    jobs: Counter[str] = Counter(report=1, all=1)
    pieces: dict[tuple[str, ...], Counter[str]] = {}
    for dataset in plan.datasets_used():
        pieces[("dataset", dataset)] = _dataset_jobs(plan, dataset)
    for dataset, ctf in plan.ctf_wanted():
        pieces[("ctf", dataset, ctf)] = _ctf_jobs(plan, dataset, ctf)
    for dataset, ctf in plan.ctf_scored():
        pieces[("ctf scores", dataset, ctf)] = Counter(evaluate_ctf=1)
    for entry, dataset, denoiser, picker in plan.combinations():
        batches, key = plan.batch_count(dataset), (dataset, denoiser, picker)
        picked = Counter(given_picks=1) if picker == "truth" else Counter(pick_batch=batches, collect_picks=1)
        pieces[("picks", *key)] = picked
        if picker != "truth" and plan.has_truth(dataset):
            pieces[("scores", *key)] = Counter(evaluate_picks=1)
        if entry.extract:
            pieces[("particles", *key)] = Counter(extract_batch=batches, collect_particles=1)
        for selection, target, engine in plan.map_wildcards(entry, dataset):
            pieces[("map", *key, selection, target, engine)] = Counter(reconstruct=1, evaluate_map=1)
    for model, seed in plan.models_trained("picking"):
        pieces[("model", model, str(seed))] = Counter(train_picker=1)
    for rule, count in plan.tables.jobs().items():
        pieces[("tables", rule)] = Counter({rule: count})
    shown = plan.config.experiments.in_report
    pieces[("multitarget",)] = plan.multitarget.jobs(list(plan.multitarget.experiments) if shown else [])
    for piece in pieces.values():
        jobs.update(piece)
    if records := plan.records():
        jobs["fetch"] = len(records)
    return jobs


def estimate(plan: Plan) -> Estimate:
    """What the plan means from nothing."""
    sizes = {dataset: _micrographs(plan, dataset) for dataset in plan.datasets_used()}
    scale = {dataset: sizes[dataset][0] * _pixels(plan, dataset) / REFERENCE_PIXELS for dataset in sizes}
    disk = sum(gigabytes for _, gigabytes in sizes.values())
    cpu = gpu = 0.0
    for dataset in sizes:
        if isinstance(plan.config.datasets[dataset], SimulatedDataset):
            cpu += HOURS["simulate_batch"] * scale[dataset]
    cpu += sum(
        HOURS["estimate_ctf_batch"] * scale[dataset] for dataset, ctf in plan.ctf_wanted() if ctf != "given"
    )
    seen: set[tuple[str, str, str]] = set()
    for entry, dataset, denoiser, picker in plan.combinations():
        if picker != "truth" and (dataset, denoiser, picker) not in seen:
            seen.add((dataset, denoiser, picker))
            hours = picking_hours(plan.picker(picker)) * scale[dataset]
            on_gpu = plan.picker_gpus(picker) > 0
            cpu, gpu = (cpu, gpu + hours / GPU_GAIN) if on_gpu else (cpu + hours, gpu)
        if entry.extract:
            cpu += HOURS["extract_batch"] * scale[dataset]
            disk += scale[dataset] * REFERENCE_PIXELS * BYTES_PER_PIXEL / 1e9
        for _selection, _target, engine in plan.map_wildcards(entry, dataset):
            on_gpu = plan.engine_gpus(engine) > 0
            cpu, gpu = (cpu, gpu + HOURS_MAP / GPU_GAIN) if on_gpu else (cpu + HOURS_MAP, gpu)
    for model, _seed in plan.models_trained("picking"):
        settings = plan.config.models.picking[model].settings
        on_gpu = plan.training_gpus("picking", model) > 0
        hours = training_hours(settings, _trained_on(plan, model))
        cpu, gpu = (cpu, gpu + hours / training_gain(settings)) if on_gpu else (cpu + hours, gpu)
    shown = list(plan.multitarget.experiments) if plan.config.experiments.in_report else []
    hours = detection_part(plan, shown)
    on_gpu = plan.multitarget.trial_gpus() > 0
    cpu, gpu = (cpu, gpu + hours / GPU_GAIN) if on_gpu else (cpu + hours, gpu)
    return Estimate(count_jobs(plan), sum(count for count, _ in sizes.values()), disk, cpu, gpu)


def detection_part(plan: Plan, names: list[str]) -> float:
    """Core hours of experiments on multi-target detection, the priors that they need included."""
    total = PRIOR * plan.multitarget.jobs(names)["train_prior"]
    for name in names:
        total += sum(detection_hours(*work) for work in plan.multitarget.work(name))
    return total


def named_lines(plan: Plan) -> list[str]:
    """What each experiment means that is made only when it is named, as lines to print."""
    lines = []
    for name in plan.tables.experiments if not plan.config.experiments.in_report else ():
        own = Plan(plan.config, entries=[plan.tables.experiment_entry(name)])
        wanted, models = estimate(own), len(own.models_trained("picking"))
        picked = sum(1 for _ in own.combinations())
        lines.append(
            f"picking_{name}, when named: {plural(models, 'training', form=',')}, a set is picked "
            f"{plural(picked, 'time', form=',')}, "
            f"{wanted.cpu_hours:,.1f} core hours, {wanted.gpu_hours:,.1f} GPU hours"
        )
    shown = plan.config.experiments.in_report
    for name in plan.multitarget.experiments if not shown else ():
        jobs, hours = plan.multitarget.jobs([name]), detection_part(plan, [name])
        lines.append(
            f"multitarget_{name}, when named: {plural(jobs['train_prior'], 'training')}, "
            f"{plural(jobs['run_trials'], 'set')} of trials, {hours:,.1f} core hours"
        )
    return lines
