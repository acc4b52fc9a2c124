"""Requests to archives: one session a thread, own User-Agent, a limit per host, answers sorted into kinds.

Proxies, netrc and certificates are taken from the environment, as `requests` does.
"""

from __future__ import annotations

import contextlib
import platform
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from vitreous.data.download.content import Wrong, parsed_json, plain_xml
from vitreous.data.download.patience import Patience, Transient, asked_wait_s
from vitreous.data.download.settings import NetworkSettings
from vitreous.errors import InputError, StageError

# Answers that may be another one in a while.
_AGAIN = {408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524}
_REFUSED = {
    401: ("the server asks for a name and a password", "put them into ~/.netrc"),
    403: ("the server refuses access", "see whether the entry is public, and whether a browser may fetch it"),
    404: ("not found on the server", "check accession and file name"),
    407: ("the proxy asks for a name and a password", "put them into HTTPS_PROXY"),
    410: ("no longer on the server", "check the accession"),
}
_NO_HEAD = (405, 501)  # servers that answer GET alone
_PAGES = ("text/html", "application/xml", "text/xml")
T = TypeVar("T")


class Client:
    """What asks the archives; shared by the threads of a fetch."""

    def __init__(self, settings: NetworkSettings) -> None:
        """No connection is made before something is asked for."""
        self.settings = settings
        self.stop = threading.Event()
        self._local = threading.local()
        self._slots: dict[str, threading.BoundedSemaphore] = {}
        self._answers: set[requests.Response] = set()
        self._lock = threading.Lock()

    def halt(self) -> None:
        """End every fetch of this client soon: reads that wait for bytes are woken, nothing more is asked."""
        self.stop.set()
        with self._lock:
            answers = list(self._answers)
        for response in answers:
            _wake(response)

    @contextlib.contextmanager
    def open(
        self, url: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> Iterator[requests.Response]:
        """One answer (200, 206 or 416) whose body is still to be read; holds one of the host's connections.

        Raises Transient for what may go right later, InputError for what will not, StageError when offline.
        """
        try:
            urlsplit(url)
        except ValueError as error:
            raise _no_address(url, error) from error
        if self.settings.offline:
            raise StageError("not here, and nothing is fetched offline", file=url,
                             todo="fetch without `offline`, or name a mirror")  # fmt: skip
        with self._slot(url):
            if self.stop.is_set():
                raise StageError("stopped", file=url, todo="run again to go on")
            response = self._ask(url, headers or {}, method)
            with contextlib.closing(response), self._known(response):
                _sort(response, url)
                yield response

    def text(self, url: str) -> str:
        """A small document as text (UTF-8), in as many tries as the settings allow."""
        patience = Patience(self.settings, url, self.stop)
        while True:
            try:
                with self.open(url) as response, translated():
                    body = response.content
                if not body:
                    raise Transient("an empty answer")
                return body.decode("utf-8", errors="replace")
            except Transient as trouble:
                patience.wait(trouble)

    def json(self, url: str) -> Any:
        """A small JSON document; an answer that is none (a service page) is asked for again."""
        return self._understood(url, parsed_json)

    def xml(self, url: str) -> str:
        """A small XML document as text; a page or an error message in its place is asked for again."""
        return self._understood(url, plain_xml)

    def _understood(self, url: str, read: Callable[[str], T]) -> T:
        """What `read` makes of a document; where it raises Wrong the document is asked for again."""
        patience = Patience(self.settings, url, self.stop)
        while True:
            text = self.text(url)
            try:
                return read(text)
            except Wrong as wrong:
                patience.wait(Transient(str(wrong)))

    def size(self, url: str) -> int | None:
        """The size of a file in bytes by a HEAD request; None where the server does not say."""
        patience = Patience(self.settings, url, self.stop)
        while True:
            try:
                with self.open(url, method="HEAD") as response:
                    length = response.headers.get("Content-Length", "")
                    page = response.headers.get("Content-Type", "").startswith(_PAGES)
                    return int(length) if length.isdigit() and not page else None
            except Transient as trouble:
                patience.wait(trouble)
            except InputError as error:
                if error.found not in _NO_HEAD:
                    raise
                return None

    def exists(self, url: str) -> bool:
        """Whether a file is there, by a HEAD request."""
        try:
            self.size(url)
        except InputError as error:
            if error.found in (404, 410):
                return False
            raise
        return True

    @contextlib.contextmanager
    def _known(self, response: requests.Response) -> Iterator[None]:
        """While it is read, an answer is one that `halt` wakes."""
        with self._lock:
            self._answers.add(response)
        try:
            yield
        finally:
            with self._lock:
                self._answers.discard(response)

    def _slot(self, url: str) -> threading.BoundedSemaphore:
        host = urlsplit(url).netloc
        with self._lock:
            if host not in self._slots:
                self._slots[host] = threading.BoundedSemaphore(self.settings.host_limit(url))
            return self._slots[host]

    def _ask(self, url: str, headers: Mapping[str, str], method: str) -> requests.Response:
        timeout = (self.settings.connect_timeout_s, self.settings.hang_timeout_s)
        try:
            with translated():
                return self._session().request(
                    method, url, headers=dict(headers), stream=True, timeout=timeout, allow_redirects=True
                )
        except ValueError as error:  # requests' errors about the address itself
            raise _no_address(url, error) from error

    def _session(self) -> requests.Session:
        """This thread's session."""
        if not hasattr(self._local, "session"):
            session = requests.Session()
            session.headers["User-Agent"] = user_agent(self.settings.contact)
            # what is stored is what is wanted: a .gz stays one
            session.headers["Accept-Encoding"] = "identity"
            self._local.session = session
        found: requests.Session = self._local.session
        return found


def user_agent(contact: str | None) -> str:
    """How servers see us, e.g. `vitreous/0.1.0 (cryo-EM workflow; +https://…) Python/3.11.7`."""
    where = f"; +{contact}" if contact else ""
    return f"vitreous/{version('vitreous')} (cryo-EM workflow{where}) Python/{platform.python_version()}"


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn the errors of a connection into Transient, those of certificates into InputError."""
    try:
        yield
    except requests.exceptions.SSLError as error:
        if "CERTIFICATE" not in str(error).upper():
            raise Transient(_told(error)) from error
        raise InputError("the server's certificate is not trusted", found=_told(error),
                         todo="set REQUESTS_CA_BUNDLE to your site's certificates") from error  # fmt: skip
    except (requests.exceptions.Timeout, TimeoutError) as error:
        raise Transient("no byte came for too long") from error
    except (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
        raise Transient(_told(error)) from error
    except requests.exceptions.TooManyRedirects as error:
        raise Transient("redirected in circles") from error
    except HTTPError as error:
        slow = "timed out" in str(error)
        raise Transient("no byte came for too long" if slow else _told(error)) from error
    except requests.exceptions.RequestException as error:
        if isinstance(error, ValueError):  # about the address itself
            raise
        raise Transient(_told(error)) from error
    except ConnectionError as error:
        raise Transient(_told(error)) from error


def _wake(response: requests.Response) -> None:
    """Shut the connection of an answer, so that whoever waits for its bytes goes on at once."""
    with contextlib.suppress(AttributeError, OSError):
        body: Any = response.raw._original_response
        body.fp.raw._sock.shutdown(socket.SHUT_RDWR)


def _no_address(url: str, error: ValueError) -> InputError:
    what = "not an address that can be fetched"
    return InputError(what, file=url, found=str(error), todo="correct `mirrors`")


def _told(error: BaseException) -> str:
    """The innermost reason of a connection error in words."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    text = str(error) or type(error).__name__
    if "invalid literal" in text:  # of http.client, where a body in chunks is cut
        return "connection lost in the middle of a body"
    return f"connection lost ({text})" if "IncompleteRead" in text or "reset" in text else text


def _sort(response: requests.Response, url: str) -> None:
    """Let a usable answer pass; raise Transient or InputError for the others."""
    status = response.status_code
    if status in (200, 206, 416):
        return
    if status in _AGAIN:
        wait_s = asked_wait_s(response.headers, time.time())
        said = "" if wait_s is None else f", come back in {wait_s:.0f} s"
        raise Transient(f"{status} {response.reason}{said}", wait_s)
    what, todo = _REFUSED.get(status, ("the server refuses", "see what a browser gets there"))
    raise InputError(what, file=url, found=status, todo=todo)
