from pathlib import Path

from vitreous.config.canonical import restore
from vitreous.multitarget.image_settings import ImagesSettings
from vitreous.multitarget.settings import EmSettings, MeasurementSettings
from vitreous.multitarget.stages import run_trials
from vitreous.runtime.job import job, optional

with job(snakemake) as runtime:
    settings = snakemake.params.settings
    run_trials(
        Path(snakemake.output.trials),
        Path(snakemake.output.estimates),
        Path(snakemake.output.targets),
        settings=restore(EmSettings, settings["method"]),
        images=restore(ImagesSettings, settings["images"]),
        measurement=restore(MeasurementSettings, settings["measurement"]),
        snr=float(snakemake.wildcards.snr),
        seeds=settings["seeds"],
        controls=settings["controls"],
        root=Path(snakemake.params.root),
        prior=optional(snakemake.input, "prior"),
        provenance=Path(snakemake.output.provenance),
        runtime=runtime,
    )
