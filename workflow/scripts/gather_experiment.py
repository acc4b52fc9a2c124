from vitreous.metrics.picking_experiments import gather_experiment
from vitreous.runtime.job import job

with job(snakemake) as runtime:
    gather_experiment(
        snakemake.input.scores,
        snakemake.params.rows,
        snakemake.output.scores,
        labels={"room": "picking", "table": f"picking_{snakemake.wildcards.experiment}"},
        provenance=snakemake.output.provenance,
        runtime=runtime,
    )
