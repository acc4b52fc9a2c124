from __future__ import annotations

from pathlib import Path

import pytest
from fake_archive import FakeArchive

from vitreous.data.archives.cryoppp import archive_url, destination, labels_files
from vitreous.data.download.client import Client
from vitreous.data.download.settings import NetworkSettings
from vitreous.errors import InputError


def labels(root: Path, *names: str) -> None:
    folder = root / "zenodo/7934683"
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text("x")


def test_an_archive_lies_in_one_of_two_folders(archive: FakeArchive, client: Client, tmp_path: Path) -> None:
    for folder in ("cryoppp", "cryoppp_lite"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "10389A.tar.gz").write_text(folder)
        url = archive_url(client.settings, "10389A", lite=folder.endswith("lite"))
        assert client.size(url) == len(folder)
    assert (
        archive_url(NetworkSettings(), "10017", lite=True)
        == "https://calla.rnet.missouri.edu/cryoppp_lite/10017.tar.gz"
    )


@pytest.mark.parametrize("entry", ["EMPIAR-10017", "10017/..", "1001", "10389AB", ""])
def test_what_is_no_entry_is_refused(entry: str) -> None:
    with pytest.raises(InputError, match="not an entry of CryoPPP"):
        archive_url(NetworkSettings(), entry, lite=False)


@pytest.mark.parametrize("prefix", ["10017/", "./10017/", "10017A/", "./", ""])
def test_micrographs_and_truth_keep_their_place_below_the_entry(prefix: str) -> None:
    for path in ("micrographs/a b.mrc", "ground_truth/particle_coordinates/a b.csv"):
        assert destination(prefix + path, "10017") == path


@pytest.mark.parametrize("folder", ["10389", "10389A", "10389B"])
@pytest.mark.parametrize("entry", ["10389", "10389A", "10389B"])
def test_an_entry_split_by_its_gains_may_have_either_name(entry: str, folder: str) -> None:
    assert destination(f"{folder}/micrographs/a.mrc", entry) == "micrographs/a.mrc"


def test_stacks_and_gains_come_only_if_wanted() -> None:
    for folder, name in (("particles_stack", "a_particles.mrc"), ("gain", "g.mrc")):
        assert destination(f"10017/{folder}/{name}", "10017") is None
        assert destination(f"10017/{folder}/{name}", "10017", {folder}) == f"{folder}/{name}"


@pytest.mark.parametrize(
    "member",
    ["10017", "10017/micrographs", "10017/README", "10028/micrographs/a.mrc", "10017/other/a.mrc", "", "./"]
    + ["10017/micrographs/._a.mrc", "10017/micrographs/.DS_Store", "100170/micrographs/a.mrc"],
)  # fmt: skip
def test_what_is_not_part_of_the_entry_is_left_in_the_archive(member: str) -> None:
    assert destination(member, "10017", {"gain", "particles_stack", "other"}) is None


@pytest.mark.parametrize(
    "member", ["10017/../../a", "/micrographs/a.mrc", "10017/micrographs/..", "micrographs/a\\..\\b"]
)
def test_a_name_that_climbs_is_refused(member: str) -> None:
    with pytest.raises(InputError, match="leads out of the folder"):
        destination(member, "10017")


def test_the_labels_of_an_entry_are_found_by_its_number(client: Client, tmp_path: Path) -> None:
    labels(tmp_path, "10017.zip", "100170.zip", "EMPIAR-10028_labels.tar.gz", "10389A.zip", "10389B.zip")
    found = {entry: [file.path for file in labels_files(client, entry)] for entry in ("10017", "10028")}
    assert found == {"10017": ["10017.zip"], "10028": ["EMPIAR-10028_labels.tar.gz"]}
    (half,) = labels_files(client, "10389A")
    assert half.path == "10389A.zip" and half.bytes == 1 and half.pieces[0].checksum
    assert [file.path for file in labels_files(client, "10389")] == ["10389A.zip", "10389B.zip"]


def test_labels_of_a_split_entry_may_lie_under_its_plain_number(client: Client, tmp_path: Path) -> None:
    labels(tmp_path, "10389.tar.gz")
    assert [file.path for file in labels_files(client, "10389B")] == ["10389.tar.gz"]


def test_labels_that_are_not_there_are_answered_with_the_names(client: Client, tmp_path: Path) -> None:
    labels(tmp_path, "10005.tar.gz", "10059.tar.gz")
    with pytest.raises(InputError, match=r"10005\.tar\.gz, 10059\.tar\.gz"):
        labels_files(client, "10017")
