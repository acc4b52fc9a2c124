"""Which batch a micrograph belongs to (nothing heavy is imported here: the Snakefile asks)."""

from __future__ import annotations

import hashlib


def batch_name(index: int, count: int) -> str:
    """The file name of batch `index` (from 0) of `count`."""
    return f"batch-{index + 1:02d}-of-{count:02d}.star"


def batch_of(stem: str, count: int) -> int:
    """The batch (from 0) of a micrograph by a hash of its stem: micrographs added later move no other."""
    return int.from_bytes(hashlib.sha256(stem.encode("utf-8", "surrogateescape")).digest()[:8], "big") % count
