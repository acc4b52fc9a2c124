"""Records of Zenodo: their files with exact sizes and MD5."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from vitreous.data.archives.selection import some_of
from vitreous.data.download.client import Client
from vitreous.data.download.remote import Piece, RemoteFile
from vitreous.errors import InputError

_LICENCES = {"cc-by-4.0": "CC BY 4.0", "cc-by-sa-4.0": "CC BY-SA 4.0", "cc-zero": "CC0", "cc0-1.0": "CC0"}


@dataclass(frozen=True)
class ZenodoFile:
    """A file of a record: its size in bytes and its `md5:…`, where the record states them."""

    name: str
    bytes: int | None
    checksum: str | None
    url: str

    def piece(self) -> Piece:
        """The file as what is fetched at one address."""
        return Piece(self.url, self.bytes, self.checksum)


@dataclass(frozen=True)
class Record:
    """A record with its files by name."""

    id: int
    title: str
    licence: str | None
    files: dict[str, ZenodoFile]

    def remote(self, name: str, licence: str | None = None) -> RemoteFile:
        """A file of the record under its own name; `licence` where the record states none.

        Raises InputError, with some of the names there, for a name that the record does not have.
        """
        if name not in self.files:
            raise InputError("the record has no such file", file=f"Zenodo record {self.id}",
                             found=some_of(list(self.files), "file"), expected=name,
                             todo="check the record number")  # fmt: skip
        return RemoteFile(name, (self.files[name].piece(),), self.licence or licence)


def read_record(client: Client, id: int) -> Record:
    """Ask Zenodo for a record. Raises InputError where it does not exist or shows no files."""
    url = f"{client.settings.base('zenodo-api')}/{id}"
    data = client.json(url)
    listed = data.get("files") if isinstance(data, Mapping) else None
    if isinstance(listed, Mapping):  # newer answers: {"entries": {name: file}}
        listed = listed.get("entries")
    if isinstance(listed, Mapping):
        listed = list(listed.values())
    if not isinstance(listed, list) or not listed:
        todo = "see in a browser whether the record is open; for a concept id give that of a version"
        raise InputError("the record shows no files", file=url, todo=todo)
    base = f"{client.settings.base('zenodo')}/{id}/files"
    files = [_file(file, base, url) for file in listed]
    meta = data.get("metadata") or {}
    title = str(meta.get("title") or data.get("title") or "")
    return Record(id, title, _licence(meta.get("license")), {file.name: file for file in files})


def _file(data: Any, base: str, where: str) -> ZenodoFile:
    """A file of a record's list; both generations of keys are understood."""
    row = data if isinstance(data, Mapping) else {}
    name = row.get("key") or row.get("filename")
    if not name:
        raise InputError("a file of the record has no name", file=where, found=str(data)[:80], expected="key")
    size = row.get("size", row.get("filesize"))
    checksum = str(row.get("checksum") or "").lower() or None
    if checksum and re.fullmatch(r"[0-9a-f]{32}", checksum):
        checksum = f"md5:{checksum}"
    url = f"{base}/{quote(str(name))}?download=1"
    return ZenodoFile(str(name), None if size is None else int(size), checksum, url)


def _licence(data: Any) -> str | None:
    name = data.get("id") if isinstance(data, Mapping) else data
    return _LICENCES.get(str(name).lower(), str(name)) if name else None
