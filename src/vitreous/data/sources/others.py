"""Maps, atoms, digits, and any record of Zenodo."""

from __future__ import annotations

import logging

from vitreous.data.archives import emdb, mnist, pdb, zenodo
from vitreous.data.archives.selection import select
from vitreous.data.archives.settings import Selection
from vitreous.data.download.remote import RemoteFile
from vitreous.data.fetch_settings import EmdbFetch, MnistFetch, PdbFetch, ZenodoFetch, folder_of
from vitreous.data.sources.run import Got, Run, key_of
from vitreous.io.mrc_header import read_header

_log = logging.getLogger(__name__)


def fetch_emdb(run: Run, settings: EmdbFetch) -> Got:
    """Header, map and what else is asked for of an EMDB entry."""
    folder = run.root / f"emdb/EMD-{emdb.emdb_number(settings.entry)}"
    notes: list[str] = []

    def ask() -> list[RemoteFile]:
        found = emdb.find_files(run.client, settings.entry, ["header", *settings.parts])
        notes.extend(found.notes)
        return found.files

    got = run.bring(folder, run.listed(folder, key_of(sorted(settings.parts)), ask))
    got.notes += [*notes, *_other_pixel_sizes(got)]
    return got


def _other_pixel_sizes(got: Got) -> list[str]:
    """A note for each map whose own header says another pixel size than the entry's, which the log tells."""
    headers = [path for path in got.paths if path.startswith("header/")]
    if not headers or not (got.folder / headers[0]).exists():
        return []
    entry = emdb.read_emdb_header(got.folder / headers[0])
    size_A = min(entry.pixel_size_A)
    facts = [" x ".join(map(str, entry.dimensions)), f"{size_A:g} Å a voxel"]
    facts += [entry.symmetry] if entry.symmetry else []
    facts += [f"{entry.resolution_A:g} Å resolution"] if entry.resolution_A else []
    facts += [f"contour level {entry.contour_level:g}"] if entry.contour_level is not None else []
    _log.info("%s: %s", got.folder.name, ", ".join(facts))
    notes = []
    for path in got.paths:
        found = None if path in headers else read_header(got.folder / path).pixel_size_A
        if found is not None and abs(found[0] - size_A) > 0.01 * size_A:
            notes.append(f"{path} says {found[0]:.5g} Å a voxel, the entry's header {size_A:.5g} Å")
    return notes


def fetch_pdb(run: Run, settings: PdbFetch) -> Got:
    """The mmCIF of a PDB entry."""
    return run.bring(run.root / "pdb", pdb.find_files(run.client.settings, settings.entry))


def fetch_mnist(run: Run, settings: MnistFetch) -> Got:
    """The four files of MNIST."""
    return run.bring(run.root / folder_of(settings), mnist.find_files(run.client.settings))


def fetch_zenodo(run: Run, settings: ZenodoFetch) -> Got:
    """Files of a record of Zenodo."""
    folder = run.root / folder_of(settings)
    selection = Selection(include=settings.include, exclude=settings.exclude, count=settings.count)

    def ask() -> list[RemoteFile]:
        record = zenodo.read_record(run.client, int(settings.entry))
        return [record.remote(name) for name in select(record.files, selection, where=f"record {record.id}")]

    return run.bring(folder, run.listed(folder, key_of(selection.model_dump()), ask))
