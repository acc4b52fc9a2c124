from __future__ import annotations

import bz2
import gzip
import io
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

from vitreous.errors import InputError
from vitreous.io.mrc import (
    StackWriter,
    agreed_pixel_size,
    open_stack,
    read_array,
    read_header,
    read_image,
    read_pixel_size_A,
    read_volume,
    validate,
    write_image,
    write_stack,
    write_volume,
)

VOLUME = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)


def by_mrcfile(path: Path, array: np.ndarray, voxel: Any = 1.5, **fields: Any) -> Path:
    """An MRC file written by the witness, with header fields set afterwards."""
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(array)
        mrc.voxel_size = voxel
        for name, value in fields.items():
            mrc.header[name] = value
    return path


def test_what_is_written_is_read_back_and_valid_for_mrcfile(tmp_path: Path) -> None:
    write_volume(tmp_path / "v.mrc", VOLUME, 1.25)
    write_image(tmp_path / "i.mrc", VOLUME[0], 1.25)
    write_stack(tmp_path / "s.mrcs", VOLUME, 1.25)
    volume, pixel = read_volume(tmp_path / "v.mrc")
    assert np.array_equal(volume, VOLUME) and pixel == 1.25
    assert np.array_equal(read_image(tmp_path / "i.mrc"), VOLUME[0])
    assert np.array_equal(open_stack(tmp_path / "s.mrcs")[:], VOLUME)
    assert [read_header(tmp_path / name).kind for name in ("v.mrc", "i.mrc", "s.mrcs")] == [
        "volume",
        "image",
        "stack",
    ]
    for name in ("v.mrc", "i.mrc", "s.mrcs"):
        assert mrcfile.validate(tmp_path / name, print_file=io.StringIO())
        with mrcfile.open(tmp_path / name) as mrc:
            assert mrc.voxel_size.x == mrc.voxel_size.y == 1.25
            assert mrc.header.rms == pytest.approx(mrc.data.std(), rel=1e-5)  # float32 header


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.mrc", VOLUME, 1.0)
    write_volume(tmp_path / "b.mrc", VOLUME, 1.0)
    assert (tmp_path / "a.mrc").read_bytes() == (tmp_path / "b.mrc").read_bytes()


@pytest.mark.parametrize("dtype", ["i1", "i2", "u2", "f2", "f4"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_modes_0_1_6_12_and_2_are_read_in_both_byte_orders(tmp_path: Path, dtype: str, order: str) -> None:
    array = np.random.default_rng(1).integers(0, 100, (2, 3, 4)).astype(np.dtype(dtype).newbyteorder(order))
    path = by_mrcfile(tmp_path / "a.mrc", array)
    header = read_header(path)
    expected = order if np.dtype(dtype).itemsize > 1 else header.byte_order
    assert header.byte_order == expected and not header.warnings and not header.remarks
    assert np.array_equal(read_array(path), array) and read_volume(path)[0].dtype == np.float32


def test_mode_0_is_unsigned_where_imod_says_so(tmp_path: Path) -> None:
    array = np.array([[[0, 127, 128, 255]]], np.uint8).view(np.int8)
    path = by_mrcfile(tmp_path / "a.mrc", np.repeat(array, 2, axis=0))
    raw = bytearray(path.read_bytes())
    raw[152:160] = (1146047817).to_bytes(4, "little") + (0).to_bytes(4, "little")
    path.write_bytes(raw)
    assert read_array(path)[0, 0].tolist() == [0, 127, 128, 255]
    raw[156] = 1  # the flag for signed bytes
    path.write_bytes(raw)
    assert read_array(path)[0, 0].tolist() == [0, 127, -128, -1]


def test_four_bit_images_are_unpacked_low_half_first(tmp_path: Path) -> None:
    packed = np.array([[0x21, 0x03]], np.int8)  # one row of three numbers: 1, 2, 3
    path = by_mrcfile(tmp_path / "a.mrc", packed)
    raw = bytearray(path.read_bytes())
    raw[0:16] = np.array([3, 1, 1, 101], "<i4").tobytes()
    path.write_bytes(raw)
    assert read_array(path).tolist() == [[[1, 2, 3]]]
    assert open_stack(path)[0].tolist() == [[1.0, 2.0, 3.0]]


@pytest.mark.parametrize("axes", [(1, 2, 3), (3, 1, 2), (3, 2, 1), (2, 1, 3)])
def test_axes_in_any_order_come_as_z_y_x(tmp_path: Path, axes: tuple[int, int, int]) -> None:
    stored = VOLUME.transpose(
        [3 - axis for axis in axes[::-1]]
    )  # (sections, rows, columns) hold maps, mapr, mapc
    path = by_mrcfile(tmp_path / "a.mrc", np.ascontiguousarray(stored))
    with mrcfile.open(path, "r+") as mrc:
        mrc.header.mapc, mrc.header.mapr, mrc.header.maps = axes
    assert np.array_equal(read_array(path), VOLUME)
    assert read_header(path).shape == VOLUME.shape


def test_stacks_are_read_lazily_and_only_where_asked(tmp_path: Path) -> None:
    images = np.random.default_rng(2).normal(size=(50, 6, 7)).astype(np.float32)
    write_stack(tmp_path / "s.mrcs", images, 2.0)
    stack = open_stack(tmp_path / "s.mrcs")
    assert isinstance(stack._images, np.memmap) and len(stack) == 50 and stack.shape == (50, 6, 7)
    assert np.array_equal(stack[7], images[7]) and np.array_equal(stack[[3, 1]], images[[3, 1]])
    assert np.array_equal(stack[10:12], images[10:12]) and stack.pixel_size_A == 2.0
    with pytest.raises(IndexError):
        stack[50]


def test_a_stack_grows_image_by_image_and_appears_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "s.mrcs"
    with StackWriter(path, (4, 5), 1.5) as writer:
        writer.append(VOLUME[0])
        writer.append(VOLUME[1:])
        assert not path.exists()
    write_stack(tmp_path / "whole.mrcs", VOLUME, 1.5)
    assert path.read_bytes()[1024:] == (tmp_path / "whole.mrcs").read_bytes()[1024:]
    assert mrcfile.validate(path, print_file=io.StringIO())


def test_a_stack_without_images_or_with_an_error_leaves_no_file(tmp_path: Path) -> None:
    with StackWriter(tmp_path / "empty.mrcs", (4, 5), 1.5):
        pass
    with (
        pytest.raises(InputError, match="another size"),
        StackWriter(tmp_path / "bad.mrcs", (4, 5), 1.5) as writer,
    ):
        writer.append(VOLUME[0])
        writer.append(np.zeros((5, 4)))
    assert list(tmp_path.iterdir()) == []


def test_compressed_files_give_the_same_array(tmp_path: Path) -> None:
    write_volume(tmp_path / "v.mrc", VOLUME, 1.25)
    raw = (tmp_path / "v.mrc").read_bytes()
    (tmp_path / "v.mrc.gz").write_bytes(gzip.compress(raw))
    (tmp_path / "v.map.bz2").write_bytes(bz2.compress(raw))
    (tmp_path / "hidden.mrc").write_bytes(gzip.compress(raw))  # gzip under the name of an MRC file
    for name in ("v.mrc.gz", "v.map.bz2", "hidden.mrc"):
        assert np.array_equal(read_volume(tmp_path / name)[0], VOLUME)


def test_pixel_size_0_is_none_and_negative_cells_lose_their_sign(tmp_path: Path) -> None:
    path = by_mrcfile(tmp_path / "a.mrc", VOLUME, 0.0)
    assert read_pixel_size_A(path) is None and "pixel size is not set" in validate(path)
    with pytest.raises(InputError, match="state pixel_size_A"):
        read_volume(path)
    assert read_volume(path, 3.0)[1] == 3.0
    path = by_mrcfile(tmp_path / "b.mrc", VOLUME)
    with mrcfile.open(path, "r+") as mrc:
        mrc.header.cella = (-10.0, -8.0, 6.0)
    assert read_header(path).pixel_size_A == (2.0, 2.0, 2.0)
    assert any("negative" in fault for fault in validate(path))


def test_unequal_voxels_are_questioned(tmp_path: Path) -> None:
    path = by_mrcfile(tmp_path / "a.mrc", VOLUME, (1.0, 1.0, 2.0))
    with pytest.raises(InputError, match="1, 1, 2 Å along x, y, z"):
        read_volume(path)
    assert np.array_equal(read_volume(path, 1.0)[0], VOLUME)


def test_a_stack_of_volumes_is_told_from_a_volume(tmp_path: Path) -> None:
    path = by_mrcfile(tmp_path / "a.mrc", np.concatenate([VOLUME, VOLUME]), ispg=401, mz=3)
    assert read_array(path).shape == (2, 3, 4, 5)
    with pytest.raises(InputError, match="a stack of 2 volumes"):
        read_volume(path)


def test_pixel_sizes_agree_within_one_percent_or_a_side_is_named() -> None:
    assert agreed_pixel_size(1.009, 1.0, file="a.mrc") == 1.0
    assert agreed_pixel_size(None, 1.3, file="a.mrc") == 1.3
    assert agreed_pixel_size(1.0, 1.3, file="a.mrc", trust="settings") == 1.3
    assert agreed_pixel_size(1.0, 1.3, file="a.mrc", trust="header") == 1.0
    with pytest.raises(InputError, match="trust: settings"):
        agreed_pixel_size(1.0, 1.3, file="a.mrc")  # 1.0 is what programs write that do not know
    with pytest.raises(InputError, match="pixel size unknown"):
        agreed_pixel_size(None, None, file="a.mrc")
