# One self-contained HTML file from the files of results.


rule report:
    input:
        results=plan.results(),
        published=ancient(plan.published),
    output:
        html=report(plan.report, category="vitreous"),
        provenance=plan.report_provenance,
    log:
        plan.log("report.log"),
    benchmark:
        plan.benchmark("report.tsv")
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=lambda wc, attempt: 3000 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        settings=plan.report_settings,
        run=plan.run_facts(),
        seed=plan.seed,
    message:
        "write the report"
    script:
        "../scripts/report.py"
