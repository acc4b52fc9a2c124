from pathlib import Path

from vitreous.config.canonical import restore
from vitreous.reconstruction.settings import EngineSettings
from vitreous.reconstruction.stages import reconstruct
from vitreous.runtime.job import job

with job(snakemake) as runtime:
    reconstruct(
        snakemake.input.particles,
        Path(snakemake.output.map).parent,
        settings=restore(EngineSettings, snakemake.params.settings),
        symmetry=snakemake.params.symmetry,
        target=snakemake.wildcards.target,
        provenance=snakemake.output.provenance,
        runtime=runtime,
    )
