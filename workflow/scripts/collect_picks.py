from pathlib import Path

from vitreous.config.canonical import restore
from vitreous.picking.settings import PickerSettings
from vitreous.picking.stages import collect_picks
from vitreous.runtime.job import job

with job(snakemake) as runtime:
    collect_picks(
        snakemake.input.batches,
        Path(snakemake.input.dataset).parent,
        Path(snakemake.output.picks).parent,
        settings=restore(PickerSettings, snakemake.params.settings),
        provenance=snakemake.output.provenance,
        runtime=runtime,
    )
