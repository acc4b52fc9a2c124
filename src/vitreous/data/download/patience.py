"""How long to wait before asking a server again, and when to give up."""

from __future__ import annotations

import contextlib
import email.utils
import logging
import random
import time
from collections.abc import Mapping
from threading import Event
from urllib.parse import urlsplit

from vitreous.data.download.settings import NetworkSettings
from vitreous.errors import InputError, StageError
from vitreous.runtime.plural import plural

_log = logging.getLogger(__name__)
TOLD_FROM_S = 2.0


class Transient(Exception):
    """Something went wrong that may go right in a while; `wait_s` is how long the server says to wait."""

    def __init__(self, what: str, wait_s: float | None = None) -> None:
        """`what` is shown to people when it is given up."""
        super().__init__(what)
        self.what, self.wait_s = what, wait_s


class Patience:
    """Waits between tries of one address; failures in a row are counted, a new byte forgives them all."""

    def __init__(self, settings: NetworkSettings, url: str, stop: Event) -> None:
        """`stop` ends a wait at once."""
        self._settings, self._url, self._stop = settings, url, stop
        self._failures = 0
        self._random = random.Random()

    def progressed(self) -> None:
        """Something new has arrived."""
        self._failures = 0

    def wait(self, trouble: Transient) -> None:
        """Sleep before the next try.

        Raises InputError where it is given up, StageError where the whole fetch was stopped meanwhile.
        """
        self._failures += 1
        todo = "run again later; what is here is kept"
        if self._failures >= self._settings.tries:
            times = plural(self._failures, "time")
            raise InputError("cannot be fetched", file=self._url, found=f"{trouble.what}, {times} in a row",
                             todo=todo)  # fmt: skip
        seconds = self.backoff_s() if trouble.wait_s is None else trouble.wait_s
        if seconds > self._settings.longest_wait_s:
            when = time.strftime("%H:%M", time.localtime(time.time() + seconds))
            raise InputError("the server asks to come back later", file=self._url, found=trouble.what,
                             expected=f"at most {self._settings.longest_wait_s:.0f} s of waiting",
                             todo=f"run again after {when}; what is here is kept")  # fmt: skip
        self._tell(seconds, trouble.what)
        if self._stop.wait(seconds):
            raise StageError("stopped", file=self._url, todo=todo)

    def _tell(self, seconds: float, what: str) -> None:
        """Say why nothing moves, where a user would notice that."""
        level = logging.INFO if seconds >= TOLD_FROM_S else logging.DEBUG
        host = urlsplit(self._url).hostname or self._url
        _log.log(level, "waiting %.0f s for %s (%s), try %d of %d",
                 seconds, host, what, self._failures + 1, self._settings.tries)  # fmt: skip

    def backoff_s(self) -> float:
        """The wait after this failure: doubled each time, shortened at random by up to a half (jitter)."""
        doubled = self._settings.backoff_s * 2.0 ** (self._failures - 1)
        return min(doubled, self._settings.longest_backoff_s) * self._random.uniform(0.5, 1.0)


def asked_wait_s(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that a 429 or 503 asks to wait: Retry-After (seconds or a date), or Zenodo's reset time.

    `now` is the time in seconds since 1970. Where both are given the longer counts.
    """
    waits = []
    after = headers.get("Retry-After", "").strip()
    if after.isdigit():
        waits.append(float(after))
    elif after:
        with contextlib.suppress(ValueError):
            waits.append(email.utils.parsedate_to_datetime(after).timestamp() - now)
    reset = headers.get("X-RateLimit-Reset", "").strip()
    if reset.isdigit() and headers.get("X-RateLimit-Remaining", "0").strip() == "0":
        waits.append(float(reset) - now)
    return max(0.0, *waits) if waits else None
