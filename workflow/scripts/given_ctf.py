from pathlib import Path

from vitreous.reconstruction.stages import given_ctf
from vitreous.runtime.job import job

with job(snakemake) as runtime:
    given_ctf(
        Path(snakemake.input.dataset).parent,
        snakemake.output.ctf,
        provenance=snakemake.output.provenance,
        runtime=runtime,
    )
