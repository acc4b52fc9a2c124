"""Files from a server that does everything wrong: in the end the bytes are those served, or it is told."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fake_archive import FAULTS, FakeArchive
from served_files import md5, mrc, noise, quick, serve

from vitreous.data.archives.zenodo import read_record
from vitreous.data.download.batch import Outcome, fetch_files
from vitreous.data.download.client import Client
from vitreous.data.download.manifest import Manifest
from vitreous.data.download.remote import Piece, RemoteFile, single
from vitreous.data.download.stream import OVERLAP_BYTES

RNG = random.Random(0)
DATA, OTHER = noise(RNG, 200_000), noise(RNG, 50_000)
PIECES = [noise(RNG, 80_000), noise(RNG, 50_000), noise(RNG, 30_000)]
IMAGE = mrc(RNG)
# the 14 faults that concern a file; the others are of metadata and listings (below)
FILE_FAULTS = {
    "drop": "drop:100000", "hang": "hang:70000", "slow": "slow:2000000", "status": "status:503,0",
    "corrupt": "corrupt:50", "swap": "swap", "etag": "etag", "noetag": "noetag", "norange": "norange",
    "badrange": "badrange", "nolength": "nolength", "html": "html", "xml": "xml", "redirect": "redirect",
    "gzipheader": "gzipheader",
}  # fmt: skip


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[FakeArchive]:
    for name, content in {"a.bin": DATA, "b.bin": OTHER, "m.mrc": IMAGE}.items():
        serve(tmp_path / "served", name, content)
    for index, content in enumerate(PIECES):
        serve(tmp_path / "served", f"c.dat.chunk_{index}", content)
    with FakeArchive(tmp_path / "served", hang_seconds=1.0) as archive:
        yield archive


def plain(archive: FakeArchive, name: str = "a.bin") -> RemoteFile:
    return single(name, f"{archive.url}/plain/{name}")


def summed(archive: FakeArchive) -> RemoteFile:
    return single("a.bin", f"{archive.url}/plain/a.bin", bytes=len(DATA), checksum=md5(DATA))


def pieces(archive: FakeArchive) -> RemoteFile:
    return RemoteFile("c.dat", tuple(
        Piece(f"{archive.url}/plain/c.dat.chunk_{index}", None, md5(content))
        for index, content in enumerate(PIECES)
    ))  # fmt: skip


FORMS: dict[str, tuple[Callable[[FakeArchive], RemoteFile], bytes]] = {
    "plain": (plain, DATA), "summed": (summed, DATA), "pieces": (pieces, b"".join(PIECES)),
}  # fmt: skip


def fetch(file: RemoteFile, folder: Path, client: Client | None = None) -> Outcome:
    return fetch_files([file], folder, client or Client(quick()))


def refetched(archive: FakeArchive, size: int) -> int:
    """Bytes that were served more than once."""
    return archive.bytes_sent("/plain/*") - size


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_a_fault_once_changes_nothing_of_what_is_fetched(
    tmp_path: Path, archive: FakeArchive, fault: str, form: str
) -> None:
    make, content = FORMS[form]
    if form == "plain" and fault in ("corrupt", "swap"):
        pytest.skip("no client can notice that without a checksum")
    archive.add_fault(FILE_FAULTS[fault], times=1)
    outcome = fetch(make(archive), tmp_path / "here")
    assert not outcome.failed and len(outcome.fetched) == 1
    path = tmp_path / "here" / make(archive).path
    assert path.read_bytes() == content
    assert [request.fault.partition(":")[0] for request in archive.log if request.fault] == [fault]
    record = Manifest(tmp_path / "here").records[path.name]
    assert record.sha256 == hashlib.sha256(content).hexdigest() and record.bytes == len(content)
    assert sorted(found.name for found in path.parent.iterdir()) == [path.name, "manifest.jsonl"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fault", sorted({*FILE_FAULTS} - {"swap", "corrupt"}))
def test_a_fault_after_a_cut_body_costs_no_more_than_the_overlap_where_range_works(
    tmp_path: Path, archive: FakeArchive, fault: str, form: str
) -> None:
    make, content = FORMS[form]
    archive.add_fault("drop:40000", times=1)
    archive.add_fault(FILE_FAULTS[fault].replace("100000", "20000").replace("70000", "20000"), times=1)
    assert not fetch(make(archive), tmp_path / "here").failed
    assert (tmp_path / "here" / make(archive).path).read_bytes() == content
    if fault in ("norange", "badrange"):
        assert refetched(archive, len(content)) <= 40_000 + len(content)
    elif fault == "etag" and form != "pieces":
        # the whole answer under another ETag is left in its middle, whatever is under way then is lost
        assert [request.status for request in archive.log][:3] in ([200, 206], [200, 200, 206])
    else:
        pages = sum(
            request.bytes_sent for request in archive.log if request.fault[:4] in ("html", "xml:", "stat")
        )
        faults = len([request for request in archive.log if request.fault])
        assert refetched(archive, len(content)) - pages <= faults * OVERLAP_BYTES


def test_every_fault_of_the_fake_archive_is_met_in_these_tests() -> None:
    assert {*FILE_FAULTS} | {"checksum", "size", "short"} == FAULTS


# metadata that is wrong


def record_of(archive: FakeArchive, tmp_path: Path) -> list[RemoteFile]:
    folder = tmp_path / "served/zenodo/7"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.dat").write_bytes(DATA)
    (folder / "b.dat").write_bytes(OTHER)
    record = read_record(Client(quick(mirrors=archive.mirrors)), 7)
    return [record.remote(name) for name in record.files]


def test_a_size_that_is_wrong_does_no_harm_where_a_checksum_agrees(
    tmp_path: Path, archive: FakeArchive
) -> None:
    archive.add_fault("size", times=1)
    files = record_of(archive, tmp_path)
    assert files[0].bytes == len(DATA) + 1
    assert not fetch_files(files, tmp_path / "here", Client(quick())).failed
    assert (tmp_path / "here/a.dat").read_bytes() == DATA


def test_a_size_that_is_wrong_without_a_checksum_is_an_error(tmp_path: Path, archive: FakeArchive) -> None:
    file = single("a.bin", f"{archive.url}/plain/a.bin", bytes=len(DATA) + 1)
    outcome = fetch(file, tmp_path / "here")
    said = str(outcome.failed["a.bin"])
    assert (
        "a.bin: not what the archive says it is (found 200000 bytes, expected " in said and "200001" in said
    )
    assert not (tmp_path / "here/a.bin").exists() and len(archive.log) == 2


def test_a_checksum_that_is_wrong_is_an_error_and_the_other_files_come(
    tmp_path: Path, archive: FakeArchive
) -> None:
    archive.add_fault("checksum", match="/api/records/7", times=1)
    wrong = record_of(archive, tmp_path)[0]
    outcome = fetch_files([wrong, plain(archive, "b.bin")], tmp_path / "here", Client(quick()))
    said = str(outcome.failed["a.dat"])
    assert (
        "a.dat" in said and "found md5" in said and "expected" in said and "report it to the archive" in said
    )
    assert [*outcome.fetched] == ["b.bin"] and not (tmp_path / "here/a.dat").exists()
    right = record_of(archive, tmp_path)[0]
    again = fetch_files([right, plain(archive, "b.bin")], tmp_path / "here", Client(quick()))
    assert [*again.fetched] == ["a.dat"] and again.kept == ["b.bin"]


def test_a_record_that_is_short_by_one_brings_the_last_one_later(
    tmp_path: Path, archive: FakeArchive
) -> None:
    archive.add_fault("short", match="/api/records/7", times=1)
    first = record_of(archive, tmp_path)
    assert [file.path for file in first] == ["a.dat"]
    fetch_files(first, tmp_path / "here", Client(quick()))
    again = fetch_files(record_of(archive, tmp_path), tmp_path / "here", Client(quick()))
    assert again.kept == ["a.dat"] and [*again.fetched] == ["b.dat"]


# versions


def test_another_version_of_the_file_is_begun_anew(tmp_path: Path, archive: FakeArchive) -> None:
    archive.add_fault("drop:100000", match="*a.bin")
    assert fetch(plain(archive), tmp_path / "here", Client(quick(tries=1))).failed
    assert (tmp_path / "here/.a.bin.part").stat().st_size == 100_000
    archive.clear()
    time.sleep(0.01)
    serve(tmp_path / "served", "a.bin", DATA[::-1])
    assert not fetch(plain(archive), tmp_path / "here").failed
    assert (tmp_path / "here/a.bin").read_bytes() == DATA[::-1]


def test_the_same_content_under_another_etag_is_gone_on_with(tmp_path: Path, archive: FakeArchive) -> None:
    archive.add_fault("drop:150000", times=1)
    archive.add_fault("etag")
    assert not fetch(plain(archive), tmp_path / "here").failed
    assert (tmp_path / "here/a.bin").read_bytes() == DATA
    last = archive.log[-1]
    assert (last.status, last.range) == (206, f"bytes={150_000 - OVERLAP_BYTES}-")
    assert last.if_range is not None and last.if_range.endswith("GMT")


def test_other_content_of_the_same_date_is_seen_in_the_overlap(tmp_path: Path, archive: FakeArchive) -> None:
    archive.add_fault("drop:150000", times=1)
    archive.add_fault("swap", times=2)
    assert not fetch(plain(archive), tmp_path / "here").failed
    assert (tmp_path / "here/a.bin").read_bytes() == DATA


def test_the_part_of_another_file_of_this_name_is_not_gone_on_with(
    tmp_path: Path, archive: FakeArchive
) -> None:
    archive.add_fault("drop:40000", times=1)
    assert fetch(plain(archive, "b.bin"), tmp_path / "here", Client(quick(tries=1))).failed
    other = single("b.bin", f"{archive.url}/plain/a.bin")
    assert not fetch(other, tmp_path / "here").failed
    assert (tmp_path / "here/b.bin").read_bytes() == DATA and archive.log[-1].range is None


@pytest.mark.parametrize("stale", [b"", DATA[:10], b"x" * 1000, DATA + b"more", b"y" * 500_000])
@pytest.mark.parametrize("noted", [True, False])
def test_a_stale_part_never_gets_into_the_file(
    tmp_path: Path, archive: FakeArchive, stale: bytes, noted: bool
) -> None:
    here = tmp_path / "here"
    if noted:
        archive.add_fault("drop:40000", times=1)
        assert fetch(plain(archive), here, Client(quick(tries=1))).failed
    here.mkdir(exist_ok=True)
    (here / ".a.bin.part").write_bytes(stale)
    assert not fetch(plain(archive), here).failed
    assert (here / "a.bin").read_bytes() == DATA


def test_a_damaged_piece_that_was_verified_before_is_fetched_again(
    tmp_path: Path, archive: FakeArchive
) -> None:
    archive.add_fault("status:404", match="*chunk_2", times=1)
    assert fetch(pieces(archive), tmp_path / "here").failed
    part = tmp_path / "here/.c.dat.part"
    content = bytearray(part.read_bytes())
    assert content == PIECES[0] + PIECES[1]
    content[5] ^= 1
    part.write_bytes(content)
    assert not fetch(pieces(archive), tmp_path / "here").failed
    assert (tmp_path / "here/c.dat").read_bytes() == b"".join(PIECES)


def test_pieces_that_were_verified_are_not_asked_for_again(tmp_path: Path, archive: FakeArchive) -> None:
    archive.add_fault("status:404", match="*chunk_2", times=1)
    assert fetch(pieces(archive), tmp_path / "here").failed
    archive.clear_log()
    assert not fetch(pieces(archive), tmp_path / "here").failed
    assert [request.path for request in archive.log] == ["/plain/c.dat.chunk_2"]


# servers that keep no promises


def test_without_range_the_beginning_is_read_again_and_compared(tmp_path: Path, archive: FakeArchive) -> None:
    archive.add_fault("drop:150000", times=1)
    archive.add_fault("norange")
    assert not fetch(plain(archive), tmp_path / "here").failed
    assert (tmp_path / "here/a.bin").read_bytes() == DATA
    assert [request.status for request in archive.log] == [200, 200]


def test_a_server_without_range_that_has_another_version_is_noticed(
    tmp_path: Path, archive: FakeArchive
) -> None:
    archive.add_fault("drop:150000", times=1)
    assert fetch(plain(archive), tmp_path / "here", Client(quick(tries=1))).failed
    stamp = (tmp_path / "served/plain/a.bin").stat()
    serve(tmp_path / "served", "a.bin", DATA[::-1])
    os.utime(tmp_path / "served/plain/a.bin", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    archive.add_fault("norange")
    assert not fetch(plain(archive), tmp_path / "here").failed
    assert (tmp_path / "here/a.bin").read_bytes() == DATA[::-1]


def test_without_etag_and_date_a_part_is_gone_on_with(tmp_path: Path, archive: FakeArchive) -> None:
    archive.add_fault("drop:150000", times=1)
    assert fetch(plain(archive), tmp_path / "here", Client(quick(tries=1))).failed
    note = tmp_path / "here/.a.bin.part.json"
    plain_note = json.loads(note.read_text())
    plain_note["validators"] |= {"etag": None, "modified": None}
    note.write_text(json.dumps(plain_note))
    archive.add_fault("noetag")
    assert not fetch(plain(archive), tmp_path / "here").failed
    assert (tmp_path / "here/a.bin").read_bytes() == DATA
    assert archive.log[-1].if_range is None and refetched(archive, len(DATA)) == OVERLAP_BYTES


def test_a_wrong_content_range_is_not_trusted(tmp_path: Path, archive: FakeArchive) -> None:
    archive.add_fault("drop:150000", times=1)
    archive.add_fault("badrange")
    assert not fetch(plain(archive), tmp_path / "here").failed
    assert (tmp_path / "here/a.bin").read_bytes() == DATA


@contextmanager
def crude_server(answers: list[Callable[[http.server.BaseHTTPRequestHandler], None]]) -> Iterator[str]:
    """Answers GET by the functions in their order, the last again and again; HEAD tells the size of DATA."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.close_connection = True
            (answers.pop(0) if len(answers) > 1 else answers[0])(self)

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(DATA)))
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(content: bytes, **headers: str) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    def send(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(content)

    return send


def chunked(content: bytes, end: bool) -> bytes:
    pieces = [content[at : at + 7000] for at in range(0, len(content), 7000)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + (
        b"0\r\n\r\n" if end else b""
    )


def test_a_body_without_length_that_is_cut_is_noticed_by_the_size_that_the_head_tells(tmp_path: Path) -> None:
    with crude_server([answer(DATA[:120_000]), answer(DATA)]) as url:
        assert not fetch(single("a.bin", f"{url}/a.bin"), tmp_path).failed
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_a_body_in_chunks_that_is_cut_is_noticed(tmp_path: Path) -> None:
    form = {"Transfer_Encoding": "chunked"}
    cut, whole = answer(chunked(DATA[:120_000], False), **form), answer(chunked(DATA, True), **form)
    with crude_server([cut, whole]) as url:
        assert not fetch(single("a.bin", f"{url}/a.bin"), tmp_path).failed
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_compressed_on_the_way_stays_as_it_is_stored(tmp_path: Path, archive: FakeArchive) -> None:
    packed = gzip.compress(DATA)
    serve(tmp_path / "served", "m.map.gz", packed)
    archive.add_fault("gzipheader")
    assert not fetch(plain(archive, "m.map.gz"), tmp_path / "here").failed
    assert (tmp_path / "here/m.map.gz").read_bytes() == packed


# content that proves wrong


def test_a_bit_flipped_in_a_header_is_noticed_and_fetched_again(tmp_path: Path, archive: FakeArchive) -> None:
    archive.add_fault("corrupt:4", times=1)
    assert not fetch(plain(archive, "m.mrc"), tmp_path / "here").failed
    assert (tmp_path / "here/m.mrc").read_bytes() == IMAGE


def test_a_file_that_is_wrong_at_its_source_is_told_after_two_tries(
    tmp_path: Path, archive: FakeArchive
) -> None:
    archive.add_fault("corrupt:4")
    outcome = fetch(plain(archive, "m.mrc"), tmp_path / "here")
    assert "m.mrc: the file is wrong at its source (found MRC header: file is truncated" in str(
        outcome.failed["m.mrc"]
    )
    assert len(archive.log) == 2 and not list((tmp_path / "here").glob("*m.mrc*"))


@pytest.mark.parametrize("page", ["html", "xml"])
def test_a_page_in_place_of_data_is_told_and_a_good_part_survives(
    tmp_path: Path, archive: FakeArchive, page: str
) -> None:
    archive.add_fault(page)
    said = str(fetch(plain(archive), tmp_path / "first", Client(quick(tries=2))).failed["a.bin"])
    assert "in place of the file, 2 times in a row" in said and not list((tmp_path / "first").glob("*a.bin"))
    archive.set_faults([{"fault": "drop:150000", "times": 1}, {"fault": page}])
    assert fetch(plain(archive), tmp_path / "here", Client(quick(tries=2))).failed
    assert (tmp_path / "here/.a.bin.part").read_bytes() == DATA[:150_000]
    archive.clear()
    assert not fetch(plain(archive), tmp_path / "here").failed
    assert (tmp_path / "here/a.bin").read_bytes() == DATA and archive.log[0].first_byte > 140_000
