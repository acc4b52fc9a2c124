"""Results that are older than the code that made them: found by their provenance files, remade on request.

Snakemake does not remake an intermediate result because one of its files is missing, so those files, which
are declared outputs, are named to it (`--forcerun`). It takes such names as further targets; therefore only
results that the configuration asks for are looked at, and what an earlier configuration left is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vitreous.cli.workflow import Run
from vitreous.config.plan import Plan
from vitreous.errors import VitreousError
from vitreous.runtime.provenance import is_stale


def wanted_folders(plan: Plan) -> dict[str, str]:
    """Every folder of results that a plan asks for, and the data set whose batches lie in it, else ""."""
    models = plan.models_trained("picking")
    folders = {plan.model_file("picking", "").format(model=model, seed=seed): "" for model, seed in models}
    for dataset in plan.datasets_used():
        folders[plan.dataset_file("").format(dataset=dataset)] = dataset
    for dataset, ctf in plan.ctf_wanted():
        folders[plan.ctf("").format(dataset=dataset, ctf=ctf)] = dataset
    for entry, dataset, denoiser, picker in plan.combinations():
        names = {"dataset": dataset, "denoiser": denoiser, "picker": picker}
        folders[plan.picks("").format(**names)] = dataset
        if entry.extract:
            folders[plan.particles("").format(**names)] = dataset
        for selection, target, engine in plan.map_wildcards(entry, dataset):
            made = {**names, "selection": selection, "target": target, "engine": engine}
            folders[plan.maps("").format(**made)] = ""
    return folders


def provenance_files(run: Run) -> Iterator[str]:
    """The provenance files of what the configuration asks for, with paths as the workflow writes them."""
    plan = Plan(run.config)
    for folder, dataset in sorted(wanted_folders(plan).items()):
        batches = plan.batch_names(dataset) if dataset else []
        for path in sorted((run.directory / folder).glob("*provenance.json")):
            batch = path.name.removeprefix("batch-").removesuffix(".provenance.json")
            if not path.name.startswith("batch-") or batch in batches:
                yield folder + path.name
    yield from (name for name in plan.tables.provenance() if (run.directory / name).exists())
    if (run.directory / plan.report_provenance).exists():
        yield plan.report_provenance


def stale_files(run: Run) -> list[str]:
    """Those of them whose code has changed since, or that cannot be read."""
    return [name for name in provenance_files(run) if _is_stale(run.directory / name)]


def _is_stale(path: Path) -> bool:
    try:
        return is_stale(path)
    except (VitreousError, KeyError, TypeError):
        return True
