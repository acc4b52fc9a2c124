"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vitreous.errors import FullDiskError, InputError, StageError

# No space left, a file beyond the limit of its size, a quota that is used up.
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` (same last suffix) that is renamed to it when the block ends well.

    Raises StageError naming `path` where the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.{os.getpid()}-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        if _is_full(error):
            raise stage_error(error, path) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def stage_error(error: OSError, file: str | Path | None = None) -> StageError:
    """What the operating system refused as an error that says which file and what to do."""
    file, said = file or error.filename, error.strerror or str(error)
    if _is_full(error):
        todo = "free some space and run again, finished work is kept"
        return FullDiskError("disk full", file=file, found=said, todo=todo)
    return StageError(said, file=file, todo="mend it and run again, finished work is kept")


def _is_full(error: OSError) -> bool:
    # NumPy says a write that was cut short without the number of the error.
    return error.errno in _FULL or (error.errno is None and "requested and" in str(error))


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON; raises InputError with file, line and what is wrong."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError("file not found", file=path) from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError("not a JSON file", file=path, found=str(error), expected="JSON text") from error


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal text."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
