"""Files for the fake archive to serve, made from a seed, and settings of the network for tests."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import struct
import tarfile
from pathlib import Path
from typing import Any

from vitreous.data.download.settings import NetworkSettings

# sixteen letters: what deflate makes of them has many blocks and hardly any repeats
_FEW = bytes(97 + (value & 15) for value in range(256))
QUICK: dict[str, Any] = {
    "connect_timeout_s": 2.0, "hang_timeout_s": 0.3, "backoff_s": 0.005, "longest_backoff_s": 0.02,
    "keep_free_gb": 0.0, "chunk_bytes": 1 << 14, "point_bytes": 20_000,
}  # fmt: skip


def quick(**changes: Any) -> NetworkSettings:
    """Settings with waits of fractions of a second."""
    return NetworkSettings(**{**QUICK, **changes})


def noise(rng: random.Random, count: int) -> bytes:
    """Bytes that repeat nowhere."""
    return rng.randbytes(count)


def mrc(rng: random.Random, side: int = 64) -> bytes:
    """An image of `side` x `side` floats; an even side, so that a flip of its first bit makes it longer."""
    header = struct.pack("<10i", side, side, 1, 2, 0, 0, 0, side, side, 1)
    header += struct.pack("<6f3i", side * 2.0, side * 2.0, 2.0, 90, 90, 90, 1, 2, 3)
    header = header.ljust(208, b"\0") + b"MAP " + b"\x44\x44\0\0"
    return header.ljust(1024, b"\0") + rng.randbytes(side * side * 4)


def packed(rng: random.Random, count: int) -> bytes:
    """A gzip file of `count` bytes."""
    return gzip.compress(rng.randbytes(count).translate(_FEW), mtime=0)


def tar_gz(members: dict[str, bytes]) -> bytes:
    """A tar.gz of plain files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(out.getvalue(), mtime=0)


def md5(content: bytes) -> str:
    """As an archive states it."""
    return f"md5:{hashlib.md5(content, usedforsecurity=False).hexdigest()}"


def serve(root: Path, name: str, content: bytes) -> None:
    """Lay a file into the archive's folder `plain`."""
    path = root / "plain" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def few(rng: random.Random, count: int) -> bytes:
    """Bytes that gzip can halve."""
    return rng.randbytes(count).translate(_FEW)
