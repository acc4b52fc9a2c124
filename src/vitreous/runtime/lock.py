"""A lock file that keeps a second process out and outlives a killed one only as long as its heartbeat."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType

from vitreous.errors import StageError

HEARTBEAT_S = 10.0
STALE_AFTER_S = 120.0
WAIT_S = 0.5
_log = logging.getLogger(__name__)


def _start_time(pid: int) -> str:
    """When a process of this host began (kernel ticks), so that a reused pid is not mistaken for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except OSError:
        return ""


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
        self.path.parent.mkdir(parents=True, exist_ok=True)
        mine = {"host": socket.gethostname(), "pid": os.getpid(), "start": _start_time(os.getpid())}
        tries = 3
        while tries:
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
        try:
            age_s = time.time() - self.path.stat().st_mtime
            owner = json.loads(self.path.read_text() or "{}")
        except (FileNotFoundError, json.JSONDecodeError):
            time.sleep(0.1)
            return
        here = owner.get("host") == socket.gethostname()
        gone = here and _start_time(owner.get("pid", 0)) != owner.get("start")
        if gone or age_s > STALE_AFTER_S:
            self.path.unlink(missing_ok=True)
            return
        raise StageError(
            "another process is making this result",
            file=self.path,
            found=f"process {owner.get('pid')} on {owner.get('host')}, alive {age_s:.0f} s ago",
            todo="wait for it, or end it and run again",
        )
