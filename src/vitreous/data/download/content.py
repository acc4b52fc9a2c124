"""Whether bytes are what a file of this name should hold: no service page, a true MRC, a whole gzip."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

from vitreous.errors import InputError

_MRC = (".mrc", ".mrcs", ".map", ".ccp4", ".rec", ".st")
_TEXT = (".star", ".csv", ".json", ".txt", ".box", ".tsv")
_MARKUP = (".xml",)
_ERROR = re.compile(r"\s*(<\?xml[^>]*\?>)?\s*<error\b", re.IGNORECASE)
_MAGIC = {
    ".gz": (b"\x1f\x8b",), ".tgz": (b"\x1f\x8b",), ".bz2": (b"BZh",), ".zip": (b"PK",),
    ".tif": (b"II", b"MM"), ".tiff": (b"II", b"MM"), ".jpg": (b"\xff\xd8",), ".jpeg": (b"\xff\xd8",),
    ".png": (b"\x89PNG",), ".eer": (b"II", b"MM"),
}  # fmt: skip
_NEVER_EMPTY = (*_MRC, *_MAGIC, *_MARKUP, ".star", ".json")
_SEEN_BYTES = 1024


class Wrong(Exception):
    """What came is not the file: a page of the server, a header that does not fit, a damaged archive."""


def suffix_of(name: str) -> str:
    """The last ending of a name, lower case; that of the whole where a stack is sent in pieces."""
    path = PurePosixPath(name)
    ending = path.suffix.lower()
    return PurePosixPath(path.stem).suffix.lower() if ending.startswith(".chunk_") else ending


def refuse_pages(body: Iterator[bytes], name: str, *, whole: bool) -> Iterator[bytes]:
    """The same body; raises Wrong where it begins like a server's page and the file should be none.

    Only a `whole` body, which begins at the file's first byte, is held against the ending's own magic.
    """
    first = b""
    while len(first) < _SEEN_BYTES and (chunk := next(body, b"")):
        first += chunk
    suffix = suffix_of(name)
    page = _page(first)
    if page and not (suffix in _MARKUP and page != "an HTML page"):
        raise Wrong(f"{page} in place of the file")
    magic = _MAGIC.get(suffix)
    if whole and first and magic and not first.startswith(magic):
        raise Wrong(f"content that is no {suffix} file (it begins with {first[:4]!r})")
    return _chained(first, body)


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def _page(first: bytes) -> str | None:
    """What kind of page this is, or None. No data file begins with one of these words."""
    start = first.lstrip(b"\xef\xbb\xbf \t\r\n")[:256].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "an HTML page"
    if start.startswith((b"<?xml", b"<error")) and b"\0" not in first:
        return "an HTML page" if b"<html" in start else "an XML document"
    return None


def parsed_json(text: str) -> Any:
    """The value in a JSON document; raises Wrong for what is none."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        kind = "an HTML or XML page" if text.lstrip().startswith("<") else "no JSON"
        raise Wrong(f"{kind} in place of JSON") from error


def plain_xml(text: str) -> str:
    """The same text; raises Wrong where it begins like no XML, an HTML page or a server's error message."""
    if _page(text[:_SEEN_BYTES].encode()) == "an HTML page":
        raise Wrong("an HTML page in place of XML")
    if _ERROR.match(text):
        raise Wrong("an error message in place of XML")
    if not text.lstrip("\ufeff \t\r\n").startswith("<"):
        raise Wrong("something else in place of XML")
    if not re.search(r">\s*$", text):
        raise Wrong("an XML document that is cut")
    return text


def verify(path: Path, name: str, *, said_empty: bool = False) -> None:
    """Hold a whole file against what its name promises; raises Wrong with what is wrong.

    MRC: the arithmetic of the header and the file's size. gzip: every byte decompressed against its CRC.
    `said_empty`: the archive says that the file holds nothing, as a marker (`DONE`) does.
    """
    suffix = suffix_of(name)
    if path.stat().st_size == 0:
        if said_empty and suffix not in _NEVER_EMPTY:
            return
        raise Wrong("an empty file")
    if suffix in _MRC:
        from vitreous.io.mrc_header import read_header

        try:
            read_header(path)
        except InputError as error:
            raise Wrong(_without_file(error)) from error
    elif suffix in (".gz", ".tgz"):
        verify_gzip(path)
    elif suffix in _MARKUP:
        _verify_xml(path)
    elif suffix in _TEXT:
        with path.open("rb") as handle:
            if b"\0" in handle.read(_SEEN_BYTES):
                raise Wrong("binary content in place of text")


def verify_gzip(path: Path) -> None:
    """Decompress a gzip file into nothing; raises Wrong where it is cut short or damaged."""
    try:
        with gzip.open(path, "rb") as handle:
            while handle.read(1 << 20):
                pass
    except (EOFError, OSError, zlib.error) as error:
        raise Wrong(f"a damaged gzip file ({error})") from error


def _verify_xml(path: Path) -> None:
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise Wrong(f"a damaged XML file ({error})") from error
    if root.tag.lower() == "error":
        raise Wrong("an error message of the server in place of the file")


def _without_file(error: InputError) -> str:
    text = InputError(error.what, place=error.place, found=error.found, expected=error.expected)
    return str(text)
