"""`vitreous run` on a repository of four lines: what it says, what it keeps, how it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vitreous.cli import workflow
from vitreous.cli.main import main
from vitreous.cli.workflow import open_run, snakemake_command
from vitreous.errors import MissingToolError, SettingsError, StageError

SNAKEFILE = """
rule all:
    input: "results/run/report.html"
rule part:
    output: "results/run/part-{i}.txt"
    log: "results/run/logs/part-{i}.log"
    message: "make part {wildcards.i}"
    shell: "if [ -e slow ]; then touch begun; sleep 60; fi; "
        "if [ -e bad ]; then echo '2026-11-21 ERROR a.mrc: truncated; fetch it again' > {log}; exit 1; fi; "
        "touch {output}"
rule report:
    input: expand("results/run/part-{i}.txt", i=range(2))
    output: "results/run/report.html"
    message: "write the report"
    shell: "touch {output}"
"""
CONFIG = """
datasets:
  a:
    source: simulate
    targets: [{name: x, phantom: c1, diameter_A: 100}]
matrix:
  - datasets: [a]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a user's own with a configuration; the repository is a small one beside it."""
    repository = tmp_path / "repository"
    (repository / "workflow" / "rules").mkdir(parents=True)
    (repository / "Snakefile").write_text(SNAKEFILE)
    shutil.copytree(workflow.repository() / "profiles", repository / "profiles")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "vitreous.yaml").write_text(CONFIG)
    monkeypatch.setattr(workflow, "repository", lambda: repository)
    monkeypatch.chdir(mine)
    return mine


def test_a_run_says_each_job_then_the_report_and_a_second_has_nothing_to_do(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "vitreous.yaml", "--cores", "1"]) == 0
    said = capsys.readouterr().out
    assert "3 jobs: part 2, report 1" in said
    assert "[3 of 3, 100 %] write the report" in said
    assert said.splitlines()[-1] == "report: results/run/report.html"
    log = folder / "results" / "run" / "logs" / "snakemake.log"
    written = log.read_text()
    assert "Job stats" in written
    assert main(["run", "vitreous.yaml"]) == 0
    assert "nothing to do: results/run/report.html is up to date" in capsys.readouterr().out
    assert log.read_text() == written


def test_a_failed_job_is_named_with_its_reason_and_its_log(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad").touch()
    assert main(["run", "vitreous.yaml"]) == 1
    said = capsys.readouterr().out
    assert "failed: make part 0 (rule part)" in said
    assert "why: a.mrc: truncated; fetch it again" in said
    assert "log: results/run/logs/part-0.log" in said
    assert "Traceback" not in said


def test_a_dry_run_shows_the_jobs_and_makes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "vitreous.yaml", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "would run:" in said
    assert "part          2" in said
    assert not (folder / "results").exists()


def test_an_interrupt_ends_snakemake_and_its_jobs(folder: Path) -> None:
    (folder / "slow").touch()
    program = (
        "import sys; from pathlib import Path; "
        "from vitreous.cli import workflow; from vitreous.cli.main import main; "
        f"workflow.repository = lambda: Path({str(folder.parent / 'repository')!r}); sys.exit(main())"
    )
    command = [sys.executable, "-c", program, "run", "vitreous.yaml"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (folder / "begun").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        owner = json.loads((folder / ".snakemake" / "vitreous-run.json").read_text())
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run again to go on" in errors
    assert not Path(f"/proc/{owner['snakemake'][0]}").exists()


def test_a_lock_left_by_a_killed_run_is_removed(folder: Path) -> None:
    run = open_run(Path("vitreous.yaml"))
    lock = folder / ".snakemake" / "locks" / "0.input.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    record = folder / ".snakemake" / "vitreous-run.json"
    gone = [os.getpid(), "1"]
    record.write_text(json.dumps({"host": os.uname().nodename, "run": gone, "snakemake": gone}))
    workflow.clear_stale_lock(run)
    assert not lock.exists()


def test_a_second_run_in_the_same_folder_is_refused(folder: Path) -> None:
    run = open_run(Path("vitreous.yaml"))
    record = folder / ".snakemake" / "vitreous-run.json"
    record.parent.mkdir()
    alive = [os.getpid(), workflow._began(os.getpid())]
    record.write_text(json.dumps({"host": os.uname().nodename, "run": alive, "snakemake": alive}))
    with pytest.raises(StageError, match="another run is at work"):
        workflow.clear_stale_lock(run)


def test_a_lock_of_another_host_is_left_to_snakemake(folder: Path) -> None:
    run = open_run(Path("vitreous.yaml"))
    lock = folder / ".snakemake" / "locks" / "0.input.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    record = folder / ".snakemake" / "vitreous-run.json"
    record.write_text(json.dumps({"host": "elsewhere", "run": [1, "1"], "snakemake": [1, "1"]}))
    workflow.clear_stale_lock(run)
    assert lock.exists()


def test_a_configuration_of_ones_own_runs_in_its_own_folder(folder: Path) -> None:
    run = open_run(Path("vitreous.yaml"))
    assert run.directory == folder
    assert run.report == folder / "results" / "run" / "report.html"


def test_a_configuration_of_the_repository_runs_in_its_root(folder: Path) -> None:
    root = workflow.repository()
    (root / "config").mkdir()
    (root / "config" / "x.yaml").write_text("results_root: ../results\n" + CONFIG)
    run = open_run(root / "config" / "x.yaml")
    assert run.directory == root
    assert run.folder == root / "results" / "run"


def test_the_command_line_of_snakemake_names_profile_cores_gpus_and_device(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2")
    run = open_run(Path("vitreous.yaml"))
    local = " ".join(snakemake_command(run, "local", 4, None, ["report"]))
    assert "--resources gpu=2 " in local
    # A target may follow: the last option takes one value.
    assert local.endswith("profiles/local --cores 4 report")
    on_cpu = " ".join(snakemake_command(run, "local", 4, "cpu", []))
    assert f"--configfile {run.file} --config compute={{device: cpu}} --resources gpu=0" in on_cpu
    cluster = " ".join(snakemake_command(run, "cluster", 4, None, []))
    assert cluster.endswith("profiles/cluster --local-cores 4")
    assert "--resources" not in cluster


def test_an_unknown_profile_is_refused(folder: Path) -> None:
    with pytest.raises(SettingsError, match="no such profile"):
        snakemake_command(open_run(Path("vitreous.yaml")), "moon", 1, None, [])


def test_a_gpu_that_is_not_there_is_never_replaced_silently(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert main(["run", "vitreous.yaml", "--device", "cuda"]) == 1
    assert "a GPU was asked for and none is there" in capsys.readouterr().err


def test_an_installation_without_the_workflow_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflow.vitreous, "__file__", str(tmp_path / "lib" / "vitreous" / "__init__.py"))
    with pytest.raises(MissingToolError, match="clone the repository"):
        workflow.repository()
