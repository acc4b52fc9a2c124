from pathlib import Path

from vitreous.config.canonical import restore
from vitreous.metrics.settings import EvaluationSettings
from vitreous.metrics.stages import evaluate_ctf
from vitreous.runtime.job import job

with job(snakemake) as runtime:
    evaluate_ctf(
        snakemake.input.ctf,
        Path(snakemake.input.dataset).parent,
        Path(snakemake.output.scores).parent,
        settings=restore(EvaluationSettings, snakemake.params.settings),
        labels=snakemake.params.labels,
        provenance=snakemake.output.provenance,
        runtime=runtime,
    )
