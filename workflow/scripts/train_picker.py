from pathlib import Path

from vitreous.config.canonical import restore
from vitreous.picking.settings import PickerSettings
from vitreous.picking.stages import train_picker
from vitreous.runtime.job import job

with job(snakemake) as runtime:
    settings = dict(snakemake.params.settings)
    part = settings.pop("train", {})
    train_picker(
        [Path(path).parent for path in snakemake.input.micrographs],
        snakemake.output.model,
        snakemake.output.training,
        settings=restore(PickerSettings, settings),
        micrographs=part.get("micrographs"),
        provenance=snakemake.output.provenance,
        runtime=runtime,
    )
