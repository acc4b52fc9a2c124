"""A tar.gz that is unpacked as it comes: cut, killed, damaged, hostile or changed."""

from __future__ import annotations

import errno
import gzip
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_archive import FakeArchive
from served_files import quick, serve, tar_gz
from unpacking import MEMBERS, PACKED, SPACING, everything, got, unpack, whole

from vitreous.data.download import inflate
from vitreous.data.download.client import Client
from vitreous.data.download.manifest import Manifest
from vitreous.data.download.unpack import Unpacking
from vitreous.errors import InputError, StageError
from vitreous.runtime.lock import Lock


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[FakeArchive]:
    serve(tmp_path / "served", "set.tar.gz", PACKED)
    with FakeArchive(tmp_path / "served", hang_seconds=2.0) as archive:
        yield archive


def test_members_come_whole_with_their_records_and_a_second_run_asks_nothing(
    tmp_path: Path, archive: FakeArchive
) -> None:
    outcome = unpack(archive, tmp_path / "here")
    assert sorted(outcome.written) == sorted(MEMBERS) and not outcome.kept and not outcome.failed
    whole(tmp_path / "here")
    archive.clear_log()
    again = unpack(archive, tmp_path / "here")
    assert sorted(again.kept) == sorted(MEMBERS) and not again.written and archive.log == []


@pytest.mark.parametrize(
    "faults",
    [
        ["drop:90000", "drop:90000", "hang:60000", "status:503,0"],
        ["status:429,0", "html", "xml", "redirect", "noetag", "nolength"],
        ["drop:90000", "etag", "slow:4000000", "gzipheader"],
        ["drop:90000", "badrange", "norange"],
        ["swap", "drop:100000", "norange", "drop:50000"],
    ],
)
def test_what_a_server_does_wrong_changes_nothing(
    tmp_path: Path, archive: FakeArchive, faults: list[str]
) -> None:
    for fault in ("redirect", *faults):  # the first meets the HEAD
        archive.add_fault(fault, times=1)
    assert not unpack(archive, tmp_path / "here").failed
    whole(tmp_path / "here")


@pytest.mark.parametrize("library", [True, False])
def test_without_range_or_without_zlib_the_archive_is_read_again_and_members_are_compared(
    tmp_path: Path, archive: FakeArchive, library: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    archive.add_fault("drop:250000", match="*.gz", times=1, skip=1)
    with pytest.raises(InputError, match="cannot be fetched"):
        unpack(archive, here, tries=1)
    kept = {path: path.stat().st_mtime_ns for path in here.rglob("m*.mrc")}
    assert len(kept) == 3
    if library:
        archive.add_fault("norange")
    else:
        monkeypatch.setattr(inflate, "zlib_library", lambda: None)
        monkeypatch.setattr("vitreous.data.download.unpack.zlib_library", lambda: None)
    outcome = unpack(archive, here)
    whole(here)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert sorted(outcome.kept + outcome.written) == sorted(MEMBERS)


# kills


class Killed(BaseException):
    """What nothing catches, as a kill."""


@pytest.mark.parametrize("place", range(1000, len(PACKED), 47_000))
def test_ended_anywhere_it_goes_on_from_a_point_before(
    tmp_path: Path, archive: FakeArchive, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends between two chunks; nothing is tidied up, as after a kill."""
    from vitreous.data.download import stream

    body, seen = stream.Stream._body, [0]

    def cut(self: object, response: object) -> Iterator[bytes]:
        for chunk in body(self, response):  # type: ignore[arg-type]
            seen[0] += len(chunk)
            if seen[0] > place:
                raise Killed
            yield chunk

    here = tmp_path / "here"
    with monkeypatch.context() as patch:
        patch.setattr(stream.Stream, "_body", cut)
        with pytest.raises(Killed):
            unpack(archive, here)
    archive.clear_log()
    outcome = unpack(archive, here)
    whole(here)
    assert sorted(outcome.kept + outcome.written) == sorted(MEMBERS)
    assert got(archive) <= len(PACKED) - place + SPACING + 4096


@pytest.mark.parametrize("moment", ["os.replace", "Manifest.add"])
@pytest.mark.parametrize("count", [1, 3, 5])
def test_ended_around_the_rename_of_a_member_it_goes_on(
    tmp_path: Path, archive: FakeArchive, moment: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, left = tmp_path / "here", [count]
    target, name = (os, "replace") if moment == "os.replace" else (Manifest, "add")
    original = getattr(target, name)

    def ended(*arguments: object) -> object:
        member = moment != "os.replace" or str(arguments[0]).endswith(".part")
        left[0] -= member
        if member and left[0] <= 0:
            raise Killed
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(target, name, ended)
        with pytest.raises(Killed):
            unpack(archive, here)
    outcome = unpack(archive, here)
    whole(here)
    assert sorted(outcome.kept + outcome.written) == sorted(MEMBERS)
    archive.clear_log()
    unpack(archive, here)
    assert archive.log == []


PROGRAM = """
import sys
from pathlib import Path
from served_files import mrc, quick, serve, tar_gz
from vitreous.data.download.client import Client
from vitreous.data.download.unpack import Unpacking
Unpacking(Client(quick(hang_timeout_s=5)), sys.argv[1], Path(sys.argv[2]), lambda name: name).run()
"""


def test_killed_again_and_again_it_loses_at_most_a_point_each_time(
    tmp_path: Path, archive: FakeArchive
) -> None:
    archive.settings.rate = 640_000  # 32,000 bytes every 50 ms
    here, url = tmp_path / "here", f"{archive.url}/plain/set.tar.gz"
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    reached, firsts = 0, []
    for _ in range(3):
        before = len(archive.log)
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, url, here], env={**os.environ, "PYTHONPATH": path}
        ) as one:
            end = time.monotonic() + 20
            while len(archive.log) < before + 2 or archive.log[-1].bytes_sent < 128_000:
                assert time.monotonic() < end
                time.sleep(0.002)
            one.kill()
        firsts.append(archive.log[before + 1].first_byte)
        assert firsts[-1] >= reached - SPACING - 4096 - 32_000
        reached = firsts[-1] + 128_000
    assert firsts == sorted(firsts) and firsts[1] > 0
    archive.settings.rate = 0
    archive.clear_log()
    assert not unpack(archive, here).failed
    whole(here)
    assert got(archive) <= len(PACKED) - reached + SPACING + 4096 + 32_000


# damage


def test_a_bit_flipped_once_is_mended_wherever_it_is(tmp_path: Path, archive: FakeArchive) -> None:
    for number, place in enumerate(range(10, len(PACKED), 31_111)):
        archive.clear()
        archive.add_fault(f"corrupt:{place}", times=1, skip=1)
        assert not unpack(archive, tmp_path / f"here{number}").failed
        whole(tmp_path / f"here{number}")


@pytest.mark.parametrize("lost", ["nothing", "a member", "the part"])
def test_a_wrong_member_that_a_kill_left_before_the_crc_was_seen_is_mended(
    tmp_path: Path, archive: FakeArchive, lost: str
) -> None:
    """In stored blocks a flipped bit goes unnoticed to the end."""
    stored, here = gzip.compress(gzip.decompress(PACKED), 0), tmp_path / "here"
    serve(tmp_path / "served", "set.tar.gz", stored)
    place = stored.index(MEMBERS["set/m0.mrc"][40_000:40_050])
    archive.set_faults([
        {"fault": f"corrupt:{place}", "match": "*.gz", "times": 1, "skip": 1},
        {"fault": f"drop:{250_000 + 4096}", "match": "*.gz", "times": 1, "skip": 0},
    ])  # fmt: skip
    archive.settings.rate = 2_000_000
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    command = [sys.executable, "-c", PROGRAM, f"{archive.url}/plain/set.tar.gz", here]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}) as process:
        while not (here / "set/m2.mrc").exists():
            assert process.poll() is None
        process.kill()
    archive.clear()
    archive.settings.rate = 0
    assert (here / "set/m0.mrc").read_bytes() != MEMBERS["set/m0.mrc"]
    if lost == "a member":
        (here / "set/a.csv").unlink()
    elif lost == "the part":
        for part in here.rglob(".*.part"):
            part.unlink()
    assert not unpack(archive, here).failed
    whole(here)


def test_an_archive_that_is_damaged_at_its_source_is_named_and_whole_members_are_kept(
    tmp_path: Path, archive: FakeArchive
) -> None:
    archive.add_fault(f"corrupt:{len(PACKED) - 100}")
    with pytest.raises(InputError, match=r"set.tar.gz: the archive is damaged .*; what was whole is kept"):
        unpack(archive, tmp_path / "here")
    for name in list(MEMBERS)[:5]:
        assert (tmp_path / "here" / name).read_bytes() == MEMBERS[name]
    archive.clear()
    assert not unpack(archive, tmp_path / "here").failed
    whole(tmp_path / "here")


@pytest.mark.parametrize("cut", [len(PACKED) // 2, len(PACKED) - 3, 5])
def test_an_archive_that_is_cut_at_its_source_is_told(tmp_path: Path, archive: FakeArchive, cut: int) -> None:
    serve(tmp_path / "served", "set.tar.gz", PACKED[:cut])
    with pytest.raises(
        InputError, match="the archive is damaged .found a gzip stream that ends in its middle"
    ):
        unpack(archive, tmp_path / "here")


def test_a_tar_that_was_cut_before_it_was_packed_is_told(tmp_path: Path, archive: FakeArchive) -> None:
    serve(tmp_path / "served", "set.tar.gz", gzip.compress(gzip.decompress(PACKED)[:100_000]))
    with pytest.raises(InputError, match="a tar archive that ends inside of set/m0.mrc"):
        unpack(archive, tmp_path / "here")
    assert not (tmp_path / "here/set/m0.mrc").exists() and (tmp_path / "here/set/a.csv").exists()


def test_a_wrong_crc_at_the_source_is_told(tmp_path: Path, archive: FakeArchive) -> None:
    serve(tmp_path / "served", "set.tar.gz", PACKED[:-8] + bytes(4) + PACKED[-4:])
    with pytest.raises(InputError, match="whose CRC does not agree"):
        unpack(archive, tmp_path / "here")


def test_a_page_that_stays_in_place_of_the_archive_is_told(tmp_path: Path, archive: FakeArchive) -> None:
    archive.add_fault("html")
    with pytest.raises(InputError, match="an HTML page in place of the file, 3 times in a row"):
        unpack(archive, tmp_path / "here", tries=3)
    archive.set_faults([{"fault": "status:404"}])
    with pytest.raises(InputError, match=r"set.tar.gz: not found on the server"):
        unpack(archive, tmp_path / "here")


def test_of_an_archive_that_is_not_there_no_folder_is_left_but_one_that_was_there_stays(
    tmp_path: Path, archive: FakeArchive
) -> None:
    archive.add_fault("status:404")
    with pytest.raises(InputError, match=r"set\.tar\.gz: not found on the server"):
        unpack(archive, tmp_path / "new/here")
    assert not (tmp_path / "new").exists()
    for folder, content in (("bare", ()), ("used", ("notes.txt",))):
        (tmp_path / folder).mkdir()
        for name in content:
            (tmp_path / folder / name).touch()
        with pytest.raises(InputError, match="not found on the server"):
            unpack(archive, tmp_path / folder)
        assert [path.name for path in (tmp_path / folder).iterdir()] == [*content]


def test_who_waits_for_a_folder_that_is_tidied_away_gets_his_own_answer(
    tmp_path: Path, archive: FakeArchive
) -> None:
    """Both find nothing; the folder of the first is gone when the second takes the lock."""
    archive.add_fault("status:404")
    said: list[str] = []

    def try_it() -> None:
        try:
            unpack(archive, tmp_path / "here")
        except InputError as error:
            said.append(str(error))

    threads = [threading.Thread(target=try_it) for _ in range(2)]
    with Lock(tmp_path / "here/.fetch.lock"):
        for thread in threads:
            thread.start()
        time.sleep(0.2)
    for thread in threads:
        thread.join()
    assert len(said) == 2 and all("not found on the server" in one for one in said)


def test_a_member_that_was_deleted_and_comes_again_the_same_leaves_its_record_as_it_was(
    tmp_path: Path, archive: FakeArchive
) -> None:
    here = tmp_path / "here"
    unpack(archive, here)
    older = (here / "manifest.jsonl").read_text().replace('"date": "2', '"date": "1')
    (here / "manifest.jsonl").write_text(older)
    (here / "set/m1.mrc").unlink()
    assert unpack(archive, here).written == ["set/m1.mrc"]
    assert (here / "manifest.jsonl").read_text() == older
    whole(here)


def test_a_member_that_is_no_true_image_is_named_and_not_left_under_its_name(
    tmp_path: Path, archive: FakeArchive
) -> None:
    members = {**MEMBERS, "set/m1.mrc": MEMBERS["set/m1.mrc"][:-5]}
    serve(tmp_path / "served", "set.tar.gz", tar_gz(members))
    outcome = unpack(archive, tmp_path / "here")
    assert list(outcome.failed) == ["set/m1.mrc"] and "truncated" in outcome.failed["set/m1.mrc"]
    rest = {name: content for name, content in MEMBERS.items() if name != "set/m1.mrc"}
    whole(tmp_path / "here", rest)
    archive.clear_log()
    assert list(unpack(archive, tmp_path / "here").failed) == ["set/m1.mrc"] and archive.log == []


# disk


def test_a_full_disk_names_the_member_and_the_rerun_goes_on(
    tmp_path: Path, archive: FakeArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwrite, left = os.pwrite, [200_000]

    def filling(fd: int, data: memoryview, at: int) -> int:
        left[0] -= len(data)
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(fd, data, at)

    here = tmp_path / "here"
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", filling)
        with pytest.raises(StageError, match=r"set/m2\.mrc: disk full"):
            unpack(archive, here)
    assert (here / "set/m1.mrc").read_bytes() == MEMBERS["set/m1.mrc"]
    archive.clear_log()
    unpack(archive, here)
    whole(here)
    assert got(archive) < len(PACKED) - 100_000


def test_too_small_a_disk_is_told_before_anything_is_fetched(tmp_path: Path, archive: FakeArchive) -> None:
    unpacking = Unpacking(
        Client(quick()),
        f"{archive.url}/plain/set.tar.gz",
        tmp_path / "here",
        everything,
        unpacked_bytes=1 << 60,
    )
    with pytest.raises(StageError, match="the disk is too small"):
        unpacking.run()
    assert got(archive) == 0


def test_nothing_is_unpacked_offline_but_what_is_here_is_enough(
    tmp_path: Path, archive: FakeArchive, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StageError, match="nothing is fetched offline"):
        unpack(archive, tmp_path / "here", offline=True)
    unpack(archive, tmp_path / "here")
    with caplog.at_level(logging.WARNING):
        assert len(unpack(archive, tmp_path / "here", offline=True).kept) == 7
    assert not caplog.records
