from pathlib import Path

from vitreous.config.canonical import restore
from vitreous.reconstruction.settings import ExtractionSettings
from vitreous.reconstruction.stages import extract_batch
from vitreous.runtime.job import job, optional

with job(snakemake) as runtime:
    extract_batch(
        snakemake.input.batch,
        Path(snakemake.input.dataset).parent,
        snakemake.input.picks,
        optional(snakemake.input, "ctf"),
        snakemake.output.particles,
        settings=restore(ExtractionSettings, snakemake.params.settings),
        max_failed_share=snakemake.config["compute"]["max_failed_share"],
        provenance=snakemake.output.provenance,
        runtime=runtime,
    )
