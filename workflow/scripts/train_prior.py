from pathlib import Path

from vitreous.config.canonical import restore
from vitreous.multitarget.image_settings import ImagesSettings
from vitreous.multitarget.prior_settings import PriorSettings
from vitreous.multitarget.prior_training import train_prior
from vitreous.runtime.job import job

with job(snakemake) as runtime:
    train_prior(
        Path(snakemake.output.model),
        Path(snakemake.output.training),
        settings=restore(PriorSettings, snakemake.params.settings["prior"]),
        images=restore(ImagesSettings, snakemake.params.settings["images"]),
        root=Path(snakemake.params.root),
        provenance=Path(snakemake.output.provenance),
        runtime=runtime,
    )
