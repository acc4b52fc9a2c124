from vitreous.data.stages import list_batch
from vitreous.runtime.job import job

with job(snakemake):
    list_batch(snakemake.input[0], snakemake.output[0], stems=snakemake.params.stems)
