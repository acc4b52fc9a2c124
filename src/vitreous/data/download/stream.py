"""The bytes of one address from an offset on, in their order, through cut connections, hangs and refusals."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import requests

from vitreous.data.download.client import Client, translated
from vitreous.data.download.content import Wrong, refuse_pages
from vitreous.data.download.patience import Patience, Transient
from vitreous.errors import StageError

# Bytes asked for again before the offset, to see that what is here is the beginning of what is there.
OVERLAP_BYTES = 4096
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True)
class Validators:
    """What a server says of a file's version: ETag, Last-Modified, size in bytes; None where it does not."""

    etag: str | None = None
    modified: str | None = None
    total: int | None = None

    @classmethod
    def of(cls, response: requests.Response) -> Validators:
        """Those of a whole or a partial answer."""
        headers = response.headers
        found = _RANGE.fullmatch(headers.get("Content-Range", ""))
        if response.status_code == 206:
            total = found.group(3) if found else ""
        else:
            total = headers.get("Content-Length", "")
        size = int(total) if total.isdigit() else None
        return cls(headers.get("ETag"), headers.get("Last-Modified"), size)

    def plain(self) -> dict[str, Any]:
        """For a JSON file."""
        return asdict(self)

    def same_file(self, other: Validators) -> bool:
        """Whether nothing that both say differs; two backends of one server may differ in the ETag alone."""
        if self.modified and other.modified and self.modified != other.modified:
            return False
        if self.total is not None and other.total is not None and self.total != other.total:
            return False
        # ASSUME: same date and size, another ETag is the same file (backends make ETags of inodes); the bytes
        # before the offset are compared in any case.
        dated = bool(self.modified and self.modified == other.modified)
        return dated or self.etag is None or other.etag is None or self.etag == other.etag

    def updated(self, newer: Validators) -> Validators:
        """What a later answer says, and of what it does not say this."""
        etag, modified = newer.etag or self.etag, newer.modified or self.modified
        return Validators(etag, modified, self.total if newer.total is None else newer.total)


class Changed(Exception):
    """The file on the server is no longer the one whose beginning is here."""


@dataclass(frozen=True)
class Here:
    """What is here already: `tail(n)` are the last n bytes, `digest()` the SHA-256 of all; None: unknown."""

    tail: Callable[[int], bytes]
    digest: Callable[[], str | None]


class Stream:
    """One address, read on from wherever it stopped."""

    def __init__(self, client: Client, url: str, *, name: str, validators: Validators | None = None,
                 expected: int | None = None, known: bool = False) -> None:  # fmt: skip
        """`name` is the file's, whose ending says what content to expect; `expected` its bytes, if known.

        `known`: a checksum verifies the content at the end, so a part is gone on with whatever the version.
        """
        self.client, self.url, self.name = client, url, name
        self.validators = validators or Validators()
        self._expected, self._known = expected, known
        self._by_date, self._ranges = False, True
        self._furthest = 0

    def chunks(self, offset: int, here: Here) -> Iterator[bytes]:
        """Yield the bytes from `offset` to the end; each goes to the caller before the next is read.

        Raises Changed where the file is another one by now, InputError where it is given up.
        """
        patience = Patience(self.client.settings, self.url, self.client.stop)
        self._furthest = max(self._furthest, offset)
        while self.validators.total is None or offset < self.validators.total or offset == 0:
            try:
                for chunk in self._one_answer(offset, here):
                    offset += len(chunk)
                    if offset > self._furthest:
                        self._furthest = offset
                        patience.progressed()
                    yield chunk
                self._refuse_shorter(offset)
                return
            except Transient as trouble:
                patience.wait(trouble)
            except Wrong as wrong:
                patience.wait(Transient(str(wrong)))

    def _refuse_shorter(self, offset: int) -> None:
        """Where no answer told the size ask for it, since a cut body ends like a whole one."""
        if self.validators.total is None and self._expected is None:
            self.validators = replace(self.validators, total=self.client.size(self.url))
            total = self.validators.total
            if total is not None and offset < total:
                raise Transient(f"the answer ended at byte {offset} of {total}")

    def _one_answer(self, offset: int, here: Here) -> Iterator[bytes]:
        """The bytes that one request brings; Transient where it ends too early."""
        overlap = min(offset, OVERLAP_BYTES) if self._ranges else 0
        headers = self._range_headers(offset - overlap) if offset and self._ranges else {}
        with self.client.open(self.url, headers) as response:
            if response.status_code == 416:
                raise Changed(f"the server's file ends before byte {offset}")
            first = refuse_pages(self._body(response), self.name, whole=response.status_code == 200)
            found = Validators.of(response)
            if response.status_code == 206:
                self._check_range(response, offset - overlap)
                skip = self._continued(found, first, overlap, here)
            elif offset:
                skip = self._from_the_start(found, first, offset, here)
            else:
                self.validators, skip = found, first
            got = offset
            for chunk in skip:
                got += len(chunk)
                yield chunk
            total = self._expected if found.total is None else found.total
            if total is not None and got < total:
                raise Transient(f"the answer ended at byte {got} of {total}")

    def _range_headers(self, first: int) -> dict[str, str]:
        """Range from byte `first` on, with If-Range where a validator is strong enough for it."""
        headers = {"Range": f"bytes={first}-"}
        etag, modified = self.validators.etag, self.validators.modified
        if self._known:
            return headers
        if etag and not etag.startswith("W/") and not self._by_date:
            headers["If-Range"] = etag
        elif modified:
            headers["If-Range"] = modified
        return headers

    def _check_range(self, response: requests.Response, first: int) -> None:
        found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if not found or int(found.group(1)) != first:
            self._ranges = False  # who gives other bytes than asked for is not asked for ranges again
            said = response.headers.get("Content-Range", "nothing")
            raise Transient(f"asked for bytes from {first}, got {said}")

    def _continued(
        self, found: Validators, body: Iterator[bytes], overlap: int, here: Here
    ) -> Iterator[bytes]:
        """What follows the overlap, which must be the bytes that are here."""
        if not self._known and not self.validators.same_file(found):
            raise Changed("its date or size changed")
        if self.validators.total is not None and found.total not in (None, self.validators.total):
            raise Changed("its size changed")
        self.validators = self.validators.updated(found)
        before, rest = _split(body, overlap)
        if before != here.tail(overlap):
            raise Changed("its content changed") if len(before) == overlap else Transient("ended at once")
        return rest

    def _from_the_start(
        self, found: Validators, body: Iterator[bytes], offset: int, here: Here
    ) -> Iterator[bytes]:
        """A whole answer although a part was asked for: either another version, or a server without Range."""
        same = self.validators.same_file(found)
        differ = self.validators.etag and found.etag and self.validators.etag != found.etag
        if same and differ and not self._by_date:
            self._by_date = True  # another backend of the same server: its date is the same
            raise Transient("another ETag for the same date and size", wait_s=0.0)
        digest = here.digest()
        if digest is None or not (self._known or same) or (found.total or offset) < offset:
            raise Changed("its version changed")
        hashed = hashlib.sha256()
        before = 0
        for chunk in body:
            part = chunk[: offset - before]
            hashed.update(part)
            before += len(part)
            if before == offset:
                if hashed.hexdigest() != digest:
                    raise Changed("its content changed")
                return _chained(chunk[len(part) :], body)
        raise Transient(f"the answer ended at byte {before}")

    def _body(self, response: requests.Response) -> Iterator[bytes]:
        """The body as it comes and undecoded: a read waits for the first byte, not for a full chunk."""
        size = self.client.settings.chunk_bytes
        while True:
            with translated():
                chunk = response.raw.read1(size, decode_content=False)
            if not chunk:
                return
            if self.client.stop.is_set():
                raise StageError("stopped", file=self.url, todo="run again to go on")
            yield chunk


def _split(body: Iterator[bytes], count: int) -> tuple[bytes, Iterator[bytes]]:
    """The first `count` bytes of a body, fewer where it ends, and the rest."""
    before = b""
    while len(before) < count and (chunk := next(body, b"")):
        before += chunk
    return before[:count], _chained(before[count:], body)


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest
