from pathlib import Path

from vitreous.config.canonical import restore
from vitreous.data.settings import ParticleSettings
from vitreous.data.stages import import_particle_set
from vitreous.runtime.job import job, optional

with job(snakemake) as runtime:
    import_particle_set(
        Path(snakemake.output.info).parent,
        settings=restore(ParticleSettings, snakemake.params.settings),
        provenance=snakemake.output.provenance,
        runtime=runtime,
        fetched=optional(snakemake.input, "fetched"),
    )
