from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from vitreous.errors import InputError
from vitreous.io.check import check_file
from vitreous.io.micrograph import micrograph_pixel_size_A, micrograph_shape, read_micrograph
from vitreous.io.mrc import write_image, write_stack

GREY = np.random.default_rng(0).integers(0, 255, (6, 9), dtype=np.uint8)


def test_the_same_grey_values_come_from_every_format(tmp_path: Path) -> None:
    write_image(tmp_path / "m.mrc", GREY, 1.5)
    Image.fromarray(GREY).save(tmp_path / "m.png")
    Image.fromarray(GREY.astype(np.uint16) * 100).save(tmp_path / "m16.png")
    tifffile.imwrite(tmp_path / "m.tif", GREY)
    tifffile.imwrite(tmp_path / "f.tiff", GREY.astype(np.float32))
    for name, factor in (("m.mrc", 1), ("m.png", 1), ("m16.png", 100), ("m.tif", 1), ("f.tiff", 1)):
        image = read_micrograph(tmp_path / name)
        assert image.dtype == np.float32 and np.array_equal(image, GREY.astype(np.float32) * factor), name
        assert micrograph_shape(tmp_path / name) == (6, 9)
        assert not check_file(tmp_path / name).faults
    assert micrograph_pixel_size_A(tmp_path / "m.mrc") == 1.5
    assert micrograph_pixel_size_A(tmp_path / "m.png") is None


def test_a_jpg_keeps_its_first_row_first(tmp_path: Path) -> None:
    image = np.repeat(np.linspace(0, 250, 32).astype(np.uint8)[:, None], 24, axis=1)
    Image.fromarray(image).save(tmp_path / "m.jpg", quality=95)
    assert np.abs(read_micrograph(tmp_path / "m.jpg") - image).max() < 5  # lossy


def test_three_equal_channels_are_grey_and_colours_are_refused(tmp_path: Path) -> None:
    colour = np.repeat(GREY[..., None], 3, axis=2)
    Image.fromarray(colour).save(tmp_path / "grey.png")
    assert np.array_equal(read_micrograph(tmp_path / "grey.png"), GREY)
    colour[0, 0] = (1, 2, 3)
    Image.fromarray(colour).save(tmp_path / "colour.png")
    with pytest.raises(InputError, match="not a grey image"):
        read_micrograph(tmp_path / "colour.png")


def test_movies_constant_and_broken_images_are_refused(tmp_path: Path) -> None:
    write_stack(tmp_path / "movie.mrc", np.random.default_rng(0).normal(size=(4, 6, 9)), 1.0)
    tifffile.imwrite(tmp_path / "movie.tif", np.stack([GREY, GREY]), photometric="minisblack")
    write_image(tmp_path / "flat.mrc", np.ones((6, 9)), 1.0)
    write_image(tmp_path / "nan.mrc", GREY, 1.0)
    raw = bytearray((tmp_path / "nan.mrc").read_bytes())
    raw[1024 + 4 * 10 : 1024 + 4 * 11] = np.float32(np.nan).tobytes()
    (tmp_path / "nan.mrc").write_bytes(raw)
    Image.fromarray(GREY).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:60])
    (tmp_path / "movie.eer").write_bytes(b"II+\0" + bytes(100))
    (tmp_path / "image.dm4").write_bytes(b"\0\0\0\4" + bytes(100))
    (tmp_path / "page.mrc").write_text("<!DOCTYPE html><html>" + "x" * 2000)
    for name, message in (
        ("movie.mrc", "4 frames.*sums are needed"),
        ("movie.tif", "2 frames.*sums are needed"),
        ("flat.mrc", "constant image.*every pixel is 1"),
        ("nan.mrc", r"index \(1, 1\).*1 of them"),
        ("cut.png", "damaged image"),
        ("movie.eer", "EER movie.*sums are needed"),
        ("image.dm4", "Gatan image.*convert it to MRC"),
        ("page.mrc", "not an MRC file.*HTML"),
        ("absent.mrc", "cannot be read"),
    ):
        with pytest.raises(InputError, match=message):
            read_micrograph(tmp_path / name)
        assert check_file(tmp_path / name).faults or name == "movie.mrc"
    with pytest.raises(InputError, match="4 frames"):
        micrograph_shape(tmp_path / "movie.mrc")


@pytest.mark.parametrize(
    "form",
    [{}, {"photometric": "minisblack"}, {"imagej": True}, {"photometric": "minisblack", "truncate": True}],
)
def test_a_tiff_of_several_frames_is_refused_as_a_movie_by_its_shape_already(
    tmp_path: Path, form: dict[str, Any]
) -> None:
    path = tmp_path / "movie.tif"
    frames = np.random.default_rng(0).normal(size=(4, 6, 9)).astype(np.float32)
    with warnings.catch_warnings():  # tifffile would rather be told that these are no colours
        warnings.simplefilter("ignore", DeprecationWarning)
        tifffile.imwrite(path, frames, **form)
    for read in (micrograph_shape, read_micrograph):
        with pytest.raises(
            InputError, match=r"a movie or stack.*found 4 frames, expected 1.*sums are needed"
        ):
            read(path)


def test_a_cut_tiff_is_a_damaged_image_by_its_shape_already(tmp_path: Path) -> None:
    (tmp_path / "cut.tif").write_bytes(b"II*\0\x08\0\0\0\x01")
    for read in (micrograph_shape, read_micrograph):
        with pytest.raises(InputError, match="damaged image"):
            read(tmp_path / "cut.tif")


def test_the_shape_of_a_tiff_of_three_channels_is_height_and_width(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "m.tif", np.repeat(GREY[..., None], 3, axis=2), photometric="rgb")
    assert micrograph_shape(tmp_path / "m.tif") == (6, 9)
    assert np.array_equal(read_micrograph(tmp_path / "m.tif"), GREY)
