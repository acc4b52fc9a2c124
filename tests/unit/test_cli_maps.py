from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vitreous.cli.main import main
from vitreous.io.mrc import write_volume


@pytest.fixture
def halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two halves that share a smooth blob and have noise of their own."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(1)
    axis = np.arange(24) - 12
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    blob = 20 * np.exp(-(x**2 + y**2 + (z - 2) ** 2) / 18)
    for name in ("half1.mrc", "half2.mrc"):
        write_volume(name, (blob + random.normal(size=blob.shape)).astype(np.float32), 3.0)
    write_volume("mask.mrc", (x**2 + y**2 + z**2 < 64).astype(np.float32), 3.0)
    return tmp_path


def test_fsc_prints_a_table_of_resolutions_and_writes_the_curves(
    halves: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fsc", "half1.mrc", "half2.mrc", "--out", "fsc.csv", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "box 24 px of 3 Å, Nyquist 6.00 Å" in said
    rows = {line.split()[0]: line for line in said.splitlines() if line and not line.startswith(" ")}
    assert {"unmasked", "masked", "corrected"} <= set(rows)
    assert "Å" in rows["corrected"]
    table = pd.read_csv("fsc.csv")
    assert list(table)[:3] == ["shell", "resolution_A", "unmasked"]
    assert len(table) == 13


def test_fsc_takes_a_mask_and_a_pixel_size(halves: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fsc", "half1.mrc", "half2.mrc", "--mask", "mask.mrc", "--device", "cpu"]) == 0
    masked = capsys.readouterr().out
    assert main(["fsc", "half1.mrc", "half2.mrc", "--diameter-A", "30", "--device", "cpu"]) == 0
    assert capsys.readouterr().out != masked


def test_identical_halves_are_better_than_nyquist(halves: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fsc", "half1.mrc", "half1.mrc", "--device", "cpu"]) == 0
    assert "≤ 6.00 Å" in capsys.readouterr().out
