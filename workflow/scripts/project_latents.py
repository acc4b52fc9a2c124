from pathlib import Path

from vitreous.config.canonical import restore
from vitreous.picking.settings import PickerSettings
from vitreous.picking.stages import project_latents
from vitreous.runtime.job import job

with job(snakemake) as runtime:
    project_latents(
        snakemake.input.model,
        Path(snakemake.input.micrographs).parent,
        snakemake.params.micrograph,
        snakemake.output.latents,
        snakemake.output.variance,
        settings=restore(PickerSettings, snakemake.params.settings),
        provenance=snakemake.output.provenance,
        runtime=runtime,
    )
