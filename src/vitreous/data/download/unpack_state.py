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
    suspect: bool = False  # the archive proved damaged: nothing that was written of it is trusted
    done: bool = False

    def end(self) -> None:
        """The archive has been read to its end."""
        self.point, self.place, self.tail, self.suspect, self.done = None, None, "", False, True


def read_state(file: Path, url: str) -> State:
    """The state of one address; a new one where there is none or it is another's."""
    try:
        state = State(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return State(url)
    return state if state.url == url else State(url)


def write_state(file: Path, state: State) -> None:
    """Write it, whole or not at all."""
    write_json(file, asdict(state))
