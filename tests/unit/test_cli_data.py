from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from archive_trees import empiar_entry
from fake_archive import FakeArchive
from shared import shared
from workspace import ROOT

from vitreous.cli.main import main
from vitreous.io.dataset import Dataset


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[FakeArchive]:
    served = tmp_path / "served"
    empiar_entry(served)
    with FakeArchive(served) as archive:
        yield archive


def mirrors(archive: FakeArchive) -> list[str]:
    return [word for name, url in archive.mirrors.items() for word in ("--mirror", f"{name}={url}")]


def test_list_marks_what_nobody_verified_and_says_what_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list", "--paper", "002"]) == 0
    said = capsys.readouterr().out.splitlines()
    row = next(line for line in said if line.startswith("empiar-10017 "))
    assert "1.77" in row and "2?" in row and "CC0" in row
    assert not [line for line in said if line.startswith("cesped")]
    assert main(["data", "list", "--paper", "9"]) == 1


def test_an_entry_is_fetched_sized_listed_and_checked(
    archive: FakeArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = ["--root", str(tmp_path / "data")]
    assert main(["data", "fetch", "empiar-10017", "--count", "2", *root, *mirrors(archive)]) == 0
    assert "empiar-10017: 2 files in" in capsys.readouterr().out
    assert main(["data", "check", str(tmp_path / "data/empiar/10017")]) == 0
    assert "2 of 2 files good" in capsys.readouterr().out
    assert main(["data", "size", "empiar-10017", *root]) == 0
    assert "5.6 GB" in capsys.readouterr().out
    main(["data", "list", *root])
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("empiar-10017 "))
    assert " part " in row, "only two of its files were chosen"
    (tmp_path / "data/empiar/10017/data/grid square 0/mic_0.mrc").unlink()
    assert main(["data", "check", str(tmp_path / "data/empiar/10017")]) == 1
    said = capsys.readouterr()
    assert "mic_0.mrc: missing" in said.out and "1 of 2 files missing or damaged" in said.err


def test_a_configuration_says_what_is_fetched_and_imported(
    archive: FakeArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "my.yaml"
    dataset = {"source": "empiar", "entry": "10017", "pixel_size_A": 2.0}
    plain = {"datasets": {"falcon": dataset}, "network": {"mirrors": archive.mirrors}}
    config.write_text(yaml.safe_dump({**plain, "data_root": "data", "dataset_root": "sets"}))
    assert main(["data", "fetch", "--config", str(config)]) == 0
    assert main(["data", "import", "--config", str(config)]) == 0
    assert "EMPIAR, entry 10017" in capsys.readouterr().out
    assert len(Dataset(tmp_path / "sets/falcon").micrographs()) == 3
    assert main(["data", "fetch", "--config", str(config), "hawk"]) == 1
    assert main(["data", "fetch", "--config", str(config), "--count", "3"]) == 1
    assert main(["data", "import", "--config", str(config), "--name", "hawk"]) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data", "fetch"], "nothing to fetch is named"),
        (["data", "fetch", "empair-10017"], "no dataset of this name"),
        (["data", "fetch", "emdb-2660", "--count", "3"], "--count: not an option of emdb"),
        (["data", "fetch", "emdb-2660", "--part", "skin"], "--part: expected 'map', 'half-maps' or"),
        (["data", "fetch", "mnist", "--mirror", "mnist"], "--mirror: not a mirror"),
        (["data", "fetch", "mnist", "--mirror", "mnist=ftp://x"], "expected an address with http"),
        (
            ["data", "fetch", "emdb-2660", "--offline", "--root", "nowhere"],
            "nothing is known of it offline",
        ),
        (["data", "check", "nowhere"], "no manifest of fetched files"),
        (["data", "import", "nowhere"], "--pixel-size-A are needed"),
    ],
)
def test_a_wrong_word_is_answered_in_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert message in said[-1] and said[-1].startswith("error: ")


def test_a_killed_fetch_goes_on_where_it_stopped(tmp_path: Path) -> None:
    served = tmp_path / "served"
    (served / "plain").mkdir(parents=True)
    empiar_entry(served, count=1)
    big = served / "empiar/10017/data/grid square 0/mic_0.mrc"
    import numpy as np

    from vitreous.io.mrc import write_image

    write_image(big, np.random.default_rng(0).standard_normal((1500, 1000)), 2.0)
    with FakeArchive(served, rate=4_000_000) as archive:
        words = ["data", "fetch", "empiar-10017", "--root", str(tmp_path / "data"), *mirrors(archive)]
        command = [sys.executable, "-m", "vitreous.cli.main", *words]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        first = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        part = tmp_path / "data/empiar/10017/data/grid square 0/.mic_0.mrc.part"
        while not part.exists() or part.stat().st_size < 1_000_000:
            assert first.poll() is None
        first.kill()
        first.wait()
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        here = tmp_path / "data/empiar/10017/data/grid square 0/mic_0.mrc"
        assert here.read_bytes() == big.read_bytes()
        asked = [request for request in archive.log if request.path.endswith("mic_0.mrc")]
        assert asked[-1].status == 206 and asked[-1].first_byte >= 1_000_000 - 4096


def test_real_micrographs_of_a_folder_are_imported_with_all_checks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data", "import", str(shared("data/empiar-10146")), "--out", str(tmp_path / "ds")]
    globs = ["--micrographs", "micrographs/*.mrc", "--coordinates", "coords/*.csv"]
    optics = ["--pixel-size-A", "1.5", "--diameter-A", "130", "--symmetry", "O"]
    assert main([*words, *globs, *optics]) == 0
    said = capsys.readouterr().out
    assert "1648 read, 0 outside" in said and "stated in 10 of 10 headers" in said
    assert main(["check", str(tmp_path / "ds")]) == 0


def test_the_full_configuration_is_listed_without_a_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "size", "--config", str(ROOT / "config/full.yaml")]) == 0
    said = capsys.readouterr().out
    assert "cesped-10166" in said and "empiar-10291" in said and "emdb-6840" in said


def test_an_entry_that_fails_stops_no_other_and_is_named(
    archive: FakeArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "data",
        "fetch",
        "emdb-9999",
        "empiar-10017",
        "--root",
        str(tmp_path / "data"),
        *mirrors(archive),
    ]
    assert main(words) == 1
    said = capsys.readouterr()
    assert "empiar-10017: 3 files in" in said.out and "emdb-9999: " in said.out
    assert said.err.strip().splitlines()[-1].startswith("error: 1 dataset not complete (found emdb-9999)")


def test_verify_fetches_again_what_is_damaged_and_nothing_else(
    archive: FakeArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data", "fetch", "empiar-10017", "--root", str(tmp_path / "data"), *mirrors(archive)]
    assert main(words) == 0
    damaged = tmp_path / "data/empiar/10017/data/grid square 0/mic_0.mrc"
    good = damaged.read_bytes()
    damaged.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    archive.clear_log()
    assert main(words) == 0
    assert not [one for one in archive.log if one.path.endswith(".mrc")], "sizes alone are looked at"
    assert main([*words, "--verify"]) == 0
    assert damaged.read_bytes() == good
    assert [one.path.rsplit("/", 1)[1] for one in archive.log if one.path.endswith(".mrc")] == ["mic_0.mrc"]


def test_where_the_disk_is_too_small_no_other_entry_is_tried(
    archive: FakeArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--root", str(tmp_path / "data"), "--keep-free-gb", "1e9", *mirrors(archive)]
    assert main(["data", "fetch", "empiar-10017", "emdb-2660", *place]) == 1
    assert "the disk is too small for what is to come" in capsys.readouterr().err.splitlines()[-1]
    assert not [request for request in archive.log if "emdb" in request.path or request.path.endswith(".mrc")]
