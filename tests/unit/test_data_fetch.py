"""Every source against a loopback server: what is fetched, where it lies, and what is told."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from archive_trees import (
    cesped_half,
    coordinates,
    cryoppp_entry,
    emdb_entry,
    empiar_entry,
    labels_record,
    mask_record,
)
from fake_archive import FakeArchive
from shared import shared

from vitreous.data.check import check_folder
from vitreous.data.download.settings import NetworkSettings
from vitreous.data.fetch import Got, fetch, write_record
from vitreous.data.fetch_record import read_fetch_record
from vitreous.data.names import settings_of_name
from vitreous.errors import InputError, SettingsError, StageError


@pytest.fixture
def served(tmp_path: Path) -> Path:
    (tmp_path / "served").mkdir()
    return tmp_path / "served"


@pytest.fixture
def archive(served: Path) -> Iterator[FakeArchive]:
    with FakeArchive(served) as archive:
        yield archive


def network(archive: FakeArchive, **more: Any) -> NetworkSettings:
    quick = {
        "mirrors": archive.mirrors,
        "keep_free_gb": 0,
        "backoff_s": 0.01,
        "tries": 3,
        "hang_timeout_s": 1,
    }
    return NetworkSettings.model_validate({**quick, **more})


def fetched(
    name: str, archive: FakeArchive, root: Path, options: dict[str, Any] | None = None, **more: Any
) -> Got:
    return fetch(settings_of_name(name, options), root, network=network(archive, **more))


def test_an_empiar_entry_lies_as_it_lies_in_the_archive(
    archive: FakeArchive, served: Path, tmp_path: Path
) -> None:
    paths = empiar_entry(served)
    got = fetched("empiar-10017", archive, tmp_path / "data")
    assert got.folder == tmp_path / "data/empiar/10017"
    for path in paths:
        here = got.folder / path.relative_to(served / "empiar/10017")
        assert here.read_bytes() == path.read_bytes()
    assert sorted(got.paths) == sorted(str(p.relative_to(served / "empiar/10017")) for p in paths)


def test_a_second_fetch_asks_for_listings_and_for_no_file(
    archive: FakeArchive, served: Path, tmp_path: Path
) -> None:
    empiar_entry(served)
    fetched("empiar-10017", archive, tmp_path)
    archive.clear_log()
    fetched("empiar-10017", archive, tmp_path)
    assert not [request for request in archive.log if request.path.endswith(".mrc")]


def test_offline_a_fetched_entry_is_whole_and_another_one_is_an_error(
    archive: FakeArchive, served: Path, tmp_path: Path
) -> None:
    paths = empiar_entry(served)
    fetched("empiar-10017", archive, tmp_path)
    archive.clear_log()
    assert len(fetched("empiar-10017", archive, tmp_path, offline=True).paths) == len(paths)
    assert not archive.log
    (tmp_path / "empiar/10017/data/grid square 0/mic_0.mrc").unlink()
    with pytest.raises(StageError, match="nothing is fetched offline"):
        fetched("empiar-10017", archive, tmp_path, offline=True)
    with pytest.raises(StageError, match="nothing is known of it offline"):
        fetched("empiar-10081", archive, tmp_path, offline=True)


def test_a_selection_brings_what_it_says(archive: FakeArchive, served: Path, tmp_path: Path) -> None:
    empiar_entry(served, count=12)
    got = fetched(
        "empiar-10017", archive, tmp_path, {"include": ["*.mrc"], "exclude": ["*_0.mrc"], "count": 2}
    )
    assert [Path(path).name for path in got.paths] == ["mic_2.mrc", "mic_4.mrc"]


def test_labels_of_an_empiar_entry_come_from_their_own_record(
    archive: FakeArchive, served: Path, tmp_path: Path
) -> None:
    empiar_entry(served)
    labels_record(served)
    got = fetched("empiar-10017", archive, tmp_path, {"labels": True})
    found = sorted((got.folder / "ground_truth").iterdir())
    assert len(found) == 3 and found[1].read_text() == coordinates(1)


def test_labels_alone_bring_no_micrograph(archive: FakeArchive, served: Path, tmp_path: Path) -> None:
    labels_record(served, "10028")
    got = fetched("cryoppp-10028", archive, tmp_path, {"labels_only": True})
    assert got.folder == tmp_path / "cryoppp/10028" and got.paths == ["labels/10028.tar.gz"]
    assert len(list((got.folder / "ground_truth").iterdir())) == 3


def test_a_listing_that_stays_short_is_an_error_after_all_that_is_listed_is_here(
    archive: FakeArchive, served: Path, tmp_path: Path
) -> None:
    empiar_entry(served)
    tree = served / "empiar/10017"
    entry = {"title": "x", "status": "REL", "imagesets": [
        {"name": "a", "directory": "/data", "category": "micrographs - single frame", "data_format": "MRC",
         "num_images_or_tilt_series": 5}]}  # fmt: skip
    (tree / "entry.json").write_text(json.dumps({"EMPIAR-10017": entry}))
    with pytest.raises(StageError, match=r"3 files of 5.*expected_files: 3"):
        fetched("empiar-10017", archive, tmp_path)
    assert len(list((tmp_path / "empiar/10017/data").rglob("*.mrc"))) == 3
    assert len(fetched("empiar-10017", archive, tmp_path, {"expected_files": 3}).paths) == 3


def test_cryoppp_is_unpacked_without_a_second_copy(
    archive: FakeArchive, served: Path, tmp_path: Path
) -> None:
    members = cryoppp_entry(served, tmp_path)
    got = fetched("cryoppp-10028", archive, tmp_path / "data")
    wanted = {name.removeprefix("10028/"): data for name, data in members.items() if "stack" not in name}
    assert {path: (got.folder / path).read_bytes() for path in got.paths} == wanted
    assert not list(got.folder.rglob("*.gz")) and not (got.folder / "particles_stack").exists()
    archive.clear_log()
    assert sorted(fetched("cryoppp-10028", archive, tmp_path / "data").paths) == sorted(wanted)
    assert not [request for request in archive.log if request.method == "GET"]


def test_particle_stacks_of_cryoppp_come_where_they_are_asked_for(
    archive: FakeArchive, served: Path, tmp_path: Path
) -> None:
    cryoppp_entry(served, tmp_path)
    fetched("cryoppp-10028", archive, tmp_path / "data")
    got = fetched("cryoppp-10028", archive, tmp_path / "data", {"stacks": True})
    assert (got.folder / "particles_stack/mic_0_particles.mrc").exists()


def test_cesped_chunks_are_joined_by_their_numbers_and_each_half_is_finished_by_itself(
    archive: FakeArchive, served: Path, tmp_path: Path
) -> None:
    first = cesped_half(served, 8353634, 0, count=20, chunk=2000)  # 11 chunks: 10 sorts before 2
    second = cesped_half(served, 8353702, 1)
    mask_record(served, "10166")
    folder = tmp_path / "cesped/10166"
    fetched("cesped-10166", archive, tmp_path, {"halves": [0]})
    assert (folder / "particles_0.mrcs").read_bytes() == first
    assert (folder / "SUCCESSFUL_DOWNLOAD_8353634.txt").read_text() == f"8353634\n{len(first)}\n"
    assert not (folder / "particles_1.mrcs").exists() and (folder / "10166_mask.mrc").exists()
    fetched("cesped-10166", archive, tmp_path)
    assert (folder / "particles_1.mrcs").read_bytes() == second
    assert (folder / "SUCCESSFUL_DOWNLOAD_8353702.txt").exists()


def test_a_half_that_cannot_be_had_leaves_the_other_one_whole(
    archive: FakeArchive, served: Path, tmp_path: Path
) -> None:
    cesped_half(served, 8353634, 0)
    cesped_half(served, 8353702, 1)
    archive.add_fault("status:404", match="*particles_1.mrcs*")
    with pytest.raises(StageError, match="not found on the server"):
        fetched("cesped-10166", archive, tmp_path, {"mask": False})
    assert (tmp_path / "cesped/10166/SUCCESSFUL_DOWNLOAD_8353634.txt").exists()
    assert not (tmp_path / "cesped/10166/SUCCESSFUL_DOWNLOAD_8353702.txt").exists()


def test_an_entry_that_borrows_its_stack_gets_a_link_to_it(
    archive: FakeArchive, served: Path, tmp_path: Path
) -> None:
    stack = cesped_half(served, 8387534, 0)
    cesped_half(served, 11092025, 0)
    (served / "zenodo/11092025/particles_0.mrcs").unlink()
    (served / "zenodo/11092025/info_0.json").unlink()
    mask_record(served, "10648")
    got = fetched("cesped-consensus-10648", archive, tmp_path, {"halves": [0]})
    link = got.folder / "particles_0.mrcs"
    assert link.is_symlink() and link.read_bytes() == stack and (got.folder / "info_0.json").exists()
    assert not os.readlink(link).startswith("/")


def test_the_paper_s_10647_is_10648_and_this_is_said(
    archive: FakeArchive, served: Path, tmp_path: Path
) -> None:
    cesped_half(served, 8387534, 0)
    mask_record(served, "10648")
    got = fetched("cesped-10647", archive, tmp_path, {"halves": [0]})
    assert got.folder.name == "10648" and "10647 of the paper is 10648" in got.notes[0]


def test_a_missing_mask_is_told_and_stops_nothing(archive: FakeArchive, served: Path, tmp_path: Path) -> None:
    cesped_half(served, 8353634, 0)
    mask_record(served, "10280")
    got = fetched("cesped-10166", archive, tmp_path, {"halves": [0]})
    assert "no mask of entry 10166" in got.notes[0]


def test_an_emdb_entry_has_its_map_its_half_maps_and_its_header(
    archive: FakeArchive, served: Path, tmp_path: Path
) -> None:
    emdb_entry(served)
    got = fetched("emdb-2660", archive, tmp_path)
    halves = [f"other/emd_2660_half_map_{half}.map.gz" for half in (1, 2)]
    assert sorted(got.paths) == ["header/emd-2660.xml", "map/emd_2660.map.gz", *halves]
    assert "EMD-2660 has no masks" in got.notes
    assert fetched("emdb-2660", archive, tmp_path / "b", {"parts": ["map"]}).paths == [
        "header/emd-2660.xml", "map/emd_2660.map.gz",
    ]  # fmt: skip


def test_a_record_of_zenodo_and_a_pdb_entry(archive: FakeArchive, served: Path, tmp_path: Path) -> None:
    import gzip

    (served / "zenodo/123").mkdir(parents=True)
    (served / "zenodo/123/a.csv").write_text("x,y\n1,2\n")
    (served / "zenodo/123/b.txt").write_text("b")
    (served / "pdb").mkdir()
    (served / "pdb/7a4m.cif.gz").write_bytes(gzip.compress(b"data_7A4M\n"))
    assert fetched("zenodo-123", archive, tmp_path, {"include": ["*.csv"]}).paths == ["a.csv"]
    got = fetched("pdb-7a4m", archive, tmp_path)
    assert (got.folder / "7a4m.cif.gz").exists()


def test_mnist_comes_with_the_checksums_that_are_known(
    archive: FakeArchive, served: Path, tmp_path: Path
) -> None:
    shutil.copytree(shared("data/mnist"), served / "mnist")
    got = fetched("mnist", archive, tmp_path)
    assert len(got.paths) == 4 and (tmp_path / "mnist/t10k-labels-idx1-ubyte.gz").stat().st_size == 4542


def test_digits_that_are_not_mnist_s_are_refused(archive: FakeArchive, served: Path, tmp_path: Path) -> None:
    (served / "mnist").mkdir()
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (served / f"mnist/{name}-ubyte.gz").write_bytes(b"\x1f\x8b" + bytes(100))
    with pytest.raises(StageError, match="not what the archive says it is"):
        fetched("mnist", archive, tmp_path)
    assert not list((tmp_path / "mnist").glob("*.gz"))


def test_the_record_of_a_fetch_names_every_file_with_address_size_checksum_date_and_licence(
    archive: FakeArchive, served: Path, tmp_path: Path
) -> None:
    empiar_entry(served)
    settings = settings_of_name("empiar-10017")
    got = fetch(settings, tmp_path, network=network(archive))
    write_record(tmp_path / "record.json", settings, got)
    record = read_fetch_record(tmp_path / "record.json")
    assert record.source == "EMPIAR, entry 10017" and set(record.files) == set(got.paths)
    one = record.origin(got.folder / got.paths[0])
    assert one["licence"] == "CC0" and one["url"].startswith(archive.url) and len(one["sha256"]) == 64
    assert one["bytes"] == (got.folder / got.paths[0]).stat().st_size and one["date"].endswith("Z")
    assert record.origin(tmp_path / "elsewhere") == {}


def test_a_damaged_and_a_missing_file_are_found_by_a_check(
    archive: FakeArchive, served: Path, tmp_path: Path
) -> None:
    empiar_entry(served)
    got = fetched("empiar-10017", archive, tmp_path)
    first, second, third = (got.folder / path for path in sorted(got.paths))
    changed = bytearray(first.read_bytes())
    changed[-1] ^= 1
    first.write_bytes(changed)
    second.unlink()
    with third.open("ab") as handle:
        handle.write(b"x")
    states = [state for _, _, state in check_folder(got.folder)]
    assert states[0] == "its content has changed (SHA-256)" and states[1] == "missing"
    assert "were fetched" in states[2]
    with pytest.raises(InputError, match="no manifest"):
        check_folder(tmp_path)


def test_a_name_that_nobody_knows_is_refused_with_the_nearest_and_options_that_do_not_fit() -> None:
    with pytest.raises(SettingsError, match="empiar-10017"):
        settings_of_name("empiar10017")
    with pytest.raises(SettingsError, match="--count: not an option of emdb"):
        settings_of_name("emdb-2660", {"count": 3})
    assert settings_of_name("empiar-99999").entry == "99999"
    assert settings_of_name("CESPED-consensus-10648").entry == "consensus_10648"


def test_sizes_are_asked_for_without_fetching(archive: FakeArchive, served: Path, tmp_path: Path) -> None:
    from vitreous.data.sizes import asked_bytes

    paths = empiar_entry(served)
    size = asked_bytes(settings_of_name("empiar-10017"), tmp_path / "data", network(archive))
    assert size is not None and size >= sum(path.stat().st_size for path in paths)
    assert not (tmp_path / "data").exists()


def test_tables_of_labels_in_a_zip_are_unpacked_by_name_alone(
    archive: FakeArchive, served: Path, tmp_path: Path
) -> None:
    import zipfile

    (served / "zenodo/7934683").mkdir(parents=True)
    with zipfile.ZipFile(served / "zenodo/7934683/10017.zip", "w") as packed:
        packed.writestr("../../../climbing.csv", coordinates(0))
        packed.writestr("10017/notes.exe", "x")
    got = fetched("cryoppp-10017", archive, tmp_path, {"labels_only": True})
    assert [path.name for path in (got.folder / "ground_truth").iterdir()] == ["climbing.csv"]
    assert len(pd.read_csv(got.folder / "ground_truth/climbing.csv")) > 10


def test_a_member_that_is_refused_can_be_left_out(archive: FakeArchive, served: Path, tmp_path: Path) -> None:
    from archive_trees import mrc_bytes, tar_gz

    good = mrc_bytes(0, tmp_path)
    tar_gz(served / "cryoppp/10028.tar.gz", {"10028/micrographs/a.mrc": good, "10028/../../b.mrc": good})
    with pytest.raises(StageError, match=r"leads out of the folder.*b\.mrc"):
        fetched("cryoppp-10028", archive, tmp_path / "data")
    assert (tmp_path / "data/cryoppp/10028/micrographs/a.mrc").read_bytes() == good
    assert not list(tmp_path.rglob("b.mrc"))
    got = fetched("cryoppp-10028", archive, tmp_path / "data", {"exclude": ["*/b.mrc"]})
    assert got.paths == ["micrographs/a.mrc"]


def test_a_half_whose_record_is_missing_stops_no_other(
    archive: FakeArchive, served: Path, tmp_path: Path
) -> None:
    stack = cesped_half(served, 8353634, 0)
    with pytest.raises(StageError, match="records/8353702: not found"):
        fetched("cesped-10166", archive, tmp_path, {"mask": False})
    assert (tmp_path / "cesped/10166/particles_0.mrcs").read_bytes() == stack
    assert (tmp_path / "cesped/10166/SUCCESSFUL_DOWNLOAD_8353634.txt").exists()


def test_a_half_whose_borrowed_stack_is_missing_is_not_called_complete(
    archive: FakeArchive, served: Path, tmp_path: Path
) -> None:
    cesped_half(served, 8387534, 0)
    cesped_half(served, 11092025, 0)
    (served / "zenodo/11092025/particles_0.mrcs").unlink()
    archive.add_fault("status:404", match="*8387534/files/particles_0.mrcs*")
    with pytest.raises(StageError, match="not found on the server"):
        fetched("cesped-consensus-10648", archive, tmp_path, {"halves": [0], "mask": False})
    assert not list((tmp_path / "cesped/consensus_10648").glob("SUCCESSFUL*"))
    archive.clear()
    fetched("cesped-consensus-10648", archive, tmp_path, {"halves": [0], "mask": False})
    assert (tmp_path / "cesped/consensus_10648/SUCCESSFUL_DOWNLOAD_11092025.txt").exists()


def test_endings_in_capitals_are_micrographs_and_what_is_left_out_is_named(
    archive: FakeArchive, served: Path, tmp_path: Path
) -> None:
    from vitreous.data.local import import_local
    from vitreous.data.settings import EmpiarSettings, ImportSettings, LocalSettings
    from vitreous.io.dataset import Dataset

    paths = empiar_entry(served)
    paths[0].rename(paths[0].with_suffix(".MRC"))
    shutil.copy(paths[1], paths[1].parent / "more.mrcs")
    settings = settings_of_name("empiar-10017", {"expected_files": 3})
    got = fetch(settings, tmp_path, network=network(archive))
    write_record(tmp_path / "record.json", settings, got)
    taken = EmpiarSettings.model_validate({"source": "empiar", "entry": "10017", "pixel_size_A": 2.0})
    plain = taken.model_dump(include=set(ImportSettings.model_fields))
    local = LocalSettings.model_validate({**plain, "folder": str(got.folder)})
    import_local(tmp_path / "ds", local, root=".", fetched=read_fetch_record(tmp_path / "record.json"))
    dataset = Dataset(tmp_path / "ds")
    assert len(dataset.micrographs()) == 3
    assert dataset.info.verified["left out"].endswith("not matched by `micrographs`: more.mrcs")


def test_a_map_whose_header_says_another_pixel_size_than_its_entry_is_noted(
    archive: FakeArchive, served: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    emdb_entry(served)
    with caplog.at_level("INFO"):
        assert not [note for note in fetched("emdb-2660", archive, tmp_path).notes if "voxel" in note]
    assert "EMD-2660: 8 x 8 x 8, 1.34 Å a voxel" in caplog.text
    header = served / "emdb/EMD-2660/header/emd-2660.xml"
    header.write_text(header.read_text().replace("10.72", "16.0"))
    notes = fetched("emdb-2660", archive, tmp_path / "other").notes
    assert "map/emd_2660.map.gz says 1.34 Å a voxel, the entry's header 2 Å" in notes


def test_a_data_folder_that_moved_or_may_only_be_read_serves_what_it_has(
    archive: FakeArchive, served: Path, tmp_path: Path
) -> None:
    empiar_entry(served)
    settings = settings_of_name("empiar-10017")
    got = fetch(settings, tmp_path / "data", network=network(archive))
    write_record(tmp_path / "data/fetched/r.json", settings, got)
    (tmp_path / "data").rename(tmp_path / "moved")
    record = read_fetch_record(tmp_path / "moved/fetched/r.json")
    assert record.folder == tmp_path / "moved/empiar/10017"
    images = sorted((tmp_path / "moved").rglob("*.mrc"))
    assert record.only(images) == images and record.origin(images[0])["licence"] == "CC0"
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "moved").rglob("*")}
    fetch(settings, tmp_path / "moved", network=network(archive))
    changed = [
        path for path in (tmp_path / "moved").rglob("*") if before.get(path) != path.stat().st_mtime_ns
    ]
    assert all(path.name.endswith(".listing.json") or path.is_dir() for path in changed)


def test_offline_the_record_of_the_same_choice_is_enough(
    archive: FakeArchive, served: Path, tmp_path: Path
) -> None:
    from vitreous.data.fetch import record_path

    empiar_entry(served)
    settings = settings_of_name("empiar-10017", {"count": 2})
    got = fetch(settings, tmp_path, network=network(archive))
    write_record(record_path(settings, tmp_path), settings, got)
    for listing in tmp_path.rglob("*.listing.json"):
        listing.unlink()
    assert fetch(settings, tmp_path, network=network(archive, offline=True)).paths == got.paths
    (got.folder / got.paths[0]).unlink()
    with pytest.raises(StageError, match="nothing is known of it offline"):
        fetch(settings, tmp_path, network=network(archive, offline=True))
