"""What the configurations of the repository plan, before anything is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from workspace import ROOT, Run

from vitreous.config.estimate import count_jobs, estimate
from vitreous.config.load import load_file
from vitreous.config.plan import Plan

CONFIGS = sorted(path.stem for path in (ROOT / "config").glob("*.yaml") if path.stem != "published")


@pytest.mark.parametrize("name", CONFIGS)
def test_every_configuration_of_the_repository_is_valid(name: str) -> None:
    config = load_file(ROOT / "config" / f"{name}.yaml")
    assert config.run == name


def test_the_full_plan_is_shown_without_data_and_counts_what_snakemake_counts(tmp_path: Path) -> None:
    config = ROOT / "config/full.yaml"
    place = ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(tmp_path)]
    command = [sys.executable, "-m", "snakemake", *place, "--profile", str(ROOT / "cluster"), "-n"]
    done = subprocess.run(
        [*command, "--configfile", str(config)], capture_output=True, text=True, timeout=120
    )
    run = Run(done.returncode, done.stdout + done.stderr)
    assert run.status == 0, run.text[-3000:]
    plan = Plan(load_file(config))
    assert f"plan from nothing: {count_jobs(plan).total():,} jobs on 1,284 micrographs" in run.text
    assert "GB of disk" in run.text and "GPU hours" in run.text
    # Datasets may lie in the repository from an earlier run; what depends on them is counted in any case.
    expected = count_jobs(plan)
    assert all(run.jobs[rule] == expected[rule] for rule in ("pick_batch", "train_picker", "evaluate_picks"))


def test_an_estimate_grows_with_what_is_planned() -> None:
    small, full = (estimate(Plan(load_file(ROOT / "config" / f"{name}.yaml"))) for name in ("test", "full"))
    assert small.micrographs == 4
    assert full.disk_gb > 100 * small.disk_gb
    assert full.jobs["pick_batch"] == 5 * 7 * 16
