"""What the sources say of the files that an archive has: names that clash, folders that are not there."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from archive_trees import cryoppp_entry, empiar_entry, labels_record, mrc_bytes, tar_gz
from fake_archive import FakeArchive

from vitreous.data.download.client import Client
from vitreous.data.download.settings import NetworkSettings
from vitreous.data.fetch_settings import CryopppFetch, EmpiarFetch
from vitreous.data.sources import micrographs
from vitreous.data.sources.micrographs import fetch_cryoppp, fetch_empiar
from vitreous.data.sources.run import Run
from vitreous.errors import InputError


@pytest.fixture
def served(tmp_path: Path) -> Path:
    (tmp_path / "served").mkdir()
    return tmp_path / "served"


@pytest.fixture
def archive(served: Path) -> Iterator[FakeArchive]:
    with FakeArchive(served) as archive:
        yield archive


@pytest.fixture
def run(archive: FakeArchive, tmp_path: Path) -> Run:
    quick = {"mirrors": archive.mirrors, "keep_free_gb": 0, "backoff_s": 0.01, "tries": 2}
    return Run(Client(NetworkSettings.model_validate(quick)), tmp_path / "data")


def labels(**options: Any) -> CryopppFetch:
    return CryopppFetch(entry="10017", labels_only=True, **options)


# labels


@pytest.mark.parametrize("packing", ["tar", "zip"])
def test_tables_of_one_name_that_differ_are_refused_with_both_and_none_is_written(
    run: Run, served: Path, packing: str
) -> None:
    tables = {"10017/a/mic.csv": "X\n1\n", "10017/b/mic.csv": "X\n2\n", "10017/c.csv": "X\n3\n"}
    (served / "zenodo/7934683").mkdir(parents=True)
    if packing == "zip":
        with zipfile.ZipFile(served / "zenodo/7934683/10017.zip", "w") as packed:
            for name, text in tables.items():
                packed.writestr(name, text)
    else:
        tar_gz(served / "zenodo/7934683/10017.tar.gz", {name: text.encode() for name, text in tables.items()})
    got = fetch_cryoppp(run, labels())
    (said,) = got.failed.values()
    assert "10017/a/mic.csv and 10017/b/mic.csv" in said and "one name" in said
    assert not (got.folder / "ground_truth").exists()


def test_tables_of_one_name_that_are_the_same_are_one_table(run: Run, served: Path) -> None:
    tar_gz(
        served / "zenodo/7934683/10017.tar.gz", {"10017/a/mic.csv": b"X\n1\n", "10017/b/mic.csv": b"X\n1\n"}
    )
    got = fetch_cryoppp(run, labels())
    assert not got.failed and (got.folder / "ground_truth/mic.csv").read_text() == "X\n1\n"


def test_tables_of_one_name_in_two_archives_of_an_entry_are_refused_where_they_differ(
    run: Run, served: Path
) -> None:
    for name, text in (("10017A", b"X\n1\n"), ("10017B", b"X\n2\n")):
        tar_gz(served / f"zenodo/7934683/{name}.tar.gz", {f"{name}/mic.csv": text})
    got = fetch_cryoppp(run, labels())
    assert list(got.failed) == ["labels/10017B.tar.gz"]
    assert "10017A/mic.csv and 10017B/mic.csv" in got.failed["labels/10017B.tar.gz"]


# the registry's folder


def test_a_folder_of_the_registry_that_is_not_there_is_called_so_with_what_changes_it(
    run: Run, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empiar_entry(served)
    monkeypatch.setattr(micrographs, "_registry_directory", lambda settings: "data/gone")
    with pytest.raises(
        InputError, match=r"the registry names, data/gone.*`directory` \(--directory\).*`image_"
    ):
        fetch_empiar(run, EmpiarFetch(entry="10017"))
    with pytest.raises(InputError, match="data/mine/: not found on the server") as error:
        fetch_empiar(run, EmpiarFetch(entry="10017", directory="data/mine"))
    assert "registry" not in str(error.value)


def test_an_entry_that_is_not_there_is_not_the_fault_of_the_registry(run: Run) -> None:
    with pytest.raises(InputError, match="10017/: not found on the server") as error:
        fetch_empiar(run, EmpiarFetch(entry="10017"))
    assert "registry" not in str(error.value)


# ground truth


def test_an_archive_without_ground_truth_is_noted_each_time(run: Run, served: Path, tmp_path: Path) -> None:
    tar_gz(served / "cryoppp/10028.tar.gz", {"10028/micrographs/a.mrc": mrc_bytes(0, tmp_path)})
    for _ in range(2):
        got = fetch_cryoppp(run, CryopppFetch(entry="10028"))
        assert got.paths == ["micrographs/a.mrc"]
        assert len(got.notes) == 1 and "10028.tar.gz holds no ground truth" in got.notes[0]


def test_ground_truth_that_is_there_or_left_out_is_not_noted(run: Run, served: Path, tmp_path: Path) -> None:
    cryoppp_entry(served, tmp_path)
    assert fetch_cryoppp(run, CryopppFetch(entry="10028", exclude=["*.csv"])).notes == []
    assert fetch_cryoppp(run, CryopppFetch(entry="10028")).notes == []


# names of micrographs


def test_micrographs_of_one_name_in_two_folders_are_noted_with_one_pair(
    run: Run, served: Path, tmp_path: Path
) -> None:
    image = mrc_bytes(0, tmp_path)
    tree = served / "empiar/10017/data"
    for name in ("a/mic_1.mrc", "b/mic_1.mrc", "b/mic_1.txt", "a/mic_2.mrc", "b/mic_2_patch_aligned.mrc"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(image if name.endswith(".mrc") else b"x")
    entry = {"title": "x", "status": "REL", "imagesets": []}
    (served / "empiar/10017/entry.json").write_text(json.dumps({"EMPIAR-10017": entry}))
    (said,) = fetch_empiar(run, EmpiarFetch(entry="10017")).notes
    assert said.startswith("data/a/mic_1.mrc and data/b/mic_1.mrc are one micrograph by their names (and so ")
    assert "1 more" in said and "`include`" in said
    assert fetch_empiar(run, EmpiarFetch(entry="10017", include=["data/a/*"])).notes == []


def test_names_that_differ_are_not_noted(run: Run, served: Path) -> None:
    empiar_entry(served)
    labels_record(served)
    assert fetch_empiar(run, EmpiarFetch(entry="10017", labels=True)).notes == []
