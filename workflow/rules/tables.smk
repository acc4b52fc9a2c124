# Tables of several results: pickers compared, the papers' experiments, latents; as CSV and as text.


rule compare_pickers:
    input:
        picks=lambda wc: plan.tables.comparison_inputs(wc.comparison, "picks.star"),
        candidates=lambda wc: plan.tables.comparison_inputs(
            wc.comparison, "candidates.star"
        ),
        datasets=lambda wc: plan.tables.comparison_descriptions(wc.comparison),
    output:
        scores=plan.tables.file("comparison-{comparison}.csv"),
        differences=plan.tables.file("comparison-{comparison}.differences.csv"),
        provenance=plan.tables.file("comparison-{comparison}.provenance.json"),
    log:
        plan.log("tables/comparison-{comparison}.log"),
    benchmark:
        plan.benchmark("tables/comparison-{comparison}.tsv")
    conda:
        "../../envs/metrics.yaml"
    resources:
        mem_mb=lambda wc, attempt: 3000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        settings=lambda wc: plan.tables.comparison_settings(wc.comparison),
        evaluation=plan.evaluation,
        results=lambda wc: plan.tables.comparison_results(wc.comparison),
        seed=plan.seed,
    message:
        "compare the pickers of {wildcards.comparison}"
    script:
        "../scripts/compare_pickers.py"


rule gather_experiment:
    input:
        scores=lambda wc: plan.tables.experiment_scores(wc.experiment),
    output:
        scores=plan.tables.file("picking_{experiment}.csv"),
        provenance=plan.tables.file("picking_{experiment}.provenance.json"),
    log:
        plan.log("tables/picking_{experiment}.log"),
    conda:
        "../../envs/metrics.yaml"
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 20 * attempt,
    params:
        rows=lambda wc: plan.tables.experiment_rows(wc.experiment),
        seed=plan.seed,
    message:
        "gather the scores of experiment {wildcards.experiment}"
    script:
        "../scripts/gather_experiment.py"


rule project_latents:
    input:
        model=lambda wc: plan.tables.latents_model(),
        micrographs=lambda wc: plan.tables.latents_micrographs(),
    output:
        latents=plan.tables.file("picking_{latents}.csv"),
        variance=plan.tables.file("picking_{latents}.variance.csv"),
        provenance=plan.tables.file("picking_{latents}.provenance.json"),
    log:
        plan.log("tables/picking_{latents}.log"),
    benchmark:
        plan.benchmark("tables/picking_{latents}.tsv")
    conda:
        "../../envs/picking.yaml"
    resources:
        mem_mb=lambda wc, attempt: 3000 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        settings=lambda wc: plan.tables.latents_settings(),
        micrograph=lambda wc: plan.tables.latents_micrograph(),
        seed=plan.seed,
    message:
        "project the latents of a micrograph"
    script:
        "../scripts/project_latents.py"


rule write_table:
    input:
        table=lambda wc: plan.tables.folder_file(f"{wc.table}.csv"),
        differences=lambda wc: plan.tables.differences_of(wc.table),
        published=ancient(plan.published),
    output:
        text=plan.tables.file("{table}.md"),
        provenance=plan.tables.file("{table}.md.provenance.json"),
    log:
        plan.log("tables/{table}.md.log"),
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        seed=plan.seed,
    message:
        "write table {wildcards.table} as text"
    script:
        "../scripts/write_table.py"
