from vitreous.reconstruction.stages import collect_ctf
from vitreous.runtime.job import job

with job(snakemake) as runtime:
    collect_ctf(
        snakemake.input.batches,
        snakemake.output.ctf,
        provenance=snakemake.output.provenance,
        runtime=runtime,
    )
