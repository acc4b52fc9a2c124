"""`vitreous plant`, `multitarget` and `train-prior` on small images with a known answer."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch

from vitreous.cli.main import main
from vitreous.io.mrc import read_image, write_image, write_stack
from vitreous.io.picks import read_picks
from vitreous.metrics.image_errors import aligned_error

QUIET = ["--device", "cpu", "--threads", "1"]


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """Ten pixels a side without symmetry, in `image.mrc`; the working directory is new."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(3).random((10, 10)).astype(np.float32)
    write_image("image.mrc", pixels, 2.0)
    return torch.from_numpy(pixels)


def _said(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_a_planted_image_is_found_with_its_places(
    image: torch.Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plant", "image.mrc", "--snr", "2", "--out", "m.mrc", "--truth", "truth.star"]) == 0
    assert read_image("m.mrc").shape == (110, 110)
    args = ["multitarget", "m.mrc", "--size", "10", "--snr", "2", "--poses", "found.star", "--out", "e.mrc"]
    assert main([*args, "--history", "steps.mrcs", *QUIET]) == 0
    said = _said(capsys)
    assert "12 told with certainty" in said and "written: e.mrc" in said
    estimate = torch.tensor(read_image("e.mrc"))[None]
    # known poses leave 1 / sqrt(12 x 2) = 0.20
    assert float(aligned_error(estimate, image, 4, max_shift_px=2).error) < 0.3
    truth, found = (read_picks(name)[["x", "y"]].to_numpy() for name in ("truth.star", "found.star"))
    distance = np.abs(truth[:, None] - found[None]).max(axis=2).min(axis=1)
    assert (distance <= 2).all()
    assert Path("steps.mrcs").stat().st_size > 10 * 400


def test_noise_alone_gives_an_empty_image_and_says_so(
    image: torch.Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(5).normal(size=(110, 110)).astype(np.float32)
    write_image("noise.mrc", noise, 2.0)
    args = [
        "multitarget",
        "noise.mrc",
        "--size",
        "10",
        "--sigma",
        "1",
        "--poses",
        "none.star",
        "--out",
        "e.mrc",
    ]
    assert main([*args, *QUIET]) == 0
    assert "nothing is claimed" in _said(capsys)
    assert not read_image("e.mrc").any() and len(read_picks("none.star")) == 0
    assert main([*args, "--no-test", "--force", *QUIET]) == 0
    assert read_image("e.mrc").any()


def test_a_prior_is_trained_on_a_stack_and_used(
    image: torch.Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(7)
    images = random.random((64, 1, 1)) * image.numpy() + 0.1 * random.random((64, 10, 10))
    write_stack("others.mrcs", images.astype(np.float32), 2.0)
    assert main(["train-prior", "others.mrcs", "--preset", "minimal", "--out", "prior.pt", *QUIET]) == 0
    assert main(["plant", "image.mrc", "--snr", "1", "--out", "m.mrc"]) == 0
    args = ["multitarget", "m.mrc", "--size", "10", "--snr", "1", "--prior", "prior.pt", "--out", "e.mrc"]
    assert main([*args, *QUIET]) == 0
    assert read_image("e.mrc").shape == (10, 10)
    capsys.readouterr()
    assert main([*args, "--size", "11", "--force", *QUIET]) == 1
    assert "images of another size (found 10 px, expected 11 px)" in _said(capsys)


@pytest.mark.parametrize(
    ("pixels", "options", "said"),
    [
        (
            "noise",
            ["--size", "100"],
            "too small for the image (found 110 x 110 px, expected at least 200 px)",
        ),
        ("noise", ["--size", "10", "--snr", "0"], "--snr: must be a positive number (found 0.0)"),
        ("noise", ["--size", "10", "--snr", "1", "--sigma", "1"], "the noise is said twice"),
        ("noise", ["--size", "12", "--e-step", "patch"], "expected 108 or 120 px"),
        ("offset", ["--size", "10"], "the background is not at zero"),
        ("constant", ["--size", "10"], "the measurement is constant (found 3.0)"),
        ("nan", ["--size", "10"], "NaN"),
        ("noise", ["--size", "10", "--start", "wrong.mrc"], "the start has another size"),
    ],
)
def test_bad_measurements_and_options_are_said_in_one_line(
    image: torch.Tensor, pixels: str, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(5).normal(size=(110, 110)).astype(np.float32)
    values = {"noise": noise, "offset": noise + 50, "constant": 0 * noise + 3, "nan": noise}
    write_image("m.mrc", values[pixels], 2.0)
    if pixels == "nan":  # our own writer refuses it
        with mrcfile.open("m.mrc", mode="r+") as stored:
            stored.data[4, 5] = np.nan
    write_image("wrong.mrc", noise[:7, :7], 2.0)
    assert main(["multitarget", "m.mrc", *options, *QUIET]) == 1
    text = _said(capsys)
    assert said in text and "Traceback" not in text


def test_a_density_that_cannot_be_placed_and_an_image_that_is_not_square_are_refused(
    image: torch.Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plant", "image.mrc", "--snr", "1", "--density", "0.6"]) == 1
    assert "so many targets do not fit" in _said(capsys)
    write_image("flat.mrc", np.ones((6, 9), np.float32), 2.0)
    assert main(["plant", "flat.mrc", "--snr", "1"]) == 1
    assert "not square (found 9 x 6 px" in _said(capsys)
    assert main(["plant", "image.mrc", "--snr", "-1"]) == 1
    assert "must be a positive number" in _said(capsys)
    assert main(["plant", "image.mrc", "--snr", "1", "--index", "4"]) == 1
    assert "no such image" in _said(capsys)
