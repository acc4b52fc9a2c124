from pathlib import Path

from vitreous.report.table_stages import write_table
from vitreous.runtime.job import job, optional

with job(snakemake) as runtime:
    write_table(
        Path(snakemake.input.table),
        Path(snakemake.output.text),
        differences=optional(snakemake.input, "differences"),
        published=Path(snakemake.input.published),
        provenance=Path(snakemake.output.provenance),
        runtime=runtime,
    )
