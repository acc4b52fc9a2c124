from pathlib import Path

from vitreous.config.canonical import restore
from vitreous.reconstruction.settings import CtfSettings
from vitreous.reconstruction.stages import estimate_ctf_batch
from vitreous.runtime.job import job

with job(snakemake) as runtime:
    estimate_ctf_batch(
        snakemake.input.batch,
        Path(snakemake.input.dataset).parent,
        snakemake.output.ctf,
        settings=restore(CtfSettings, snakemake.params.settings),
        max_failed_share=snakemake.config["compute"]["max_failed_share"],
        provenance=snakemake.output.provenance,
        runtime=runtime,
    )
