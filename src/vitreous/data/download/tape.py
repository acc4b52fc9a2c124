"""A tar archive read as it comes: members go to whoever wants them, and the place can be told and found.

Headers are parsed by the standard library; nothing is ever written from here. Links, devices and names that
climb are for the reader of the members to refuse.
"""

from __future__ import annotations

import base64
import tarfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from vitreous.data.download.content import Wrong

_RECORD = 512
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_NAMES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_KINDS = {
    tarfile.SYMTYPE: "a symbolic link", tarfile.LNKTYPE: "a hard link", tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device", tarfile.FIFOTYPE: "a named pipe", tarfile.GNUTYPE_SPARSE: "a sparse file",
}  # fmt: skip


@dataclass(frozen=True)
class Member:
    """A member of the archive: its name as stored, its bytes, and what it is if no plain file."""

    name: str
    bytes: int
    oddity: str | None = None


class Sink(Protocol):
    """Where the bytes of a member go."""

    def write(self, data: bytes) -> None:
        """Take the next bytes."""

    def close(self) -> None:
        """All bytes have come."""


@dataclass
class _Place:
    """Where in the archive we are; plain values, to be written down."""

    header: str = ""  # of a header that has come in part, base64
    left: int = 0  # bytes of the member still to come
    padding: int = 0  # bytes after it
    special: str = ""  # type of a member that says something of the next one
    text: str = ""  # what has come of such a member, base64
    said: dict[str, str] = field(default_factory=dict)  # what it said: path, size, sparse
    extended: bool = False  # the next record only goes on with a sparse file's header
    member: dict[str, Any] | None = None
    ended: bool = False


class Tape:
    """An archive that is fed to it; `wanted` gives a sink for a member, or None to pass over it."""

    def __init__(
        self,
        wanted: Callable[[Member], Sink | None],
        place: dict[str, Any] | None = None,
        sink: Sink | None = None,
    ) -> None:
        """With `place`, as `place()` told it, and the `sink` of the member begun there, go on from there."""
        self._wanted = wanted
        self._place = _Place(**place) if place else _Place()
        self._sink = sink

    def place(self) -> dict[str, Any]:
        """Where we are, for a JSON file."""
        return asdict(self._place)

    @property
    def member(self) -> Member | None:
        """The member that has begun, or None between two."""
        return Member(**self._place.member) if self._place.member else None

    @property
    def left(self) -> int:
        """Bytes of that member that are still to come."""
        return self._place.left

    def feed(self, data: bytes) -> None:
        """Read on. Raises Wrong where this is no tar archive."""
        view, at = memoryview(data), 0
        while at < len(view) and not self._place.ended:
            here = self._place
            if here.left and not here.extended:
                piece = view[at : at + here.left]
                self._take(bytes(piece))
                here.left -= len(piece)
                at += len(piece)
                if not here.left:
                    self._finish()
            elif here.padding and not here.extended:
                step = min(here.padding, len(view) - at)
                here.padding -= step
                at += step
            else:
                header = base64.b64decode(here.header)
                piece = view[at : at + _RECORD - len(header)]
                header += piece
                at += len(piece)
                here.header = base64.b64encode(header).decode() if len(header) < _RECORD else ""
                if len(header) == _RECORD and here.extended:
                    here.extended = bool(header[504])
                elif len(header) == _RECORD:
                    self._begin(header)

    def close(self) -> None:
        """Raise Wrong where the archive ends inside of a member."""
        here = self._place
        if here.left or here.header or here.said or here.extended:
            name = here.member["name"] if here.member else "a header"
            raise Wrong(f"a tar archive that ends inside of {name}")

    def _begin(self, header: bytes) -> None:
        here = self._place
        if not header.strip(b"\0"):
            here.ended = True
            return
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "replace")
        except tarfile.HeaderError as error:
            raise Wrong(f"content that is no tar archive ({error})") from error
        if info.type in _NAMES or info.type == tarfile.XGLTYPE:
            here.special, here.left = info.type.decode(), _count(info.size)
        else:
            size = _count(here.said.get("size", info.size))
            odd = None if info.type in _REGULAR or info.isdir() else _KINDS.get(info.type, "no plain file")
            odd = _KINDS[tarfile.GNUTYPE_SPARSE] if "sparse" in here.said else odd
            # what nobody knows may hold bytes, as the standard library takes it too
            plain = info.type in _REGULAR or info.type == tarfile.GNUTYPE_SPARSE
            here.left = size if plain or info.type not in tarfile.SUPPORTED_TYPES else 0
            here.extended = info.type == tarfile.GNUTYPE_SPARSE and bool(header[482])
            here.said, member = {}, Member(here.said.get("path", info.name), size, odd)
            here.member = asdict(member)
            self._sink = None if info.isdir() else self._wanted(member)
        here.padding = -here.left % _RECORD
        if not here.left:
            self._finish()

    def _take(self, data: bytes) -> None:
        here = self._place
        if here.special:
            if here.left > 1 << 20:
                raise Wrong("a tar archive with a name of more than a megabyte")
            here.text = base64.b64encode(base64.b64decode(here.text) + data).decode()
        elif self._sink is not None:
            self._sink.write(data)

    def _finish(self) -> None:
        here = self._place
        if here.special:
            self._note(here.special.encode(), base64.b64decode(here.text))
            here.special = here.text = ""
            return
        sink, self._sink, here.member = self._sink, None, None
        if sink is not None:
            sink.close()

    def _note(self, kind: bytes, text: bytes) -> None:
        """Remember what a special member says of the next one: a long name, or pax records."""
        if kind == tarfile.GNUTYPE_LONGNAME:
            self._place.said["path"] = text.rstrip(b"\0").decode("utf-8", "replace")
        elif kind in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            self._place.said |= _pax(text)


def _count(value: str | int) -> int:
    """A number of bytes as a header or a pax record gives it."""
    if not str(value).isdigit():
        raise Wrong(f"a tar archive with a member of {value!r} bytes")
    return int(value)


def _pax(text: bytes) -> dict[str, str]:
    """`path` and `size` of pax records, each `LENGTH KEY=VALUE\\n`, and a mark of sparse files."""
    found = {}
    while text:
        length, _, _ = text.partition(b" ")
        if not length.isdigit() or not 0 < int(length) <= len(text):
            raise Wrong("a tar archive with a damaged pax header")
        key, _, value = text[len(length) + 1 : int(length) - 1].partition(b"=")
        if key in (b"path", b"size"):
            found[key.decode()] = value.decode("utf-8", "replace")
        elif key == b"GNU.sparse.name":
            found |= {"path": value.decode("utf-8", "replace"), "sparse": "1"}
        elif key.startswith(b"GNU.sparse."):
            found["sparse"] = "1"
        text = text[int(length) :]
    return found
