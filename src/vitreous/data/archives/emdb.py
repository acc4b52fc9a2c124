"""The files of an EMDB entry: underscores in the names of maps, hyphens in those of headers."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

from vitreous.data.archives.emdb_header import EmdbHeader, OtherSchema, read_emdb_header
from vitreous.data.archives.listing import list_folder, url_below
from vitreous.data.download.client import Client
from vitreous.data.download.remote import Piece, RemoteFile
from vitreous.errors import InputError

Part = Literal["map", "half-maps", "masks", "header"]
LICENCE = "CC0"
# part: folder, ending of what stands there after emd_NNNN_
_EXTRAS = {"half-maps": ("other", r"half_map_\w+\.map(\.gz)?"), "masks": ("masks", r"msk_\w+\.map(\.gz)?")}


@dataclass(frozen=True)
class EmdbFound:
    """What is to be fetched, the header that says what there is, and sentences about what is not there."""

    files: list[RemoteFile]
    header: EmdbHeader
    notes: list[str]


def find_files(client: Client, accession: int | str, parts: Collection[Part]) -> EmdbFound:
    """The header, always and first, and the parts wanted of an entry; sizes are rough.

    Half maps and masks are taken from the header and from what the folders show; where there are none a note
    says so. Raises InputError for an unknown part or entry.
    """
    number = emdb_number(accession)
    if unknown := sorted(set(parts) - set(get_args(Part))):
        raise InputError("unknown part of an EMDB entry", file=f"EMD-{number}", found=", ".join(unknown),
                         expected=", ".join(get_args(Part)))  # fmt: skip
    base = f"{client.settings.base('emdb')}/EMD-{number}"
    path, header = _header(client, base, number)
    wanted: dict[str, int | None] = {path: None}
    notes = []
    if "map" in parts:
        wanted[f"map/emd_{number}.map.gz"] = None
    for part, (folder, pattern) in _EXTRAS.items():
        if part in parts:
            named = header.half_maps if part == "half-maps" else header.masks
            extras = _extras(client, base, folder, re.compile(rf"emd_{number}_{pattern}"), named)
            wanted.update(extras)
            if not extras:
                notes.append(f"EMD-{number} has no {part.replace('-', ' ')}")
    remote = [RemoteFile(p, (Piece(url_below(base, p)),), LICENCE, about) for p, about in wanted.items()]
    return EmdbFound(remote, header, notes)


def emdb_number(accession: int | str) -> str:
    """The number in 2660, `EMD-2660` or `emd_2660`, as text; raises InputError for anything else."""
    found = re.fullmatch(r"(?:EMD[-_])?(\d{4,5})", str(accession).strip(), re.IGNORECASE)
    if not found:
        raise InputError("not an EMDB accession", found=accession, expected="e.g. EMD-2660")
    return found[1]


def _header(client: Client, base: str, number: str) -> tuple[str, EmdbHeader]:
    """Path and content of the header; `-v30` is that of schema 3 where the plain one is older or missing."""
    plain, newer = f"header/emd-{number}.xml", f"header/emd-{number}-v30.xml"
    try:
        return plain, read_emdb_header(client.xml(f"{base}/{plain}"))
    except InputError as error:
        missing = error.found == 404
        if not (missing or isinstance(error, OtherSchema)) or not client.exists(f"{base}/{newer}"):
            raise
    return newer, read_emdb_header(client.xml(f"{base}/{newer}"))


def _extras(client: Client, base: str, folder: str, pattern: re.Pattern[str],
            named: list[str]) -> dict[str, int | None]:  # fmt: skip
    """Path → rough bytes of what a folder shows, and of what the header names and the server has."""
    url = f"{base}/{folder}"
    shown = list_folder(client, url) if client.exists(f"{url}/") else []
    found = {f"{folder}/{name}": about for name, _, about in shown if pattern.fullmatch(name)}
    for name in named:
        path = f"{folder}/{name}"
        if path not in found and f"{path}.gz" not in found and client.exists(url_below(base, path)):
            found[path] = client.size(url_below(base, path))
    return found
