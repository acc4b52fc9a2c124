"""How the process holds on to memory between the steps of a loop."""

from __future__ import annotations

import torch

# Bytes of a block whose release makes glibc keep others like it: below its DEFAULT_MMAP_THRESHOLD_MAX.
BLOCK = 31 * 2**20


def keep_freed_memory() -> None:
    """Let the C library keep freed blocks of up to 31 MiB for the next arrays instead of returning them.

    glibc learns from the largest block that was freed. Without this a loop over arrays of a few MB gets fresh
    pages from the system in each round, which takes a third of its time. Elsewhere it does nothing.
    """
    torch.empty(BLOCK, dtype=torch.uint8)
