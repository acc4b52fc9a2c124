"""A gzip stream decompressed as it comes, with points from which a later process can go on.

zlib can stop at the boundary of a deflate block, give the 32 kB before it and begin again there (the method
of its example zran.c). Python's zlib module does not pass these functions on, so the library it is linked to
is called by ctypes; where that cannot be reached there are no such points, and all else is the same.
"""

from __future__ import annotations

import base64
import ctypes
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vitreous.data.download.content import Wrong

_WINDOW = 1 << 15
_OUT = 1 << 18
_BLOCK, _NO_FLUSH = 5, 0  # Z_BLOCK, Z_NO_FLUSH
_OK, _STREAM_END, _BUF_ERROR = 0, 1, -5


@dataclass(frozen=True)
class Point:
    """Where decompression can begin again: everything before has been given out.

    `consumed` compressed bytes, of whose last `bits` bits are still to be read (`byte` is that byte); the
    `window` before, and the CRC and length of the gzip member so far.
    """

    consumed: int
    bits: int
    byte: int
    window: bytes
    crc: int
    length: int

    def plain(self) -> dict[str, Any]:
        """For a JSON file."""
        return {**vars(self), "window": base64.b64encode(self.window).decode()}

    @classmethod
    def restore(cls, plain: dict[str, Any]) -> Point:
        """From a JSON file."""
        return cls(**{**plain, "window": base64.b64decode(plain["window"])})


class _ZStream(ctypes.Structure):
    """zlib's z_stream."""

    _fields_ = [
        ("next_in", ctypes.c_void_p), ("avail_in", ctypes.c_uint), ("total_in", ctypes.c_ulong),
        ("next_out", ctypes.c_void_p), ("avail_out", ctypes.c_uint), ("total_out", ctypes.c_ulong),
        ("msg", ctypes.c_char_p), ("state", ctypes.c_void_p), ("zalloc", ctypes.c_void_p),
        ("zfree", ctypes.c_void_p), ("opaque", ctypes.c_void_p), ("data_type", ctypes.c_int),
        ("adler", ctypes.c_ulong), ("reserved", ctypes.c_ulong),
    ]  # fmt: skip


def zlib_library() -> ctypes.CDLL | None:
    """The zlib that Python itself uses, or None where its functions cannot be reached."""
    for name in (getattr(zlib, "__file__", None), None):
        try:
            library = ctypes.CDLL(name)
            if all(hasattr(library, f"inflate{end}") for end in ("Prime", "GetDictionary", "SetDictionary")):
                library.zlibVersion.restype = ctypes.c_char_p
                return library
        except OSError:
            continue
    return None


class _Raw:
    """Raw deflate through zlib's own functions: stops at blocks, tells its window, begins at a point."""

    def __init__(self, library: ctypes.CDLL, point: Point | None = None) -> None:
        self._zlib, self._stream = library, _ZStream()
        self._out = ctypes.create_string_buffer(_OUT)
        size = ctypes.sizeof(self._stream)
        self._check(library.inflateInit2_(self._ref(), -15, library.zlibVersion(), size))
        if point is not None and point.bits:
            self._check(library.inflatePrime(self._ref(), point.bits, point.byte >> (8 - point.bits)))
        if point is not None and point.window:
            self._check(library.inflateSetDictionary(self._ref(), point.window, len(point.window)))

    def _ref(self) -> Any:
        return ctypes.byref(self._stream)

    def _check(self, status: int) -> None:
        if status != _OK:
            raise Wrong(f"a damaged gzip stream (zlib status {status})")

    def step(self, data: bytes, at: int) -> tuple[bytes, int, bool, int | None]:
        """From byte `at` of `data`: (output, bytes used, end of the stream, bits left where a block ends)."""
        stream = self._stream
        stream.next_in = (ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0) + at
        stream.avail_in = len(data) - at
        stream.next_out, stream.avail_out = ctypes.addressof(self._out), _OUT
        status = self._zlib.inflate(self._ref(), _BLOCK)
        if status not in (_OK, _STREAM_END, _BUF_ERROR):
            raise Wrong(f"a damaged gzip stream ({(stream.msg or b'').decode() or status})")
        kind = stream.data_type
        boundary = kind & 7 if kind & 128 and not kind & 64 and status == _OK else None
        out = ctypes.string_at(self._out, _OUT - stream.avail_out)
        return out, len(data) - at - stream.avail_in, status == _STREAM_END, boundary

    def window(self) -> bytes:
        """The last 32 kB of output, or less where there was less."""
        buffer, size = ctypes.create_string_buffer(_WINDOW), ctypes.c_uint(0)
        self._check(self._zlib.inflateGetDictionary(self._ref(), buffer, ctypes.byref(size)))
        return buffer.raw[: size.value]

    def close(self) -> None:
        self._zlib.inflateEnd(self._ref())

    __del__ = close  # zlib takes a second end for an error and does nothing


class _Plain:
    """Raw deflate through Python's module: the same, without points."""

    def __init__(self) -> None:
        self._object = zlib.decompressobj(-15)

    def step(self, data: bytes, at: int) -> tuple[bytes, int, bool, int | None]:
        try:
            out = self._object.decompress(data[at:], _OUT)
        except zlib.error as error:
            raise Wrong(f"a damaged gzip stream ({error})") from error
        rest = self._object.unused_data if self._object.eof else self._object.unconsumed_tail
        return out, len(data) - at - len(rest), self._object.eof, None

    def close(self) -> None:
        pass


class Inflater:
    """A gzip stream of one or several members: `feed` it what comes, `close` it at the end."""

    def __init__(self, spacing_bytes: int, point: Point | None = None) -> None:
        """Points come at least `spacing_bytes` compressed bytes apart; with `point` go on from there.

        Raises Wrong where the zlib library is needed for that and cannot be reached.
        """
        self._library = zlib_library()
        self._spacing = spacing_bytes
        self.consumed = self._last = point.consumed if point else 0
        self._crc, self._length = (point.crc, point.length) if point else (0, 0)
        self._byte = point.byte if point else 0
        self._held = b""
        self._phase = "body" if point else "header"
        self._raw: _Raw | _Plain | None = None
        if point is not None:
            if self._library is None:
                raise Wrong("zlib cannot be reached to go on inside of a stream")
            self._raw = _Raw(self._library, point)

    def feed(self, data: bytes) -> Iterator[bytes | Point]:
        """Yield what the next compressed bytes give, and points once all before them has been yielded.

        Raises Wrong where the stream is damaged.
        """
        data, at = self._held + data, 0
        self._held = b""
        while True:
            if self._phase == "body":
                out, used, ended, bits = self._step(data, at)
                at += used
                if out:
                    yield out
                if ended:
                    self._end_of_member()
                elif bits is not None and self.consumed - self._last >= self._spacing:
                    yield self._point(bits)
                elif at == len(data) and len(out) < _OUT:
                    return
                continue
            if self._phase == "header" and self.consumed:  # zeros may stand between members and at the end
                zeros = len(data) - at - len(data[at:].lstrip(b"\0"))
                at += zeros
                self.consumed += zeros
            size = _header_bytes(data[at:]) if self._phase == "header" else 8
            if size is None or len(data) - at < size or at == len(data):
                self._held = data[at:]
                return
            if self._phase == "trailer":
                self._check(data[at : at + 8])
            else:
                self._begin(size)
            at += size
            self.consumed += size

    def close(self) -> None:
        """Raise Wrong where the stream ends in its middle."""
        if self._raw is not None:
            self._raw.close()
        if self._phase != "header" or self._held or not self.consumed:
            raise Wrong(f"a gzip stream that ends in its middle, after byte {self.consumed}")

    def _step(self, data: bytes, at: int) -> tuple[bytes, int, bool, int | None]:
        assert self._raw is not None
        out, used, ended, bits = self._raw.step(data, at)
        if used:
            self._byte = data[at + used - 1]
        self.consumed += used
        self._crc, self._length = zlib.crc32(out, self._crc), self._length + len(out)
        return out, used, ended, bits

    def _point(self, bits: int) -> Point:
        assert isinstance(self._raw, _Raw)
        self._last = self.consumed
        return Point(self.consumed, bits, self._byte, self._raw.window(), self._crc, self._length)

    def _begin(self, size: int) -> None:
        if size:
            self._raw = _Raw(self._library) if self._library else _Plain()
            self._crc, self._length, self._phase = 0, 0, "body"

    def _end_of_member(self) -> None:
        assert self._raw is not None
        self._raw.close()
        self._raw, self._phase = None, "trailer"

    def _check(self, trailer: bytes) -> None:
        crc, length = int.from_bytes(trailer[:4], "little"), int.from_bytes(trailer[4:], "little")
        if (crc, length) != (self._crc, self._length & 0xFFFFFFFF):
            raise Wrong("a gzip stream whose CRC does not agree with its content")
        self._phase = "header"


def _header_bytes(data: bytes) -> int | None:
    """Length of the gzip header that `data` begins with, None where more is needed (RFC 1952)."""
    if data[:3] != b"\x1f\x8b\x08"[: len(data)]:
        raise Wrong("content that is no gzip stream")
    if len(data) < 10:
        return None
    flags, at = data[3], 10
    if flags & 4:
        if len(data) < at + 2:
            return None
        at += 2 + int.from_bytes(data[at : at + 2], "little")
    for flag in (8, 16):  # name and comment end with a zero byte
        if flags & flag:
            end = data.find(b"\0", at)
            if end < 0:
                return None
            at = end + 1
    at += 2 if flags & 2 else 0
    return at if len(data) >= at else None
