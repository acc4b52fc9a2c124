from pathlib import Path

from vitreous.config.canonical import restore
from vitreous.runtime.job import job
from vitreous.simulate.settings import SimulateSettings
from vitreous.simulate.stages import simulate_batch

with job(snakemake) as runtime:
    simulate_batch(
        Path(snakemake.output.batch),
        snakemake.params.indices,
        Path(snakemake.output.batch).parent,
        restore(SimulateSettings, snakemake.params.settings),
        runtime,
    )
