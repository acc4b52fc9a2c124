"""A file that grows: what is in it is on the disk before anything more is asked for."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import TracebackType

from vitreous.data.download.digester import Digester
from vitreous.runtime.progress import ByteProgress

_BLOCK = 1 << 20


class Part:
    """The growing file of a transfer, with the checksums of what is in it; a context manager."""

    def __init__(self, path: Path, progress: ByteProgress | None = None) -> None:
        """`progress` is told of what is appended, dropped, and here from before."""
        self.path, self._progress = path, progress
        self.end = self.received = 0
        self._fd = -1
        self.hashes = Digester()

    def __enter__(self) -> Part:
        """Open the file, made where it is not there."""
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            self.hashes.close()
            raise
        self.end = os.fstat(self._fd).st_size
        self._tell(self.end, before=True)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close it; what is in it stays."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self.hashes.close()

    def append(self, chunk: bytes) -> None:
        """Write at the end and hash; raises OSError for a full disk, with what went in still counted."""
        view = memoryview(chunk)
        while view:
            written = os.pwrite(self._fd, view, self.end)
            self.hashes.update(bytes(view[:written]) if written < len(chunk) else chunk)
            view, self.end = view[written:], self.end + written
            self.received += written
            self._tell(written)

    def cut(self, base: int) -> None:
        """Drop what came since `base`, where the checksums were marked."""
        os.ftruncate(self._fd, base)
        self.hashes.back()
        self._tell(base - self.end)
        self.end = base

    def clear(self) -> None:
        """Drop everything."""
        os.ftruncate(self._fd, 0)
        self.hashes.clear()
        self._tell(-self.end)
        self.end = 0

    def cut_to(self, end: int) -> None:
        """Drop what lies beyond `end` and was never hashed."""
        if self.end > end:
            os.ftruncate(self._fd, end)
            self._tell(end - self.end)
            self.end = end

    def tail(self, count: int) -> bytes:
        """The last `count` bytes."""
        return os.pread(self._fd, count, self.end - count)

    def sha256_from(self, base: int) -> str:
        """SHA-256 of what came since `base`, read from the disk."""
        hashed = hashlib.sha256()
        while base < self.end and (block := os.pread(self._fd, min(_BLOCK, self.end - base), base)):
            hashed.update(block)
            base += len(block)
        return hashed.hexdigest()

    def _tell(self, count: int, *, before: bool = False) -> None:
        if self._progress is not None:
            self._progress.add(count, before=before)
