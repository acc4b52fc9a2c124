"""One connection to the fake archive: routes, ranges and faults."""

from __future__ import annotations

import contextlib
import email.utils
import json
import os
import re
import socket
import time
import urllib.parse
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from fake_faults import Fault, Request
from fake_pages import empiar_entry, inside, listing, zenodo_record

BLOCK = 1 << 18
TREES = {
    "/empiar/world_availability/": "empiar",
    "/pub/databases/emdb/structures/": "emdb",
    "/cryoppp/": "cryoppp",
    "/cryoppp_lite/": "cryoppp_lite",
    "/mnist/": "mnist",
    "/plain/": "plain",
}
ZENODO_FILE = re.compile(r"/(?:api/)?records?/(\d+)/files/(.+?)(?:/content)?")
ZENODO_RECORD = re.compile(r"/api/records/(\d+)(/files)?/?")
EMPIAR_ENTRY = re.compile(r"/empiar/api/entry/(?:EMPIAR-)?(\d+)/?")
PDB_FILE = re.compile(
    r"/(?:download|pub/pdb/data/(?:structures/divided/mmCIF|assemblies/mmCIF/divided)/\w\w)/([\w.-]+)"
)


def parse_range(text: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte of a single ``bytes=`` range; None: no usable range.

    Raises ValueError where the range lies beyond the file (the 416 case).
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", text or "")
    if not match or match.group(1) == match.group(2) == "":
        return None
    if match.group(1) == "":
        return max(0, size - int(match.group(2))), size - 1
    first = int(match.group(1))
    last = min(int(match.group(2) or size - 1), size - 1)
    if first >= size or first > last:
        raise ValueError(f"range {text} of a file of {size} bytes")
    return first, last


class Handler(BaseHTTPRequestHandler):
    """Routes, ranges and faults of one connection."""

    archive: Any  # the FakeArchive it belongs to
    protocol_version = "HTTP/1.1"
    server_version = "Apache"
    sys_version = ""

    def setup(self) -> None:
        """Prepare a connection."""
        super().setup()
        self._forget()

    def handle(self) -> None:
        """Serve a connection; a client that goes away is no error here."""
        with contextlib.suppress(ConnectionError):
            super().handle()

    def _forget(self) -> None:
        """Drop what the connection's previous request left behind."""
        self.fault: Fault | None = None
        self.length = 0
        self.entry = Request("", "")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on the terminal; the log holds every request."""

    def do_GET(self) -> None:
        """Answer a GET."""
        self._answer()

    def do_HEAD(self) -> None:
        """Answer a HEAD."""
        self._answer()

    def do_POST(self) -> None:
        """Control: new fault rules, or an empty log."""
        self._forget()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/_faults":
            self.archive.set_faults(json.loads(body))
        elif self.path == "/_log":
            self.archive.clear_log()
        else:
            self._plain(HTTPStatus.NOT_FOUND, b"no such control\n")
            return
        self._plain(HTTPStatus.OK, b"ok\n")

    def _answer(self) -> None:
        """Find the fault, then the route; record the request whatever happens."""
        self._forget()
        asked = re.fullmatch(r"http://([^/]+)(/.*)", self.path)  # as a proxy is asked
        host, self.path = asked.groups() if asked else ("", self.path)
        path, _, query = self.path.partition("?")
        path = urllib.parse.unquote(path)
        if path == "/_log":
            body = json.dumps([vars(r) for r in self.archive.log]).encode()
            self._plain(HTTPStatus.OK, body, "application/json")
            return
        given = self.headers.get("X-Fault") or urllib.parse.parse_qs(query).get("fault", [None])[0]
        get = self.headers.get
        self.entry = Request(path, self.command, 0, get("Range"), get("If-Range"), get("User-Agent", ""))
        self.entry.authorization, self.entry.proxied_for = get("Authorization", ""), host
        self.archive.note(self.entry)
        try:
            wait = self.archive.over_limit()
            self.fault = self.archive.fault_for(path, given)
            self.entry.fault = f"{self.fault.name}:{self.fault.argument}" if self.fault else ""
            if wait:
                self._refuse(429, wait)
            elif not self._early_fault():
                self._route(path)
        except ValueError as error:
            self._plain(HTTPStatus.BAD_REQUEST, f"{error}\n".encode())
        except ConnectionError:
            self.close_connection = True
        finally:
            self.archive.finish(self.entry)

    def _is(self, *names: str) -> bool:
        """Whether this request's fault is one of these."""
        return self.fault is not None and self.fault.name in names

    def _early_fault(self) -> bool:
        """Faults that need no file: status, redirect, html, xml. True when answered."""
        fault = self.fault
        if fault is None:
            return False
        if fault.name == "status":
            parts = fault.argument.split(",")
            self._refuse(int(parts[0]), int(parts[1]) if len(parts) > 1 else 1)
        elif fault.name == "redirect":
            self._plain(HTTPStatus.FOUND, b"", extra={"Location": self.path.partition("?")[0]})
        elif fault.name == "html":
            page = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Service</body></html>\n"
            self._plain(HTTPStatus.OK, page, "text/html; charset=utf-8")
        elif fault.name == "xml":
            page = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code></Error>\n'
            self._plain(HTTPStatus.OK, page, "application/xml")
        else:
            return False
        return True

    def _refuse(self, status: int, wait: int) -> None:
        """An error status; 429 and 503 say when to come back, 429 in Zenodo's headers too."""
        extra = {"Retry-After": str(wait)} if status in (429, 503) else {}
        if status == 429:
            extra |= {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + wait)}
        self._plain(status, b"<html><body>error</body></html>\n", "text/html", extra)

    def _route(self, path: str) -> None:
        """Send what belongs to this path."""
        root = self.archive.settings.root
        short = self._is("short")
        if match := EMPIAR_ENTRY.fullmatch(path):
            folder = inside(root, f"empiar/{match.group(1)}")
            return self._json(empiar_entry(match.group(1), folder, short) if folder else None)
        if match := ZENODO_FILE.fullmatch(path):
            return self._file(inside(root, f"zenodo/{match.group(1)}/{match.group(2)}"))
        if match := ZENODO_RECORD.fullmatch(path):
            folder = inside(root, f"zenodo/{match.group(1)}")
            record = self._record(match.group(1), folder) if folder else None
            return self._json({"entries": record["files"]} if record and match.group(2) else record)
        if match := PDB_FILE.fullmatch(path):
            return self._file(inside(root, f"pdb/{match.group(1)}"))
        for prefix, part in TREES.items():
            if path.startswith(prefix):
                found = inside(root, f"{part}/{path[len(prefix) :]}")
                if found and found.is_dir():
                    return self._folder(path, found)
                return self._file(found)
        return self._plain(HTTPStatus.NOT_FOUND, b"not found\n")

    def _record(self, number: str, folder: Path) -> dict[str, Any]:
        return zenodo_record(self.archive.url, self.archive.md5, number, folder, self.fault)

    def _folder(self, path: str, folder: Path) -> None:
        """A listing; without the last slash, a redirect to the path that has it."""
        if not path.endswith("/"):
            self._plain(HTTPStatus.MOVED_PERMANENTLY, b"", extra={"Location": urllib.parse.quote(path) + "/"})
            return
        self._plain(HTTPStatus.OK, listing(path, folder, self._is("short")), "text/html; charset=UTF-8")

    def _json(self, value: dict[str, Any] | None) -> None:
        """A JSON answer; None is a 404."""
        if value is None:
            self._plain(HTTPStatus.NOT_FOUND, b'{"status": 404, "message": "not found"}', "application/json")
        else:
            self._plain(HTTPStatus.OK, json.dumps(value).encode(), "application/json")

    def _plain(
        self, status: int, body: bytes, kind: str = "text/plain", extra: dict[str, str] | None = None
    ) -> None:
        """A whole answer from memory; drop and hang apply to it as well."""
        self._start(status, len(body), kind, extra or {})
        if self.command != "HEAD":
            self._send(iter([body]))

    def _start(self, status: int, length: int, kind: str, extra: dict[str, str]) -> None:
        """Status line and headers."""
        self.entry.status, self.length = int(status), length
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if self._is("nolength"):
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(length))
        for name, value in extra.items():
            self.send_header(name, value)
        self.end_headers()

    def _file(self, path: Path | None) -> None:
        """A file, whole or in part, with validators."""
        if path is None or not path.is_file():
            self._plain(HTTPStatus.NOT_FOUND, b"<html><body>404 Not Found</body></html>\n", "text/html")
            return
        size = path.stat().st_size
        extra, validators = self._validators(path.stat())
        first, last, status = 0, size - 1, HTTPStatus.OK
        if not self._is("norange"):
            extra["Accept-Ranges"] = "bytes"
            try:
                whole = self.headers.get("If-Range", validators[0]) not in validators
                wanted = None if whole else parse_range(self.headers.get("Range"), size)
            except ValueError:
                extra["Content-Range"] = f"bytes */{size}"
                self._plain(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", extra=extra)
                return
            if wanted:
                first, last, status = *wanted, HTTPStatus.PARTIAL_CONTENT
                extra["Content-Range"] = f"bytes {first + self._is('badrange')}-{last}/{size}"
        self._start(status, last - first + 1, "application/octet-stream", extra)
        self.entry.first_byte = first
        if self.command != "HEAD":
            self._send(self._blocks(path, first, last, size))

    def _validators(self, stat: os.stat_result) -> tuple[dict[str, str], tuple[str, str]]:
        """The headers that tell one state of a file from another, and what If-Range may hold: ETag, date."""
        tag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
        if self._is("swap", "etag"):
            tag = f'"{time.monotonic_ns():x}"' if self._is("etag") else f'"swapped-{stat.st_size:x}"'
        stamp = email.utils.formatdate(stat.st_mtime, usegmt=True)
        headers = {} if self._is("noetag") else {"ETag": tag, "Last-Modified": stamp}
        if self._is("gzipheader"):
            headers["Content-Encoding"] = "x-gzip"
        return headers, (tag, stamp)

    def _blocks(self, path: Path, first: int, last: int, size: int) -> Iterator[bytes]:
        """The file's bytes first..last, changed where the fault says so."""
        flip = -1
        if self._is("corrupt") and self.fault:
            flip = self.fault.number(size // 2) % max(size, 1)
        with path.open("rb") as stream:
            stream.seek(first)
            position = first
            while position <= last and (block := stream.read(min(BLOCK, last - position + 1))):
                if self._is("swap"):
                    block = bytes(b ^ 0xFF for b in block)
                if position <= flip < position + len(block):
                    changed = bytearray(block)
                    changed[flip - position] ^= 1
                    block = bytes(changed)
                yield block
                position += len(block)

    def _send(self, blocks: Iterator[bytes]) -> None:
        """Write the body at the wanted rate, cut or hang where the fault says so."""
        fault, log = self.fault, self.entry
        stop = fault.number() if fault and fault.name in ("drop", "hang") else None
        rate = fault.number() if fault and fault.name == "slow" else self.archive.settings.rate
        began = time.monotonic()
        for block in blocks:
            step = max(1, min(len(block), rate // 20)) if rate else max(1, len(block))
            for start in range(0, len(block), step):
                piece = block[start : start + step]
                if stop is not None and log.bytes_sent + len(piece) >= stop:
                    self._cut(piece[: stop - log.bytes_sent])
                    return
                log.bytes_sent += len(piece)
                if log.bytes_sent >= self.length:
                    self.archive.leave(log)
                self.wfile.write(piece)
                if rate:
                    time.sleep(max(0.0, log.bytes_sent / rate - (time.monotonic() - began)))

    def _cut(self, piece: bytes) -> None:
        """Send the last piece, wait if the fault is a hang, then break the connection."""
        self.entry.bytes_sent += len(piece)
        if not self._is("hang"):
            self.archive.leave(self.entry)
        self.wfile.write(piece)
        self.wfile.flush()
        if self._is("hang"):
            self.archive.stopping.wait(self.archive.settings.hang_seconds)
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
