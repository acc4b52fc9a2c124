from pathlib import Path

from vitreous.config.canonical import restore
from vitreous.report.settings import ReportSettings
from vitreous.report.stages import write_report
from vitreous.runtime.job import job

with job(snakemake) as runtime:
    run = snakemake.params.run
    write_report(
        Path(run["folder"]),
        {name: Path(folder) for name, folder in run["datasets"].items()},
        Path(snakemake.output.html),
        settings=restore(ReportSettings, snakemake.params.settings),
        published=Path(snakemake.input.published),
        run_info=run,
        files=[Path(path) for path in snakemake.input.results],
        provenance=Path(snakemake.output.provenance),
        runtime=runtime,
    )
