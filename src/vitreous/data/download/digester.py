"""Checksums computed beside the reads, each in a thread of its own (hashlib lets others run meanwhile)."""

from __future__ import annotations

import hashlib
import queue
import threading
from pathlib import Path
from typing import Any

_WAITING = 32  # chunks between reading and hashing
_BLOCK = 1 << 20


class _Lane:
    """One hash object and the thread that feeds it."""

    def __init__(self) -> None:
        self.hash: Any = None
        self._queue: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def put(self, chunk: bytes) -> None:
        self._queue.put(chunk)

    def settled(self) -> Any:
        """The hash object, when all that was put has gone into it."""
        self._queue.join()
        return self.hash

    def close(self) -> None:
        self._queue.put(None)
        self.thread.join()

    def _work(self) -> None:
        while (chunk := self._queue.get()) is not None:
            self.hash.update(chunk)
            self._queue.task_done()
        self._queue.task_done()


class Digester:
    """SHA-256 of a file as it grows, and of the piece that began at the last `mark` also another checksum."""

    def __init__(self) -> None:
        """Starts threads, which `close` ends."""
        self._whole, self._piece = _Lane(), _Lane()
        self._marked: Any = hashlib.sha256()
        self._algorithm: str | None = None
        self.clear()

    def mark(self, algorithm: str | None) -> None:
        """A piece begins here; its own checksum is `algorithm`, where SHA-256 of the whole is not enough."""
        self._marked, self._algorithm = self._whole.settled().copy(), algorithm
        self.back()

    def back(self) -> None:
        """Forget what came since the mark."""
        for lane in (self._whole, self._piece):
            lane.settled()
        self._whole.hash = self._marked.copy()
        self._piece.hash = hashlib.new(self._algorithm, usedforsecurity=False) if self._algorithm else None

    def marked(self) -> str:
        """SHA-256 of everything before the mark, in hexadecimal."""
        return str(self._marked.hexdigest())

    def clear(self) -> None:
        """Forget everything."""
        self._marked, self._algorithm = hashlib.sha256(), None
        self.back()

    def update(self, chunk: bytes) -> None:
        """Hash a chunk, some time."""
        self._whole.put(chunk)
        if self._algorithm:
            self._piece.put(chunk)

    def update_from(self, path: Path, first: int, last: int) -> None:
        """Hash the bytes `first` to `last` (exclusive) of a file."""
        with path.open("rb") as handle:
            handle.seek(first)
            while first < last and (block := handle.read(min(_BLOCK, last - first))):
                first += len(block)
                self.update(block)

    def whole(self) -> str:
        """SHA-256 of everything, in hexadecimal."""
        return str(self._whole.settled().hexdigest())

    def piece(self) -> str | None:
        """The checksum of the piece, in hexadecimal."""
        found = self._piece.settled()
        return None if found is None else str(found.hexdigest())

    def close(self) -> None:
        """End the threads."""
        for lane in (self._whole, self._piece):
            lane.close()
