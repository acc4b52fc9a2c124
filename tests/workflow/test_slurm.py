"""The smallest workflow through a real Slurm, and what the cluster profile plans."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from loopback_slurm import LoopbackSlurm, why_not
from workspace import ROOT, Workspace, smallest


def _one_wave(config: dict[str, Any]) -> dict[str, Any]:
    """Few jobs, each behind the other: one dataset in one batch, one picker, no training."""
    config["datasets"] = {"simulated": config["datasets"]["simulated"] | {"batches": 1, "micrographs": 1}}
    config["pickers"] = {"log": config["pickers"]["log"]}
    config["matrix"] = [{"datasets": ["simulated"], "pickers": ["log"]}]
    return {key: value for key, value in config.items() if key not in ("models", "engines", "ctf")}


@pytest.mark.slurm
@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_the_smallest_workflow_runs_through_slurm(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, _one_wave(smallest()))
    profile = yaml.safe_load((ROOT / "profiles/cluster/config.yaml").read_text())
    # No accounting here: jobs are asked after by squeue, and soon, as they last seconds.
    profile |= {
        "slurm-status-command": "squeue",
        "slurm-init-seconds-before-status-checks": 3,
        "slurm-keep-successful-logs": True,
        "latency-wait": 10,
        "default-resources": {"mem_mb": 1500, "runtime": 10, "slurm_partition": "main"},
    }
    (tmp_path / "site").mkdir()
    (tmp_path / "site/config.yaml").write_text(yaml.safe_dump(profile))
    with LoopbackSlurm() as slurm:
        command = workspace.command("--jobs", "4", profile="cluster")
        command[command.index("--profile") + 1] = str(tmp_path / "site")
        env = {**__import__("os").environ, **slurm.env}
        done = subprocess.run(command, capture_output=True, text=True, timeout=400, env=env)
        text = done.stdout + done.stderr
    assert done.returncode == 0, text[-4000:]
    assert "has been submitted with SLURM jobid" in text
    assert (tmp_path / "results/test/report.html").stat().st_size > 10_000


def test_the_cluster_profile_typed_in_the_root_plans_on_slurm() -> None:
    command = [sys.executable, "-m", "snakemake", "--profile", "cluster", "-n"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text[-3000:]
    assert "plan from nothing: " in text and "GPU hours" in text


def test_no_default_profile_overrides_the_cluster() -> None:
    assert not list(ROOT.glob("**/profiles/default"))
    assert not (ROOT / "default").exists()
    assert (ROOT / "cluster").resolve() == ROOT / "profiles/cluster"
    assert yaml.safe_load((ROOT / "cluster/config.yaml").read_text())["executor"] == "slurm"
