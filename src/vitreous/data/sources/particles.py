"""Particles of CESPED: halves that are usable one by one, stacks that entries share, masks."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from vitreous.data.archives import cesped, zenodo
from vitreous.data.download.remote import RemoteFile
from vitreous.data.fetch_settings import CespedFetch
from vitreous.data.sources.run import Got, Run, key_of
from vitreous.errors import InputError
from vitreous.runtime.files import write_text

_log = logging.getLogger(__name__)


def fetch_cesped(run: Run, settings: CespedFetch) -> Got:
    """Halves of a CESPED entry; each is finished as soon as its own files are here."""
    entry, note = cesped.canonical_entry(settings.entry)
    got = Got(run.root / "cesped" / entry, notes=[note] if note else [])
    lender = cesped.ENTRIES[entry].stack_entry
    if lender:
        whole = fetch_cesped(run, CespedFetch(entry=lender, halves=settings.halves, mask=False))
        got.failed |= whole.failed
    wanted = _wanted(run, entry, settings.halves, got)
    here: set[str] = set()

    def on_done(path: str) -> None:
        here.add(path)
        for half, files in wanted.items():
            if path in {one.path for one in files} <= here:
                _finish_half(got, half, run.root / "cesped" / lender if lender else None)

    part = run.bring(got.folder, [file for files in wanted.values() for file in files], on_done)
    got.paths += part.paths
    got.failed |= part.failed
    if settings.mask:
        _cesped_mask(run, entry, got)
    return got


def _wanted(run: Run, entry: str, halves: Sequence[int], got: Got) -> dict[int, list[RemoteFile]]:
    """The files of each half; a half whose record cannot be had is told and stops no other."""
    wanted = {}
    for half in dict.fromkeys(halves):

        def ask(half: int = half) -> list[RemoteFile]:
            return cesped.find_files(run.client, entry, (half,)).halves[half]

        try:
            wanted[half] = run.listed(got.folder, key_of("half", half), ask)
        except InputError as error:
            _log.warning("half %d of CESPED %s: %s", half, entry, error)
            got.failed[f"half {half}"] = str(error)
    return wanted


def _finish_half(got: Got, half: int, lender: Path | None) -> None:
    """Link what is borrowed, and write the file by which CESPED's own programs know a complete half."""
    folder, stack = got.folder, got.folder / f"particles_{half}.mrcs"
    for name in (stack.name, f"info_{half}.json") if lender else ():
        source = (lender or folder) / name
        if source.exists() and not (folder / name).exists():
            (folder / name).symlink_to(os.path.relpath(source, folder))
    if not stack.exists():
        return  # what is borrowed could not be had, which is told with its own entry
    record = cesped.ENTRIES[folder.name].records[half]
    name, text = cesped.done_file(folder.name, half, record, stack.stat().st_size)
    write_text(folder / name, text)
    _log.info("half %d of CESPED %s is here: %s", half, folder.name, folder)


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
