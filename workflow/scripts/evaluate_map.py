from pathlib import Path

from vitreous.config.canonical import restore
from vitreous.metrics.settings import EvaluationSettings
from vitreous.metrics.stages import evaluate_map
from vitreous.runtime.job import job

with job(snakemake) as runtime:
    evaluate_map(
        Path(snakemake.input.map).parent,
        Path(snakemake.input.dataset).parent,
        snakemake.wildcards.target,
        Path(snakemake.output.scores).parent,
        settings=restore(EvaluationSettings, snakemake.params.settings),
        labels=snakemake.params.labels,
        provenance=snakemake.output.provenance,
        runtime=runtime,
    )
