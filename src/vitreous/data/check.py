"""Whether what was fetched is still what it was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vitreous.data.download.manifest import Manifest
from vitreous.data.fetch_record import FetchRecord
from vitreous.errors import InputError, StageError
from vitreous.runtime.files import sha256_file
from vitreous.runtime.plural import plural
from vitreous.runtime.progress import progress

GOOD, MISSING = "good", "missing"


def check_fetched(record: FetchRecord) -> list[tuple[str, int, str]]:
    """(path, bytes, state) of each file of a fetch; the state is `good`, `missing` or what is wrong."""
    return _check(record.folder, record.files.values())


def check_folder(folder: Path) -> list[tuple[str, int, str]]:
    """The same of every file in the manifest of a folder. Raises InputError where there is no manifest."""
    manifest = Manifest(folder)
    if not manifest.records:
        todo = "name a folder that `vitreous data fetch` filled"
        raise InputError("no manifest of fetched files", file=manifest.file, todo=todo)
    return _check(folder, [vars(manifest.records[path]) for path in sorted(manifest.records)])


def _check(folder: Path, known: Iterable[dict[str, Any]]) -> list[tuple[str, int, str]]:
    files = list(known)
    rows = []
    for one in progress(files, len(files), "checked files"):
        rows.append((one["path"], one["bytes"], _state(folder / one["path"], one)))
    return rows


def _state(path: Path, known: dict[str, Any]) -> str:
    if not path.exists():
        return MISSING
    size = path.stat().st_size
    if size != known["bytes"]:
        return f"{size} bytes, {known['bytes']} were fetched"
    return GOOD if sha256_file(path) == known["sha256"] else "its content has changed (SHA-256)"


def refuse_damaged(rows: Sequence[tuple[str, int, str]], place: str | Path) -> None:
    """Raise StageError naming the first file that is not good."""
    bad = [(path, state) for path, _, state in rows if state != GOOD]
    if bad:
        what = f"{len(bad)} of {plural(len(rows), 'file')} missing or damaged"
        todo = "fetch again with `--verify` (vitreous data fetch): only what is not good is fetched"
        raise StageError(what, file=place, found=f"{bad[0][0]}: {bad[0][1]}", todo=todo)


def state_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """How much of an entry is here: `state` in a word, and `here_bytes` of whole files by its manifest.

    `row` names its `folder` and the `record` of a finished fetch.
    """
    here, done = here_bytes(Path(row["folder"])), Path(row["record"]).exists()
    return {"state": "fetched" if done else "begun" if here else "not here", "here_bytes": here}


def here_bytes(folder: Path) -> int:
    """Bytes of the whole files of a fetched folder, by its manifest."""
    records = Manifest(folder).records.values()
    return sum(one.bytes for one in records if (folder / one.path).exists())
