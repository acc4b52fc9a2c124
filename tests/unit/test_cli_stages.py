"""The commands of single stages, on micrographs of dark discs in noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vitreous.cli.main import main
from vitreous.io.dataset import Dataset
from vitreous.io.mrc import open_stack, write_image
from vitreous.io.picks import read_picks, write_picks
from vitreous.io.star import read_star
from vitreous.runtime.device import Runtime

CENTRES = np.array([[60, 60], [190, 70], [70, 180], [190, 190]])
SIZE = ["--pixel-size-A", "4", "--diameter-A", "120"]
BLOB = ["--picker", "blob"]
ON_CPU = ["--device", "cpu", "--threads", "1"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two micrographs with the same four discs of 30 px."""
    monkeypatch.chdir(tmp_path)
    y, x = np.mgrid[:256, :256]
    discs = sum((np.hypot(x - cx, y - cy) < 15).astype(np.float32) for cx, cy in CENTRES)
    random = np.random.default_rng(3)
    for name in ("a", "b"):
        image = random.normal(size=(256, 256)).astype(np.float32) - discs
        write_image(tmp_path / "mics" / f"{name}.mrc", image, 4.0)
    return tmp_path


def test_pick_finds_the_discs_and_names_the_users_own_files(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pick", "mics", *SIZE, *ON_CPU, *BLOB, "--out", "out/picks.star"]) == 0
    picks = read_picks("out/picks.star")
    assert set(picks["micrograph"]) == {"../mics/a.mrc", "../mics/b.mrc"}
    found = picks[picks["micrograph"] == "../mics/a.mrc"][["x", "y"]].to_numpy()
    distances = np.linalg.norm(found[:, None] - CENTRES, axis=2)
    # A disc of 30 px in noise as strong as itself is located to a fraction of its radius.
    assert (distances.min(axis=0) < 4).all()
    assert "picks in 2 micrographs" in capsys.readouterr().out
    assert [path.name for path in (here / "out").iterdir()] == ["picks.star"]


def test_a_threshold_that_nothing_reaches_gives_an_empty_valid_file(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["pick", "mics/a.mrc", *SIZE, *ON_CPU, *BLOB, "--threshold", "1e6", "--out", "none.star"]) == 0
    )
    assert len(read_picks("none.star")) == 0
    assert "0 picks in 1 micrograph" in capsys.readouterr().out


def test_one_bad_micrograph_of_two_is_named_and_the_other_picked(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mics/b.mrc").write_bytes(Path("mics/b.mrc").read_bytes()[:5000])
    assert main(["pick", "mics", *SIZE, *ON_CPU, *BLOB, "--out", "picks.csv"]) == 0
    assert set(pd.read_csv("picks.csv")["micrograph"]) == {"mics/a.mrc"}
    assert "b.mrc" in capsys.readouterr().err


def test_a_header_that_disagrees_names_the_option_that_says_which_is_right(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = ["--pixel-size-A", "2", "--diameter-A", "120", *ON_CPU]
    assert main(["pick", "mics", *half]) == 1
    assert "--trust settings or --trust header" in capsys.readouterr().err
    assert main(["pick", "mics", *half, *BLOB, "--trust", "header"]) == 0
    by_header = read_picks("picks.star")
    assert main(["pick", "mics", *SIZE, *ON_CPU, *BLOB, "--out", "as-stated.star"]) == 0
    pd.testing.assert_frame_equal(by_header, read_picks("as-stated.star"))


def test_messages_of_stages_name_the_users_files_and_options(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = np.zeros((256, 256), np.float32)
    write_image("mics/b.mrc", image, 4.0)  # constant: its header is good, its pixels are not
    assert main(["pick", "mics", *SIZE, *ON_CPU, *BLOB, "--max-failed-share", "0"]) == 1
    said = capsys.readouterr().err
    assert "left out mics/b.mrc: constant image" in said
    last = said.splitlines()[-1]
    assert last.startswith("error: 1 of 2 micrographs failed (found mics/b.mrc: constant image")
    assert "--max-failed-share" in last
    assert ".vitreous" not in said
    assert "compute." not in said
    assert main(["pick", "mics", *SIZE, *ON_CPU, *BLOB]) == 0
    said = capsys.readouterr().out
    assert "in 1 micrograph, threshold" in said
    assert "1 of 2 micrographs left out" in said


def test_a_picker_without_a_model_learns_from_the_micrographs_and_says_so(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pick", "mics", *SIZE, *ON_CPU, "--picker", "template"]) == 0
    assert "training on 2 micrographs" in capsys.readouterr().out


def test_ctf_of_micrographs_without_rings_is_marked_as_failed(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    optics = ["--voltage-kv", "300", "--cs-mm", "2.7", "--amplitude-contrast", "0.1"]
    assert main(["ctf", "mics", "--pixel-size-A", "4", *optics, *ON_CPU, "--min-quality", "0.95"]) == 0
    said = capsys.readouterr().out
    assert "mics/a.mrc  FAILED" in said
    assert "2 of 2 failed" in said
    table = read_star("ctf.star")["micrographs"]
    assert list(table["rlnMicrographName"]) == ["mics/a.mrc", "mics/b.mrc"]
    assert not Path("ctf.star.work").exists()


def test_extract_cuts_a_box_for_each_pick_and_counts_the_rest(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = [*CENTRES, (2, 2)]
    rows = [{"micrograph": f"elsewhere/{name}.mrc", "x": x, "y": y} for name in "ab" for x, y in points]
    write_picks("picks.star", pd.DataFrame([*rows, {"micrograph": "c.mrc", "x": 1.0, "y": 1.0}]))
    assert main(["extract", "mics", "--picks", "picks.star", *SIZE, "--box-px", "48", *ON_CPU]) == 0
    said = capsys.readouterr().out
    assert "1 pick of other micrographs left out" in said
    assert "8 particles: particles/particles.star" in said
    table = read_star("particles/particles.star")["particles"]
    assert set(table["rlnMicrographName"]) == {"../mics/a.mrc", "../mics/b.mrc"}
    stack = open_stack("particles/stacks/a.mrcs")
    assert stack.shape == (4, 48, 48)
    # Dark in the micrograph, bright as a particle.
    assert stack[0][20:28, 20:28].mean() > 0.5


def test_simulate_pick_chain_knows_what_it_made(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [
        "--micrographs",
        "1",
        "--size-px",
        "128",
        "--pixel-size-A",
        "6",
        "--count",
        "3",
        "--snr",
        "0.5",
    ]
    assert main(["simulate", "--out", "made", *options, *ON_CPU]) == 0
    said = capsys.readouterr().out
    assert "1 micrograph with" in said
    assert "next: vitreous pick made/micrographs --pixel-size-A 6 --diameter-A 150" in said
    assert Dataset("made").info.targets[0].symmetry == "D2"
    assert main(["simulate", "--out", "made", *options]) == 1
    assert "--force" in capsys.readouterr().err


def test_particles_of_simulated_micrographs_take_the_poses_that_are_given(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ["--pixel-size-A", "6"]
    assert main(["simulate", "--micrographs", "1", "--size-px", "256", *size, "--count", "4", *ON_CPU]) == 0
    made = next(path.parent for path in here.glob("*/dataset.json"))
    images, truth = str(made / "micrographs"), made / "truth"
    options = ["--picks", str(truth / "picks.star"), *size, "--diameter-A", "150", *ON_CPU]
    capsys.readouterr()
    assert main(["extract", images, *options, "--poses", str(truth / "particles.star")]) == 0
    assert "not linked" not in capsys.readouterr().err
    found = read_star("particles/particles.star")["particles"]
    known = read_star(truth / "particles.star")["particles"]
    assert len(found)
    assert set(found["rlnAngleTilt"].round(3)) <= set(known["rlnAngleTilt"].round(3))


def test_reconstruct_makes_half_maps_that_fsc_reads(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from vitreous.simulate.settings import ParticlesSettings, TargetSettings
    from vitreous.simulate.stages import simulate_particles

    target = TargetSettings(name="x", phantom="c4", diameter_A=100.0)
    settings = ParticlesSettings(targets=[target], particles=60, box_px=32, pixel_size_A=5.0, snr=2.0)
    simulate_particles(settings, here / "particles.star", Runtime())
    assert main(["reconstruct", "particles.star", "--symmetry", "C4", *ON_CPU]) == 0
    said = capsys.readouterr().out
    assert "map of 60 of 60 particles, symmetry C4, 32 px of 5 Å" in said
    assert main(["fsc", "maps/half1.mrc", "maps/half2.mrc", *ON_CPU]) == 0
    assert "Nyquist 10.00 Å" in capsys.readouterr().out
