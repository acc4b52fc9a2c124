# A local folder of micrographs into the standard form of a dataset.


rule import_local:
    input:
        lambda wc: plan.local_files(wc.dataset),
    output:
        info=plan.dataset_file("dataset.json", source="local"),
        micrographs=plan.dataset_file("micrographs.star", source="local"),
        manifest=plan.dataset_file("manifest.json", source="local"),
        provenance=plan.dataset_file("provenance.json", source="local"),
    log:
        plan.log("import/{dataset}.log"),
    benchmark:
        plan.benchmark("import/{dataset}.tsv")
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        settings=lambda wc: plan.dataset_settings(wc.dataset),
    message:
        "import {wildcards.dataset} into the standard form"
    script:
        "../scripts/import_local.py"


rule local_batch:
    input:
        ancient(plan.dataset_file("micrographs.star")),
    output:
        plan.dataset_file("batch-{batch}.star", source="local"),
    log:
        plan.log("import/{dataset}-{batch}.log"),
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        stems=lambda wc: plan.local_batch(wc.dataset, wc.batch),
    message:
        "micrographs {wildcards.batch} of {wildcards.dataset}"
    script:
        "../scripts/local_batch.py"
