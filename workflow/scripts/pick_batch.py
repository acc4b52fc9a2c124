from pathlib import Path

from vitreous.config.canonical import restore
from vitreous.picking.settings import PickerSettings
from vitreous.picking.stages import pick_batch
from vitreous.runtime.job import job, optional

with job(snakemake) as runtime:
    pick_batch(
        snakemake.input.batch,
        Path(snakemake.input.dataset).parent,
        snakemake.output.candidates,
        settings=restore(PickerSettings, snakemake.params.settings),
        max_failed_share=snakemake.config["compute"]["max_failed_share"],
        model=optional(snakemake.input, "model"),
        provenance=snakemake.output.provenance,
        runtime=runtime,
    )
