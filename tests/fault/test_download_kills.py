"""A fetch that is killed, interrupted or out of disk: the next run goes on where it ended."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_archive import FakeArchive
from served_files import md5, noise, quick, serve

from vitreous.data.download.batch import fetch_files
from vitreous.data.download.client import Client
from vitreous.data.download.manifest import Manifest
from vitreous.data.download.remote import Piece, RemoteFile, single
from vitreous.data.download.stream import OVERLAP_BYTES
from vitreous.errors import StageError

CHUNK = 16_384
RNG = random.Random(1)
BIG, SMALL = noise(RNG, 200_000), noise(RNG, 20_000)
PIECES = [noise(RNG, 60_000), noise(RNG, 90_000)]
# a fetch in a process of its own: folder, address, limit of a file's size, names
PROGRAM = """
import resource, sys
from pathlib import Path
from served_files import quick
from vitreous.data.download.batch import fetch_files
from vitreous.data.download.client import Client
from vitreous.data.download.remote import single
folder, base, limit, hang, *names = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
print("begun", flush=True)
files = [single(name, f"{base}/plain/{name}") for name in names]
fetch_files(files, Path(folder), Client(quick(hang_timeout_s=float(hang), chunk_bytes=16384, connections=2)))
"""


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[FakeArchive]:
    for name, content in {"big.bin": BIG, "small.bin": SMALL, "p0": PIECES[0], "p1": PIECES[1]}.items():
        serve(tmp_path / "served", name, content)
    with FakeArchive(tmp_path / "served", hang_seconds=30.0) as archive:
        yield archive


def start(
    folder: Path, archive: FakeArchive, *names: str, limit: int = 0, hang: float = 5
) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(folder), archive.url, str(limit), str(hang), *names]
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def served(archive: FakeArchive, count: int) -> None:
    """Wait until so many bytes have gone out."""
    end = time.monotonic() + 20
    while archive.bytes_sent("/plain/*") < count:
        assert time.monotonic() < end
        time.sleep(0.002)


def files(archive: FakeArchive, *names: str) -> list[RemoteFile]:
    return [single(name, f"{archive.url}/plain/{name}") for name in names]


def test_killed_again_and_again_a_fetch_loses_at_most_the_last_chunk_each_time(
    tmp_path: Path, archive: FakeArchive
) -> None:
    archive.settings.rate = 320_000  # 16,000 bytes every 50 ms, so that nothing waits in the sockets
    here, part = tmp_path / "here", tmp_path / "here/.big.bin.part"
    for _ in range(3):
        before = len(archive.log)
        had = part.stat().st_size if part.exists() else 0
        with start(here, archive, "big.bin") as process:
            served(archive, archive.bytes_sent() + 45_000)
            process.kill()
            sent = archive.log[before].bytes_sent
        assert archive.log[before].first_byte == max(0, had - OVERLAP_BYTES)
        lost = archive.log[before].first_byte + sent - part.stat().st_size
        assert lost <= CHUNK, "more than one chunk was under way"
        assert part.read_bytes() == BIG[: part.stat().st_size] and not (here / "big.bin").exists()
    archive.settings.rate = 0
    had = part.stat().st_size
    assert had > CHUNK
    archive.clear_log()
    outcome = fetch_files(files(archive, "big.bin"), here, Client(quick()))
    assert outcome.fetched["big.bin"].received == len(BIG) - had
    assert archive.bytes_sent() == len(BIG) - had + OVERLAP_BYTES
    assert (here / "big.bin").read_bytes() == BIG
    assert sorted(path.name for path in here.iterdir()) == ["big.bin", "manifest.jsonl"]


@pytest.mark.parametrize("moment", ["before the rename", "after the rename", "in the second piece"])
def test_ended_at_the_worst_moments_a_fetch_is_gone_on_with(
    tmp_path: Path, archive: FakeArchive, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moments at which a kill by time hardly ever comes, by an exception that nothing catches."""

    class Killed(BaseException):
        pass

    def killed(*arguments: object) -> None:
        raise Killed

    pieces = tuple(Piece(f"{archive.url}/plain/p{i}", None, md5(PIECES[i])) for i in range(2))
    file, content = RemoteFile("p.dat", pieces), PIECES[0] + PIECES[1]
    with monkeypatch.context() as patch:
        if moment == "before the rename":
            patch.setattr("vitreous.data.download.transfer.Transfer._done", killed)
        elif moment == "after the rename":
            patch.setattr(Manifest, "add", killed)
        else:
            archive.add_fault("drop:30000", match="*p1", times=1)
            patch.setattr("vitreous.data.download.patience.Patience.wait", killed)
        with pytest.raises(Killed):
            fetch_files([file], tmp_path / "here", Client(quick()))
    archive.clear_log()
    outcome = fetch_files([file], tmp_path / "here", Client(quick()))
    assert (tmp_path / "here/p.dat").read_bytes() == content
    sent = {"before the rename": 0, "after the rename": 0, "in the second piece": 60_000 + OVERLAP_BYTES}
    assert archive.bytes_sent() == sent[moment]
    assert (outcome.kept or [*outcome.fetched]) == ["p.dat"]
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["manifest.jsonl", "p.dat"]


def test_two_processes_in_one_folder_fetch_each_file_once(tmp_path: Path, archive: FakeArchive) -> None:
    archive.settings.rate = 400_000
    names = ["big.bin", "small.bin", "p0", "p1"]
    with start(tmp_path / "here", archive, *names) as one, start(tmp_path / "here", archive, *names) as two:
        said = one.communicate()[1] + two.communicate()[1]
    assert (one.returncode, two.returncode) == (0, 0), said
    asked = sorted(request.path for request in archive.log if request.method == "GET")
    assert asked == sorted(f"/plain/{name}" for name in names)
    assert (tmp_path / "here/big.bin").read_bytes() == BIG
    assert len((tmp_path / "here/manifest.jsonl").read_text().splitlines()) == 4


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_fetch_ends_soon_though_a_server_hangs(
    tmp_path: Path, archive: FakeArchive, sent: signal.Signals
) -> None:
    archive.add_fault("hang:50000", match="*big.bin")
    with start(tmp_path / "here", archive, "big.bin", "small.bin", hang=60) as process:
        served(archive, 70_000)
        time.sleep(0.1)
        began = time.monotonic()
        process.send_signal(sent)
        said = process.communicate()[1]
        assert time.monotonic() - began < 3 and process.returncode != 0
    assert "KeyboardInterrupt" in said or sent == signal.SIGTERM
    archive.clear()
    outcome = fetch_files(files(archive, "big.bin", "small.bin"), tmp_path / "here", Client(quick()))
    assert outcome.kept == ["small.bin"] and [*outcome.fetched] == ["big.bin"]
    assert archive.bytes_sent() == len(BIG) - 50_000 + OVERLAP_BYTES


# disk


def test_a_file_that_the_system_will_not_let_grow_is_named_and_the_rerun_goes_on(
    tmp_path: Path, archive: FakeArchive
) -> None:
    here = tmp_path / "here"
    with start(here, archive, "small.bin", limit=100_000) as process:
        assert process.wait() == 0
    with start(here, archive, "small.bin", "big.bin", limit=100_000) as process:
        said = process.communicate()[1].splitlines()[-1]
    assert process.returncode == 1
    assert said.endswith(
        f"FullDiskError: {here}/big.bin: disk full (found File too large); "
        "free some space and run again, finished work is kept"
    )
    assert (here / "small.bin").read_bytes() == SMALL and not (here / "big.bin").exists()
    archive.clear_log()
    outcome = fetch_files(files(archive, "small.bin", "big.bin"), here, Client(quick()))
    assert outcome.kept == ["small.bin"] and (here / "big.bin").read_bytes() == BIG
    assert archive.bytes_sent() == 100_000 + OVERLAP_BYTES


def test_a_disk_that_fills_up_stops_the_fetch_and_keeps_what_is_whole(
    tmp_path: Path, archive: FakeArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwrite, left = os.pwrite, [150_000]

    def filling(fd: int, data: memoryview, at: int) -> int:
        taken = min(len(data), left[0])
        if not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left[0] -= taken
        return pwrite(fd, data[:taken], at)

    here = tmp_path / "here"
    client = Client(quick(connections=1))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", filling)
        with pytest.raises(
            StageError, match=r"big\.bin: disk full .found No space left on device.; free some"
        ):
            fetch_files(files(archive, "small.bin", "big.bin", "p0"), here, client)
    assert list(Manifest(here).records) == ["small.bin"]
    assert (here / ".big.bin.part").read_bytes() == BIG[:130_000]
    archive.clear_log()
    outcome = fetch_files(files(archive, "small.bin", "big.bin", "p0"), here, Client(quick()))
    assert outcome.kept == ["small.bin"] and sorted(outcome.fetched) == ["big.bin", "p0"]
    assert archive.bytes_sent() == 70_000 + OVERLAP_BYTES + len(PIECES[0])
    assert (here / "big.bin").read_bytes() == BIG


def test_a_manifest_that_cannot_be_written_is_told_and_the_file_is_taken_by_the_next_run(
    tmp_path: Path, archive: FakeArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Manifest, record: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.file))

    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "add", full)
        with pytest.raises(StageError, match=r"manifest\.jsonl: disk full"):
            fetch_files(files(archive, "small.bin"), tmp_path / "here", Client(quick()))
    archive.clear_log()
    assert fetch_files(files(archive, "small.bin"), tmp_path / "here", Client(quick())).kept == ["small.bin"]
    assert archive.bytes_sent() == 0 and [request.method for request in archive.log] == ["HEAD"]


def test_too_small_a_disk_is_told_before_anything_is_asked(tmp_path: Path, archive: FakeArchive) -> None:
    huge = single("huge.bin", f"{archive.url}/plain/big.bin", bytes=1 << 60)
    with pytest.raises(StageError, match="the disk is too small for what is to come"):
        fetch_files([huge], tmp_path / "here", Client(quick()))
    rough = RemoteFile("huge.bin", huge.pieces[:0] + (Piece(huge.url),), None, 1 << 60)
    with pytest.raises(StageError, match="the disk is too small"):
        fetch_files([rough], tmp_path / "here", Client(quick()))
    assert archive.log == []
