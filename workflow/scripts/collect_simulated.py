from pathlib import Path

from vitreous.config.canonical import restore
from vitreous.runtime.job import job
from vitreous.simulate.settings import SimulateSettings
from vitreous.simulate.stages import collect_dataset

with job(snakemake) as runtime:
    collect_dataset(
        [Path(path) for path in snakemake.input],
        Path(snakemake.output.info).parent,
        restore(SimulateSettings, snakemake.params.settings),
        runtime,
        name=snakemake.wildcards.dataset,
    )
