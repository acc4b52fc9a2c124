"""Progress with time left, on a terminal as a bar, in a log file as a line now and then."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

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
