"""IDX files: what is written is read, and everything else is refused before it is allocated."""

import gzip
import struct

import numpy as np
import pytest

from tests.shared import shared
from vitreous.errors import InputError
from vitreous.io.idx import read_idx_images, read_idx_labels

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)


def idx(array, magic):
    return struct.pack(f">I{array.ndim}I", magic, *array.shape) + array.tobytes()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_images_and_labels_come_back_plain_and_gzipped(tmp_path, pack):
    (tmp_path / "images").write_bytes(pack(idx(IMAGES, 2051)))
    (tmp_path / "labels").write_bytes(pack(idx(IMAGES[:, 0, 0], 2049)))
    np.testing.assert_array_equal(read_idx_images(tmp_path / "images"), IMAGES)
    np.testing.assert_array_equal(read_idx_labels(tmp_path / "labels"), IMAGES[:, 0, 0])


WHOLE = idx(IMAGES, 2051)
BAD = {
    "empty": (b"", "empty"),
    "labels for images": (idx(IMAGES[:, 0, 0], 2049), "magic number 2049.*expected magic number 2051"),
    "web page": (b"<!DOCTYPE html><html>404 not found</html>", "web page"),
    "truncated": (WHOLE[:-1], "truncated.*75 bytes.*expected 76"),
    "too long": (WHOLE + b"x", "more data.*77 bytes.*expected 76"),
    "half a header": (WHOLE[:9], "header is truncated.*9 bytes.*expected 16"),
    "no images": (struct.pack(">4I", 2051, 0, 28, 28), "no data"),
    "claims 4 TB": (struct.pack(">4I", 2051, 2**32 - 1, 32, 32) + b"x" * 99, "115 bytes.*expected 4398"),
    "gzip that claims 4 TB": (
        gzip.compress(struct.pack(">4I", 2051, 2**32 - 1, 32, 32)),
        "bytes gzipped.*expected 4398",
    ),
    "gzip cut short": (gzip.compress(WHOLE)[:-12], "damaged or truncated"),
    "short in gzip": (gzip.compress(WHOLE[:-1]), "truncated.*59 bytes of data.*expected 60"),
    "long in gzip": (gzip.compress(WHOLE + b"x"), "more data"),
    "gzipped page": (gzip.compress(b"<html>404"), "web page"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_what_was_found_and_expected(tmp_path, name):
    content, message = BAD[name]
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_idx_images(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(InputError, match="file not found"):
        read_idx_labels(tmp_path / "labels.gz")


def test_the_first_labels_of_mnist_are_the_known_ones():
    labels = read_idx_labels(shared("data/mnist/t10k-labels-idx1-ubyte.gz"))
    assert labels.shape == (10_000,) and labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert read_idx_images(shared("data/mnist/t10k-images-idx3-ubyte.gz")).shape == (10_000, 28, 28)
