"""What a configuration asks of an archive, found there and brought below `data_root`.

A file that cannot be had stops no other; at the end all that failed are told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vitreous.data.check import GOOD, MISSING, check_folder
from vitreous.data.download.client import Client
from vitreous.data.download.manifest import Manifest
from vitreous.data.download.remote import RemoteFile
from vitreous.data.download.settings import NetworkSettings
from vitreous.data.fetch_record import read_fetch_record, write_fetch_record
from vitreous.data.fetch_settings import (
    CespedFetch,
    CryopppFetch,
    EmdbFetch,
    EmpiarFetch,
    MnistFetch,
    PdbFetch,
    ZenodoFetch,
    fetch_key,
    folder_of,
)
from vitreous.data.sources.micrographs import fetch_cryoppp, fetch_empiar
from vitreous.data.sources.others import fetch_emdb, fetch_mnist, fetch_pdb, fetch_zenodo
from vitreous.data.sources.particles import fetch_cesped
from vitreous.data.sources.run import LISTING, Got, Run
from vitreous.errors import StageError
from vitreous.runtime.plural import plural

_log = logging.getLogger(__name__)

_SOURCES: dict[type, Callable[[Run, Any], Got]] = {
    EmpiarFetch: fetch_empiar, CryopppFetch: fetch_cryoppp, CespedFetch: fetch_cesped,
    EmdbFetch: fetch_emdb, PdbFetch: fetch_pdb, MnistFetch: fetch_mnist, ZenodoFetch: fetch_zenodo,
}  # fmt: skip


def fetch(
    settings: Any, root: str | Path, *, network: NetworkSettings, accept_changes: bool = False,
    instead: Callable[[Sequence[RemoteFile]], None] | None = None,
) -> Got:  # fmt: skip
    """Fetch what one of the `FetchSettings` asks for into `root`/<folder_of(settings)>.

    What is here already is not fetched again; with `instead` nothing is, and what is wanted goes there.
    Raises InputError where the archive has no such thing, and StageError, after all that could be had is
    here, where something is missing.
    """
    if network.offline and instead is None and (known := _recorded(settings, Path(root))) is not None:
        return known
    run = Run(Client(network), Path(root), accept_changes, instead)
    got = _SOURCES[type(settings)](run, settings)
    for note in got.notes:
        _log.warning("%s", note)
    if got.failed:
        _refuse(got)
    return got


def record_path(settings: Any, root: str | Path) -> Path:
    """Where the record of a fetch lies."""
    return Path(root) / "fetched" / f"{fetch_key(settings)}.json"


def _recorded(settings: Any, root: Path) -> Got | None:
    """What an earlier fetch of the same choice brought, where all of it is still here."""
    path = record_path(settings, root)
    if not path.exists():
        return None
    record = read_fetch_record(path)
    places = {record.folder / name: known["bytes"] for name, known in record.files.items()}
    whole = all(place.is_file() and place.stat().st_size == size for place, size in places.items())
    return Got(record.folder, list(record.files), list(record.notes)) if whole else None


def drop_damaged(settings: Any, root: str | Path) -> list[str]:
    """Remove the fetched files of an entry that are no longer what they were; a fetch brings them again.

    Every file is read. Returns their paths below the entry's folder.
    """
    folder = Path(root) / folder_of(settings)
    if not Manifest(folder).records:
        return []
    damaged = [path for path, _, state in check_folder(folder) if state not in (GOOD, MISSING)]
    for path in damaged:
        _log.warning("%s: damaged, fetched again", folder / path)
        (folder / path).unlink()
    return damaged


def _refuse(got: Got) -> None:
    """Raise StageError that counts the files that failed and shows the first."""
    first = next(iter(got.failed.values()))
    count = sum(path != LISTING for path in got.failed)
    what = f"{plural(count, 'file')} could not be fetched" if count else "the listing is short"
    todo = "run again: what is here is kept"
    raise StageError(f"{what}, {len(got.paths)} are here", file=got.folder, found=first, todo=todo)


def write_record(path: str | Path, settings: Any, got: Got) -> None:
    """Write what a fetch brought as JSON: its settings, the folder, its files with what the manifest says."""
    records = Manifest(got.folder).records
    found = [records[name] for name in got.paths if name in records]
    write_fetch_record(path, settings, got.folder, found, got.notes)
