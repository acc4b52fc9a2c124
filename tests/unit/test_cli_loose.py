from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vitreous.cli.loose import common_folder, dataset_of, find_micrographs, names_from
from vitreous.errors import InputError
from vitreous.io.dataset import Dataset, read_batch
from vitreous.io.mrc import write_image


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    image = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    paths = [tmp_path / "one" / "a.mrc", tmp_path / "one" / "b.mrc", tmp_path / "two" / "c.mrc"]
    for path in paths:
        write_image(path, image, 2.0)
    (tmp_path / "one" / "notes.txt").write_text("no micrograph")
    return paths


def test_folders_files_and_globs_give_each_micrograph_once(files: list[Path], tmp_path: Path) -> None:
    found = find_micrographs([tmp_path / "one", files[0], tmp_path / "t*" / "*.mrc"])
    assert found == files


@pytest.mark.parametrize("place", ["absent.mrc", "absent/*.mrc"])
def test_a_place_that_is_not_there_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(InputError, match="file not found"):
        find_micrographs([tmp_path / place])


def test_a_folder_without_micrographs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no micrographs here"):
        find_micrographs([tmp_path])


def test_globs_below_the_common_folder_match_the_files_and_nothing_else(
    files: list[Path], tmp_path: Path
) -> None:
    folder, globs = common_folder(files)
    assert folder == tmp_path
    assert [path for glob in globs for path in folder.glob(glob)] == files


def test_files_of_several_folders_become_one_data_set_for_a_while(files: list[Path], tmp_path: Path) -> None:
    with dataset_of(files, scratch=tmp_path / "out", pixel_size_A=2.0, voltage_kv=None) as loose:
        names = ["micrographs/a.mrc", "micrographs/b.mrc", "micrographs/c.mrc"]
        assert sorted(read_batch(loose.batch)) == names
        assert Dataset(loose.folder).info.voltage_kv is None
        assert names_from(tmp_path / "out", loose)[names[2]] == "../two/c.mrc"
    assert list((tmp_path / "out").iterdir()) == []


def test_micrographs_of_one_name_are_refused(files: list[Path], tmp_path: Path) -> None:
    write_image(tmp_path / "two" / "a.mrc", np.eye(64, dtype=np.float32), 2.0)
    places = [tmp_path / "one", tmp_path / "two"]
    with (
        pytest.raises(InputError, match="rename one"),
        dataset_of(places, scratch=tmp_path, pixel_size_A=2.0),
    ):
        pass
