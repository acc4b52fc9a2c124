from __future__ import annotations

from pathlib import Path

import pytest

from vitreous.cli.clean import clean, partial_work, size_of, spoken_size
from vitreous.errors import InputError, SettingsError


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "results" / "run"
    work = folder / "sets" / "a" / "picks.star.work" / "0123"
    work.mkdir(parents=True)
    (work / "x.item").write_bytes(b"x" * 1000)
    (folder / "sets" / "a" / "picks.star").write_text("data_particles\n")
    (folder / "sets" / "a" / ".map.4711-0123abcd.mrc").write_bytes(b"x" * 10)
    (folder / "sets" / "a" / ".hidden").write_text("kept")
    return folder


def test_partial_work_is_work_folders_and_half_written_files(run_folder: Path) -> None:
    names = [path.name for path in partial_work([run_folder])]
    assert sorted(names) == [".map.4711-0123abcd.mrc", "picks.star.work"]


def test_cleaning_work_keeps_results(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean(run_folder, work=True, yes=True)
    assert sorted(path.name for path in (run_folder / "sets" / "a").iterdir()) == [".hidden", "picks.star"]
    said = capsys.readouterr().out
    assert "1.0 kB" in said
    assert said.splitlines()[-1].startswith("removed")


def test_cleaning_a_run_removes_its_folder_and_nothing_beside_it(run_folder: Path) -> None:
    beside = run_folder.parent / "other"
    beside.mkdir()
    clean(run_folder, work=False, yes=True)
    assert not run_folder.exists()
    assert beside.exists()


def test_a_folder_that_is_no_run_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(InputError, match="not the folder of a run"):
        clean(tmp_path, work=False, yes=True)
    assert (tmp_path / "thesis.txt").exists()


def test_nobody_to_ask_removes_nothing(run_folder: Path) -> None:
    # Under pytest standard input is no terminal.
    with pytest.raises(SettingsError, match="--yes"):
        clean(run_folder, work=False, yes=False)
    assert run_folder.exists()


def test_links_are_removed_not_followed(run_folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "data.mrc").write_bytes(b"x" * 100)
    (run_folder / "sets" / "link.work").symlink_to(outside)
    (run_folder / "sets" / "link").symlink_to(outside)
    clean(run_folder, work=True, yes=True)
    clean(run_folder, work=False, yes=True)
    assert (outside / "data.mrc").exists()


def test_sizes_are_summed_and_spoken(run_folder: Path) -> None:
    assert size_of(run_folder / "sets" / "a" / "picks.star.work") == 1000
    assert spoken_size(999) == "999 B"
    assert spoken_size(81_800_000_000) == "81.8 GB"
    assert spoken_size(2.5e12) == "2.5 TB"
