"""What is to be fetched: a file that will lie in a folder, and the pieces on a server that it is made of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from vitreous.errors import InputError

_CHECKSUM = re.compile(r"(md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})")


@dataclass(frozen=True)
class Piece:
    """One address on a server; `bytes` its exact size, `checksum` its `md5:…` or `sha256:…`, if known."""

    url: str
    bytes: int | None = None
    checksum: str | None = None

    def __post_init__(self) -> None:
        """Refuse a checksum in a form that would never be compared."""
        if self.checksum is not None and not _CHECKSUM.fullmatch(self.checksum):
            raise InputError("unknown form of checksum", file=self.url, found=self.checksum,
                             expected="md5:… or sha256:… in lower-case hexadecimal")  # fmt: skip


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch: its path below the folder, the pieces that make it up in their order, its licence.

    `about_bytes` is a size that is only roughly known (a rounded listing); it serves for the free disk alone.
    """

    path: str
    pieces: tuple[Piece, ...]
    licence: str | None = None
    about_bytes: int | None = None

    def __post_init__(self) -> None:
        """Refuse a path that would lead out of the folder."""
        refuse_climbing(self.path, self.pieces[0].url if self.pieces else "")

    @property
    def bytes(self) -> int | None:
        """The exact size, where that of every piece is known."""
        sizes = [piece.bytes for piece in self.pieces]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def url(self) -> str:
        """Where it comes from: the address of its first piece."""
        return self.pieces[0].url


def refuse_climbing(path: str, where: str) -> None:
    """Raise InputError for a name that is no plain path below a folder: `..`, absolute, hidden, a null."""
    parts = PurePosixPath(path).parts
    hidden = any(part.startswith(".") for part in parts)
    if not parts or path.startswith("/") or ".." in parts or "\0" in path or "\\" in path or hidden:
        what, todo = "name leads out of the folder, or is hidden", "leave it out with `exclude`"
        raise InputError(what, file=where, found=repr(path), expected="a plain path", todo=todo)


def single(path: str, url: str, *, bytes: int | None = None, checksum: str | None = None,
           licence: str | None = None) -> RemoteFile:  # fmt: skip
    """A file that lies whole at one address."""
    return RemoteFile(path, (Piece(url, bytes, checksum),), licence)
