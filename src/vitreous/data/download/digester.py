"""Checksums computed beside the reads, in a thread of their own (hashlib lets others run meanwhile)."""

from __future__ import annotations

import hashlib
import queue
import threading
from pathlib import Path
from typing import Any

_WAITING = 32  # chunks between reading and hashing
_BLOCK = 1 << 20


class Digester:
    """SHA-256 of a file as it grows, and of the piece that began at the last `mark` also another checksum."""

    def __init__(self) -> None:
        """Starts the thread, which `close` ends."""
        self._whole: Any = hashlib.sha256()
        self._piece: Any = None
        self._marked: tuple[Any, str | None] = (self._whole.copy(), None)
        self._queue: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def mark(self, algorithm: str | None) -> None:
        """A piece begins here; its own checksum is `algorithm`, where SHA-256 of the whole is not enough."""
        self._queue.join()
        self._marked = (self._whole.copy(), algorithm)
        self.back()

    def back(self) -> None:
        """Forget what came since the mark."""
        self._queue.join()
        whole, algorithm = self._marked
        self._whole = whole.copy()
        self._piece = hashlib.new(algorithm, usedforsecurity=False) if algorithm else None

    def marked(self) -> str:
        """SHA-256 of everything before the mark, in hexadecimal."""
        return str(self._marked[0].hexdigest())

    def clear(self) -> None:
        """Forget everything."""
        self._queue.join()
        self._whole, self._piece = hashlib.sha256(), None

    def update(self, chunk: bytes) -> None:
        """Hash a chunk, some time."""
        self._queue.put(chunk)

    def update_from(self, path: Path, first: int, last: int) -> None:
        """Hash the bytes `first` to `last` (exclusive) of a file."""
        with path.open("rb") as handle:
            handle.seek(first)
            while first < last and (block := handle.read(min(_BLOCK, last - first))):
                first += len(block)
                self.update(block)

    def whole(self) -> str:
        """SHA-256 of everything, in hexadecimal."""
        self._queue.join()
        return str(self._whole.hexdigest())

    def piece(self) -> str | None:
        """The checksum of the piece, in hexadecimal."""
        self._queue.join()
        return None if self._piece is None else str(self._piece.hexdigest())

    def close(self) -> None:
        """End the thread."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (chunk := self._queue.get()) is not None:
            self._whole.update(chunk)
            if self._piece is not None:
                self._piece.update(chunk)
            self._queue.task_done()
        self._queue.task_done()
