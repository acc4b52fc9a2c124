# Multi-target detection: train priors of images, try methods on planted measurements, gather an experiment's table.


rule train_prior:
    input:
        images=lambda wc: plan.multitarget.prior_images(wc.model),
    output:
        model=plan.model_file("multitarget", "model.pt"),
        training=plan.model_file("multitarget", "training.csv"),
        provenance=plan.model_file("multitarget", "provenance.json"),
    log:
        plan.log("train/multitarget-{model}-{seed}.log"),
    benchmark:
        plan.benchmark("train/multitarget-{model}-{seed}.tsv")
    # Others wait for it, so it goes first.
    priority: 10
    conda:
        "../../envs/multitarget.yaml"
    threads: 2
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: 240 * attempt,
        gpu=lambda wc: plan.multitarget.training_gpus(wc.model),
    params:
        settings=lambda wc: plan.multitarget.prior_settings(wc.model),
        root=plan.multitarget.data_root(),
        seed=lambda wc: int(wc.seed),
    message:
        "train prior {wildcards.model}, seed {wildcards.seed}"
    script:
        "../scripts/train_prior.py"


rule run_trials:
    input:
        images=lambda wc: plan.multitarget.target_images(wc.experiment),
        prior=lambda wc: plan.multitarget.prior_model(wc.method),
    output:
        trials=plan.multitarget.trials("trials.csv"),
        estimates=plan.multitarget.trials("estimates.mrcs"),
        targets=plan.multitarget.trials("targets.mrcs"),
        provenance=plan.multitarget.trials("provenance.json"),
    log:
        plan.log("multitarget/{experiment}-{method}-{snr}.log"),
    benchmark:
        plan.benchmark("multitarget/{experiment}-{method}-{snr}.tsv")
    conda:
        "../../envs/multitarget.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: 240 * attempt,
        gpu=plan.multitarget.trial_gpus(),
    params:
        settings=lambda wc: plan.multitarget.trial_settings(wc.experiment, wc.method),
        root=plan.multitarget.data_root(),
        seed=plan.seed,
    message:
        "multi-target detection {wildcards.experiment}: {wildcards.method} at SNR {wildcards.snr}"
    script:
        "../scripts/run_trials.py"


rule gather_trials:
    input:
        trials=lambda wc: plan.multitarget.gathered(wc.experiment),
    output:
        scores=plan.multitarget.table("csv"),
        facts=plan.multitarget.facts_file(),
        provenance=plan.multitarget.table("provenance.json"),
    log:
        plan.log("tables/multitarget_{experiment}.log"),
    localrule: True
    conda:
        "../../envs/multitarget.yaml"
    params:
        settings=lambda wc: plan.multitarget.gather_settings(wc.experiment),
        rows=lambda wc: plan.multitarget.rows(wc.experiment),
        facts=lambda wc: plan.multitarget.facts(wc.experiment),
        seed=plan.seed,
    message:
        "gather the trials of experiment {wildcards.experiment}"
    script:
        "../scripts/gather_trials.py"
