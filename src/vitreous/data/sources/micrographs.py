"""Micrographs: files of EMPIAR, and CryoPPP's archives unpacked as they come."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from vitreous.data.archives import cryoppp, empiar
from vitreous.data.archives.settings import Selection
from vitreous.data.download.client import Client
from vitreous.data.download.remote import RemoteFile
from vitreous.data.download.unpack import Unpacking
from vitreous.data.fetch_settings import CryopppFetch, EmpiarFetch, folder_of
from vitreous.data.registry import find_entry
from vitreous.data.sources.labels import fetch_labels
from vitreous.data.sources.run import LISTING, Got, Run, key_of
from vitreous.errors import InputError
from vitreous.io.names import micrograph_key

_IMAGES = (".mrc", ".map", ".tif", ".tiff", ".jpg", ".jpeg", ".png")


def fetch_empiar(run: Run, settings: EmpiarFetch) -> Got:
    """Files of an EMPIAR entry, and CryoPPP's coordinates of it where they are asked for."""
    folder = run.root / folder_of(settings)
    directory = settings.directory or _registry_directory(settings)
    selection = Selection(include=settings.include, exclude=settings.exclude, count=settings.count)
    notes: list[str] = []
    short: dict[str, str] = {}

    def ask() -> list[RemoteFile]:
        with _registry_named(run.client, None if settings.directory else directory):
            found = empiar.find_files(
                run.client, settings.entry, image_set=settings.image_set, directory=directory,
                selection=selection, expected=settings.expected_files,
            )  # fmt: skip
        notes.extend(found.notes)
        whole = not settings.include and settings.count is None
        if whole and found.expected is not None and found.listed < found.expected:
            text = f"the archive shows {found.listed} files of {found.expected}"
            short[LISTING] = (
                f"{text}; run again later, or state `expected_files: {found.listed}` if that is all"
            )
        return found.files

    key = key_of(directory, settings.image_set, selection.model_dump())
    got = run.bring(folder, run.listed(folder, key, ask))
    got.notes += [*notes, *_same_names(got.paths)]
    got.failed |= short
    if settings.labels:
        labels = fetch_labels(run, folder, settings.entry)
        got.paths += labels.paths
        got.failed |= labels.failed
    return got


def _registry_directory(settings: EmpiarFetch) -> str | None:
    """The folder that the registry names, where no image set is asked for."""
    known = find_entry("empiar", settings.entry) if settings.image_set is None else None
    return known.location[0] if known and known.location else None


@contextlib.contextmanager
def _registry_named(client: Client, directory: str | None) -> Iterator[None]:
    """Say of a folder that is not there that nobody asked for it: it is the registry's (None: it is not)."""
    try:
        yield
    except InputError as error:
        listing = str(error.file).startswith(f"{client.settings.base('empiar')}/")
        if directory is None or error.found != 404 or not listing:
            raise
        todo = "name another folder with `directory` (--directory), or an `image_set` (--image-set)"
        raise InputError(f"the folder that the registry names, {directory}, is not on the server",
                         file=error.file, found=404, todo=todo) from error  # fmt: skip


def _same_names(paths: Iterable[str]) -> list[str]:
    """A sentence that names one pair of images that the import would take for the same micrograph."""
    first: dict[tuple[str, str], str] = {}
    pairs = []
    for path in map(PurePosixPath, paths):
        ending = path.suffix.lower()
        if ending in _IMAGES:
            other = first.setdefault((micrograph_key(path.name), ending), str(path))
            pairs += [f"{other} and {path}"] if other != str(path) else []
    if not pairs:
        return []
    text = f"{pairs[0]} are one micrograph by their names"
    more = f" (and so are {len(pairs) - 1} more)" if len(pairs) > 1 else ""
    return [f"{text}{more}: the import refuses that; choose with `include`, `exclude` or `directory`"]


def fetch_cryoppp(run: Run, settings: CryopppFetch) -> Got:
    """An entry of CryoPPP into its folder; or its coordinates alone."""
    folder = run.root / folder_of(settings)
    if settings.labels_only:
        return fetch_labels(run, folder, settings.entry)
    wanted = [
        name for name, asked in (("particles_stack", settings.stacks), ("gain", settings.gain)) if asked
    ]

    labels: set[str] = set()

    def destination(member: str) -> str | None:
        names = (member, PurePosixPath(member).name, member.partition("/")[2])
        if "ground_truth" in PurePosixPath(member).parts:
            labels.add(member)
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
    notes = [] if labels else [f"{unpacking.name} holds no ground truth, micrographs alone"]
    return Got(folder, sorted({*done.written, *done.kept}), notes, dict(done.failed))
