"""What was fetched, beside the data: one JSON line a file with address, bytes, checksum, date and licence.

Lines are appended, so that a kill loses none; the last line of a path counts, a torn one is passed over.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from vitreous.data.download.remote import RemoteFile
from vitreous.runtime.files import write_text

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


class Manifest:
    """The records of a folder; one process at a time writes them (the folder's lock)."""

    def __init__(self, folder: Path) -> None:
        """Read what is there; nothing there is an empty manifest."""
        self.file = folder / NAME
        self.records: dict[str, Record] = {}
        self._torn = False
        text = self.file.read_text(encoding="utf-8", errors="replace") if self.file.exists() else ""
        for line in text.split("\n"):
            if not line:
                continue
            try:
                plain = json.loads(line)
                plain["urls"], plain["checksums"] = tuple(plain["urls"]), tuple(plain["checksums"])
                record = Record(**plain)
            except (ValueError, TypeError, KeyError):
                self._torn = True
                continue
            self.records[record.path] = record
        self._torn |= bool(text) and not text.endswith("\n")

    def add(self, record: Record) -> None:
        """Note a file that is whole, for good."""
        self.records[record.path] = record
        if self._torn:
            self.rewrite()
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


def _line(record: Record) -> str:
    return json.dumps(asdict(record), ensure_ascii=False) + "\n"
