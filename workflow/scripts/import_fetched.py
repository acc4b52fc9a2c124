from pathlib import Path

from vitreous.config.canonical import restore
from vitreous.data.settings import LocalSettings
from vitreous.data.stages import import_dataset
from vitreous.runtime.job import job

with job(snakemake) as runtime:
    import_dataset(
        Path(snakemake.output.info).parent,
        settings=restore(LocalSettings, snakemake.params.settings),
        provenance=snakemake.output.provenance,
        runtime=runtime,
        fetched=snakemake.input[0],
    )
