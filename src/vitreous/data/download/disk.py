"""Whether what is to come fits on the disk."""

from __future__ import annotations

import shutil
from pathlib import Path

from vitreous.errors import FullDiskError
from vitreous.runtime.files import stage_error


def refuse_full_disk(need_bytes: float, folder: Path, keep_free_gb: float) -> None:
    """Raise FullDiskError where fewer bytes are free than `need_bytes` and what is left free."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise stage_error(error, folder) from error
    if need_bytes + keep_free_gb * 1e9 > free:
        raise FullDiskError(
            "the disk is too small for what is to come", file=folder, found=f"{_spoken(free)} free",
            expected=f"{_spoken(need_bytes)}, and {keep_free_gb:g} GB left free (`network.keep_free_gb`)",
            todo="free some space, fetch elsewhere, or choose less with `count` or `include`",
        )  # fmt: skip


def _spoken(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
