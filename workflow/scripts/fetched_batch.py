from vitreous.data.stages import list_hashed_batch
from vitreous.runtime.job import job

with job(snakemake):
    list_hashed_batch(snakemake.input[0], snakemake.output[0], **snakemake.params.batch)
