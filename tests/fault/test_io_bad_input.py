"""What bad input gets (design §7, the rows on files), on files made here: refused before memory is taken."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from vitreous.errors import InputError
from vitreous.io.mrc import (
    open_stack,
    read_array,
    read_header,
    read_volume,
    validate,
    write_stack,
    write_volume,
)

SHAPE = (4, 5, 6)
VOLUME = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    write_volume(tmp_path / "a.mrc", VOLUME, 1.5)
    return tmp_path / "a.mrc"


def changed(path: Path, at: int, value: bytes) -> Path:
    raw = bytearray(path.read_bytes())
    raw[at : at + len(value)] = value
    path.write_bytes(raw)
    return path


def int32(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}i", *values)


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, int32(2**31 - 1, 2**31 - 1, 2**31 - 1), "truncated.*found 1504 bytes, expected"),
        (0, int32(-6), "not positive.*nx -6"),
        (8, int32(0), "not positive.*nz 0"),
        (12, int32(77), "unknown MRC mode.*found mode 77, expected one of"),
        (92, int32(2**30), "extended header is longer than the file.*found 1504 bytes"),
        (92, int32(-4), "extended header has a negative length"),
        (64, int32(1, 1, 3), "axis order makes no sense.*found .1, 1, 3."),
    ],
)
def test_a_header_that_does_not_fit_the_file_is_refused_before_anything_is_allocated(
    good: Path, at: int, value: bytes, message: str
) -> None:
    changed(good, at, value)
    tracemalloc.start()
    for reader in (read_header, read_array, read_volume, open_stack):
        with pytest.raises(InputError, match=rf"a\.mrc: .*{message}"):
            reader(good)
    assert tracemalloc.get_traced_memory()[1] < 2**20  # a mebibyte: header and message, no image
    tracemalloc.stop()
    assert len(validate(good)) == 1


@pytest.mark.parametrize("size", [0, 10, 1023, 1024, 1503])
def test_a_truncated_file_is_refused_with_the_bytes_found(good: Path, size: int) -> None:
    good.write_bytes(good.read_bytes()[:size])
    with pytest.raises(InputError, match=rf"found {size} bytes"):
        read_array(good)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"<!DOCTYPE html><html><body>404 not found</body></html>", "HTML or XML"),
        (b'\n<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>' + b" " * 2000, "HTML or XML"),
        (b"\x89PNG\r\n\x1a\n" + bytes(2000), "a PNG image"),
        (b"PK\x03\x04" + bytes(2000), "a zip archive"),
        (b"once upon a time " * 100, "text"),
    ],
)
def test_what_is_no_mrc_file_is_refused_by_name(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / "a.mrc").write_bytes(content)
    with pytest.raises(InputError, match=f"not an MRC file .found {name}"):
        read_header(tmp_path / "a.mrc")


def test_a_header_that_begins_like_markup_is_still_an_mrc_file(tmp_path: Path) -> None:
    write_volume(
        tmp_path / "a.mrc", np.random.default_rng(0).normal(size=(2, 2, 60)), 1.0
    )  # nx 60 is the byte `<`
    write_volume(tmp_path / "b.mrc", np.random.default_rng(0).normal(size=(2, 2, 123)), 1.0)  # nx 123 is `{`
    assert read_header(tmp_path / "a.mrc").nx == 60 and read_header(tmp_path / "b.mrc").nx == 123


@pytest.mark.parametrize("stamp", [b"\0\0\0\0", b"\x11\x11\0\0", b"abcd"])
@pytest.mark.parametrize("word", [b"MAP ", b"\0\0\0\0"])
def test_stamp_and_map_word_may_be_odd_where_size_mode_and_dimensions_agree(
    good: Path, stamp: bytes, word: bytes
) -> None:
    changed(good, 208, word + stamp)
    assert np.array_equal(read_volume(good)[0], VOLUME)
    assert not validate(good)
    said = read_header(good).remarks
    assert any("machine stamp" in remark for remark in said)
    assert any("MAP word" in remark for remark in said) == (word != b"MAP ")


def test_big_endian_data_are_found_by_size_under_any_stamp(good: Path) -> None:
    raw = good.read_bytes()
    swapped = (
        np.frombuffer(raw[:208], "<i4").astype(">i4").tobytes()
    )  # every field of these bytes is four bytes long
    good.write_bytes(swapped + raw[208:1024] + VOLUME.astype(">f4").tobytes())
    assert read_header(good).byte_order == ">" and np.array_equal(read_volume(good)[0], VOLUME)
    assert any("machine stamp" in remark for remark in read_header(good).remarks)


def test_bytes_beyond_the_end_are_said(good: Path) -> None:
    good.write_bytes(good.read_bytes() + b"x" * 333)
    assert "333 bytes more than the header says; ignored" in validate(good)
    assert np.array_equal(read_volume(good)[0], VOLUME)


def test_nan_voxels_are_refused_with_their_place_and_never_written(good: Path, tmp_path: Path) -> None:
    at = int(np.ravel_multi_index((2, 1, 3), SHAPE))
    changed(good, 1024 + 4 * at, np.float32(np.inf).tobytes())
    with pytest.raises(InputError, match=r"index \(2, 1, 3\): NaN or infinite values \(found 1 of them"):
        read_volume(good)
    assert validate(good) == ["1 NaN or infinite value, the first at (2, 1, 3)"]
    with pytest.raises(InputError, match="would be written"):
        write_volume(tmp_path / "b.mrc", np.full(SHAPE, np.nan), 1.5)
    assert not (tmp_path / "b.mrc").exists()


def test_a_bad_image_of_a_stack_is_refused_with_its_index_and_the_others_are_read(tmp_path: Path) -> None:
    write_stack(tmp_path / "s.mrcs", VOLUME, 1.5)
    changed(tmp_path / "s.mrcs", 1024 + 4 * (2 * 30 + 7), np.float32(np.nan).tobytes())
    stack = open_stack(tmp_path / "s.mrcs")
    assert np.array_equal(stack[[0, 1, 3]], VOLUME[[0, 1, 3]])
    for index in (2, [0, 2], slice(1, None)):
        with pytest.raises(InputError, match=r"s.mrcs: image 2 \(counted from 0\)"):
            stack[index]


def test_an_interrupted_write_leaves_the_old_file(good: Path) -> None:
    before = good.read_bytes()
    with pytest.raises(InputError):
        write_volume(good, np.full(SHAPE, np.inf), 1.5)
    with pytest.raises(InputError, match="not a volume"):
        write_volume(good, VOLUME[0], 1.5)
    assert good.read_bytes() == before and [path.name for path in good.parent.iterdir()] == ["a.mrc"]
