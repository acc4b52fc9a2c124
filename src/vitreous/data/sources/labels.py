"""CryoPPP's coordinates alone, from their record on Zenodo."""

from __future__ import annotations

import tarfile
import zipfile
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
    for path in got.paths:
        try:
            _unpack_labels(folder / path, folder / "ground_truth")
        except InputError as error:
            got.failed[path] = str(error)
    return got


def _unpack_labels(archive: Path, folder: Path) -> None:
    """Coordinate files (CSV, STAR) of a small tar or zip, by their names alone; or a plain file as it is."""

    def write(name: str, data: bytes) -> None:
        path = PurePosixPath(name)
        if path.suffix.lower() in (".csv", ".star") and not path.name.startswith("."):
            write_text(folder / path.name, data.decode("utf-8", errors="replace"))

    try:
        if tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                for member in tar:
                    if member.isfile():
                        write(member.name, tar.extractfile(member).read())  # type: ignore[union-attr]
        elif zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                for info in packed.infolist():
                    if not info.is_dir():
                        write(info.filename, packed.read(info))
        else:
            write(archive.name, archive.read_bytes())
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(
            "cannot be unpacked", file=archive, found=error, todo="remove it, fetch again"
        ) from error
