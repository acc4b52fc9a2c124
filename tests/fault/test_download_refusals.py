"""What a fetch of many files does with those that cannot be had, and with what lies in its way."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_archive import FakeArchive
from served_files import md5, mrc, noise, quick, serve

from vitreous.data.download.batch import fetch_files
from vitreous.data.download.client import Client, user_agent
from vitreous.data.download.manifest import Manifest
from vitreous.data.download.remote import Piece, RemoteFile, single
from vitreous.errors import InputError, StageError

RNG = random.Random(2)
DATA = {f"{name}.bin": noise(RNG, 30_000) for name in "abcdef"}


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[FakeArchive]:
    for name, content in DATA.items():
        serve(tmp_path / "served", name, content)
    serve(tmp_path / "served", "m.mrc", mrc(RNG))
    with FakeArchive(tmp_path / "served", hang_seconds=2.0) as archive:
        yield archive


def files(archive: FakeArchive, *names: str) -> list[RemoteFile]:
    return [single(name, f"{archive.url}/plain/{name}") for name in names or DATA]


@pytest.mark.parametrize(("status", "said"), [(404, "not found on the server"), (403, "refuses access")])
def test_a_file_that_is_refused_fails_at_once_and_the_others_come(
    tmp_path: Path, archive: FakeArchive, status: int, said: str
) -> None:
    archive.add_fault(f"status:{status}", match="*c.bin")
    done: list[str] = []
    outcome = fetch_files(files(archive), tmp_path / "here", Client(quick()), on_done=done.append)
    assert said in str(outcome.failed["c.bin"]) and f"(found {status})" in str(outcome.failed["c.bin"])
    assert sorted(outcome.fetched) == sorted(done) == sorted({*DATA} - {"c.bin"})
    assert len([request for request in archive.log if request.path == "/plain/c.bin"]) == 1
    archive.clear()
    again = fetch_files(files(archive), tmp_path / "here", Client(quick()))
    assert [*again.fetched] == ["c.bin"] and len(again.kept) == 5 and len(archive.log) == 1


def test_of_a_file_that_is_not_there_nothing_is_left(tmp_path: Path, archive: FakeArchive) -> None:
    fetch_files([*files(archive, "a.bin", "none.bin")], tmp_path / "here", Client(quick()))
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["a.bin", "manifest.jsonl"]


def test_a_file_that_was_begun_keeps_what_came_when_it_is_no_longer_there(
    tmp_path: Path, archive: FakeArchive
) -> None:
    archive.add_fault("drop:20000", times=1)
    archive.add_fault("status:404")
    assert fetch_files(files(archive, "a.bin"), tmp_path / "here", Client(quick())).failed
    assert (tmp_path / "here/.a.bin.part").stat().st_size == 20_000
    archive.clear()
    assert not fetch_files(files(archive, "a.bin"), tmp_path / "here", Client(quick())).failed
    assert (tmp_path / "here/a.bin").read_bytes() == DATA["a.bin"]


def test_a_marker_of_no_bytes_is_fetched_and_an_image_of_none_is_wrong(
    tmp_path: Path, archive: FakeArchive
) -> None:
    for name in ("DONE", "notes.txt", "e.mrc"):
        serve(tmp_path / "served", name, b"")
    outcome = fetch_files(files(archive, "DONE", "notes.txt", "e.mrc"), tmp_path / "here", Client(quick()))
    assert sorted(outcome.fetched) == ["DONE", "notes.txt"]
    assert "an empty file" in str(outcome.failed["e.mrc"])
    assert (tmp_path / "here/DONE").stat().st_size == 0 and not list((tmp_path / "here").glob(".*"))
    (tmp_path / "here/manifest.jsonl").unlink()
    again = fetch_files(files(archive, "DONE", "notes.txt"), tmp_path / "here", Client(quick()))
    assert sorted(again.kept) == ["DONE", "notes.txt"]


def test_an_answer_of_no_bytes_is_wrong_where_the_server_does_not_say_that_there_are_none(
    tmp_path: Path, archive: FakeArchive
) -> None:
    serve(tmp_path / "served", "DONE", b"")
    archive.add_fault("nolength")
    outcome = fetch_files(files(archive, "DONE"), tmp_path / "here", Client(quick()))
    assert "an empty file" in str(outcome.failed["DONE"])


@pytest.mark.parametrize("status", [429, 503])
def test_what_a_server_asks_to_wait_is_waited(tmp_path: Path, archive: FakeArchive, status: int) -> None:
    archive.add_fault(f"status:{status},1", times=1)
    began = time.monotonic()
    assert not fetch_files(files(archive, "a.bin"), tmp_path / "here", Client(quick())).failed
    # Zenodo's reset time is in whole seconds
    assert time.monotonic() - began > (0.9 if status == 503 else 0.01)


@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_beyond_patience_is_an_error_that_says_when_to_come_back(
    tmp_path: Path, archive: FakeArchive, status: int
) -> None:
    archive.add_fault(f"status:{status},7200", match="*a.bin")
    outcome = fetch_files(files(archive, "a.bin", "b.bin"), tmp_path / "here", Client(quick()))
    said = str(outcome.failed["a.bin"])
    assert (
        "a.bin: the server asks to come back later" in said
        and f"{status}" in said
        and "run again after" in said
    )
    assert [*outcome.fetched] == ["b.bin"] and len(archive.log) == 2


def test_a_hang_is_noticed_by_the_time_without_a_byte(tmp_path: Path, archive: FakeArchive) -> None:
    archive.add_fault("hang:10000", times=1)
    began = time.monotonic()
    outcome = fetch_files(files(archive, "a.bin"), tmp_path / "here", Client(quick(hang_timeout_s=0.3)))
    assert not outcome.failed and 0.25 < time.monotonic() - began < 1.5


def test_a_slow_server_is_no_hanging_one(tmp_path: Path, archive: FakeArchive) -> None:
    archive.add_fault("slow:40000")
    outcome = fetch_files(files(archive, "a.bin"), tmp_path / "here", Client(quick(hang_timeout_s=0.3)))
    assert not outcome.failed and len(archive.log) == 1


def test_a_server_that_never_answers_well_is_given_up_with_its_last_word(
    tmp_path: Path, archive: FakeArchive
) -> None:
    archive.add_fault("status:500", match="*a.bin")
    outcome = fetch_files(files(archive, "a.bin", "b.bin"), tmp_path / "here", Client(quick(tries=3)))
    said = str(outcome.failed["a.bin"])
    assert (
        "a.bin: cannot be fetched (found 500 Internal Server Error, 3 times in a row); run again later"
        in said
    )


def test_no_more_files_come_at_a_time_than_allowed(tmp_path: Path, archive: FakeArchive) -> None:
    archive.settings.rate = 300_000
    assert not fetch_files(files(archive), tmp_path / "one", Client(quick(connections=2))).failed
    assert archive.busiest == 2
    zenodo = {"zenodo": f"{archive.url}/plain", "zenodo-api": f"{archive.url}/api/records"}
    archive.busiest = 0
    client = Client(quick(connections=6, zenodo_connections=1, mirrors=zenodo))
    assert not fetch_files(files(archive), tmp_path / "two", client).failed
    assert archive.busiest == 1


def test_every_request_of_a_fetch_has_our_user_agent(tmp_path: Path, archive: FakeArchive) -> None:
    archive.add_fault("nolength", times=1)
    fetch_files(files(archive, "a.bin"), tmp_path / "here", Client(quick(contact="https://lab.example")))
    assert {request.user_agent for request in archive.log} == {user_agent("https://lab.example")}
    assert [request.method for request in archive.log] == ["GET", "HEAD"]


# offline


def test_offline_what_is_here_is_enough_and_what_is_not_is_told(tmp_path: Path, archive: FakeArchive) -> None:
    fetch_files(files(archive, "a.bin"), tmp_path / "here", Client(quick()))
    archive.clear_log()
    client = Client(quick(offline=True))
    assert fetch_files(files(archive, "a.bin"), tmp_path / "here", client).kept == ["a.bin"]
    with pytest.raises(StageError, match="b.bin: not here, and nothing is fetched offline"):
        fetch_files(files(archive, "a.bin", "b.bin"), tmp_path / "here", client)
    (tmp_path / "here/manifest.jsonl").unlink()
    assert fetch_files(files(archive, "a.bin"), tmp_path / "here", client).kept == ["a.bin"]
    assert archive.log == []


# what is here already


def test_a_file_that_is_here_is_kept_and_one_that_was_cut_comes_again(
    tmp_path: Path, archive: FakeArchive
) -> None:
    here = tmp_path / "here"
    fetch_files(files(archive, "a.bin", "b.bin"), here, Client(quick()))
    (here / "a.bin").write_bytes(DATA["a.bin"][:-1])
    outcome = fetch_files(files(archive, "a.bin", "b.bin"), here, Client(quick()))
    assert [*outcome.fetched] == ["a.bin"] and outcome.kept == ["b.bin"]
    assert (here / "a.bin").read_bytes() == DATA["a.bin"]


def test_a_file_that_was_deleted_and_comes_again_the_same_leaves_its_record_as_it_was(
    tmp_path: Path, archive: FakeArchive
) -> None:
    here = tmp_path / "here"
    fetch_files(files(archive, "a.bin", "b.bin"), here, Client(quick()))
    older = (here / "manifest.jsonl").read_text().replace('"date": "2', '"date": "1')
    (here / "manifest.jsonl").write_text(older)
    (here / "a.bin").unlink()
    assert [*fetch_files(files(archive, "a.bin", "b.bin"), here, Client(quick())).fetched] == ["a.bin"]
    assert (here / "manifest.jsonl").read_text() == older


def test_a_file_that_changed_since_the_first_fetch_is_told_and_taken_only_when_asked(
    tmp_path: Path, archive: FakeArchive
) -> None:
    here = tmp_path / "here"
    fetch_files(files(archive, "a.bin"), here, Client(quick()))
    (here / "a.bin").unlink()
    serve(tmp_path / "served", "a.bin", DATA["b.bin"])
    outcome = fetch_files(files(archive, "a.bin", "c.bin"), here, Client(quick()))
    said = str(outcome.failed["a.bin"])
    for content in (DATA["a.bin"], DATA["b.bin"]):
        assert hashlib.sha256(content).hexdigest() in said
    assert "--accept-changes" in said and [*outcome.fetched] == ["c.bin"] and not (here / "a.bin").exists()
    taken = fetch_files(files(archive, "a.bin"), here, Client(quick()), accept_changes=True)
    assert [*taken.fetched] == ["a.bin"] and (here / "a.bin").read_bytes() == DATA["b.bin"]
    assert Manifest(here).records["a.bin"].sha256 == hashlib.sha256(DATA["b.bin"]).hexdigest()


def test_a_checksum_that_the_archive_changed_leaves_the_old_file_until_the_new_one_is_taken(
    tmp_path: Path, archive: FakeArchive
) -> None:
    here, url = tmp_path / "here", f"{archive.url}/plain/a.bin"
    fetch_files([single("a.bin", url, checksum=md5(DATA["a.bin"]))], here, Client(quick()))
    serve(tmp_path / "served", "a.bin", DATA["b.bin"])
    new = single("a.bin", url, checksum=md5(DATA["b.bin"]))
    assert "it has changed" in str(fetch_files([new], here, Client(quick())).failed["a.bin"])
    assert (here / "a.bin").read_bytes() == DATA["a.bin"]
    assert not fetch_files([new], here, Client(quick()), accept_changes=True).failed
    assert (here / "a.bin").read_bytes() == DATA["b.bin"]


@pytest.mark.parametrize("told", ["size", "checksum", "nothing"])
def test_a_file_of_the_user_in_the_way_is_never_overwritten(
    tmp_path: Path, archive: FakeArchive, told: str
) -> None:
    here, content = tmp_path / "here", DATA["a.bin"]
    file = single("a.bin", f"{archive.url}/plain/a.bin", bytes=len(content) if told == "size" else None,
                  checksum=md5(content) if told == "checksum" else None)  # fmt: skip
    here.mkdir()
    (here / "a.bin").write_bytes(b"mine")
    outcome = fetch_files([file, *files(archive, "b.bin")], here, Client(quick()))
    assert "a.bin: a file of this name is here, was not fetched by us" in str(outcome.failed["a.bin"])
    assert "move it away" in str(outcome.failed["a.bin"]) and [*outcome.fetched] == ["b.bin"]
    assert (here / "a.bin").read_bytes() == b"mine"
    (here / "a.bin").write_bytes(content)  # the archive's own, copied there
    archive.clear_log()
    assert fetch_files([file], here, Client(quick())).kept == ["a.bin"] and archive.bytes_sent() == 0
    assert Manifest(here).records["a.bin"].sha256 == hashlib.sha256(content).hexdigest()


def test_a_folder_or_a_dead_link_in_the_way_is_told_and_stays(tmp_path: Path, archive: FakeArchive) -> None:
    here = tmp_path / "here"
    (here / "a.bin").mkdir(parents=True)
    (here / "b.bin").symlink_to("nowhere")
    outcome = fetch_files(files(archive, "a.bin", "b.bin", "c.bin"), here, Client(quick()))
    assert {path: error.what for path, error in outcome.failed.items()} == dict.fromkeys(
        ("a.bin", "b.bin"), "something that is no file is in the way"
    )
    assert [*outcome.fetched] == ["c.bin"] and (here / "b.bin").is_symlink() and (here / "a.bin").is_dir()


def test_a_path_that_cannot_be_written_fails_alone(tmp_path: Path, archive: FakeArchive) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here/folder").write_bytes(b"a file")
    odd = [single("folder/a.bin", f"{archive.url}/plain/a.bin"),
           single("n" * 250 + ".bin", f"{archive.url}/plain/a.bin"),
           single("manifest.jsonl", f"{archive.url}/plain/a.bin")]  # fmt: skip
    outcome = fetch_files([*odd, *files(archive, "b.bin")], tmp_path / "here", Client(quick()))
    assert [*outcome.fetched] == ["b.bin"] and sorted(outcome.failed) == sorted(one.path for one in odd)
    assert (tmp_path / "here/folder").read_bytes() == b"a file"


def test_two_files_that_want_one_place_are_refused_before_anything_is_fetched(
    tmp_path: Path, archive: FakeArchive
) -> None:
    twins = [single("a.bin", f"{archive.url}/plain/a.bin"), single("A.BIN", f"{archive.url}/plain/b.bin")]
    with pytest.raises(InputError, match="two files of the archive want one place"):
        fetch_files(twins, tmp_path / "here", Client(quick()))
    assert archive.log == []


def test_files_without_record_are_taken_when_the_manifest_is_lost(
    tmp_path: Path, archive: FakeArchive
) -> None:
    here = tmp_path / "here"
    both = [*files(archive), RemoteFile("two.dat", tuple(
        Piece(f"{archive.url}/plain/{name}", len(DATA[name]), md5(DATA[name])) for name in ("a.bin", "b.bin")
    ))]  # fmt: skip
    fetch_files(both, here, Client(quick()))
    before = {path: (one.sha256, one.bytes) for path, one in Manifest(here).records.items()}
    (here / "manifest.jsonl").unlink()
    archive.clear_log()
    outcome = fetch_files(both, here, Client(quick()))
    assert len(outcome.kept) == 7 and archive.bytes_sent() == 0
    assert {path: (one.sha256, one.bytes) for path, one in Manifest(here).records.items()} == before
