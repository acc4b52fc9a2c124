# Simulated micrographs with their truth, in the standard form of a dataset.


rule simulate_batch:
    input:
        lambda wc: plan.target_downloads(wc.dataset),
    output:
        batch=plan.dataset_file("batch-{batch}.star", source="simulate"),
        provenance=plan.dataset_file("batch-{batch}.provenance.json", source="simulate"),
    log:
        plan.log("simulate/{dataset}-{batch}.log"),
    benchmark:
        plan.benchmark("simulate/{dataset}-{batch}.tsv")
    conda:
        "../../envs/simulate.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 3000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        settings=lambda wc: plan.simulation_settings(wc.dataset),
        indices=lambda wc: plan.simulated_indices(wc.dataset, wc.batch),
        seed=plan.seed,
    message:
        "simulate micrographs {wildcards.batch} of {wildcards.dataset}"
    script:
        "../scripts/simulate_batch.py"


rule collect_simulated:
    input:
        lambda wc: plan.dataset_batches(wc.dataset),
    output:
        info=plan.dataset_file("dataset.json", source="simulate"),
        micrographs=plan.dataset_file("micrographs.star", source="simulate"),
        manifest=plan.dataset_file("manifest.json", source="simulate"),
        provenance=plan.dataset_file("provenance.json", source="simulate"),
    log:
        plan.log("simulate/{dataset}.log"),
    benchmark:
        plan.benchmark("simulate/{dataset}.tsv")
    conda:
        "../../envs/simulate.yaml"
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        settings=lambda wc: plan.simulation_settings(wc.dataset),
        seed=plan.seed,
    message:
        "gather the simulated dataset {wildcards.dataset}"
    script:
        "../scripts/collect_simulated.py"
