"""Micrographs: files of EMPIAR, and CryoPPP's archives unpacked as they come."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from vitreous.data.archives import cryoppp, empiar
from vitreous.data.archives.settings import Selection
from vitreous.data.download.remote import RemoteFile
from vitreous.data.download.unpack import Unpacking
from vitreous.data.fetch_settings import CryopppFetch, EmpiarFetch, folder_of
from vitreous.data.registry import find_entry
from vitreous.data.sources.labels import fetch_labels
from vitreous.data.sources.run import Got, Run, key_of


def fetch_empiar(run: Run, settings: EmpiarFetch) -> Got:
    """Files of an EMPIAR entry, and CryoPPP's coordinates of it where they are asked for."""
    folder = run.root / folder_of(settings)
    known = find_entry("empiar", settings.entry)
    directory = settings.directory
    if directory is None and settings.image_set is None and known and known.location:
        directory = known.location[0]
    selection = Selection(include=settings.include, exclude=settings.exclude, count=settings.count)
    notes: list[str] = []
    short: dict[str, str] = {}

    def ask() -> list[RemoteFile]:
        found = empiar.find_files(
            run.client, settings.entry, image_set=settings.image_set, directory=directory,
            selection=selection, expected=settings.expected_files,
        )  # fmt: skip
        notes.extend(found.notes)
        whole = not settings.include and settings.count is None
        if whole and found.expected is not None and found.listed < found.expected:
            text = f"the archive shows {found.listed} files of {found.expected}"
            short["(listing)"] = (
                f"{text}; run again later, or state `expected_files: {found.listed}` if that is all"
            )
        return found.files

    key = key_of(directory, settings.image_set, selection.model_dump())
    got = run.bring(folder, run.listed(folder, key, ask))
    got.notes += notes
    got.failed |= short
    if settings.labels:
        labels = fetch_labels(run, folder, settings.entry)
        got.paths += labels.paths
        got.failed |= labels.failed
    return got


def fetch_cryoppp(run: Run, settings: CryopppFetch) -> Got:
    """An entry of CryoPPP into its folder; or its coordinates alone."""
    folder = run.root / folder_of(settings)
    if settings.labels_only:
        return fetch_labels(run, folder, settings.entry)
    wanted = [
        name for name, asked in (("particles_stack", settings.stacks), ("gain", settings.gain)) if asked
    ]

    def destination(member: str) -> str | None:
        names = (member, PurePosixPath(member).name, member.partition("/")[2])
        if any(fnmatchcase(name, glob) for glob in settings.exclude for name in names):
            return None
        return cryoppp.destination(member, settings.entry, wanted)

    known = find_entry("cryoppp", settings.entry)
    room = (known.cryoppp_bytes or 0) if known and not settings.lite else 0
    unpacking = Unpacking(
        run.client, cryoppp.archive_url(run.client.settings, settings.entry, settings.lite), folder,
        destination, licence=cryoppp.LICENCE, unpacked_bytes=room, accept_changes=run.accept_changes,
    )  # fmt: skip
    done = unpacking.run()
    return Got(folder, sorted({*done.written, *done.kept}), [], dict(done.failed))
