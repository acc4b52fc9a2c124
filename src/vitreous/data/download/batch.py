"""Many files into one folder: what is there is kept, the rest comes in parallel, a bad one stops no other."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from vitreous.data.download.client import Client
from vitreous.data.download.content import Wrong, verify
from vitreous.data.download.disk import refuse_full_disk
from vitreous.data.download.manifest import NAME, Manifest, record_of
from vitreous.data.download.remote import RemoteFile
from vitreous.data.download.transfer import Fetched, Transfer
from vitreous.errors import InputError
from vitreous.runtime.files import sha256_file, stage_error
from vitreous.runtime.lock import Lock
from vitreous.runtime.progress import ByteProgress

_log = logging.getLogger(__name__)
LOCK = ".fetch.lock"


@dataclass
class Outcome:
    """What became of the files, by their paths: fetched now, kept from before, failed and why."""

    fetched: dict[str, Fetched] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    failed: dict[str, InputError] = field(default_factory=dict)


def fetch_files(
    files: Sequence[RemoteFile], folder: Path, client: Client, *, accept_changes: bool = False,
    on_done: Callable[[str], None] = lambda path: None,
) -> Outcome:  # fmt: skip
    """Bring `files` into `folder`; each appears under its name only when it is whole and verified.

    `on_done` is told the path of each that is here, one at a time.

    Waits for another process that fetches into the folder. A file that cannot be had, or for which another
    one stands in the way, is in `failed`; the others come all the same. Raises InputError where two files
    want one path, StageError where the disk is too small or full and where nothing may be fetched.
    """
    _refuse_twice(files)
    if (kept := _all_here(files, folder)) is not None:
        for path in kept:
            on_done(path)
        return Outcome(kept=kept)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with Lock(folder / LOCK, wait=True):
            manifest, outcome = Manifest(folder), Outcome()
            missing = _missing(files, folder, manifest, outcome, client)
            for path in outcome.kept:
                on_done(path)
            if missing:
                known = {} if accept_changes else {one.path: one.sha256 for one in manifest.records.values()}
                _bring(missing, folder, client, manifest, outcome, known, on_done)
    except OSError as error:
        raise stage_error(error, error.filename or folder) from error
    return outcome


def _all_here(files: Sequence[RemoteFile], folder: Path) -> list[str] | None:
    """The paths, where every file is here as its record says: nothing is written then, not even a lock."""
    manifest = Manifest(folder)
    if all(file.path in manifest.records and _is_as_recorded(file, folder, manifest) for file in files):
        return [file.path for file in files]
    return None


def _bring(
    files: Sequence[RemoteFile], folder: Path, client: Client, manifest: Manifest, outcome: Outcome,
    known: dict[str, str], on_done: Callable[[str], None],
) -> None:  # fmt: skip
    """Fetch what is missing and note each in the manifest when it is whole."""
    refuse_full_disk(_bytes_to_come(files, folder), folder, client.settings.keep_free_gb)
    progress = ByteProgress(sum(_size(file) for file in files), len(files))
    # closed: whatever ends the loop ends the threads
    with progress, contextlib.closing(_fetch_all(files, folder, client, outcome, progress, known)) as all_of:
        for file, fetched in all_of:
            manifest.add(record_of(file, fetched.bytes, fetched.sha256))
            outcome.fetched[file.path] = fetched
            on_done(file.path)


def _fetch_all(
    files: Sequence[RemoteFile], folder: Path, client: Client, outcome: Outcome, progress: ByteProgress,
    known: dict[str, str],
) -> Generator[tuple[RemoteFile, Fetched], None, None]:  # fmt: skip
    """Several at a time; yields each when it is whole, in the thread of the caller."""

    def one(file: RemoteFile) -> Fetched:
        return Transfer(client, file, folder / file.path, progress).run(known.get(file.path))

    with ThreadPoolExecutor(client.settings.connections) as pool:
        running: dict[Future[Fetched], RemoteFile] = {}
        waiting = list(reversed(files))
        try:
            while waiting or running:
                while waiting and len(running) < client.settings.connections:
                    file = waiting.pop()
                    running[pool.submit(one, file)] = file
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    file = running.pop(done)
                    try:
                        fetched = done.result()
                    except InputError as error:
                        _log.warning("not fetched: %s", error)
                        outcome.failed[file.path] = error
                        continue
                    progress.file_done()
                    yield file, fetched
        except BaseException:
            client.halt()
            raise


def _missing(
    files: Sequence[RemoteFile], folder: Path, manifest: Manifest, outcome: Outcome, client: Client
) -> list[RemoteFile]:
    """The files that must be fetched; those that are here, or stand in the way, go into the outcome."""
    missing = []
    for file in files:
        try:
            if _is_here(file, folder, manifest, client):
                outcome.kept.append(file.path)
            else:
                missing.append(file)
        except InputError as error:
            _log.warning("not fetched: %s", error)
            outcome.failed[file.path] = error
    return missing


def _is_here(file: RemoteFile, folder: Path, manifest: Manifest, client: Client) -> bool:
    """Whether a file is here and need not be fetched: as long as it was, or as its archive says it is."""
    target = folder / file.path
    if file.path == NAME:
        todo = "leave it out with `exclude`"
        raise InputError("the name is taken by the record of what was fetched", file=file.url, todo=todo)
    if not os.path.lexists(target):
        return False
    if not target.is_file():
        what, todo = "something that is no file is in the way", "move it away, or fetch to another folder"
        raise InputError(what, file=target, todo=todo)
    size, record = target.stat().st_size, manifest.records.get(file.path)
    if record is not None:
        if size != record.bytes:
            _log.warning("%s: %d bytes, %d were fetched; fetched again", target, size, record.bytes)
        return _is_as_recorded(file, folder, manifest)
    _adopt(file, target, size, manifest, client)
    return True


def _is_as_recorded(file: RemoteFile, folder: Path, manifest: Manifest) -> bool:
    """Whether a file with a record is here with its size, and the archive states no other checksum now."""
    target, record = folder / file.path, manifest.records[file.path]
    if not target.is_file() or target.stat().st_size != record.bytes:
        return False
    stated = tuple(piece.checksum for piece in file.pieces)
    changed = any(now and was and now != was for now, was in zip(stated, record.checksums, strict=False))
    return not changed and len(stated) == len(record.checksums)


def _adopt(file: RemoteFile, target: Path, size: int, manifest: Manifest, client: Client) -> None:
    """Take a file that lies there without a record (the user's, or of a fetch killed at its very end).

    Raises InputError where it is not what the archive has, as far as can be told without fetching it.
    """
    checksum = file.pieces[0].checksum if len(file.pieces) == 1 else None
    try:
        said_empty = size == 0 and (checksum is not None or _exact_bytes(file, client) == 0)
        verify(target, target.name, said_empty=said_empty)
        if checksum:  # says more than a size that somebody wrote down
            if (found := _checksum(target, checksum)) != checksum:
                raise Wrong(f"{found}, the archive's is {checksum}")
        elif (expected := _exact_bytes(file, client)) not in (None, size):
            raise Wrong(f"{size} bytes, the archive's has {expected}")
    except Wrong as wrong:
        what = "a file of this name is here, was not fetched by us and is not the archive's"
        todo = "move it away, or fetch to another folder"
        raise InputError(what, file=target, found=wrong, todo=todo) from wrong
    _log.info("%s: here already, taken as it is", target)
    manifest.add(record_of(file, size, sha256_file(target)))
    for left in (".part", ".part.json"):
        target.with_name(f".{target.name}{left}").unlink(missing_ok=True)


def _exact_bytes(file: RemoteFile, client: Client) -> int | None:
    """The size of a file, asked of the server where the archive does not tell it."""
    if file.bytes is not None or client.settings.offline:
        return file.bytes
    sizes = [client.size(piece.url) for piece in file.pieces]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def _checksum(path: Path, like: str) -> str:
    algorithm = like.partition(":")[0]
    with path.open("rb") as handle:
        return f"{algorithm}:{hashlib.file_digest(handle, algorithm).hexdigest()}"


def _size(file: RemoteFile) -> int:
    return file.bytes or file.about_bytes or 0


def _bytes_to_come(files: Sequence[RemoteFile], folder: Path) -> int:
    """Bytes that the disk must still take: the sizes less what the parts hold."""
    total = 0
    for file in files:
        target = folder / file.path
        part, here = target.with_name(f".{target.name}.part"), 0
        with contextlib.suppress(OSError):
            here = part.stat().st_size
        total += max(0, _size(file) - here)
    return total


def _refuse_twice(files: Sequence[RemoteFile]) -> None:
    paths: dict[str, RemoteFile] = {}
    for file in files:
        other = paths.setdefault(file.path.casefold(), file)
        if other is not file:
            found, todo = f"{other.url} and {file.url}", "leave one out with `exclude`"
            raise InputError(
                "two files of the archive want one place", file=file.path, found=found, todo=todo
            )
