# Reconstruction: CTF, particles from picks, half-maps and maps, Fourier shell correlation.


rule estimate_ctf_batch:
    input:
        batch=plan.dataset_file("batch-{batch}.star"),
        dataset=ancient(plan.dataset_file("dataset.json")),
    output:
        ctf=plan.ctf("batch-{batch}.star", computed=True),
        failed=plan.ctf("batch-{batch}.failed.csv", computed=True),
        curves=plan.ctf("batch-{batch}.curves.csv", computed=True),
        provenance=plan.ctf("batch-{batch}.provenance.json", computed=True),
    log:
        plan.log("ctf/{dataset}-{ctf}-{batch}.log"),
    benchmark:
        plan.benchmark("ctf/{dataset}-{ctf}-{batch}.tsv")
    conda:
        "../../envs/reconstruction.yaml"
    resources:
        mem_mb=lambda wc, attempt: 3000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        settings=lambda wc: plan.ctf_settings(wc.ctf),
        optics=lambda wc: plan.optics(wc.dataset),
        seed=plan.seed,
    message:
        "estimate the CTF of {wildcards.dataset} {wildcards.batch}"
    script:
        "../scripts/estimate_ctf_batch.py"


rule collect_ctf:
    input:
        batches=lambda wc: plan.batches_of(plan.ctf("batch-{batch}.star"), wc),
    output:
        ctf=plan.ctf("micrographs.star", computed=True),
        failed=plan.ctf("failed.csv", computed=True),
        curves=plan.ctf("curves.csv", computed=True),
        provenance=plan.ctf("provenance.json", computed=True),
    log:
        plan.log("ctf/{dataset}-{ctf}.log"),
    localrule: True
    conda:
        "../../envs/reconstruction.yaml"
    params:
        seed=plan.seed,
    message:
        "gather the CTFs of {wildcards.dataset}"
    script:
        "../scripts/collect_ctf.py"


rule given_ctf:
    input:
        dataset=plan.dataset_file("dataset.json"),
    output:
        ctf=plan.ctf("micrographs.star", computed=False),
        failed=plan.ctf("failed.csv", computed=False),
        provenance=plan.ctf("provenance.json", computed=False),
    log:
        plan.log("ctf/{dataset}-{ctf}.log"),
    localrule: True
    conda:
        "../../envs/reconstruction.yaml"
    params:
        seed=plan.seed,
    message:
        "take the CTFs that came with {wildcards.dataset}"
    script:
        "../scripts/given_ctf.py"


rule evaluate_ctf:
    input:
        ctf=plan.ctf("micrographs.star"),
        dataset=plan.dataset_file("dataset.json"),
    output:
        scores=plan.ctf("scores.csv", computed=True),
        provenance=plan.ctf("scores.provenance.json", computed=True),
    log:
        plan.log("evaluate/ctf-{dataset}-{ctf}.log"),
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
        "summarise the CTFs of {wildcards.dataset}"
    script:
        "../scripts/evaluate_ctf.py"


rule extract_batch:
    input:
        batch=plan.dataset_file("batch-{batch}.star"),
        dataset=ancient(plan.dataset_file("dataset.json")),
        picks=plan.picks("picks.star"),
        ctf=lambda wc: plan.extraction_ctf(wc.dataset),
    output:
        particles=plan.particles("batch-{batch}.star"),
        failed=plan.particles("batch-{batch}.failed.csv"),
        provenance=plan.particles("batch-{batch}.provenance.json"),
    log:
        plan.log("extract/{dataset}-{denoiser}-{picker}-{batch}.log"),
    benchmark:
        plan.benchmark("extract/{dataset}-{denoiser}-{picker}-{batch}.tsv")
    conda:
        "../../envs/reconstruction.yaml"
    resources:
        mem_mb=lambda wc, attempt: 3000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        settings=plan.extraction,
        optics=lambda wc: plan.optics(wc.dataset),
        seed=plan.seed,
    message:
        "extract {wildcards.picker} particles of {wildcards.dataset} {wildcards.batch}"
    script:
        "../scripts/extract_batch.py"


rule collect_particles:
    input:
        batches=lambda wc: plan.batches_of(plan.particles("batch-{batch}.star"), wc),
    output:
        particles=plan.particles("particles.star"),
        failed=plan.particles("failed.csv"),
        provenance=plan.particles("provenance.json"),
    log:
        plan.log("extract/{dataset}-{denoiser}-{picker}.log"),
    localrule: True
    conda:
        "../../envs/reconstruction.yaml"
    params:
        seed=plan.seed,
    message:
        "gather the {wildcards.picker} particles of {wildcards.dataset}"
    script:
        "../scripts/collect_particles.py"


rule reconstruct:
    input:
        particles=lambda wc: plan.selected(wc),
    output:
        half1=plan.maps("half1.mrc"),
        half2=plan.maps("half2.mrc"),
        map=plan.maps("map.mrc"),
        facts=plan.maps("reconstruct.json"),
        provenance=plan.maps("provenance.json"),
    log:
        plan.log(
            "reconstruct/{dataset}-{denoiser}-{picker}-{selection}-{target}-{engine}.log"
        ),
    benchmark:
        plan.benchmark(
            "reconstruct/{dataset}-{denoiser}-{picker}-{selection}-{target}-{engine}.tsv"
        )
    conda:
        "../../envs/reconstruction.yaml"
    threads: 2
    resources:
        mem_mb=lambda wc, attempt: 6000 * attempt,
        runtime=lambda wc, attempt: 120 * attempt,
        gpu=lambda wc: plan.engine_gpus(wc.engine),
    params:
        settings=lambda wc: plan.engine_settings(wc.engine),
        symmetry=lambda wc: plan.symmetry(wc.dataset, wc.target),
        seed=plan.seed,
    message:
        "reconstruct {wildcards.target} of {wildcards.dataset} from {wildcards.picker} with {wildcards.engine}"
    script:
        "../scripts/reconstruct.py"


rule evaluate_map:
    input:
        half1=plan.maps("half1.mrc"),
        half2=plan.maps("half2.mrc"),
        map=plan.maps("map.mrc"),
        facts=plan.maps("reconstruct.json"),
        dataset=plan.dataset_file("dataset.json"),
    output:
        fsc=plan.maps("fsc.csv"),
        scores=plan.maps("scores.csv"),
        provenance=plan.maps("scores.provenance.json"),
    log:
        plan.log(
            "evaluate/map-{dataset}-{denoiser}-{picker}-{selection}-{target}-{engine}.log"
        ),
    benchmark:
        plan.benchmark(
            "evaluate/map-{dataset}-{denoiser}-{picker}-{selection}-{target}-{engine}.tsv"
        )
    conda:
        "../../envs/metrics.yaml"
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        settings=plan.evaluation,
        labels=lambda wc: plan.labels(wc),
        seed=plan.seed,
    message:
        "Fourier shell correlation of {wildcards.target} from {wildcards.picker} by {wildcards.engine}"
    script:
        "../scripts/evaluate_map.py"
