"""The files of an EMPIAR entry: found in its listings, compared with the count that the entry states."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from vitreous.data.archives.empiar_entry import (
    Entry,
    ImageSet,
    entry_number,
    normal_directory,
    read_entry,
)
from vitreous.data.archives.listing import Listed, list_below, url_below
from vitreous.data.archives.numbering import running_series
from vitreous.data.archives.selection import select, some_of
from vitreous.data.archives.settings import Selection
from vitreous.data.download.client import Client
from vitreous.data.download.remote import Piece, RemoteFile, refuse_climbing
from vitreous.errors import InputError
from vitreous.runtime.plural import plural

LICENCE = "CC0"
LISTED_AGAIN = 3
MOST_QUESTIONS = 50
_PACKED = (".gz", ".bz2", ".xz", ".zst")
_ENDINGS = {
    "MRC": (".mrc",), "MRCS": (".mrcs", ".mrc"), "TIFF": (".tif", ".tiff"), "EER": (".eer",),
    "DM3": (".dm3",), "DM4": (".dm4",), "SPIDER": (".spi",), "IMAGIC": (".img",), "EM": (".em",),
    "PNG": (".png",), "JPEG": (".jpg", ".jpeg"), "SMV": (".smv",), "HDF5": (".h5", ".hdf5", ".hdf"),
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What is to be fetched; of the data files there, how many are `listed` and how many `expected`."""

    files: list[RemoteFile]
    listed: int
    expected: int | None
    notes: list[str]


def list_tree(client: Client, number: int | str, directory: str) -> list[Listed]:
    """Every file below a directory of an entry, as paths from the entry (`data/sub/a b.mrc`)."""
    refuse_climbing(directory, f"EMPIAR-{entry_number(number)}")
    return list_below(client, url_below(_base(client, number), directory), directory)


def find_files(
    client: Client,
    number: int | str,
    *,
    image_set: str | None = None,
    directory: str | None = None,
    selection: Selection,
    expected: int | None = None,
) -> Found:
    """The selected files of an entry, of one image set of it, or below one directory.

    `expected` is the number of data files if the entry's own is known to be wrong. Listings that fall short
    of it are asked for again, then names that the running number says are missing; a difference that
    remains is told in `notes`. Raises InputError for an unknown image set and where nothing is selected.
    """
    entry = read_entry(client, number)
    folders = _folders(entry, image_set, directory)
    inside = [item for item in entry.image_sets if _is_below(item.directory, folders) and item.counts_files]
    endings = _endings(inside)
    expected = _stated(inside) if expected is None else expected
    files = _list_fully(client, number, folders, endings, expected)
    unlisted = _ask_for_missing(client, number, files, endings, expected)
    files.update(unlisted)
    notes = _notes(entry, image_set, folders, sorted(unlisted))
    listed = len(data_files(files, endings))
    if expected is not None and listed != expected:
        there = f"{plural(listed, 'data file')} in {', '.join(folders)}"
        notes.append(f"{there}, where {expected} {'is' if expected == 1 else 'are'} expected")
    base = _base(client, number)
    chosen = select(files, selection, where=f"{base}/{folders[0]}")
    remote = [RemoteFile(path, (Piece(url_below(base, path)),), LICENCE, files[path]) for path in chosen]
    return Found(remote, listed, expected, notes)


def data_files(paths: Iterable[str], endings: frozenset[str] = frozenset()) -> list[str]:
    """The paths with one of these endings; where none has (stated formats can be wrong), the most frequent
    kind of image, else all."""
    known = list(paths)
    if fitting := [path for path in known if _ending(path) in endings]:
        return fitting
    images = {ending for group in _ENDINGS.values() for ending in group}
    counts = Counter(ending for ending in map(_ending, known) if ending in images)
    if not counts:
        return known
    most = counts.most_common(1)[0][0]
    return [path for path in known if _ending(path) == most]


def _base(client: Client, number: int | str) -> str:
    return f"{client.settings.base('empiar')}/{entry_number(number)}"


def _folders(entry: Entry, image_set: str | None, directory: str | None) -> list[str]:
    """The directories to list, none below another."""
    if image_set is not None:
        sets = [item for item in entry.image_sets if item.name.casefold() == image_set.strip().casefold()]
        if not sets:
            known = [f"{item.name!r} in {item.directory}" for item in entry.image_sets]
            raise InputError("no image set of that name", file=entry.accession, found=image_set,
                             expected="; ".join(known) or "none: the entry names no image sets",
                             todo="correct `image_set`, or give a `directory`")  # fmt: skip
    else:
        sets = entry.image_sets
    if directory is not None:
        return [normal_directory(directory)]
    names = sorted({item.directory for item in sets}) or ["data"]
    return [name for name in names if not _is_below(name, [other for other in names if other != name])]


def _is_below(directory: str, folders: Iterable[str]) -> bool:
    return any(directory == folder or directory.startswith(f"{folder}/") for folder in folders)


def _endings(sets: Iterable[ImageSet]) -> frozenset[str]:
    return frozenset(ending for item in sets for ending in _ENDINGS.get((item.data_format or "").upper(), ()))


def _stated(sets: list[ImageSet]) -> int | None:
    """How many data files the image sets have together, where each says so."""
    counts = [item.count for item in sets]
    return sum(count for count in counts if count) if counts and None not in counts else None


def _list_fully(client: Client, number: int | str, folders: list[str], endings: frozenset[str],
                expected: int | None) -> dict[str, int | None]:  # fmt: skip
    """Path → rough bytes. A short listing is asked for again: one of several servers may leave files out."""
    files: dict[str, int | None] = {}
    for _ in range(1 + LISTED_AGAIN):
        for folder in folders:
            files.update({path: about for path, _, about in list_tree(client, number, folder)})
        if expected is None or len(data_files(files, endings)) >= expected:
            break
    return files


def _ask_for_missing(client: Client, number: int | str, files: Iterable[str], endings: frozenset[str],
                     expected: int | None) -> dict[str, int | None]:  # fmt: skip
    """Path → bytes of files that are served though no listing shows them."""
    listed = data_files(files, endings)
    missing = 0 if expected is None else expected - len(listed)
    if missing <= 0:
        return {}
    found: dict[str, int | None] = {}
    series = running_series(listed)
    questions = [path for item in series for path in item.gaps(MOST_QUESTIONS)]
    questions += [path for item in series for path in item.ends(missing)]
    for path in questions[:MOST_QUESTIONS]:
        url = url_below(_base(client, number), path)
        if client.exists(url):
            found[path] = client.size(url)
        if len(found) == missing:
            break
    return found


def _notes(entry: Entry, image_set: str | None, folders: list[str], unlisted: list[str]) -> list[str]:
    """Sentences about an entry that is not released, sets that share a folder, and files in no listing."""
    notes = []
    if entry.status not in (None, "REL"):
        notes.append(f"{entry.accession} has the status {entry.status}, not REL")
    shared = [item.name or "(unnamed)" for item in entry.image_sets if _is_below(item.directory, folders)]
    if image_set is not None and len(shared) > 1:
        notes.append(
            f"the image sets {', '.join(shared)} share {', '.join(folders)}; `include` tells them apart"
        )
    if unlisted:
        notes.append(f"served though no listing shows them: {some_of(unlisted, 'file')}")
    return notes


def _ending(path: str) -> str:
    name = PurePosixPath(path.lower())
    return PurePosixPath(name.stem).suffix if name.suffix in _PACKED else name.suffix
