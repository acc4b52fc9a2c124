"""Particles of CESPED: halves that are usable one by one, stacks that entries share, masks."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from vitreous.data.archives import cesped, zenodo
from vitreous.data.download.remote import RemoteFile
from vitreous.data.fetch_settings import CespedFetch
from vitreous.data.sources.run import Got, Run, key_of, read_listing
from vitreous.errors import InputError
from vitreous.runtime.files import write_json, write_text

_log = logging.getLogger(__name__)


def fetch_cesped(run: Run, settings: CespedFetch) -> Got:
    """Halves of a CESPED entry; each is finished as soon as its own files are here."""
    entry, note = cesped.canonical_entry(settings.entry)
    folder = run.root / "cesped" / entry
    found = _cesped_found(run, entry, settings.halves, mask=False)
    borrowed = found.stack_entry != entry
    notes = [note] if note else []
    files = [file for half in found.halves.values() for file in half]
    got = Got(folder, notes=notes)
    if borrowed:
        whole = fetch_cesped(run, CespedFetch(entry=found.stack_entry, halves=settings.halves, mask=False))
        got.failed |= whole.failed
    here: set[str] = set()

    def on_done(path: str) -> None:
        here.add(path)
        for half, wanted in found.halves.items():
            if path in {one.path for one in wanted} <= here:
                _finish_half(run.root, found, half, borrowed)

    part = run.bring(folder, files, on_done)
    got.paths, got.failed = part.paths, got.failed | part.failed
    if settings.mask:
        _cesped_mask(run, entry, got)
    return got


def _cesped_found(run: Run, entry: str, halves: Sequence[int], mask: bool) -> cesped.CespedFound:
    """The files of an entry; offline, as Zenodo told them when it was last asked."""
    folder, key = run.root / "cesped" / entry, key_of("halves", list(halves))
    published = cesped.ENTRIES[entry]
    records = {half: published.records[half] for half in halves}
    if run.client.settings.offline:
        files = read_listing(folder / f".{key}.listing.json")
        by_half = {half: [one for one in files if f"_{half}." in one.path] for half in halves}
        return cesped.CespedFound(entry, by_half, None, published.stack_entry or entry, records, [])
    found = cesped.find_files(run.client, entry, halves, mask)
    if run.instead is None:
        write_json(
            folder / f".{key}.listing.json", [asdict(one) for half in found.halves.values() for one in half]
        )
    return found


def _finish_half(root: Path, found: cesped.CespedFound, half: int, borrowed: bool) -> None:
    """Link what a variant borrows, and write the file by which CESPED's own programs know a half."""
    folder = root / "cesped" / found.entry
    if borrowed:
        for name in (f"particles_{half}.mrcs", f"info_{half}.json"):
            source = root / "cesped" / found.stack_entry / name
            if source.exists() and not (folder / name).exists():
                (folder / name).symlink_to(os.path.relpath(source, folder))
    stack = folder / f"particles_{half}.mrcs"
    size = stack.stat().st_size if stack.exists() else 0
    name, text = cesped.done_file(found.entry, half, found.records[half], size)
    write_text(folder / name, text)
    _log.info("half %d of CESPED %s is here: %s", half, found.entry, folder)


def _cesped_mask(run: Run, entry: str, got: Got) -> None:
    """The mask, where there is one; its absence is told and no failure."""
    name = f"{cesped.ENTRIES[entry].mask or entry}_mask.mrc"
    try:

        def ask() -> list[RemoteFile]:
            return [zenodo.read_record(run.client, cesped.MASKS_RECORD).remote(name, cesped.LICENCE)]

        mask = run.bring(got.folder, run.listed(got.folder, key_of("mask"), ask))
    except InputError as error:
        got.notes.append(f"no mask of entry {entry}: {error}")
        return
    got.paths += mask.paths
    got.failed |= mask.failed
