from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vitreous.cli.init import batches, label
from vitreous.cli.main import main
from vitreous.config.load import load_file
from vitreous.config.models import LocalDataset
from vitreous.io.mrc import write_image

OPTIONS = ["--pixel-size-A", "2", "--diameter-A", "50"]
OPTICS = ["--voltage-kv", "300", "--cs-mm", "2.7", "--amplitude-contrast", "0.1"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two micrographs in a folder whose name has a blank."""
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(0).normal(size=(64, 96)).astype(np.float32)
    for name in ("a.mrc", "b [1].mrc"):
        write_image(tmp_path / "my micrographs" / name, image, 2.0)
    return tmp_path


def dataset(path: Path) -> LocalDataset:
    (block,) = load_file(path).datasets.values()
    assert isinstance(block, LocalDataset)
    return block


def test_pixel_size_and_diameter_are_enough_for_a_valid_configuration(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "my micrographs", *OPTIONS]) == 0
    said = capsys.readouterr().out
    assert "2 of 96 x 64 px" in said
    assert "no CTF without --voltage-kv, --cs-mm, --amplitude-contrast" in said
    assert "next: vitreous run vitreous.yaml" in said
    config, block = load_file("vitreous.yaml"), dataset(here / "vitreous.yaml")
    assert config.run == "my-micrographs"
    assert (block.folder, block.micrographs, block.ctf) == ("my micrographs", ["*.mrc"], None)
    assert (block.targets[0].diameter_A, block.targets[0].symmetry) == (50.0, "C1")
    assert config.matrix[0].pickers == ["blob"]


def test_optics_bring_a_ctf_estimate(here: Path) -> None:
    assert main(["init", "my micrographs", *OPTIONS, *OPTICS, "--symmetry", "d2", "--out", "c/x.yaml"]) == 0
    config, block = load_file("c/x.yaml"), dataset(here / "c" / "x.yaml")
    assert (block.voltage_kv, block.ctf, block.targets[0].symmetry) == (300.0, "thon", "D2")
    assert config.matrix[0].ctf == ["thon"]
    assert Path(block.folder) == here / "my micrographs"


def test_single_files_are_named_one_by_one_with_their_odd_letters_escaped(here: Path) -> None:
    assert main(["init", "my micrographs/b [1].mrc", *OPTIONS]) == 0
    block = dataset(here / "vitreous.yaml")
    assert [path.name for path in (here / block.folder).glob(block.micrographs[0])] == ["b [1].mrc"]


def test_coordinates_beside_the_micrographs_are_found_from_a_common_folder(here: Path) -> None:
    (here / "picks").mkdir()
    (here / "picks" / "a.csv").write_text("x,y\n1,2\n")
    assert main(["init", "my micrographs", *OPTIONS, "--coordinates", "picks"]) == 0
    block = dataset(here / "vitreous.yaml")
    assert (block.folder, block.micrographs, block.coordinates) == (
        ".",
        ["my micrographs/*.mrc"],
        ["picks/*"],
    )


def test_a_header_that_disagrees_is_refused_until_the_user_says_which_is_right(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["init", "my micrographs", "--pixel-size-A", "1.5", "--diameter-A", "40"]
    assert main(options) == 1
    assert "--trust settings or --trust header" in capsys.readouterr().err
    assert not Path("vitreous.yaml").exists()
    assert main([*options, "--trust", "settings"]) == 0
    assert dataset(here / "vitreous.yaml").trust == "settings"


@pytest.mark.parametrize("diameter", ["11", "500"])
def test_a_diameter_that_does_not_fit_the_micrographs_is_refused(
    here: Path, diameter: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pixel = "5" if diameter == "11" else "2"
    options = ["--pixel-size-A", pixel, "--diameter-A", diameter, "--trust", "settings"]
    assert main(["init", "my micrographs", *options]) == 1
    assert "--diameter-A" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_taken(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "my micrographs" / "c.mrc").write_bytes(b"x" * 100)
    assert main(["init", "my micrographs", *OPTIONS]) == 0
    assert "cannot be read: " in capsys.readouterr().out


def test_a_symmetry_that_does_not_exist_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "my micrographs", *OPTIONS, "--symmetry", "Q7"]) == 1
    assert "Q7" in capsys.readouterr().err


def test_a_configuration_is_never_written_over_unasked(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("vitreous.yaml").write_text("mine: 1\n")
    assert main(["init", "my micrographs", *OPTIONS]) == 1
    assert "--force" in capsys.readouterr().err
    assert Path("vitreous.yaml").read_text() == "mine: 1\n"
    assert main(["init", "my micrographs", *OPTIONS, "--force"]) == 0


def test_names_become_valid_and_never_reserved() -> None:
    assert label("My Data_2!") == "my-data-2"
    assert label("raw") == "micrographs"
    assert label("…") == "micrographs"


def test_batches_hold_a_few_to_forty_micrographs() -> None:
    assert [batches(count) for count in (1, 2, 10, 40, 300, 1000, 9000)] == [1, 1, 3, 8, 8, 25, 99]
