from __future__ import annotations

import contextlib
import email.utils
import json
import logging
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from fake_archive import FakeArchive
from pydantic import ValidationError
from served_files import quick, serve

from vitreous.data.download.client import Client, translated, user_agent
from vitreous.data.download.patience import Patience, Transient, asked_wait_s
from vitreous.data.download.settings import BASES, NetworkSettings
from vitreous.errors import InputError, StageError


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[FakeArchive]:
    serve(tmp_path, "a.bin", b"a" * 1000)
    serve(tmp_path, "facts.json", json.dumps({"a": 1}).encode())
    with FakeArchive(tmp_path, hang_seconds=1.0) as archive:
        yield archive


# patience


def test_waits_double_with_jitter_up_to_the_longest() -> None:
    settings = NetworkSettings(backoff_s=1.0, longest_backoff_s=10.0)
    for failures, longest in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 10.0), (60, 10.0)):
        patience = Patience(settings, "u", threading.Event())
        patience._failures = failures
        waits = [patience.backoff_s() for _ in range(200)]
        assert longest / 2 <= min(waits) < 0.6 * longest and 0.9 * longest < max(waits) <= longest


def test_failures_in_a_row_are_counted_and_a_new_byte_forgives_them() -> None:
    patience = Patience(quick(tries=3, backoff_s=0), "http://a/b", threading.Event())
    for _ in range(5):
        patience.wait(Transient("cut"))
        patience.wait(Transient("cut"))
        patience.progressed()
    patience.wait(Transient("cut"))
    patience.wait(Transient("cut"))
    with pytest.raises(
        InputError, match=r"http://a/b: cannot be fetched \(found cut, 3 times in a row\); run"
    ):
        patience.wait(Transient("cut"))


@pytest.mark.parametrize(("seconds", "level"), [(4.0, logging.INFO), (1.9, logging.DEBUG)])
def test_a_wait_is_told_with_host_reason_and_number_of_the_try_where_a_user_would_notice_it(
    caplog: pytest.LogCaptureFixture, seconds: float, level: int
) -> None:
    stop = threading.Event()
    stop.set()
    patience = Patience(NetworkSettings(tries=8), "https://me:secret@here.example:8/a", stop)
    with caplog.at_level(logging.DEBUG), contextlib.suppress(StageError):
        patience.wait(Transient("503 Service Unavailable", seconds))
    with caplog.at_level(logging.DEBUG), contextlib.suppress(StageError):
        patience.wait(Transient("503 Service Unavailable", seconds))
    said = [(record.levelno, record.getMessage()) for record in caplog.records]
    text = f"waiting {seconds:.0f} s for here.example (503 Service Unavailable), try {{}} of 8"
    assert said == [(level, text.format(2)), (level, text.format(3))]


def test_a_wait_ends_when_the_fetch_is_stopped() -> None:
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()
    began = time.monotonic()
    with pytest.raises(StageError, match="stopped"):
        Patience(NetworkSettings(), "u", stop).wait(Transient("503", 30.0))
    assert time.monotonic() - began < 5


def test_a_wait_longer_than_allowed_is_an_error_that_says_when_to_come_back() -> None:
    with pytest.raises(
        InputError, match=r"come back later .*429.*at most 60 s.*; run again after \d\d:\d\d;"
    ):
        Patience(NetworkSettings(longest_wait_s=60), "u", threading.Event()).wait(Transient("429", 61.0))


def test_what_a_server_asks_to_wait_is_read_from_seconds_dates_and_zenodos_reset() -> None:
    now = 1_700_000_000.0
    later = email.utils.formatdate(now + 90, usegmt=True)
    for headers, expected in (
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": later}, 90.0),
        ({"Retry-After": email.utils.formatdate(now - 5, usegmt=True)}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"X-RateLimit-Reset": str(int(now) + 30)}, 30.0),
        ({"X-RateLimit-Reset": str(int(now) + 30), "X-RateLimit-Remaining": "5"}, None),
        ({"Retry-After": "5", "X-RateLimit-Reset": str(int(now) + 30), "X-RateLimit-Remaining": "0"}, 30.0),
    ):
        assert asked_wait_s(headers, now) == expected, headers


# settings


def test_a_mirror_stands_for_an_archive_and_must_be_an_address() -> None:
    settings = NetworkSettings(mirrors={"emdb": "http://here/emdb/"})
    assert settings.base("emdb") == "http://here/emdb" and settings.base("pdb") == BASES["pdb"]
    with pytest.raises(ValidationError, match=r"mirrors.emdb: found '/mnt/emdb', expected an address"):
        NetworkSettings(mirrors={"emdb": "/mnt/emdb"})
    with pytest.raises(ValidationError, match="mirrors"):
        NetworkSettings(mirrors={"nowhere": "http://here"})  # type: ignore[dict-item]


def test_zenodo_is_asked_over_fewer_connections() -> None:
    settings = NetworkSettings(connections=5, zenodo_connections=2)
    assert settings.host_limit(f"{BASES['zenodo']}/1/files/a") == 2
    assert settings.host_limit(f"{BASES['empiar']}/10017/data/a.mrc") == 5


# requests


def test_the_user_agent_names_program_and_contact() -> None:
    assert user_agent("https://lab.example").startswith("vitreous/")
    assert "(cryo-EM workflow; +https://lab.example)" in user_agent("https://lab.example")
    assert "(cryo-EM workflow)" in user_agent(None)


@pytest.mark.parametrize("contact", [None, "mailto:me@lab.example"])
def test_servers_see_our_own_user_agent(archive: FakeArchive, contact: str | None) -> None:
    Client(quick(contact=contact)).text(f"{archive.url}/plain/a.bin")
    assert archive.log[0].user_agent == user_agent(contact)


def test_a_small_document_is_asked_for_again_until_it_is_one(archive: FakeArchive) -> None:
    for fault in ("status:503,0", "html", "drop:3", "hang:3", "xml", "status:429,0", "redirect"):
        archive.add_fault(fault, times=1)
    assert Client(quick()).json(f"{archive.url}/plain/facts.json") == {"a": 1}
    assert len(archive.log) == 8


def test_a_document_that_stays_a_page_is_an_error_that_says_so(archive: FakeArchive) -> None:
    archive.add_fault("html")
    with pytest.raises(InputError, match="an HTML or XML page in place of JSON, 3 times in a row"):
        Client(quick(tries=3)).json(f"{archive.url}/plain/facts.json")


def test_sizes_come_from_the_head_and_are_unknown_where_the_server_tells_none(archive: FakeArchive) -> None:
    client, url = Client(quick()), f"{archive.url}/plain/a.bin"
    assert client.size(url) == 1000 and archive.log[0].method == "HEAD"
    for fault in ("nolength", "html", "xml", "status:405", "status:501"):
        archive.add_fault(fault, times=1)
        assert client.size(url) is None, fault
    assert client.exists(url) and not client.exists(url + "x")
    archive.add_fault("status:403")
    with pytest.raises(InputError, match="refuses access"):
        client.exists(url)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, r"name and a password \(found 401\); put them into ~/.netrc"),
        (403, r"refuses access \(found 403\)"),
        (404, r"not found on the server \(found 404\); check accession and file name"),
        (410, "no longer on the server"),
        (418, r"the server refuses \(found 418\)"),
    ],
)
def test_a_refusal_is_told_at_once_with_what_to_do(archive: FakeArchive, status: int, said: str) -> None:
    archive.add_fault(f"status:{status}")
    with pytest.raises(InputError, match=f"/plain/a.bin: .*{said}"):
        Client(quick()).text(f"{archive.url}/plain/a.bin")
    assert len(archive.log) == 1


def test_nothing_is_asked_offline() -> None:
    with pytest.raises(StageError, match="http://nowhere/a: not here, and nothing is fetched offline"):
        Client(quick(offline=True)).text("http://nowhere/a")


@pytest.mark.parametrize("url", ["htp://a/b", "http://", "nothing", "http://[::1/a"])
def test_an_address_that_is_none_is_an_input_error(url: str) -> None:
    with pytest.raises(InputError, match="not an address that can be fetched"):
        Client(quick()).text(url)


def test_a_server_that_is_not_there_is_tried_again_and_given_up() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/a"
    with pytest.raises(InputError, match=r"Connection refused.*, 2 times in a row"):
        Client(quick(tries=2)).text(url)


def test_a_redirection_in_circles_is_given_up(archive: FakeArchive) -> None:
    archive.add_fault("redirect")
    with pytest.raises(InputError, match="redirected in circles, 2 times"):
        Client(quick(tries=2)).text(f"{archive.url}/plain/a.bin")


def test_a_certificate_that_is_not_trusted_is_told_with_what_to_set() -> None:
    with pytest.raises(InputError, match="certificate is not trusted .*REQUESTS_CA_BUNDLE"), translated():
        raise requests.exceptions.SSLError("CERTIFICATE_VERIFY_FAILED")
    with pytest.raises(Transient), translated():
        raise requests.exceptions.SSLError("EOF occurred")


def test_names_and_passwords_come_from_netrc(
    archive: FakeArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(stat.S_IRUSR)
    monkeypatch.setenv("NETRC", str(netrc))
    Client(quick()).text(f"{archive.url}/plain/a.bin")
    assert archive.log[0].authorization == "Basic bWU6c2VjcmV0"


def test_proxies_come_from_the_environment(archive: FakeArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("http_proxy", archive.url)
    assert Client(quick()).text("http://archive.invalid/plain/a.bin") == "a" * 1000
    assert archive.log[0].proxied_for == "archive.invalid"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    Client(quick()).text(f"{archive.url}/plain/a.bin")
    assert archive.log[1].proxied_for == ""


def test_no_more_requests_are_open_at_a_host_than_allowed(archive: FakeArchive) -> None:
    archive.settings.rate = 10_000
    client = Client(quick(connections=3))
    threads = [threading.Thread(target=client.text, args=(f"{archive.url}/plain/a.bin",)) for _ in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert archive.busiest == 3 and len(archive.log) == 9


def test_halting_wakes_a_read_that_waits_for_bytes(archive: FakeArchive) -> None:
    archive.add_fault("hang:10")
    client = Client(NetworkSettings())
    caught: list[Exception] = []

    def read() -> None:
        try:
            client.text(f"{archive.url}/plain/a.bin")
        except StageError as error:
            caught.append(error)

    thread = threading.Thread(target=read)
    archive.settings.hang_seconds = 30.0
    thread.start()
    while not archive.log or not archive.log[0].bytes_sent:
        time.sleep(0.01)
    time.sleep(0.1)
    began = time.monotonic()
    client.halt()
    thread.join()
    assert time.monotonic() - began < 3 and "stopped" in str(caught[0])
    with pytest.raises(StageError, match="stopped"):
        client.text(f"{archive.url}/plain/a.bin")


def test_the_answers_of_one_thread_use_one_connection(archive: FakeArchive) -> None:
    """Many small files would otherwise cost a connection each."""
    client = Client(quick())
    accepted = []
    original = archive._server.get_request
    archive._server.get_request = lambda: accepted.append(1) or original()  # type: ignore[method-assign,func-returns-value]
    for _ in range(5):
        with client.open(f"{archive.url}/plain/a.bin") as response:
            while response.raw.read1(100, decode_content=False):
                pass
    assert len(accepted) == 1 and urlsplit(archive.url).hostname == "127.0.0.1"
