"""A micrograph from any file a user may have: MRC (also compressed), PNG, JPG, TIFF; always (h, w) float32.

Row 0 is the first row of the file, in every format; RELION, unlike this, turns TIFF upside down.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import InputError, MissingToolError
from vitreous.io.mrc import agreed_pixel_size, read_header, read_image, read_pixel_size_A

__all__ = ["agreed_pixel_size", "micrograph_pixel_size_A", "micrograph_shape", "read_micrograph"]

_MOVIE = "sums are needed: take CryoPPP's sums or correct the motion with your own program first"
_UNREAD = {
    ".dm3": "a Gatan image", ".dm4": "a Gatan image", ".eer": "an EER movie", ".gain": "a gain reference",
    ".hdf": "an HDF5 file", ".h5": "an HDF5 file", ".spi": "a SPIDER image", ".img": "an IMAGIC image",
}  # fmt: skip


def read_micrograph(path: str | Path) -> NDArray[np.float32]:
    """The pixels (h, w) of a micrograph as float32, row 0 the first row of the file.

    Raises InputError for a movie or stack, colours, NaN or infinite pixels, a constant image, a damaged file
    and formats that are not read (named).
    """
    path = Path(path)
    form = _form(path)
    if form == "mrc":
        _refuse_movie(path, read_header(path).shape[0])
        image = read_image(path)
    elif form == "tiff":
        image = _read_tiff(path)
    else:
        image = _read_picture(path)
    if not np.isfinite(image.sum(dtype=np.float64)):
        raise InputError(
            "NaN or infinite pixels", file=path, found=f"{int((~np.isfinite(image)).sum())} of them"
        )
    if image.min() == image.max():
        raise InputError("constant image", file=path, found=f"every pixel is {float(image.flat[0]):g}")
    return image


def micrograph_shape(path: str | Path) -> tuple[int, int]:
    """(h, w) of a micrograph from the file's header, without reading the pixels; refuses movies."""
    path = Path(path)
    form = _form(path)
    if form == "mrc":
        count, h, w = read_header(path).shape
    elif form == "tiff":
        count, h, w = _tiff_size(path)
    else:
        count, (h, w) = 1, _picture_size(path)
    _refuse_movie(path, count)
    return int(h), int(w)


def micrograph_pixel_size_A(path: str | Path) -> float | None:
    """The pixel size that the file states in Å; None for formats and headers that state none."""
    return read_pixel_size_A(path) if _form(Path(path)) == "mrc" else None


def _form(path: Path) -> str:
    """mrc, tiff or picture by the first bytes; the name decides only what these leave open."""
    try:
        with open(path, "rb") as handle:
            magic = handle.read(8)
    except OSError as error:
        raise InputError("file cannot be read", file=path, found=error.strerror) from error
    suffix = path.suffix.lower()
    if suffix in _UNREAD:
        todo = "convert it to MRC" if suffix != ".eer" else _MOVIE
        raise InputError(f"{_UNREAD[suffix]} ({suffix}) is not read", file=path, todo=todo)
    if magic.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "tiff"
    if magic.startswith((b"\x89PNG", b"\xff\xd8\xff")):
        return "picture"
    return "mrc"


def _refuse_movie(path: Path, count: int) -> None:
    if count != 1:
        what = "a movie or stack, not one image"
        raise InputError(what, file=path, found=f"{count} frames", expected="1", todo=_MOVIE)


def _opened(opener: Any, path: Path) -> Any:
    try:
        return opener(path)
    except Exception as error:  # readers of pictures raise errors of many kinds for damaged files
        raise InputError("damaged image", file=path, found=str(error)) from error


def _tiff_size(path: Path) -> tuple[int, int, int]:
    """(frames, h, w) of a TIFF: frames may be pages, planes of one page, or lie behind the only page."""
    import tifffile

    def size(path: Path) -> tuple[int, int, int]:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            y = page.axes.index("Y")
            behind = sum(series.size for series in file.series) // page.size
            h, w = page.shape[y : y + 2]
            return max(len(file.pages), behind) * math.prod(page.shape[:y]), h, w

    found: tuple[int, int, int] = _opened(size, path)
    return found


def _read_tiff(path: Path) -> NDArray[np.float32]:
    import tifffile

    _refuse_movie(path, _tiff_size(path)[0])
    with _opened(tifffile.TiffFile, path) as file:
        try:
            return _grey(path, file.pages[0].asarray())
        except InputError:
            raise
        except Exception as error:
            if "imagecodecs" in str(error):
                raise MissingToolError(
                    "compressed TIFF",
                    file=path,
                    found="no package imagecodecs",
                    todo="pip install imagecodecs",
                ) from error
            raise InputError("damaged image", file=path, found=str(error)) from error


def _picture_size(path: Path) -> tuple[int, int]:
    from PIL import Image

    with warnings.catch_warnings():  # micrographs are larger than what Pillow takes for an attack
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with _opened(Image.open, path) as picture:
            return picture.height, picture.width


def _read_picture(path: Path) -> NDArray[np.float32]:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with _opened(Image.open, path) as picture:
            if picture.mode in ("P", "LA", "RGBA"):
                raise InputError(
                    "not a grey image", file=path, found=f"mode {picture.mode}", expected="grey values"
                )
            return _grey(path, _opened(np.asarray, picture))


def _grey(path: Path, pixels: NDArray[Any]) -> NDArray[np.float32]:
    """(h, w) or (h, w, 3) with three equal channels to (h, w) float32."""
    if pixels.ndim == 3 and pixels.shape[2] == 3 and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., 0]
    if pixels.ndim != 2 or pixels.dtype.kind not in "uif":
        found = f"array of shape {pixels.shape}, {pixels.dtype}"
        raise InputError("not a grey image", file=path, found=found, expected="one channel")
    return np.ascontiguousarray(pixels, dtype=np.float32)
