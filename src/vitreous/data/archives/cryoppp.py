"""CryoPPP: one tar archive an entry, and its labels alone in a record of Zenodo."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePosixPath

from vitreous.data.archives.zenodo import read_record
from vitreous.data.download.client import Client
from vitreous.data.download.remote import RemoteFile, refuse_climbing
from vitreous.data.download.settings import NetworkSettings
from vitreous.errors import InputError

LICENCE = "CC BY 4.0"
LABELS_RECORD = 7934683
ALWAYS = ("micrographs", "ground_truth")
OPTIONAL = ("particles_stack", "gain")


def archive_url(settings: NetworkSettings, entry: str, lite: bool) -> str:
    """Where the archive of an entry lies: all of it, or (lite) its 8-bit JPG micrographs and labels."""
    _number(entry)
    return f"{settings.base('cryoppp')}/{'cryoppp_lite' if lite else 'cryoppp'}/{entry}.tar.gz"


def destination(member: str, entry: str, wanted: Collection[str] = ()) -> str | None:
    """Where a member of the archive goes below the entry's folder; None for what is not wanted.

    Micrographs and ground truth are always wanted, `particles_stack` and `gain` if named in `wanted`. The
    leading folder may carry a letter, as the curators split an entry by its gain references. Raises
    InputError for a name that leads out of the folder.
    """
    path = PurePosixPath(member)
    if path.is_absolute() or ".." in path.parts or "\\" in member or "\0" in member:
        refuse_climbing(member, f"the archive of {entry}")
    parts = list(path.parts)
    if parts and re.fullmatch(rf"{_number(entry)}[A-Z]?", parts[0]):
        parts = parts[1:]
    hidden = any(part.startswith(".") for part in parts)
    if hidden or len(parts) < 2 or parts[0] not in (*ALWAYS, *(set(OPTIONAL) & set(wanted))):
        return None
    return "/".join(parts)


def labels_files(client: Client, entry: str) -> list[RemoteFile]:
    """The archive of an entry's labels alone. Raises InputError, with the names there, where none fits."""
    record = read_record(client, LABELS_RECORD)
    for name in (rf"{entry}(?![\dA-Z])", rf"{_number(entry)}(?!\d)"):
        fitting = [file for file in record.files if re.search(rf"(?<!\d){name}", file)]
        if fitting:
            return [record.remote(file, LICENCE) for file in fitting]
    raise InputError("the record has no labels of this entry", file=f"Zenodo record {LABELS_RECORD}",
                     found=", ".join(record.files), expected=f"a name with {entry}",
                     todo="use the whole archive")  # fmt: skip


def _number(entry: str) -> str:
    """The digits of an entry such as 10017 or 10389A; raises InputError for anything else."""
    found = re.fullmatch(r"(\d{5})[A-Z]?", entry)
    if not found:
        raise InputError("not an entry of CryoPPP", found=entry, expected="five digits, e.g. 10017 or 10389A")
    return found[1]
