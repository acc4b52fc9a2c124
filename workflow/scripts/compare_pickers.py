from vitreous.config.canonical import restore
from vitreous.metrics.picking_experiments import compare_pickers
from vitreous.metrics.settings import ComparisonSettings, EvaluationSettings
from vitreous.runtime.job import job

with job(snakemake) as runtime:
    results = snakemake.params.results
    compare_pickers(
        results["picks"],
        results["datasets"],
        snakemake.output.scores,
        snakemake.output.differences,
        settings=restore(ComparisonSettings, snakemake.params.settings),
        evaluation=restore(EvaluationSettings, snakemake.params.evaluation),
        labels=results["labels"],
        provenance=snakemake.output.provenance,
        runtime=runtime,
    )
