"""IDX files, the form in which MNIST is published: images and labels as bytes, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import InputError

IMAGES_MAGIC, LABELS_MAGIC = 2051, 2049
_CHUNK_BYTES = 2**20
# Deflate cannot pack more than this many bytes into one (1032, zlib's technical notes).
_MOST_PACKED = 1032


def read_idx_images(path: str | Path) -> NDArray[np.uint8]:
    """Images `(n, h, w)` of an IDX file, 0 to 255; raises InputError for any other file or length."""
    return _read(Path(path), IMAGES_MAGIC, 3)


def read_idx_labels(path: str | Path) -> NDArray[np.uint8]:
    """Labels `(n,)` of an IDX file; raises InputError for any other file or length."""
    return _read(Path(path), LABELS_MAGIC, 1)


def _read(path: Path, magic: int, dims: int) -> NDArray[np.uint8]:
    """The array of `dims` axes: big-endian magic and sizes, then one byte a value, and nothing after."""
    if not path.is_file():
        raise InputError("file not found", file=path, todo="fetch the four IDX files of MNIST")
    if path.stat().st_size == 0:
        raise InputError("file is empty", file=path, found="0 bytes", expected="an IDX file")
    with open(path, "rb") as plain:
        packed = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        handle: BufferedIOBase = gzip.GzipFile(fileobj=plain) if packed else plain
        shape = _shape(path, _up_to(path, handle, 4 + 4 * dims), magic, dims)
        wanted = math.prod(shape)
        _refuse_impossible(path, wanted + 4 + 4 * dims, packed)
        data = _up_to(path, handle, wanted + 1)
    if len(data) != wanted:
        what = "file is truncated" if len(data) < wanted else "more data than the header says"
        found = f"{len(data)} bytes of data" if len(data) < wanted else f"more than {wanted} bytes"
        raise InputError(what, file=path, found=found, expected=f"{wanted} of shape {shape}")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _shape(path: Path, header: bytes, magic: int, dims: int) -> tuple[int, ...]:
    """Sizes of the axes that a header says; InputError for HTML, another magic number, an empty axis."""
    kind = "images (h, w)" if magic == IMAGES_MAGIC else "labels"
    expected = f"magic number {magic}, IDX {kind}"
    if header.lstrip()[:1] == b"<":
        raise InputError("a web page or XML, not an IDX file", file=path, found=header, expected=expected,
                         todo="download it again")  # fmt: skip
    if len(header) >= 4 and (number := struct.unpack(">I", header[:4])[0]) != magic:
        raise InputError("not the IDX file wanted", file=path, found=f"magic number {number}",
                         expected=expected)  # fmt: skip
    if len(header) < 4 + 4 * dims:
        raise InputError("header is truncated", file=path, found=f"{len(header)} bytes",
                         expected=f"{4 + 4 * dims}")  # fmt: skip
    shape = struct.unpack(f">{dims}I", header[4:])
    if min(shape) == 0:
        raise InputError("no data", file=path, place="header", found=f"shape {shape}",
                         expected="at least 1 along each axis")  # fmt: skip
    return tuple(int(n) for n in shape)


def _refuse_impossible(path: Path, wanted: int, packed: bool) -> None:
    """Raise InputError, before anything is allocated, where the file cannot hold `wanted` bytes."""
    size = path.stat().st_size
    if size * _MOST_PACKED < wanted if packed else size != wanted:
        what = "file is truncated" if size < wanted else "more data than the header says"
        found = f"{size} bytes{' gzipped' if packed else ''}"
        raise InputError(what, file=path, found=found, expected=f"{wanted} bytes")


def _up_to(path: Path, handle: BufferedIOBase, count: int) -> bytes:
    """As many bytes as there are, `count` at most; InputError where the compression is damaged."""
    parts: list[bytes] = []
    left = count
    try:
        while left > 0 and (part := handle.read(min(left, _CHUNK_BYTES))):
            parts.append(part)
            left -= len(part)
    except (EOFError, OSError, zlib.error) as error:
        found = f"{count - left} of {count} bytes, then: {error}"
        raise InputError("compressed file is damaged or truncated", file=path, found=found,
                         expected="a whole gzip file", todo="download it again") from error  # fmt: skip
    return b"".join(parts)
