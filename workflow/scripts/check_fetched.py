from vitreous.data.stages import check_entry
from vitreous.runtime.job import job

with job(snakemake):
    check_entry(snakemake.input[0], snakemake.output[0])
