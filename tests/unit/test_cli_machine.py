from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from vitreous.cli import doctor, machine
from vitreous.cli.known_answers import QUESTIONS, Answer
from vitreous.cli.main import main


def test_doctor_shows_every_part_and_says_how_to_get_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    for part in (
        "Python",
        "torch",
        "cores",
        "memory",
        "disk, here",
        "disk, results",
        "RELION",
        "Slurm",
        "Topaz",
    ):
        assert part in said
    assert "apt-get install relion" in said
    assert "--profile cluster" in said


def test_doctor_warns_of_a_disk_that_is_nearly_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = doctor.shutil.disk_usage(tmp_path)._replace(free=10**9)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    disks = [found for found in doctor._machine(tmp_path / "not" / "yet") if found.what.startswith("disk")]
    assert all(found.advice and "results_root" in found.advice for found in disks)


def test_the_version_of_relion_is_read_from_what_it_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/opt/{name}")
    monkeypatch.setattr(doctor, "_output", lambda command: "RELION version: 3.1.3 \nPrecision: BASE=double\n")
    assert doctor._relion().found == "3.1.3, /opt/relion_refine"


def test_gpus_are_counted_as_cuda_visible_devices_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, count in (("", 0), ("-1", 0), ("0", 1), ("1,3", 2)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
        assert machine.gpu_count() == count


def test_gpus_are_counted_by_nvidia_smi_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine.shutil, "which", lambda name: "/bin/nvidia-smi")
    listed = subprocess.CompletedProcess(
        [], 0, "GPU 0: NVIDIA H200 (UUID: x)\nGPU 1: NVIDIA H200 (UUID: y)\n", ""
    )
    monkeypatch.setattr(machine.subprocess, "run", lambda *args, **kwargs: listed)
    assert machine.gpu_count() == 2
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    assert machine.gpu_count() == 0


def test_the_selftest_gives_every_known_answer_and_remembers_its_seconds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["selftest", "--device", "cpu", "--threads", "1"]) == 0
    assert f"{len(QUESTIONS)} of {len(QUESTIONS)} right" in capsys.readouterr().out
    assert (tmp_path / "vitreous" / "selftest.json").exists()
    monkeypatch.setattr(
        "vitreous.cli.known_answers.QUESTIONS",
        {next(iter(QUESTIONS)): lambda runtime: Answer("1", "1", True)},
    )
    assert main(["selftest", "--device", "cpu", "--threads", "1"]) == 0
    assert "last time" in capsys.readouterr().out


def test_a_wrong_answer_of_the_selftest_ends_with_status_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(
        "vitreous.cli.known_answers.QUESTIONS", {"one": lambda runtime: Answer("2", "1", False)}
    )
    assert main(["selftest", "--device", "cpu"]) == 1
    assert "WRONG  one: 2 (expected 1)" in capsys.readouterr().out
