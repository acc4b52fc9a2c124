"""CryoPPP's coordinates alone, from their record on Zenodo."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from vitreous.data.archives import cryoppp
from vitreous.data.download.remote import RemoteFile
from vitreous.data.sources.run import Got, Run, key_of
from vitreous.errors import InputError
from vitreous.runtime.files import write_text


def fetch_labels(run: Run, folder: Path, entry: str) -> Got:
    """CryoPPP's coordinates of an entry from the record on Zenodo, unpacked into `ground_truth`."""
    files = run.listed(folder, key_of("labels"), lambda: cryoppp.labels_files(run.client, entry))
    got = run.bring(folder, [RemoteFile(f"labels/{one.path}", one.pieces, one.licence) for one in files])
    unpacked: dict[str, tuple[str, bytes]] = {}
    for path in got.paths:
        try:
            _unpack_labels(folder / path, folder / "ground_truth", unpacked)
        except InputError as error:
            got.failed[path] = str(error)
    return got


def _unpack_labels(archive: Path, folder: Path, unpacked: dict[str, tuple[str, bytes]]) -> None:
    """Coordinate files (CSV, STAR) of a small tar or zip, by their names alone; or a plain file as it is.

    `unpacked` holds what came before by its name, with where it came from. Raises InputError, and writes
    nothing, where two files of one name hold different things.
    """
    tables: dict[str, bytes] = {}
    for member, data in _members(archive):
        path = PurePosixPath(member)
        if path.suffix.lower() not in (".csv", ".star") or path.name.startswith("."):
            continue
        other, before = unpacked.setdefault(path.name, (member, data))
        if before != data:
            what = "two coordinate files have one name and hold different things"
            todo = "take CryoPPP's whole archive instead"
            raise InputError(what, file=archive, found=f"{other} and {member}", todo=todo)
        tables[path.name] = data
    for name, data in tables.items():
        write_text(folder / name, data.decode("utf-8", errors="replace"))


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every plain file of a tar or zip, or of the file itself where it is neither."""
    try:
        if tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                for member in tar:
                    if (file := tar.extractfile(member) if member.isfile() else None) is not None:
                        yield member.name, file.read()
        elif zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                for info in packed.infolist():
                    if not info.is_dir():
                        yield info.filename, packed.read(info)
        else:
            yield archive.name, archive.read_bytes()
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(
            "cannot be unpacked", file=archive, found=error, todo="remove it, fetch again"
        ) from error
