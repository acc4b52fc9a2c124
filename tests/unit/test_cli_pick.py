"""`vitreous pick`: pictures, forms for other programs, and the models it works with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from shared import ROOT

from vitreous.cli.main import main
from vitreous.io.coordinates import read_coordinates
from vitreous.io.micrograph import read_micrograph
from vitreous.io.mrc import write_image
from vitreous.io.picks import read_picks
from vitreous.metrics.pick_matching import match
from vitreous.report.overlay_pictures import PICKED, write_overlay

SIZE = ["--pixel-size-A", "4", "--diameter-A", "120", "--device", "cpu", "--threads", "1"]
CENTRES = np.array([[60, 60], [190, 70], [70, 180], [190, 190], [130, 125], [60, 118], [128, 60], [192, 130]])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two micrographs with the same eight dark discs of 30 px."""
    monkeypatch.chdir(tmp_path)
    y, x = np.mgrid[:256, :260]
    discs = sum((np.hypot(x - cx, y - cy) < 15).astype(np.float32) for cx, cy in CENTRES)
    random = np.random.default_rng(3)
    for name in ("a", "b"):
        write_image(
            Path("mics") / f"{name}.mrc", (random.normal(size=(256, 260)) - discs).astype(np.float32), 4.0
        )
    return tmp_path


@pytest.mark.parametrize(("form", "kind"), [("box", "box"), ("cbox", "cbox"), ("relion", "star")])
def test_picks_in_another_programs_form_are_the_same_picks(here: Path, form: str, kind: str) -> None:
    options = ["mics", *SIZE, "--picker", "blob"]
    assert main(["pick", *options, "--out", "picks.star"]) == 0
    assert main(["pick", *options, "--out", form, "--form", form]) == 0
    ending = {"relion": "a_autopick.star"}.get(form, f"a.{form}")
    read = read_coordinates(here / form / ending, kind=kind)
    ours = read_picks("picks.star")
    ours = ours[ours["micrograph"].str.endswith("a.mrc")]
    # box corners are written with all digits
    assert np.allclose(read[["x", "y"]], ours[["x", "y"]], atol=1e-6)


def test_inverted_contrast_is_found_in_the_micrographs(here: Path) -> None:
    for path in Path("mics").glob("*.mrc"):
        write_image(Path("inverted") / path.name, -read_micrograph(path), 4.0)
    options = [*SIZE, "--picker", "blob"]
    assert main(["pick", "mics", *options, "--out", "dark.star"]) == 0
    assert main(["pick", "inverted", *options, "--contrast", "auto", "--out", "found.star"]) == 0
    dark, found = (read_picks(name)[["x", "y"]].to_numpy(float) for name in ("dark.star", "found.star"))
    assert len(dark) >= 14 and np.allclose(dark, found, atol=1e-3)


def test_overlay_draws_a_circle_about_each_pick_and_leaves_the_rest_grey(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(300, 400)).astype(np.float32)
    write_overlay(tmp_path / "seen.png", noise, np.array([[100.0, 200.0]]), 60)
    drawn = np.asarray(Image.open(tmp_path / "seen.png"))
    rows, columns = np.nonzero((drawn == PICKED).all(axis=2))
    distance = np.hypot(columns - 100, rows - 200)
    assert drawn.shape == (300, 400, 3)
    # a line of two px about the radius
    assert len(rows) > 150 and abs(distance - 30).max() < 3


def test_overlays_of_all_micrographs_are_written(here: Path) -> None:
    assert main(["pick", "mics", *SIZE, "--picker", "blob", "--overlay", "seen"]) == 0
    assert sorted(path.name for path in Path("seen").iterdir()) == ["a.png", "b.png"]


def test_a_model_trained_on_the_micrographs_is_saved_and_picks_again(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["mics", *SIZE, "--picker", "template"]
    assert main(["pick", *options, "--train", "--save-model", "mine.pt", "--out", "first.star"]) == 0
    assert "training on 2 micrographs" in capsys.readouterr().out
    assert main(["pick", *options, "--model", "mine.pt", "--out", "again.star"]) == 0
    assert Path("first.star").read_bytes() == Path("again.star").read_bytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--picker", "blob", "--train"], "not trained"),
        (["--picker", "template", "--train", "--model", "x.pt"], "either given or trained"),
        (["--picker", "blob", "--save-model", "x.pt"], "nothing is trained"),
        (["--picker", "blob", "--out", "picks.xyz"], "not known by its ending"),
    ],
)
def test_options_that_contradict_each_other_are_refused_in_words(
    here: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert main(["pick", "mics", *SIZE, *options]) == 1
    assert said in capsys.readouterr().err


def test_the_model_that_comes_along_picks_real_micrographs_in_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sample = ROOT / "resources" / "empiar-10146-sample"
    size = ["--pixel-size-A", "1.5", "--diameter-A", "130", "--device", "cpu", "--threads", "1"]
    assert main(["pick", str(sample / "micrographs"), *size]) == 0
    assert "the encoder that comes along" in capsys.readouterr().out
    picks = read_picks("picks.star")
    truth = pd.concat(
        [read_coordinates(path, kind="csv") for path in sorted((sample / "coords").glob("*.csv"))]
    )
    hits = 0
    for name, own in picks.groupby("micrograph"):
        reference = read_coordinates(sample / "coords" / f"{Path(str(name)).stem}.csv", kind="csv")
        hits += len(match(reference[["x", "y"]].to_numpy(float), own[["x", "y"]].to_numpy(float), 43.0))
    # the two are of the easier ones; the model has seen these pixels, but no coordinate
    assert 2 * hits / (len(picks) + len(truth)) > 0.9
