from vitreous.config.canonical import restore
from vitreous.data.download.settings import NetworkSettings
from vitreous.data.fetch_settings import FetchSettings
from vitreous.data.stages import fetch_entry
from vitreous.runtime.job import job

with job(snakemake):
    fetch_entry(
        snakemake.output[0],
        settings=restore(FetchSettings, snakemake.params.settings),
        root=snakemake.params.root,
        network=NetworkSettings.model_validate(snakemake.config["network"]),
    )
