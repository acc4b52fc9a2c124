# Picking: train where a picker has a model, find candidates by batches, choose the threshold, compare with the truth.


rule train_picker:
    input:
        micrographs=lambda wc: plan.training_micrographs("picking", wc.model),
    output:
        model=plan.model_file("picking", "model.pt"),
        training=plan.model_file("picking", "training.csv"),
        provenance=plan.model_file("picking", "provenance.json"),
    log:
        plan.log("train/picking-{model}-{seed}.log"),
    benchmark:
        plan.benchmark("train/picking-{model}-{seed}.tsv")
    conda:
        "../../envs/picking.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: 240 * attempt,
        gpu=lambda wc: plan.training_gpus("picking", wc.model),
    params:
        settings=lambda wc: plan.training_settings("picking", wc.model),
        seed=lambda wc: int(wc.seed),
    message:
        "train picker {wildcards.model}, seed {wildcards.seed}"
    script:
        "../scripts/train_picker.py"


rule pick_batch:
    input:
        batch=plan.dataset_file("batch-{batch}.star"),
        dataset=ancient(plan.dataset_file("dataset.json")),
        model=lambda wc: plan.picker_model(wc.picker),
    output:
        candidates=plan.picks("batch-{batch}.star", computed=True),
        failed=plan.picks("batch-{batch}.failed.csv", computed=True),
        provenance=plan.picks("batch-{batch}.provenance.json", computed=True),
    log:
        plan.log("pick/{dataset}-{denoiser}-{picker}-{batch}.log"),
    benchmark:
        plan.benchmark("pick/{dataset}-{denoiser}-{picker}-{batch}.tsv")
    conda:
        "../../envs/picking.yaml"
    resources:
        mem_mb=lambda wc, attempt: 3000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
        gpu=lambda wc: plan.picker_gpus(wc.picker),
    params:
        settings=lambda wc: plan.picker_settings(wc.picker),
        optics=lambda wc: plan.optics(wc.dataset),
        seed=plan.seed,
    message:
        "pick {wildcards.dataset} {wildcards.batch} with {wildcards.picker}"
    script:
        "../scripts/pick_batch.py"


rule collect_picks:
    input:
        batches=lambda wc: plan.batches_of(plan.picks("batch-{batch}.star"), wc),
        dataset=plan.dataset_file("dataset.json"),
    output:
        picks=plan.picks("picks.star", computed=True),
        candidates=plan.picks("candidates.star", computed=True),
        threshold=plan.picks("threshold.json", computed=True),
        failed=plan.picks("failed.csv", computed=True),
        provenance=plan.picks("provenance.json", computed=True),
    log:
        plan.log("pick/{dataset}-{denoiser}-{picker}.log"),
    conda:
        "../../envs/picking.yaml"
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 20 * attempt,
    params:
        settings=lambda wc: plan.picker_settings(wc.picker),
        seed=plan.seed,
    message:
        "choose the threshold of {wildcards.picker} on {wildcards.dataset}"
    script:
        "../scripts/collect_picks.py"


rule given_picks:
    input:
        dataset=plan.dataset_file("dataset.json"),
    output:
        picks=plan.picks("picks.star", computed=False),
        failed=plan.picks("failed.csv", computed=False),
        provenance=plan.picks("provenance.json", computed=False),
    log:
        plan.log("pick/{dataset}-{denoiser}-{picker}.log"),
    localrule: True
    conda:
        "../../envs/picking.yaml"
    params:
        seed=plan.seed,
    message:
        "take the picks that came with {wildcards.dataset}"
    script:
        "../scripts/given_picks.py"


rule evaluate_picks:
    input:
        picks=plan.picks("picks.star"),
        candidates=plan.picks("candidates.star"),
        failed=plan.picks("failed.csv"),
        dataset=plan.dataset_file("dataset.json"),
    output:
        matches=plan.picks("matches.csv"),
        per_micrograph=plan.picks("per_micrograph.csv"),
        curve=plan.picks("curve.csv"),
        scores=plan.picks("scores.csv"),
        provenance=plan.picks("scores.provenance.json"),
    log:
        plan.log("evaluate/picks-{dataset}-{denoiser}-{picker}.log"),
    benchmark:
        plan.benchmark("evaluate/picks-{dataset}-{denoiser}-{picker}.tsv")
    conda:
        "../../envs/metrics.yaml"
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 20 * attempt,
    params:
        settings=plan.evaluation,
        labels=lambda wc: plan.labels(wc),
        seed=plan.seed,
    message:
        "compare {wildcards.picker} with the truth of {wildcards.dataset}"
    script:
        "../scripts/evaluate_picks.py"
