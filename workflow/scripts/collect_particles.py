from vitreous.reconstruction.stages import collect_particles
from vitreous.runtime.job import job

with job(snakemake) as runtime:
    collect_particles(
        snakemake.input.batches,
        snakemake.output.particles,
        provenance=snakemake.output.provenance,
        runtime=runtime,
    )
