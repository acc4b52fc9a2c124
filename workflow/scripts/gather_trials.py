from pathlib import Path

from vitreous.multitarget.stages import gather_trials
from vitreous.runtime.job import job

with job(snakemake) as runtime:
    gather_trials(
        [Path(path) for path in snakemake.input.trials],
        snakemake.params.rows,
        Path(snakemake.output.scores),
        Path(snakemake.output.facts),
        labels={
            "paper": "001",
            "room": "multitarget",
            "table": f"multitarget_{snakemake.wildcards.experiment}",
        },
        facts=dict(snakemake.params.facts),
        recovered=snakemake.params.settings["recovered"],
        provenance=Path(snakemake.output.provenance),
        runtime=runtime,
    )
