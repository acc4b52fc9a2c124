"""How far an archive is unpacked, in a file beside the data."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vitreous.runtime.files import write_json


@dataclass
class State:
    """A place in the archive from which it can be gone on with, and what was met before; plain values."""

    url: str
    validators: dict[str, Any] = field(default_factory=dict)
    point: dict[str, Any] | None = None  # of the gzip stream
    place: dict[str, Any] | None = None  # in the tar archive
    tail: str = ""  # the compressed bytes before the point, base64
    seen: list[str] = field(default_factory=list)  # names of members
    failed: dict[str, str] = field(default_factory=dict)  # name -> why
    mendable: dict[str, str] = field(default_factory=dict)  # name -> "changed" or "blocked"
    doubtful: list[str] = field(default_factory=list)  # paths here that differ from what is read now
    suspect: bool = False  # the archive proved damaged: nothing that was written of it is trusted
    done: bool = False
    verified: bool = False  # it was read to its end once: only then is a member that differs a changed one

    def end(self) -> None:
        """The archive has been read to its end."""
        self.point, self.place, self.tail, self.suspect = None, None, "", False
        self.done = self.verified = True

    def anew(self, *, suspect: bool = False) -> State:
        """The beginning of the archive again."""
        return State(self.url, suspect=suspect, verified=self.verified)


def read_state(file: Path, url: str) -> State | None:
    """The state of one address; None where there is none or it is another's."""
    try:
        state = State(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return state if state.url == url else None


def write_state(file: Path, state: State) -> None:
    """Write it, whole or not at all."""
    write_json(file, asdict(state))
