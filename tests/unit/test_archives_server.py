from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fake_archive
import pytest
import requests
from fake_archive import FAULTS, FakeArchive

from vitreous.data.download.settings import BASES

BODY = bytes(range(256)) * 40


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[FakeArchive]:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/a.mrc").write_bytes(BODY)
    (tmp_path / "zenodo/7").mkdir(parents=True)
    (tmp_path / "zenodo/7/a.star").write_bytes(BODY)
    with FakeArchive(tmp_path, hang_seconds=0.3) as archive:
        yield archive


def get(archive: FakeArchive, fault: str, **headers: str) -> requests.Response:
    return requests.get(
        f"{archive.url}/plain/a.mrc",
        headers={"X-Fault": fault, "Accept-Encoding": "identity", **headers},
        timeout=5,
        allow_redirects=False,
    )


def test_every_fault_is_told_of_and_every_archive_has_a_place() -> None:
    told = set(re.findall(r"^    (\w+)(?::[A-Z]+)?  ", fake_archive.__doc__ or "", flags=re.MULTILINE))
    assert told >= FAULTS and len(FAULTS) == 18
    assert set(fake_archive.MIRRORS) == set(BASES)


def test_a_range_is_served_and_one_beyond_the_file_refused(archive: FakeArchive) -> None:
    url = f"{archive.url}/plain/a.mrc"
    part = requests.get(url, headers={"Range": "bytes=100-199"}, timeout=5)
    assert (part.status_code, part.content) == (206, BODY[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(BODY)}"
    assert requests.get(url, headers={"Range": f"bytes={len(BODY)}-"}, timeout=5).status_code == 416
    changed = requests.get(url, headers={"Range": "bytes=100-", "If-Range": '"other"'}, timeout=5)
    assert (changed.status_code, len(changed.content)) == (200, len(BODY))


def test_faults_change_status_headers_and_content_as_told(archive: FakeArchive) -> None:
    assert get(archive, "status:503,2").headers["Retry-After"] == "2"
    limited = get(archive, "status:429,9")
    assert float(limited.headers["X-RateLimit-Reset"]) > time.time()
    assert get(archive, "redirect").headers["Location"] == "/plain/a.mrc"
    assert get(archive, "html").text.startswith("<!DOCTYPE html>")
    assert get(archive, "xml").text.startswith("<?xml")
    assert "ETag" not in get(archive, "noetag").headers
    assert get(archive, "etag").headers["ETag"] != get(archive, "etag").headers["ETag"]
    assert get(archive, "norange", Range="bytes=5-").content == BODY
    assert get(archive, "badrange", Range="bytes=5-").headers["Content-Range"].startswith("bytes 6-")
    assert "Content-Length" not in get(archive, "nolength").headers
    assert get(archive, "swap").content == bytes(b ^ 255 for b in BODY)
    flipped = get(archive, "corrupt:-1").content
    assert flipped[:-1] == BODY[:-1] and flipped[-1] == BODY[-1] ^ 1
    assert requests.head(f"{archive.url}/plain/a.mrc?fault=gzipheader", timeout=5).headers[
        "Content-Encoding"
    ] == ("x-gzip")


@pytest.mark.parametrize("fault", ["drop:300", "hang:300"])
def test_a_body_is_cut_where_the_fault_says(archive: FakeArchive, fault: str) -> None:
    with pytest.raises(requests.RequestException):
        get(archive, fault)
    assert archive.bytes_sent("*.mrc") == 300


def test_a_slow_answer_takes_its_time(archive: FakeArchive) -> None:
    began = time.monotonic()
    assert get(archive, f"slow:{4 * len(BODY)}").content == BODY
    assert time.monotonic() - began > 0.2


def test_metadata_can_lie_about_sizes_checksums_and_items(archive: FakeArchive) -> None:
    url = f"{archive.url}/api/records/7"
    (true,) = requests.get(url, timeout=5).json()["files"]
    (size,) = requests.get(f"{url}?fault=size", timeout=5).json()["files"]
    (checksum,) = requests.get(f"{url}?fault=checksum", timeout=5).json()["files"]
    assert size["size"] == true["size"] + 1 and checksum["checksum"] != true["checksum"]
    assert requests.get(f"{url}?fault=short", timeout=5).json()["files"] == []


def test_rules_skip_fire_and_end_and_the_log_says_which(archive: FakeArchive) -> None:
    archive.add_fault("status:500", match="*.mrc", times=1, skip=1)
    codes = [requests.get(f"{archive.url}/plain/a.mrc", timeout=5).status_code for _ in range(3)]
    assert codes == [200, 500, 200] and [request.fault for request in archive.log] == ["", "status:500", ""]
    requests.post(f"{archive.url}/_faults", json=[{"fault": "html", "match": "*"}], timeout=5)
    assert requests.get(f"{archive.url}/plain/a.mrc", timeout=5).text.startswith("<!DOCTYPE")
    assert requests.get(f"{archive.url}/_log", timeout=5).json()[-1]["fault"] == "html:"
    archive.clear()
    assert archive.log == [] and get(archive, "").content == BODY


def test_paths_that_climb_find_nothing(archive: FakeArchive, tmp_path: Path) -> None:
    (tmp_path.parent / "outside.txt").write_text("secret")
    connection = http.client.HTTPConnection("127.0.0.1", int(archive.url.rsplit(":", 1)[1]), timeout=5)
    connection.request("GET", "/plain/../../outside.txt")
    assert connection.getresponse().status == 404


def test_a_client_that_goes_away_leaves_nothing_on_the_terminal(
    archive: FakeArchive, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "plain/big.mrc").write_bytes(bytes(20_000_000))
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", int(archive.url.rsplit(":", 1)[1]))) as client:
            client.sendall(b"GET /plain/big.mrc HTTP/1.1\r\nHost: x\r\n\r\n")
            client.recv(100)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
    time.sleep(0.3)
    out, err = capfd.readouterr()
    assert out == err == ""


def test_stopping_does_not_wait_for_an_answer_that_hangs(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/a.mrc").write_bytes(BODY)
    with FakeArchive(tmp_path, hang_seconds=600) as archive:
        archive.add_fault("hang:5")
        with pytest.raises(requests.RequestException):
            requests.get(f"{archive.url}/plain/a.mrc", timeout=0.2)
        began = time.monotonic()
    assert time.monotonic() - began < 5


def test_the_command_line_serves_a_folder_with_its_rules(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/a.mrc").write_bytes(BODY)
    (tmp_path / "rules.json").write_text(json.dumps([{"fault": "status:404", "match": "*.mrc", "times": 1}]))
    command = [sys.executable, fake_archive.__file__, str(tmp_path), "--faults", str(tmp_path / "rules.json")]
    command += ["--log", str(tmp_path / "log.jsonl")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        codes = [requests.get(f"{url}/plain/a.mrc", timeout=5).status_code for _ in range(2)]
        log, end = tmp_path / "log.jsonl", time.monotonic() + 10
        while time.monotonic() < end and (not log.exists() or log.read_text().count("\n") < 2):
            time.sleep(0.01)  # a line is written after its answer
        server.terminate()
    assert codes == [404, 200] and len(log.read_text().splitlines()) == 2
