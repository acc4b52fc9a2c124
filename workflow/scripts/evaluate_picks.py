from pathlib import Path

from vitreous.config.canonical import restore
from vitreous.metrics.settings import EvaluationSettings
from vitreous.metrics.stages import evaluate_picks
from vitreous.runtime.job import job

with job(snakemake) as runtime:
    evaluate_picks(
        snakemake.input.picks,
        snakemake.input.candidates,
        Path(snakemake.input.dataset).parent,
        Path(snakemake.output.scores).parent,
        failed_csv=snakemake.input.failed,
        settings=restore(EvaluationSettings, snakemake.params.settings),
        labels=snakemake.params.labels,
        provenance=snakemake.output.provenance,
        runtime=runtime,
    )
