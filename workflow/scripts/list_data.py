from vitreous.data.stages import list_entries
from vitreous.runtime.job import job

with job(snakemake):
    list_entries(snakemake.params.rows, snakemake.output.listed, snakemake.output.sizes)
