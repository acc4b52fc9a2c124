"""Progress with time left, on a terminal as a bar, in a log file as a line now and then."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

T = TypeVar("T")
log = logging.getLogger(__name__)
LINE_EVERY_S = 20.0


def progress(iterable: Iterable[T], total: int, label: str) -> Iterator[T]:
    """Yield from `iterable` of `total` members and say how far it is and how long it will take."""
    if sys.stderr.isatty():
        from rich.progress import track

        yield from track(iterable, total=total, description=label, transient=True)
        return
    start = said = time.monotonic()
    for done, member in enumerate(iterable):
        now = time.monotonic()
        if done and now - said > LINE_EVERY_S:
            left = (now - start) / done * (total - done)
            log.info("%s: %d of %d, about %.0f s left", label, done, total, left)
            said = now
        yield member


class ByteProgress:
    """Bytes and files of many threads, with the time left: a bar on a terminal, lines in a log."""

    def __init__(self, total_bytes: int, total_files: int) -> None:
        """`total_bytes` may be an estimate; 0 where nothing is known."""
        self.total_bytes, self.total_files = total_bytes, total_files
        self.bytes = self.files = 0
        self._came = 0  # of `bytes`, those that came in this run: the speed
        self._lock = threading.Lock()
        self._start = self._said = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> ByteProgress:
        """Show the bar, where there is a terminal."""
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
            from rich.progress import TimeRemainingColumn as Remaining

            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
            self._bar = Progress(*columns, Remaining(), console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("0 files", total=self.total_bytes or None)
            self._bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def add(self, count: int, *, before: bool = False) -> None:
        """Count bytes; a negative number takes back what proved wrong, `before`: of an earlier run."""
        with self._lock:
            self.bytes += count
            self._came += 0 if before else max(0, count)
            now = time.monotonic()
            line = now - self._said > LINE_EVERY_S and self._bar is None
            if line:
                self._said = now
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.bytes)
        if line:
            log.info("%s", self.text())

    def file_done(self) -> None:
        """Count a file that is whole."""
        with self._lock:
            self.files += 1
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=f"{self.files} of {self.total_files} files")

    def text(self) -> str:
        """For instance `3 of 84 files, 0.20 of 5.64 GB, 12.1 MB/s, about 450 s left`."""
        seconds = max(time.monotonic() - self._start, 1e-3)
        speed = self._came / seconds
        left = max(0, self.total_bytes - self.bytes)
        text = f"{self.files} of {self.total_files} files, {self.bytes / 1e9:.2f}"
        text += f" of {self.total_bytes / 1e9:.2f} GB" if self.total_bytes else " GB"
        text += f", {speed / 1e6:.1f} MB/s"
        return text + (f", about {left / speed:.0f} s left" if self.total_bytes and speed > 0 else "")
