"""A lock file that keeps a second process out and outlives a killed one only as long as its heartbeat."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from vitreous.errors import StageError

HEARTBEAT_S = 10.0
STALE_AFTER_S = 120.0
WAIT_S = 0.5
CLEARING_S = 10.0
_log = logging.getLogger(__name__)


def _start_time(pid: int) -> str:
    """When a process of this host began (kernel ticks), so that a reused pid is not mistaken for it.

    Empty for one that is gone, also if nobody has asked for its exit status yet (a zombie).
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


class Lock:
    """Exclusive use of a file name; made by exclusive creation, with host, pid and a heartbeat."""

    def __init__(self, path: Path, *, wait: bool = False) -> None:
        """Prepare the lock at `path`; nothing is created before it is entered. `wait` for a living owner."""
        self.path, self._wait = path, wait
        self._said = False
        self._stop = threading.Event()
        self._beat = threading.Thread(target=self._heartbeat, daemon=True)

    def __enter__(self) -> Lock:
        """Take the lock; raises StageError where a living process holds it."""
        mine = {"host": socket.gethostname(), "pid": os.getpid(), "start": _start_time(os.getpid())}
        tries = 3
        while tries:
            self.path.parent.mkdir(parents=True, exist_ok=True)  # the owner before may have tidied it away
            try:
                handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            except FileExistsError:
                tries -= 0 if self._waited() else 1
                continue
            try:
                with os.fdopen(handle, "w") as text:
                    json.dump(mine, text)
            except OSError:  # a full disk: a lock without an owner would keep the next run out
                self.path.unlink(missing_ok=True)
                raise
            self._beat.start()
            return self
        raise StageError("another process takes this lock again and again", file=self.path)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Give the lock back."""
        self._stop.set()
        self._beat.join()
        self.path.unlink(missing_ok=True)

    def _heartbeat(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            try:
                os.utime(self.path)
            except FileNotFoundError:
                return

    def _waited(self) -> bool:
        """Clear a lock whose owner is gone; wait for one that is alive, or raise StageError."""
        try:
            self._refuse_or_clear()
        except StageError as error:
            if not self._wait:
                raise
            if not self._said:
                _log.warning("waiting: %s", error)
                self._said = True
            time.sleep(WAIT_S)
            return True
        return False

    def _refuse_or_clear(self) -> None:
        """Remove a lock whose owner is gone; raise StageError where it is alive."""
        found = self._owner()
        if found is None:
            time.sleep(0.1)
            return
        owner, age_s, gone = found
        if not gone:
            raise StageError(
                "another process is making this result",
                file=self.path,
                found=f"process {owner.get('pid')} on {owner.get('host')}, alive {age_s:.0f} s ago",
                todo="wait for it, or end it and run again",
            )
        # One at a time looks again and removes it, so that nobody removes the lock of who was quicker.
        guard = self.path.with_name(f"{self.path.name}.clearing")
        try:
            os.close(os.open(guard, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):
                if time.time() - guard.stat().st_mtime > CLEARING_S:  # of a process killed while it cleared
                    guard.unlink()
            time.sleep(0.02)
            return
        try:
            again = self._owner()
            if again is not None and again[2]:
                self.path.unlink(missing_ok=True)
        finally:
            guard.unlink(missing_ok=True)

    def _owner(self) -> tuple[dict[str, Any], float, bool] | None:
        """Who holds the lock, seconds since its heartbeat, whether it is gone; None: no lock is there."""
        try:
            age_s = time.time() - self.path.stat().st_mtime
            owner = json.loads(self.path.read_text() or "{}")
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        here = owner.get("host") == socket.gethostname()
        ended = here and _start_time(owner.get("pid", 0)) != owner.get("start")
        return owner, age_s, bool(ended or age_s > STALE_AFTER_S)
