from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vitreous.cli.main import main
from vitreous.io.mrc import write_image
from vitreous.io.picks import write_picks


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_image("good.mrc", np.arange(64, dtype=np.float32).reshape(8, 8), 2.0)
    Path("cut.mrc").write_bytes(Path("good.mrc").read_bytes()[:-10])
    picks = pd.DataFrame(
        {"micrograph": ["good.mrc"] * 2, "x": [1.0, 5.0], "y": [2.0, 6.0], "score": [0.2, 0.9]}
    )
    write_picks("picks.star", picks)
    Path("vitreous.yaml").write_text(
        "datasets:\n  a:\n    source: simulate\n    targets: [{name: x, phantom: c1, diameter_A: 100}]\n"
        "matrix:\n  - datasets: [a]\n"
    )
    return tmp_path


def test_check_says_what_a_good_file_is(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "good.mrc", "picks.star"]) == 0
    said = capsys.readouterr().out
    assert "good.mrc: MRC image\n  8 x 8" in said
    assert "2 of 2 files without fault" in said


def test_check_ends_with_status_1_on_a_fault_and_goes_on_past_it(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "cut.mrc", "good.mrc"]) == 1
    said = capsys.readouterr().out
    assert "  fault: " in said
    assert "good.mrc: MRC image" in said
    assert said.count("cut.mrc") == 1


def test_check_tells_a_remark_and_counts_no_fault(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = bytearray(Path("good.mrc").read_bytes())
    written[104:108] = b"CCP4"  # the letters of an extended header that is not there
    written[208:212] = b"XXXX"  # not the letters MAP
    Path("odd.mrc").write_bytes(written)
    assert main(["check", "odd.mrc", "good.mrc"]) == 0
    said = capsys.readouterr().out
    assert "  remark: " in said
    assert said.count("odd.mrc") == 1
    assert "2 of 2 files without fault" in said


def test_check_knows_configurations_and_says_their_faults(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "vitreous.yaml"]) == 0
    assert "data set 'a' (simulate)" in capsys.readouterr().out
    Path("vitreous.yaml").write_text("datasets: {}\n")
    assert main(["check", "vitreous.yaml"]) == 1
    assert "fault: (top): nothing is wanted" in capsys.readouterr().out


def test_check_of_a_folder_that_is_no_data_set_is_a_fault(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "."]) == 1
    assert "dataset.json" in capsys.readouterr().out


def test_convert_counts_what_it_read_left_out_and_wrote(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", "picks.star", "picks.csv", "--min-score", "0.5"]) == 0
    said = capsys.readouterr().out
    assert "2 picks of 1 micrograph read" in said
    assert "1 below 0.5 left out" in said
    assert len(pd.read_csv("picks.csv")) == 1


def test_convert_never_writes_over_unasked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("good.mrc").read_bytes()
    assert main(["convert", "picks.star", "good.mrc"]) == 1
    assert "--force" in capsys.readouterr().err
    assert Path("good.mrc").read_bytes() == before
