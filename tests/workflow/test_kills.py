"""A workflow that is killed goes on where it stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from workspace import Workspace, smallest


def _simulation_of_many(folder: Path) -> Workspace:
    config = smallest()
    simulated = config["datasets"]["simulated"] | {"batches": 1, "micrographs": 12, "shape": [768, 768]}
    config["datasets"] = {"simulated": simulated}
    config["pickers"] = {"log": config["pickers"]["log"]}
    config["matrix"] = [{"datasets": ["simulated"], "pickers": ["log"]}]
    return Workspace(folder, {key: config[key] for key in config if key not in ("models", "engines", "ctf")})


def _children(pid: int) -> list[int]:
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True
    ).stdout.split()
    return [int(child) for child in found] + [further for child in found for further in _children(int(child))]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_finished_work_of_a_killed_run_is_kept(tmp_path: Path, number: signal.Signals) -> None:
    workspace = _simulation_of_many(tmp_path)
    images = tmp_path / "datasets/simulated/micrographs"
    command = [sys.executable, "-m", "vitreous.cli.main", "run", str(workspace.config)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(images.glob("m*.mrc"))) < 3:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    for pid in [*reversed(_children(process.pid)), process.pid]:
        os.kill(pid, number)
    process.wait(60)
    before = {path.name: path.stat().st_mtime_ns for path in images.glob("m*.mrc")}
    assert 3 <= len(before) < 12
    again = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "report: " in again.stdout
    kept = [name for name, stamp in before.items() if (images / name).stat().st_mtime_ns == stamp]
    assert len(kept) >= len(before) - 1
    assert len(list(images.glob("m*.mrc"))) == 12
    assert not list(images.glob(".*"))
