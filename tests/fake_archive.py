"""A loopback HTTP server that looks like EMPIAR, Zenodo, EMDB, the PDB and CryoPPP.

It serves one folder in the layouts of those archives, injects faults on demand and records
every request with its byte range, so that a downloader can be tested without a network.
Standard library only; it binds to 127.0.0.1 and to nothing else.

Folder (every part is optional)::

    ROOT/empiar/10017/data/...        tree of one entry; entry.json beside data/ is served as
                                      given, otherwise an entry is made up from the tree
    ROOT/zenodo/8352275/...           files of one record (flat)
    ROOT/emdb/EMD-2660/map/...        map/ header/ other/ masks/ as in the public tree
    ROOT/pdb/7a4m.cif.gz              flat
    ROOT/cryoppp/10005.tar.gz         likewise ROOT/cryoppp_lite/
    ROOT/mnist/train-images-idx3-ubyte.gz
    ROOT/plain/...                    anything else

Paths served (put ``http://127.0.0.1:PORT`` where the real scheme and host stand)::

    /empiar/api/entry/10017/   (also EMPIAR-10017, with or without the last slash)
    /empiar/world_availability/10017/data/...      file, or an Apache-like listing
    /api/records/8352275                           record with files, sizes and MD5
    /records/8352275/files/NAME                    also /api/records/ID/files/NAME/content
    /pub/databases/emdb/structures/EMD-2660/...    file or listing
    /download/7a4m.cif.gz                          also /pub/pdb/data/structures/divided/mmCIF/a4/...
                                                   and /pub/pdb/data/assemblies/mmCIF/divided/a4/...
    /cryoppp/  /cryoppp_lite/  /mnist/  /plain/    file or listing

Faults, as ``NAME`` or ``NAME:ARGUMENT``, come from a request header (``X-Fault: drop:1000``),
from the query (``?fault=drop:1000``) or from rules (``--faults FILE``, ``POST /_faults``,
:meth:`FakeArchive.add_fault`). A rule is a JSON object: ``{"match": "*.mrc", "fault": "drop:1000",
"times": 1, "skip": 0}``; ``match`` is a glob on the path, ``times`` how often it fires (null: always),
``skip`` how many matching requests pass first. The first rule that fires is used.

    drop:N        send the true headers and N body bytes, then cut the connection
    hang:N        send N body bytes, then nothing for --hang seconds, then cut
    slow:RATE     send at RATE bytes per second
    status:CODE   answer with this status; 503 and 429 carry Retry-After (status:503,2 gives 2 s)
    corrupt:OFF   flip one bit of the file's byte OFF (negative: from the end)
    swap          other content of the same length and another ETag (the file changed)
    etag          the same content, another ETag in each answer
    noetag        no ETag and no Last-Modified
    norange       ignore Range, answer 200 with the whole file, no Accept-Ranges
    badrange      answer 206 with a Content-Range one byte off
    nolength      no Content-Length, the body ends with the connection
    checksum      in metadata: wrong checksums
    size          in metadata: sizes one byte too large
    short         in metadata and listings: the last item is missing
    html          200 and an HTML error page in place of the data
    xml           200 and an XML error document in place of the data
    redirect      302 to the same path, with the fault used up
    gzipheader    add Content-Encoding: x-gzip, as some servers do to .gz files

Control: ``GET /_log`` (JSON), ``POST /_log`` clears it, ``POST /_faults`` (JSON list) replaces the rules.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import hashlib
import json
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from fake_faults import FAULTS, Fault, Request
from fake_handler import Handler
from fake_pages import rounded_size

__all__ = ["FAULTS", "FakeArchive", "Fault", "Request", "rounded_size"]
HOST = "127.0.0.1"
# where each archive of NetworkSettings stands on this server
MIRRORS = {
    "empiar-api": "/empiar/api/entry",
    "empiar": "/empiar/world_availability",
    "cryoppp": "",
    "zenodo-api": "/api/records",
    "zenodo": "/records",
    "emdb": "/pub/databases/emdb/structures",
    "pdb": "/download",
    "mnist": "/mnist",
}


@dataclass
class Settings:
    """Behaviour of the whole server."""

    root: Path
    rate: int = 0
    requests_per_minute: int = 0
    hang_seconds: float = 60.0
    log_file: Path | None = None


class QuietServer(ThreadingHTTPServer):
    """One thread a connection; a client that goes away in the middle leaves no traceback on the terminal."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a broken connection, and everything of a fault of our own."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class FakeArchive:
    """The server with its rules and its log; also a context manager for tests.

    >>> with FakeArchive(Path("served")) as archive:  # doctest: +SKIP
    ...     archive.add_fault("drop:1000", match="*.mrc", times=1)
    ...     download(archive.url + "/plain/a.mrc")
    ...     assert [r.status for r in archive.log] == [200, 206]
    """

    def __init__(self, root: Path, port: int = 0, **settings: Any) -> None:
        self.settings = Settings(Path(root).resolve(), **settings)
        self.log: list[Request] = []
        self.busy = self.busiest = 0  # requests that are answered now, and the most at a time
        self._faults: list[Fault] = []
        self._recent: deque[float] = deque()
        self._md5: dict[tuple[str, int, int], str] = {}
        self._lock = threading.Lock()
        handler = type("BoundHandler", (Handler,), {"archive": self})
        self.stopping = threading.Event()
        self._server = QuietServer((HOST, port), handler)
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Base URL, without a trailing slash."""
        return f"http://{HOST}:{self._server.server_address[1]}"

    @property
    def mirrors(self) -> dict[str, str]:
        """What to give as NetworkSettings(mirrors=…) so that every archive is this server."""
        return {name: self.url + path for name, path in MIRRORS.items()}

    def add_fault(self, text: str, match: str = "*", times: int | None = None, skip: int = 0) -> None:
        """Add one rule; see the module's text for the names."""
        with self._lock:
            self._faults.append(Fault.parse(text, match, times, skip))

    def set_faults(self, rules: list[dict[str, Any]]) -> None:
        """Replace all rules."""
        parsed = [
            Fault.parse(r["fault"], r.get("match", "*"), r.get("times"), r.get("skip", 0)) for r in rules
        ]
        with self._lock:
            self._faults = parsed

    def clear_log(self) -> None:
        """Forget the requests so far."""
        with self._lock:
            self.log.clear()

    def clear(self) -> None:
        """Forget the log and the rules."""
        self.clear_log()
        self.set_faults([])

    def bytes_sent(self, match: str = "*") -> int:
        """Body bytes sent for the paths that match."""
        with self._lock:
            return sum(r.bytes_sent for r in self.log if fnmatch.fnmatchcase(r.path, match))

    def fault_for(self, path: str, given: str | None) -> Fault | None:
        """The fault for this request: the one it names itself, or the first rule that fires."""
        if given:
            return Fault.parse(given)
        with self._lock:
            return next((f for f in self._faults if f.fires(path)), None)

    def over_limit(self) -> int:
        """Seconds to wait when more requests came in the last minute than allowed, else 0."""
        limit = self.settings.requests_per_minute
        now = time.monotonic()
        with self._lock:
            while self._recent and now - self._recent[0] > 60:
                self._recent.popleft()
            self._recent.append(now)
            if not limit or len(self._recent) <= limit:
                return 0
            return max(1, round(60 - (now - self._recent[0])))

    def note(self, request: Request) -> None:
        """Number the request and keep it; status and bytes are filled in while it is answered."""
        with self._lock:
            self.log.append(request)
            request.number = len(self.log)
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)

    def leave(self, request: Request) -> None:
        """Count a request as answered, once: before its last bytes go out and its client asks the next."""
        with self._lock:
            self.busy -= not request.left
            request.left = True

    def finish(self, request: Request) -> None:
        """Append an answered request to the log file when there is one."""
        self.leave(request)
        if self.settings.log_file:
            with self._lock, self.settings.log_file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(vars(request)) + "\n")

    def md5(self, path: Path) -> str:
        """MD5 of a file, remembered while size and time stay."""
        stat = path.stat()
        key = (str(path), stat.st_size, stat.st_mtime_ns)
        if key not in self._md5:
            with path.open("rb") as stream:
                self._md5[key] = hashlib.file_digest(stream, "md5").hexdigest()
        return self._md5[key]

    def start(self) -> FakeArchive:
        """Serve in a background thread."""
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop serving and free the port."""
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        if self._thread:
            self._thread.join()

    def serve_forever(self) -> None:
        """Serve in this thread until interrupted."""
        with contextlib.suppress(KeyboardInterrupt):
            self._server.serve_forever()
        self._server.server_close()

    def __enter__(self) -> FakeArchive:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def main(arguments: list[str] | None = None) -> int:
    """Command line: serve a folder until interrupted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, help="folder to serve")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (0: any free one)")
    parser.add_argument("--faults", type=Path, help="JSON list of fault rules")
    parser.add_argument("--log", type=Path, dest="log_file", help="append each request to this file as JSON")
    parser.add_argument("--rate", type=int, default=0, help="bytes per second for each answer (0: no limit)")
    parser.add_argument("--limit", type=int, default=0, help="requests per minute before 429 (0: no limit)")
    parser.add_argument("--hang", type=float, default=60.0, help="seconds that the fault hang waits")
    options = parser.parse_args(arguments)
    if not options.root.is_dir():
        parser.error(f"no folder {options.root}")
    archive = FakeArchive(
        options.root,
        options.port,
        rate=options.rate,
        requests_per_minute=options.limit,
        hang_seconds=options.hang,
        log_file=options.log_file,
    )
    if options.faults:
        archive.set_faults(json.loads(options.faults.read_text(encoding="utf-8")))
    print(archive.url, flush=True)
    archive.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
