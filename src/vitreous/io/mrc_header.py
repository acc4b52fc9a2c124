"""The header of an MRC file: every field checked against the file's size before any image is touched."""

from __future__ import annotations

import bz2
import gzip
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

from vitreous.errors import InputError
from vitreous.runtime.plural import plural

HEADER_BYTES = 1024
# Mode -> type of one number on disk; 101 packs two 4-bit numbers into a byte (RELION, IMOD).
MODES: dict[int, str] = {0: "i1", 1: "i2", 2: "f4", 4: "c8", 6: "u2", 12: "f2", 101: "u1"}
IMOD_STAMP = 1146047817
_MAGIC = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"II*\x00": "a TIFF image",
    b"MM\x00*": "a TIFF image",
    b"PK\x03\x04": "a zip archive",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy (or cryoSPARC .cs) file",
}


@dataclass(frozen=True)
class MrcHeader:
    """What the header of an MRC file says, checked against the size of the file.

    `nx, ny, nz` count columns, rows, sections as stored; `shape` is (nz, ny, nx) with the axes brought to
    z, y, x. `kind` is image, stack or volume; `pixel_size_A` is (x, y, z), None where the file does not say.
    `warnings` say what may be wrong, `remarks` what is odd and does no harm.
    """

    path: Path
    nx: int
    ny: int
    nz: int
    mode: int
    dtype: np.dtype[Any]
    byte_order: str
    data_offset: int
    kind: str
    pixel_size_A: tuple[float, float, float] | None
    axes: tuple[int, int, int]
    volumes: int = 1
    compression: str | None = None
    warnings: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def transposition(self) -> tuple[int, int, int]:
        """How to permute (sections, rows, columns) into (z, y, x)."""
        stored = self.axes[::-1]
        return (stored.index(3), stored.index(2), stored.index(1))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x) after the transposition; for a stack z counts images."""
        stored = (self.nz, self.ny, self.nx)
        z, y, x = self.transposition
        return (stored[z], stored[y], stored[x])

    @property
    def data_bytes(self) -> int:
        """How many bytes the images take on disk."""
        return _data_bytes(self.nx, self.ny, self.nz, self.mode)


def read_header(path: str | Path) -> MrcHeader:
    """Read and check the header of an MRC file (also .gz and .bz2) without reading its images.

    Raises InputError where size, mode and dimensions do not agree in either byte order. Pixel size, negative
    cell and bytes at the end go into `warnings`, machine stamp, MAP word, order of axes and start into
    `remarks`.
    """
    path = Path(path)
    raw, size, compression = _first_bytes(path)
    _refuse_what_is_no_mrc(path, raw)
    order, fields = _byte_order(path, raw, size)
    return _interpret(path, fields, order, size, compression)


def open_bytes(path: Path) -> tuple[IO[bytes], str | None]:
    """Open a file for reading, through gzip or bzip2 where its first bytes say so."""
    try:
        with open(path, "rb") as handle:
            magic = handle.read(3)
    except FileNotFoundError as error:
        raise InputError("file not found", file=path) from error
    except OSError as error:
        raise InputError("file cannot be read", file=path, found=error.strerror) from error
    if magic[:2] == b"\x1f\x8b":
        return gzip.open(path, "rb"), "gzip"  # type: ignore[return-value]
    if magic == b"BZh":
        return bz2.open(path, "rb"), "bzip2"
    return open(path, "rb"), None


def _first_bytes(path: Path) -> tuple[bytes, int | None, str | None]:
    handle, compression = open_bytes(path)
    with handle:
        try:
            raw = handle.read(HEADER_BYTES)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError("compressed file is damaged", file=path, found=str(error)) from error
    return raw, None if compression else path.stat().st_size, compression


def _refuse_what_is_no_mrc(path: Path, raw: bytes) -> None:
    if not raw:
        raise InputError("file is empty", file=path, found="0 bytes", expected="an MRC file")
    name = next((name for magic, name in _MAGIC.items() if raw.startswith(magic)), None)
    # every MRC header has a zero byte early, no text has
    if b"\0" not in raw[:256] and raw.lstrip().startswith((b"<", b"\xef\xbb\xbf<")):
        name = "HTML or XML"
    elif b"\0" not in raw[:256] and len(raw) == HEADER_BYTES:
        name = "text"
    if name:
        raise InputError("not an MRC file", file=path, found=name, todo="fetch or make it again")
    if len(raw) < HEADER_BYTES:
        found = plural(len(raw), "byte")
        raise InputError("too short for an MRC header", file=path, found=found, expected="1024 or more")


def _data_bytes(nx: int, ny: int, nz: int, mode: int) -> int:
    row = (nx + 1) // 2 if mode == 101 else nx * np.dtype(MODES[mode]).itemsize
    return row * ny * nz


def _faults(fields: Any, size: int | None) -> Iterator[tuple[str, object, object]]:
    """Each reason why these fields cannot describe the file: (what, found, expected)."""
    nx, ny, nz, mode, extra = (int(fields[key]) for key in ("nx", "ny", "nz", "mode", "nsymbt"))
    if mode not in MODES:
        yield "unknown MRC mode", f"mode {mode}", f"one of {sorted(MODES)}"
        return
    if min(nx, ny, nz) < 1:
        yield "image size in the header is not positive", f"nx {nx}, ny {ny}, nz {nz}", "1 or more each"
        return
    if extra < 0:
        yield "extended header has a negative length", f"{extra} bytes", "0 or more"
        return
    expected = HEADER_BYTES + extra + _data_bytes(nx, ny, nz, mode)
    if size is not None and HEADER_BYTES + extra > size:
        yield "extended header is longer than the file", f"{size} bytes", f"{expected} bytes"
    elif size is not None and expected > size:
        yield "file is truncated", f"{size} bytes", f"{expected} bytes ({nx} x {ny} x {nz}, mode {mode})"


def _byte_order(path: Path, raw: bytes, size: int | None) -> tuple[Literal["<", ">"], Any]:
    orders: tuple[Literal["<", ">"], ...] = ("<", ">")
    views = {order: np.frombuffer(raw, HEADER_DTYPE.newbyteorder(order), 1)[0] for order in orders}
    stamped: Literal["<", ">"] = ">" if raw[212:214] == b"\x11\x11" else "<"
    good = [order for order, fields in views.items() if not any(_faults(fields, size))]
    if len(good) == 2:  # e.g. a palindromic size in a compressed file: the machine stamp decides
        good = [stamped]
    if good:
        return good[0], views[good[0]]
    known = [order for order in (stamped, "<", ">") if int(views[order]["mode"]) in MODES]
    what, found, expected = next(_faults(views[(known or [stamped])[0]], size))
    todo = "fetch or make it again"
    raise InputError(what, file=path, place="MRC header", found=found, expected=expected, todo=todo)


def _interpret(
    path: Path, fields: Any, order: Literal["<", ">"], size: int | None, compression: str | None
) -> MrcHeader:
    warnings: list[str] = []
    remarks = list(_oddities(fields, order))
    nx, ny, nz, mode = (int(fields[key]) for key in ("nx", "ny", "nz", "mode"))
    offset = HEADER_BYTES + int(fields["nsymbt"])
    end = offset + _data_bytes(nx, ny, nz, mode)
    if size is not None and size > end:
        warnings.append(f"{plural(size - end, 'byte')} more than the header says; ignored")
    axes = _axes(path, fields, remarks)
    kind, volumes = _kind(path, fields, remarks)
    dtype = np.dtype(MODES[mode]).newbyteorder(order)
    if mode == 0 and _imod_unsigned(fields):
        dtype = np.dtype("u1")
        remarks.append("mode 0 holds unsigned bytes (IMOD's flag)")
    pixel = _pixel_size(fields, kind, warnings)
    return MrcHeader(
        path, nx, ny, nz, mode, dtype, order, offset, kind, pixel, axes, volumes, compression, warnings,
        remarks,
    )  # fmt: skip


def _oddities(fields: Any, order: str) -> Iterator[str]:
    """What other programs write or leave out, and no number depends on."""
    if bytes(fields["map"]) not in (b"MAP ", b"MAP"):
        yield f"no MAP word at byte 208 (found {bytes(fields['map'])!r})"
    stamp = bytes(fields["machst"][:2])
    if stamp not in {"<": (b"DD", b"DA"), ">": (b"\x11\x11",)}[order]:
        name = "little" if order == "<" else "big"
        yield f"machine stamp {stamp.hex(' ')} does not fit the {name}-endian data; read by size"
    if any(int(fields[key]) for key in ("nxstart", "nystart", "nzstart")):
        yield "the map starts at an offset (nstart), which is not used"


def _axes(path: Path, fields: Any, remarks: list[str]) -> tuple[int, int, int]:
    axes = tuple(int(fields[key]) for key in ("mapc", "mapr", "maps"))
    if axes == (0, 0, 0):  # programs of the 1990s left the fields empty
        remarks.append("axis order is not set; x, y, z assumed")
        return (1, 2, 3)
    if sorted(axes) != [1, 2, 3]:
        place = "header fields mapc, mapr, maps"
        raise InputError("axis order makes no sense", file=path, place=place, found=axes, expected="1, 2, 3")
    if axes != (1, 2, 3):
        remarks.append(f"axes are stored in the order {axes}; brought to x, y, z")
    return axes  # type: ignore[return-value]


def _kind(path: Path, fields: Any, remarks: list[str]) -> tuple[str, int]:
    nz, mz, group = int(fields["nz"]), int(fields["mz"]), int(fields["ispg"])
    if nz == 1:
        return "image", 1
    if group >= 401 and 0 < mz < nz and nz % mz == 0:  # MRC2014: space group 401 marks a stack of volumes
        remarks.append(f"a stack of {nz // mz} volumes (space group {group})")
        return "volume", nz // mz
    # RELION tells a stack by `.mrcs`, MRC2014 by space group 0; a third cell edge of 0 belongs to no volume
    flat = float(fields["cella"]["z"]) == 0 and float(fields["cella"]["x"]) != 0
    if ".mrcs" in [suffix.lower() for suffix in path.suffixes] or mz == 1 or flat:
        return "stack", 1
    if group == 0 and not int(fields["nx"]) == int(fields["ny"]) == nz == mz:
        return "stack", 1
    if group == 0:  # ASSUME: a cube with mz = nz is a map of an old program, which left the space group 0
        remarks.append("space group 0 marks a stack, size and mz a map; taken as a map")
    return "volume", 1


def _imod_unsigned(fields: Any) -> bool:
    extra = fields["extra2"].tobytes()  # begins at byte 112; IMOD's stamp and flags stand at 152 and 156
    order = "little" if fields.dtype["nx"].byteorder in "<=" else "big"
    stamp, flags = (int.from_bytes(extra[at : at + 4], order) for at in (40, 44))  # type: ignore[arg-type]
    return stamp == IMOD_STAMP and not flags & 1


def _pixel_size(fields: Any, kind: str, warnings: list[str]) -> tuple[float, float, float] | None:
    cell = [float(fields["cella"][axis]) for axis in "xyz"]
    counts = [int(fields[key]) for key in ("mx", "my", "mz")]
    counts = [m if m > 0 else int(fields[key]) for m, key in zip(counts, ("nx", "ny", "nz"), strict=True)]
    sizes = [length / count for length, count in zip(cell, counts, strict=True)]
    if not all(math.isfinite(value) for value in sizes) or sizes[0] == 0 or sizes[1] == 0:
        warnings.append("pixel size is not set")
        return None
    if min(sizes) < 0:
        warnings.append(f"cell has negative edges {tuple(cell)}; signs dropped")
        sizes = [abs(value) for value in sizes]
    if kind != "volume":  # the third edge of a stack has no meaning
        sizes[2] = sizes[0]
    if sizes[2] == 0:
        warnings.append("pixel size is not set along z")
        return None
    if max(sizes) > 1.01 * min(sizes):
        warnings.append("pixels are not square: " + ", ".join(f"{value:.4g}" for value in sizes) + " Å")
    return (sizes[0], sizes[1], sizes[2])
