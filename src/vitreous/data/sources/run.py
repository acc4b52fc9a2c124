"""What every source needs: files brought into a folder, listings remembered for times without network."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vitreous.data.download.batch import fetch_files
from vitreous.data.download.client import Client
from vitreous.data.download.remote import Piece, RemoteFile
from vitreous.errors import StageError
from vitreous.runtime.files import write_json

_log = logging.getLogger(__name__)
# What stands for a short listing among the paths that failed.
LISTING = "(listing)"


@dataclass
class Got:
    """What is here after a fetch: the folder, the paths below it, sentences, and what failed and why."""

    folder: Path
    paths: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass
class Run:
    """One fetch: the client, where things go, whether what changed at its source is taken.

    With `instead` nothing is fetched, and the files that would be are handed to it.
    """

    client: Client
    root: Path
    accept_changes: bool = False
    instead: Callable[[Sequence[RemoteFile]], None] | None = None

    def bring(
        self, folder: Path, files: Sequence[RemoteFile], on_done: Callable[[str], None] = lambda path: None
    ) -> Got:
        """Fetch files into a folder."""
        if self.instead is not None:
            self.instead(files)
            return Got(folder)
        outcome = fetch_files(files, folder, self.client, accept_changes=self.accept_changes, on_done=on_done)
        failed = {path: str(error) for path, error in outcome.failed.items()}
        return Got(folder, [file.path for file in files if file.path not in failed], [], failed)

    def listed(self, folder: Path, key: str, ask: Callable[[], list[RemoteFile]]) -> list[RemoteFile]:
        """What the archive has, as it says now; offline, as it said when it was last asked."""
        file = folder / f".{key}.listing.json"
        if self.client.settings.offline:
            return read_listing(file)
        found = ask()
        if self.instead is None:
            try:
                write_json(file, [asdict(one) for one in found])
            except PermissionError:  # a folder that may only be read serves what it has
                _log.info("%s: the listing is not kept, the folder may only be read", folder)
        return found


def read_listing(file: Path) -> list[RemoteFile]:
    """What an archive had when it was last asked. Raises StageError where it never was."""
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
        return [
            RemoteFile(**{**one, "pieces": tuple(Piece(**piece) for piece in one["pieces"])}) for one in plain
        ]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StageError("nothing is known of it offline", file=file.parent,
                         todo="fetch it once without `offline`") from error  # fmt: skip


def key_of(*parts: Any) -> str:
    """A name for the listing of one selection."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
