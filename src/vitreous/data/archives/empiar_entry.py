"""What EMPIAR says about an entry; every field of it may be missing."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vitreous.data.download.client import Client
from vitreous.errors import InputError

# The codes of deposition files, which some answers hold in place of words.
_CATEGORIES = (
    "micrographs - single frame", "micrographs - multiframe", "micrographs - focal pairs - unprocessed",
    "micrographs - focal pairs - contrast inverted", "picked particles - single frame - unprocessed",
    "picked particles - multiframe - unprocessed", "picked particles - single frame - processed",
    "picked particles - multiframe - processed", "tilt series", "class averages", "stitched maps",
    "diffraction images", "reconstructed volumes", "subtomograms",
)  # fmt: skip
_FORMATS = ("MRC", "MRCS", "TIFF", "IMAGIC", "DM3", "DM4", "SPIDER", "XML", "EER", "PNG", "JPEG", "SMV", "EM")
_CODE = re.compile(r"""\(\s*['"](T\d+|OT)['"]\s*,\s*['"](.*)['"]\s*\)""")


@dataclass(frozen=True)
class ImageSet:
    """Images of one kind: where they lie below the entry, how many, their width and height in pixels."""

    name: str
    directory: str
    category: str | None
    data_format: str | None
    count: int | None
    frames: int | None
    pixel_size_A: float | None
    width: int | None
    height: int | None
    details: str | None

    @property
    def counts_files(self) -> bool:
        """Whether `count` is a number of files: so for micrographs; other sets count images inside files."""
        return self.category is None or self.category.lower().startswith("micrographs")


@dataclass(frozen=True)
class Entry:
    """An entry; `size_text` is its size as EMPIAR words it, e.g. `1.9 TB`."""

    accession: str
    title: str
    status: str | None
    size_text: str | None
    doi: str | None
    cross_references: list[str]
    image_sets: list[ImageSet]


def entry_number(accession: int | str) -> int:
    """The number in 10017, `10017` or `EMPIAR-10017`; raises InputError for anything else."""
    found = re.fullmatch(r"(?:EMPIAR-)?(\d{5,6})", str(accession).strip(), re.IGNORECASE)
    if not found:
        raise InputError("not an EMPIAR accession", found=accession, expected="e.g. EMPIAR-10017")
    return int(found[1])


def read_entry(client: Client, number: int | str) -> Entry:
    """Ask EMPIAR for an entry. Raises InputError where there is none of that number."""
    url = f"{client.settings.base('empiar-api')}/{entry_number(number)}/"
    return parse_entry(client.json(url), where=url)


def parse_entry(data: Any, *, where: str) -> Entry:
    """The entry in the answer of EMPIAR's server: an object with one key; `where` is named in errors."""
    if not isinstance(data, Mapping) or len(data) != 1:
        raise InputError("not an EMPIAR entry", file=where, found=str(data)[:80],
                         expected="an object with one key", todo="check the accession")  # fmt: skip
    accession, fields = next(iter(data.items()))
    if not isinstance(fields, Mapping):
        raise InputError("the entry is empty", file=where, found=str(fields)[:80], todo="check the accession")
    references = [_reference(item) for item in fields.get("cross_references") or []]
    return Entry(
        accession=str(accession),
        title=_text(fields.get("title")) or "",
        status=_text(fields.get("status")),
        size_text=_text(fields.get("dataset_size")),
        doi=_text(fields.get("entry_doi")),
        cross_references=[name for name in references if name],
        image_sets=[_image_set(item) for item in fields.get("imagesets") or [] if isinstance(item, Mapping)],
    )


def normal_directory(directory: str | None) -> str:
    """A directory as plain steps: `data/set1` for `/data//set1/` and `./data/set1`.

    `data`, where every entry's files lie, if there is none; `..` stays, to be refused where it is listed.
    """
    return "/".join(step for step in (directory or "").split("/") if step not in ("", ".")) or "data"


def _image_set(fields: Mapping[str, Any]) -> ImageSet:
    return ImageSet(
        name=_text(fields.get("name")) or "",
        directory=normal_directory(fields.get("directory")),
        category=_decoded(fields.get("category"), _CATEGORIES),
        data_format=_decoded(fields.get("data_format"), _FORMATS),
        count=_whole(fields.get("num_images_or_tilt_series")),
        frames=_whole(fields.get("frames_per_image")),
        pixel_size_A=_positive(fields.get("pixel_width")),
        width=_whole(fields.get("image_width")),
        height=_whole(fields.get("image_height")),
        details=_text(fields.get("details")),
    )


def _reference(item: Any) -> str | None:
    return _text(item.get("name")) if isinstance(item, Mapping) else _text(item)


def _text(value: Any) -> str | None:
    text = "" if value is None else str(value).strip()
    return text or None


def _decoded(value: Any, words: tuple[str, ...]) -> str | None:
    """The words of a field that may hold a code such as `('T1', '')`, or `('OT', 'in words')`."""
    text = _text(value)
    code = _CODE.fullmatch(text) if text else None
    if not code:
        return text
    place = int(code[1][1:]) if code[1] != "OT" else 0
    return words[place - 1] if 0 < place <= len(words) else _text(code[2])


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _whole(value: Any) -> int | None:
    number = _positive(value)
    return None if number is None else int(number)
