from pathlib import Path

from vitreous.data.stages import given_picks
from vitreous.runtime.job import job

with job(snakemake) as runtime:
    given_picks(
        Path(snakemake.input.dataset).parent,
        snakemake.output.picks,
        snakemake.output.failed,
        provenance=snakemake.output.provenance,
        runtime=runtime,
    )
