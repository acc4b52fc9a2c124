"""Maps, atoms, digits, and any record of Zenodo."""

from __future__ import annotations

from vitreous.data.archives import emdb, mnist, pdb, zenodo
from vitreous.data.archives.selection import select
from vitreous.data.archives.settings import Selection
from vitreous.data.download.remote import RemoteFile
from vitreous.data.fetch_settings import EmdbFetch, MnistFetch, PdbFetch, ZenodoFetch, folder_of
from vitreous.data.sources.run import Got, Run, key_of


def fetch_emdb(run: Run, settings: EmdbFetch) -> Got:
    """Header, map and what else is asked for of an EMDB entry."""
    folder = run.root / f"emdb/EMD-{emdb.emdb_number(settings.entry)}"
    notes: list[str] = []

    def ask() -> list[RemoteFile]:
        found = emdb.find_files(run.client, settings.entry, ["header", *settings.parts])
        notes.extend(found.notes)
        return found.files

    got = run.bring(folder, run.listed(folder, key_of(sorted(settings.parts)), ask))
    got.notes += notes
    return got


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
