"""MRC images, stacks and volumes: read lazily and checked, written whole or not at all.

Arrays come as (h, w) or (d, h, w), index order y, x or z, y, x. The header is parsed by `mrc_header` with
mrcfile's record type; the images are memory-mapped here and not by mrcfile, which knows neither 4-bit nor
IMOD's unsigned bytes and returns None for a truncated file.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE
from numpy.typing import NDArray

from vitreous.errors import InputError
from vitreous.io.mrc_header import HEADER_BYTES, MrcHeader, open_bytes, read_header
from vitreous.runtime.files import atomic_path
from vitreous.runtime.plural import plural

__all__ = [
    "MrcHeader",
    "Stack",
    "StackWriter",
    "agreed_pixel_size",
    "open_stack",
    "read_array",
    "read_header",
    "read_image",
    "read_pixel_size_A",
    "read_volume",
    "validate",
    "write_image",
    "write_stack",
    "write_volume",
]

Float32 = NDArray[np.float32]


def read_array(path: str | Path, header: MrcHeader | None = None) -> NDArray[Any]:
    """All numbers of the file as stored, axes brought to (z, y, x); memory-mapped where the form allows it.

    Mode 4 gives complex64 (a half transform); a stack of volumes gives (n, d, h, w).
    """
    header = header or read_header(path)
    stored = _stored(header)
    array = _unpack_4bit(stored, header.nx) if header.mode == 101 else stored
    if header.volumes > 1:
        return array.reshape(header.volumes, -1, header.ny, header.nx)
    return array.transpose(header.transposition)


def read_volume(path: str | Path, pixel_size_A: float | None = None) -> tuple[Float32, float]:
    """A volume (d, h, w) as float32 and its pixel size in Å.

    `pixel_size_A` stands in for a header that says none, or unequal sizes along the axes. Raises InputError
    for a stack, a transform, NaN or infinite voxels, and a pixel size neither in the header nor given.
    """
    header = read_header(path)
    if header.kind != "volume" or header.volumes > 1:
        many = header.volumes > 1
        found = f"a stack of {header.volumes} volumes" if many else f"{header.kind}, {header.nz} section(s)"
        raise InputError("not a single volume", file=header.path, found=found, expected="one volume")
    _refuse_transform(header)
    size_A = _one_pixel_size(header, pixel_size_A)
    return _finite(read_array(path, header), header.path), size_A


def read_image(path: str | Path) -> Float32:
    """A single image (h, w) as float32; raises InputError for several sections (a movie, stack or volume)."""
    header = read_header(path)
    if header.shape[0] != 1:
        found = f"{header.shape[0]} sections"
        raise InputError("more than one image", file=header.path, found=found, expected="1")
    _refuse_transform(header)
    return _finite(read_array(path, header)[0], header.path)


def read_pixel_size_A(path: str | Path) -> float | None:
    """The pixel size along x in Å, or None where the header does not say it."""
    size = read_header(path).pixel_size_A
    return None if size is None else size[0]


def agreed_pixel_size(
    header_A: float | None, stated_A: float | None, *, file: str | Path, trust: str | None = None
) -> float:
    """The pixel size in Å to use where header and settings may differ.

    Raises InputError where the two differ by more than 1 % and `trust` ("settings" or "header") does not say
    which is right, or where neither says one.
    """
    if trust == "header" and header_A:
        return header_A
    if stated_A is None:
        if header_A is None:
            raise InputError("pixel size unknown", file=file, todo="state pixel_size_A")
        return header_A
    if header_A is None or trust == "settings" or abs(header_A - stated_A) <= 0.01 * stated_A:
        return stated_A
    raise InputError(
        "pixel size of the header differs from the stated one by more than 1 %",
        file=file,
        found=f"{header_A:.5g} Å",
        expected=f"{stated_A:.5g} Å",
        todo="say `trust: settings` or `trust: header`",
    )


class Stack:
    """The images of an MRC file, read one by one: `stack[i]` (h, w) or `stack[[i, j]]` (n, h, w), float32."""

    def __init__(self, header: MrcHeader) -> None:
        """Map the file; nothing is read yet (compressed files are unpacked)."""
        self.header = header
        self.pixel_size_A = None if header.pixel_size_A is None else header.pixel_size_A[0]
        self._packed = header.mode == 101
        stored = _stored(header)
        self._images = stored if self._packed else stored.transpose(header.transposition)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n, h, w)."""
        return self.header.shape

    def __len__(self) -> int:
        """How many images."""
        return self.shape[0]

    def __getitem__(self, index: int | slice | Sequence[int]) -> Float32:
        """Images as float32; raises IndexError beyond the end and InputError for NaN or infinite pixels."""
        images = self._images[index]
        if self._packed:
            images = _unpack_4bit(images, self.header.nx)
        images = np.ascontiguousarray(images, dtype=np.float32)
        if not np.isfinite(images.sum(dtype=np.float64)):
            chosen = np.atleast_1d(np.arange(len(self))[index])
            bad = ~np.isfinite(images.reshape(len(chosen), -1)).all(axis=1)
            place = f"image {int(chosen[bad][0])} (counted from 0)"
            raise InputError("NaN or infinite pixels", file=self.header.path, place=place)
        return images


def open_stack(path: str | Path) -> Stack:
    """Open an MRC file as a lazy stack of images (a single image is a stack of one)."""
    header = read_header(path)
    _refuse_transform(header)
    if header.mode == 101 and header.axes != (1, 2, 3):
        raise InputError("4-bit images with unusual axes are not read", file=header.path, found=header.axes)
    return Stack(header)


def validate(path: str | Path) -> list[str]:
    """Every fault of an MRC file in words: what refuses it, else what is doubtful, NaN, constant; or [].

    What is odd and does no harm stands in `read_header(path).remarks`.
    """
    try:
        header = read_header(path)
        array = read_array(path, header)
    except InputError as error:
        return [str(error)]
    faults = list(header.warnings)
    flat = array.reshape(-1) if array.dtype.kind != "c" else np.abs(array).reshape(-1)
    bad = int(np.count_nonzero(~np.isfinite(flat)))
    if bad:
        first = np.unravel_index(int(np.argmin(np.isfinite(flat))), array.shape)
        faults.append(f"{plural(bad, 'NaN or infinite value')}, the first at {tuple(map(int, first))}")
    elif flat.min() == flat.max():
        faults.append(f"all values equal {float(flat[0]):g}: standard deviation 0")
    return faults


class StackWriter:
    """Writes a stack image by image; the file appears when the block ends well and has an image."""

    def __init__(self, path: str | Path, shape: tuple[int, int], pixel_size_A: float) -> None:
        """`shape` (h, w) of each image, `pixel_size_A` in Å; use as a context manager."""
        self.path, self.shape, self.pixel_size_A = Path(path), shape, pixel_size_A
        self.count = 0
        self._statistics = _Statistics()

    def __enter__(self) -> StackWriter:
        """Open a temporary file beside the final one."""
        self._file = self._whole_file()
        self._handle = self._file.__enter__()
        return self

    @contextlib.contextmanager
    def _whole_file(self) -> Iterator[IO[bytes]]:
        """The temporary file, for the images; the header, which counts them, is written at the end."""
        with atomic_path(self.path) as part, open(part, "wb") as handle:
            handle.write(b"\0" * HEADER_BYTES)
            yield handle
            handle.seek(0)
            handle.write(_new_header((self.count, *self.shape), "stack", self.pixel_size_A, self._statistics))

    def append(self, images: NDArray[Any]) -> None:
        """Add one image (h, w) or several (n, h, w); raises InputError for another size, NaN or infinity."""
        batch = np.asarray(images, dtype="<f4")
        batch = batch[None] if batch.ndim == 2 else batch
        if batch.shape[1:] != self.shape:
            found = batch.shape[1:]
            raise InputError("image of another size", file=self.path, found=found, expected=self.shape)
        self._statistics.add(batch, self.path)
        self._handle.write(batch.tobytes())
        self.count += len(batch)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the header and rename; without images, or after an error, nothing is left."""
        if kind is None and not self.count:  # leave as after an error: no file
            kind, error = EOFError, EOFError("no image")
        self._file.__exit__(kind, error, trace)


def write_volume(path: str | Path, array: NDArray[Any], pixel_size_A: float) -> None:
    """Write a volume (d, h, w) as float32 (mode 2); raises InputError for NaN or infinite voxels."""
    _write(path, array, pixel_size_A, "volume", 3)


def write_image(path: str | Path, array: NDArray[Any], pixel_size_A: float) -> None:
    """Write one image (h, w) as float32 (mode 2)."""
    _write(path, array, pixel_size_A, "image", 2)


def write_stack(path: str | Path, array: NDArray[Any], pixel_size_A: float) -> None:
    """Write images (n, h, w) as a float32 stack (space group 0)."""
    _write(path, array, pixel_size_A, "stack", 3)


class _Statistics:
    """Minimum, maximum, mean and standard deviation, gathered batch by batch."""

    def __init__(self) -> None:
        self.low, self.high, self.total, self.squares, self.count = np.inf, -np.inf, 0.0, 0.0, 0

    def add(self, batch: NDArray[Any], path: Path) -> None:
        total = float(batch.sum(dtype=np.float64))
        if not np.isfinite(total):
            raise InputError("NaN or infinite values would be written", file=path, found=f"in {batch.shape}")
        self.low, self.high = min(self.low, float(batch.min())), max(self.high, float(batch.max()))
        self.squares += float(np.square(batch, dtype=np.float64).sum())
        self.total, self.count = self.total + total, self.count + batch.size


def _write(path: str | Path, array: NDArray[Any], pixel_size_A: float, kind: str, dims: int) -> None:
    path, array = Path(path), np.ascontiguousarray(array, dtype="<f4")
    if array.ndim != dims or not array.size:
        raise InputError(
            f"not a {kind}", file=path, found=f"shape {array.shape}", expected=f"{dims} dimensions"
        )
    statistics = _Statistics()
    statistics.add(array, path)
    shape = array.shape if dims == 3 else (1, *array.shape)
    with atomic_path(path) as part, open(part, "wb") as handle:
        handle.write(_new_header(shape, kind, pixel_size_A, statistics))
        handle.write(array.tobytes())


def _new_header(shape: tuple[int, ...], kind: str, pixel_size_A: float, statistics: _Statistics) -> bytes:
    header = np.zeros((), HEADER_DTYPE)
    nz, ny, nx = shape
    mz = nz if kind == "volume" else 1
    header["nx"], header["ny"], header["nz"], header["mode"] = nx, ny, nz, 2
    header["mx"], header["my"], header["mz"] = nx, ny, mz
    header["cella"] = (nx * pixel_size_A, ny * pixel_size_A, mz * pixel_size_A)
    header["cellb"] = (90, 90, 90)
    header["mapc"], header["mapr"], header["maps"] = 1, 2, 3
    header["ispg"] = 1 if kind == "volume" else 0
    header["map"], header["machst"], header["nversion"] = b"MAP ", (0x44, 0x44, 0, 0), 20141
    mean = statistics.total / statistics.count
    header["dmin"], header["dmax"], header["dmean"] = statistics.low, statistics.high, mean
    header["rms"] = max(statistics.squares / statistics.count - mean**2, 0.0) ** 0.5
    # no time in the label: the same content gives the same bytes
    header["nlabl"], header["label"][0] = 1, b"vitreous"
    return header.tobytes()


def _stored(header: MrcHeader) -> NDArray[Any]:
    """(sections, rows, columns) as on disk; columns are bytes of two numbers each in mode 101."""
    columns = (header.nx + 1) // 2 if header.mode == 101 else header.nx
    shape = (header.nz, header.ny, columns)
    if header.compression is None:
        return np.memmap(header.path, header.dtype, "r", header.data_offset, shape)
    handle, _ = open_bytes(header.path)
    with handle:
        try:
            handle.read(header.data_offset)
            data = handle.read(header.data_bytes)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError("compressed file is damaged", file=header.path, found=str(error)) from error
    if len(data) < header.data_bytes:
        found = f"{len(data)} bytes of images"
        raise InputError("file is truncated", file=header.path, found=found, expected=header.data_bytes)
    return np.frombuffer(data, header.dtype).reshape(shape)


def _unpack_4bit(packed: NDArray[Any], nx: int) -> NDArray[np.uint8]:
    """(..., h, ceil(w / 2)) bytes to (..., h, w) numbers of 0 to 15, low half first (IMOD, RELION)."""
    halves = np.stack([packed & 15, packed >> 4], axis=-1)
    return halves.reshape(*packed.shape[:-1], -1)[..., :nx]


def _refuse_transform(header: MrcHeader) -> None:
    if header.mode == 4:
        raise InputError(
            "holds a Fourier transform", file=header.path, found="mode 4", expected="real numbers"
        )


def _finite(array: NDArray[Any], path: Path) -> Float32:
    array = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(array.sum(dtype=np.float64)):
        bad = ~np.isfinite(array)
        first = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), array.shape))
        found = f"{int(bad.sum())} of them"
        raise InputError("NaN or infinite values", file=path, place=f"index {first}", found=found)
    return array


def _one_pixel_size(header: MrcHeader, stated_A: float | None) -> float:
    if stated_A is not None:
        return stated_A
    sizes = header.pixel_size_A
    if sizes is None or max(sizes) > 1.01 * min(sizes):
        found = "none" if sizes is None else ", ".join(f"{size:.4g}" for size in sizes) + " Å along x, y, z"
        todo = "state pixel_size_A"
        raise InputError("no single pixel size in the header", file=header.path, found=found, todo=todo)
    return sizes[0]
