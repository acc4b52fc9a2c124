"""The MNIST digits: four files that never change."""

from __future__ import annotations

from vitreous.data.download.remote import RemoteFile, single
from vitreous.data.download.settings import NetworkSettings

LICENCE = "CC BY-SA 3.0"
# name: bytes, MD5
FILES = {
    "train-images-idx3-ubyte.gz": (9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    "train-labels-idx1-ubyte.gz": (28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
    "t10k-images-idx3-ubyte.gz": (1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
    "t10k-labels-idx1-ubyte.gz": (4_542, "ec29112dd5afa0611ce80d1b7f02629c"),
}


def find_files(settings: NetworkSettings) -> list[RemoteFile]:
    """The four files with their sizes in bytes and MD5; nothing is asked of the server."""
    base = settings.base("mnist")
    return [
        single(name, f"{base}/{name}", bytes=size, checksum=f"md5:{md5}", licence=LICENCE)
        for name, (size, md5) in FILES.items()
    ]
