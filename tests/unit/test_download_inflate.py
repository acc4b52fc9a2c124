from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Iterator

import pytest
from served_files import few

from vitreous.data.download import inflate
from vitreous.data.download.content import Wrong
from vitreous.data.download.inflate import Inflater, Point

TEXT = few(random.Random(0), 120_000)


def feed(inflater: Inflater, data: bytes, step: int) -> Iterator[bytes | Point]:
    for at in range(0, len(data), step):
        yield from inflater.feed(data[at : at + step])
    inflater.close()


def inflated(data: bytes, step: int = 1000) -> bytes:
    return b"".join(one for one in feed(Inflater(1 << 40), data, step) if isinstance(one, bytes))


def blocks(data: bytes, level: int) -> bytes:
    """A gzip stream with a new deflate block every kilobyte or so."""
    packer = zlib.compressobj(level, zlib.DEFLATED, 31, 1)
    return packer.compress(data) + packer.flush()


def without_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflate, "zlib_library", lambda: None)


@pytest.fixture(params=["zlib", "python"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With zlib's own functions, and with Python's module alone."""
    if request.param == "python":
        without_library(monkeypatch)
    return str(request.param)


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_what_was_compressed_comes_back(either: str, level: int) -> None:
    packed = gzip.compress(TEXT, level)
    for step in (1, 999, len(packed)):
        assert inflated(packed, step) == TEXT


@pytest.mark.parametrize("level", [0, 1, 9])
def test_every_point_gives_the_rest_of_the_bytes(level: int) -> None:
    packed = blocks(TEXT[:50_000], level) + blocks(TEXT[50_000:], level)
    out, points = b"", []
    for one in feed(Inflater(1), packed, 777):
        if isinstance(one, Point):
            points.append((len(out), Point.restore(json.loads(json.dumps(one.plain())))))
        else:
            out += one
    assert out == TEXT and len(points) >= (20 if level else 3)
    for before, point in points:
        assert len(point.window) <= 1 << 15
        rest = feed(Inflater(1 << 40, point), packed[point.consumed :], 777)
        assert b"".join(one for one in rest if isinstance(one, bytes)) == TEXT[before:]


def test_points_begin_at_every_bit_of_a_byte() -> None:
    points = [one for one in feed(Inflater(1), blocks(TEXT, 9), 5000) if isinstance(one, Point)]
    assert len({point.bits for point in points}) == 8


def test_points_are_as_far_apart_as_asked() -> None:
    packed = gzip.compress(TEXT * 3)
    places = [one.consumed for one in feed(Inflater(20_000), packed, 999) if isinstance(one, Point)]
    apart = [after - before for before, after in zip([0, *places], places, strict=False)]
    assert min(apart) >= 20_000 and max(apart) < 40_000 and sum(apart) > len(packed) - 40_000


def test_without_the_library_there_are_no_points_and_none_is_gone_on_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed = gzip.compress(TEXT)
    point = next(one for one in feed(Inflater(1), packed, 999) if isinstance(one, Point))
    without_library(monkeypatch)
    assert not [one for one in feed(Inflater(1), packed, 999) if isinstance(one, Point)]
    with pytest.raises(Wrong, match="zlib cannot be reached"):
        Inflater(1, point)


def test_members_with_names_extra_fields_and_comments_follow_each_other(either: str) -> None:
    raw = zlib.compressobj(wbits=-15)
    body = raw.compress(b"second") + raw.flush()
    end = zlib.crc32(b"second").to_bytes(4, "little") + (6).to_bytes(4, "little")
    flags = 2 | 4 | 8 | 16
    head = b"\x1f\x8b\x08" + bytes([flags]) + bytes(6) + b"\x03\0abc" + b"name\0" + b"comment\0" + b"\0\0"
    for step in (1, 7, 1000):
        packed = gzip.compress(b"first") + head + body + end + gzip.compress(b"") + bytes(700)
        assert inflated(packed, step) == b"firstsecond"


def test_zeros_between_members_are_passed_over_as_gzip_does(either: str) -> None:
    packed = gzip.compress(b"a") + bytes(30) + gzip.compress(b"b") + bytes(512)
    assert inflated(packed, 5) == inflated(packed) == gzip.decompress(packed) == b"ab"


def test_every_flipped_bit_of_the_deflate_stream_is_noticed(either: str) -> None:
    packed = gzip.compress(TEXT[:400], mtime=0)
    for place in range(10, len(packed)):
        damaged = bytearray(packed)
        damaged[place] ^= 1
        with pytest.raises(Wrong):
            inflated(bytes(damaged))


def test_every_cut_is_noticed(either: str) -> None:
    packed = gzip.compress(TEXT[:400])
    for length in range(len(packed)):
        with pytest.raises(Wrong, match="ends in its middle"):
            inflated(packed[:length])


@pytest.mark.parametrize("content", [b"<html>page", b"\x1f\x8c" + bytes(20), gzip.compress(b"a") + b"more"])
def test_what_is_no_gzip_stream_is_refused(either: str, content: bytes) -> None:
    with pytest.raises(Wrong, match="no gzip stream"):
        inflated(content)


def test_a_wrong_crc_after_a_point_is_noticed_too() -> None:
    packed = bytearray(gzip.compress(TEXT))
    point = next(one for one in feed(Inflater(1), bytes(packed), 999) if isinstance(one, Point))
    packed[-8] ^= 1
    with pytest.raises(Wrong, match="CRC"):
        list(feed(Inflater(1, point), bytes(packed[point.consumed :]), 999))
