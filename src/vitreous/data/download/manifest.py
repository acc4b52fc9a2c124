"""What was fetched, beside the data: one JSON line a file with address, bytes, checksum, date and licence.

Lines are appended, so that a kill loses none; the last line of a path counts, a torn one is passed over.
"""

from __future__ import annotations

import functools
import json
import logging
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from vitreous.data.download.remote import RemoteFile
from vitreous.runtime.files import write_text
from vitreous.runtime.plural import plural

_log = logging.getLogger(__name__)
NAME = "manifest.jsonl"


@dataclass(frozen=True)
class Record:
    """A file of the folder: path, addresses, bytes, SHA-256, the archive's own checksums, date, licence."""

    path: str
    urls: tuple[str, ...]
    bytes: int
    sha256: str
    checksums: tuple[str | None, ...]
    date: str
    licence: str | None

    def tells_the_same(self, other: Record) -> bool:
        """Whether both are of the same bytes from the same addresses, whenever they were fetched."""
        mine, its = (self.path, self.urls, self.bytes), (other.path, other.urls, other.bytes)
        return mine == its and self.sha256 == other.sha256


class Manifest:
    """The records of a folder; one process at a time writes them (the folder's lock)."""

    def __init__(self, folder: Path) -> None:
        """Read what is there; nothing there is an empty manifest."""
        self.file = folder / NAME
        self.records: dict[str, Record] = {}
        unreadable = 0
        text = self.file.read_text(encoding="utf-8", errors="replace") if self.file.exists() else ""
        for line in text.split("\n"):
            if not line:
                continue
            try:
                plain = json.loads(line)
                plain["urls"], plain["checksums"] = tuple(plain["urls"]), tuple(plain["checksums"])
                record = Record(**plain)
            except (ValueError, TypeError, KeyError):
                unreadable += 1
                continue
            self.records[record.path] = record
        if unreadable:
            _warn_once(self.file, unreadable)
        self._torn = bool(unreadable) or (bool(text) and not text.endswith("\n"))

    def add(self, record: Record) -> None:
        """Note a file that is whole, for good; one that came again unchanged keeps the date it had.

        What is made of a record that is the same need not be made anew.
        """
        old = self.records.get(record.path)
        if old is not None and old.tells_the_same(record):
            record = replace(record, date=old.date)
        self.records[record.path] = record
        if self._torn:
            self.rewrite()
            return
        if record == old:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as handle:
            handle.write(_line(record))

    def drop(self, paths: Iterable[str]) -> None:
        """Forget files that are no longer here."""
        gone = [self.records.pop(path) for path in list(paths) if path in self.records]
        if gone:
            self.rewrite()

    def rewrite(self) -> None:
        """Write the file anew, one line a path, in the order of the paths."""
        write_text(self.file, "".join(_line(self.records[path]) for path in sorted(self.records)))
        self._torn = False


def record_of(file: RemoteFile, size: int, sha256: str) -> Record:
    """The record of a file fetched now."""
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    urls = tuple(piece.url for piece in file.pieces)
    checksums = tuple(piece.checksum for piece in file.pieces)
    return Record(file.path, urls, size, sha256, checksums, date, file.licence)


@functools.cache
def _warn_once(file: Path, count: int) -> None:
    """A manifest is read several times in a run."""
    _log.warning("%s: %s cannot be read, and nothing is known of %s", file, plural(count, "line"),
                 "its file" if count == 1 else "their files")  # fmt: skip


def _line(record: Record) -> str:
    return json.dumps(asdict(record), ensure_ascii=False) + "\n"
