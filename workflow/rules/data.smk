# Public data fetched and checked; fetched and local data into the standard form of a dataset. What uses the network
# runs on the machine that the workflow is started from, one archive's entry at a time (`downloads` in the profiles).


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


rule fetch:
    output:
        plan.fetched.record(),
    log:
        plan.log("fetch/{fetch}.log"),
    localrule: True
    conda:
        "../../envs/data.yaml"
    resources:
        downloads=1,
    params:
        settings=lambda wc: plan.fetched.settings(wc.fetch),
        root=lambda wc: plan.fetched.root(),
    message:
        "fetch {wildcards.fetch}"
    script:
        "../scripts/fetch.py"


rule check_fetched:
    input:
        lambda wc: plan.fetched.record(wc.entry),
    output:
        plan.fetched.checked(),
    log:
        plan.log("fetch/check-{entry}.log"),
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=lambda wc, attempt: 500 * attempt,
        runtime=lambda wc, attempt: 240 * attempt,
    params:
        stamp=lambda wc: plan.fetched.file_stamp(wc.entry),
    message:
        "hold the files of {wildcards.entry} against their checksums"
    script:
        "../scripts/check_fetched.py"


rule list_data:
    output:
        listed=plan.fetched.table("list"),
        sizes=plan.fetched.table("size"),
    log:
        plan.log("fetch/list.log"),
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        rows=lambda wc: plan.fetched.rows(),
        stamp=lambda wc: plan.fetched.stamp(),
    message:
        "what is fetched, and how much of it is here"
    script:
        "../scripts/list_data.py"


rule import_fetched:
    input:
        lambda wc: plan.fetched.inputs(wc.dataset),
    output:
        info=plan.dataset_file("dataset.json", source="fetched"),
        micrographs=plan.dataset_file("micrographs.star", source="fetched"),
        manifest=plan.dataset_file("manifest.json", source="fetched"),
        provenance=plan.dataset_file("provenance.json", source="fetched"),
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
        "import {wildcards.dataset}, which was fetched, into the standard form"
    script:
        "../scripts/import_fetched.py"


rule fetched_batch:
    input:
        plan.dataset_file("micrographs.star"),
    output:
        plan.dataset_file("batch-{batch}.star", source="fetched"),
    log:
        plan.log("import/{dataset}-{batch}.log"),
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        batch=lambda wc: plan.fetched.batch(plan.batch_count(wc.dataset), wc.batch),
    message:
        "micrographs {wildcards.batch} of {wildcards.dataset}"
    script:
        "../scripts/fetched_batch.py"


rule import_particles:
    input:
        files=lambda wc: plan.particle_files(wc.dataset),
        fetched=lambda wc: plan.fetched.inputs(wc.dataset),
    output:
        info=plan.dataset_file("dataset.json", source="particles"),
        particles=plan.dataset_file("particles.star", source="particles"),
        manifest=plan.dataset_file("manifest.json", source="particles"),
        provenance=plan.dataset_file("provenance.json", source="particles"),
    log:
        plan.log("import/{dataset}.log"),
    benchmark:
        plan.benchmark("import/{dataset}.tsv")
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        settings=lambda wc: plan.dataset_settings(wc.dataset),
    message:
        "import the particles of {wildcards.dataset} into the standard form"
    script:
        "../scripts/import_particles.py"
