"""Two processes on this machine train what one does."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vitreous.picking.emmae.settings import EmmaeSettings
from vitreous.picking.emmae.training import train_autoencoder
from vitreous.picking.emmae.windows import Picture
from vitreous.runtime.device import Runtime

SCRIPT = """
import os
import sys
from pathlib import Path

import numpy as np
import torch

from vitreous.picking.emmae.settings import EmmaeSettings
from vitreous.picking.emmae.training import train_autoencoder
from vitreous.picking.emmae.windows import Picture
from vitreous.runtime.device import Runtime

rng = np.random.default_rng(0)
picture = Picture(rng.integers(0, 256, (100, 150), dtype=np.uint8))
settings = EmmaeSettings.model_validate({
    "network": {"width": 16, "depth": 1, "decoder_width": 16},
    "training": {"epochs": 3, "epoch_windows": 24, "batch": 8, "precision": "fp32"},
})
trained = train_autoencoder([picture], settings, Runtime(seed=4))
torch.save({"state": trained.state, "log": trained.log}, sys.argv[1] + os.environ.get("RANK", ""))
"""


@pytest.mark.slow
def test_two_processes_of_torchrun_train_the_network_that_one_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    monkeypatch.setattr(sys, "argv", ["train.py", str(tmp_path / "one")])
    runpy.run_path(str(script))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*torchrun, str(script), str(tmp_path / "two-")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    one, first, second = (torch.load(tmp_path / name) for name in ("one", "two-0", "two-1"))
    for name, value in one["state"].items():
        assert torch.equal(first["state"][name], second["state"][name])
        # Equal but for the order of float32 sums, which Adam enlarges where a gradient is nearly zero.
        torch.testing.assert_close(first["state"][name], value, rtol=1e-3, atol=1e-4)
    for alone, shared in zip(one["log"], first["log"], strict=True):
        assert shared["windows"] == alone["windows"]
        assert shared["loss"] == pytest.approx(alone["loss"], rel=1e-4)


@pytest.mark.slow
def test_a_training_with_two_processes_starts_them_itself_and_equals_one(tmp_path: Path) -> None:
    picture = Picture(np.random.default_rng(0).integers(0, 256, (100, 150), dtype=np.uint8))
    settings = EmmaeSettings.model_validate(
        {
            "network": {"width": 16, "depth": 1, "decoder_width": 16},
            "training": {"epochs": 2, "epoch_windows": 24, "batch": 8, "precision": "fp32"},
        }
    )
    one = train_autoencoder([picture], settings, Runtime(seed=4))
    two = train_autoencoder([picture], settings, Runtime(seed=4, processes=2), tmp_path)
    for name, value in one.state.items():
        # equal but for the order of float32 sums
        torch.testing.assert_close(two.state[name], value, rtol=1e-3, atol=1e-4)
    assert [row["windows"] for row in two.log] == [row["windows"] for row in one.log]
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
