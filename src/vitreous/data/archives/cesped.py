"""CESPED: particle stacks with poses, in halves, in records of Zenodo.

The data set's own programs read what lies here after a fetch: names and done-files are theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vitreous.data.archives.settings import CESPED_ALIASES
from vitreous.data.archives.zenodo import Record, read_record
from vitreous.data.download.client import Client
from vitreous.data.download.remote import RemoteFile
from vitreous.errors import InputError

LICENCE = "CC BY 4.0"
MASKS_RECORD = 11092291


@dataclass(frozen=True)
class Published:
    """What is known of an entry before a fetch; `particles` counts both halves, `box` is in pixels."""

    records: tuple[int, int]
    symmetry: str | None = None
    box: int | None = None
    particles: int | None = None
    mask: str | None = None
    stack_entry: str | None = None


@dataclass(frozen=True)
class CespedFound:
    """What is to be fetched into the folder of `entry`, by half.

    `stack_entry` is the entry whose folder holds the stacks (and whatever a half does not bring itself):
    where it is another one, fetch that and link them. `records` are the record ids of the halves.
    """

    entry: str
    halves: dict[int, list[RemoteFile]]
    mask: RemoteFile | None
    stack_entry: str
    records: dict[int, int]
    notes: list[str]


ENTRIES: Mapping[str, Published] = {
    "TEST": Published((10998049, 10998591), "C1", 232, mask="11120"),
    "10166": Published((8353634, 8353702), "C1", 284, 238_631),
    "10786": Published((8352275, 8352281), "C1", 184, 288_659),
    "10280": Published((8353722, 8353737), "C2", 182, 459_504),
    "11120": Published((8352296, 8352300), "C1", 232, 244_973),
    "10648": Published((8387534, 8390711), "D2", 222, 234_956),
    "10409": Published((8386582, 8386660), "C1", 240, 406_001),
    "10374": Published((8386774, 8386881), "C2", 216, 323_681),
    "10399": Published((11099225, 11093190)),
    "consensus_10648": Published((11092025, 11092048), "D2", 222, mask="10648", stack_entry="10648"),
    "simulated_10648": Published((11098206, 11098270), "D2", mask="10648"),
}
ALIASES = CESPED_ALIASES


def canonical_entry(entry: str) -> tuple[str, str | None]:
    """The entry's name in the table, and a note where it was given under another.

    Raises InputError for an unknown one.
    """
    name = entry.strip()
    if name in ENTRIES:
        return name, None
    if name in ALIASES:
        return ALIASES[
            name
        ], f"{name} of the paper is {ALIASES[name]} in CESPED since April 2024: the same records"
    raise InputError("no such entry of CESPED", found=entry, expected=", ".join((*ENTRIES, *ALIASES)))


def find_files(client: Client, entry: str, halves: Iterable[int] = (0, 1), mask: bool = False) -> CespedFound:
    """The files of an entry's halves: `particles_0.star`, `particles_0.mrcs`, `info_0.json`, and the mask.

    A stack that was uploaded in chunks is one file of several pieces. Raises InputError where a record lacks
    what belongs to it.
    """
    name, note = canonical_entry(entry)
    known = ENTRIES[name]
    wanted = list(dict.fromkeys(halves))
    if not wanted or not set(wanted) <= {0, 1}:
        raise InputError("unknown half", file=f"CESPED {name}", found=wanted, expected="0, 1 or both")
    records = {half: known.records[half] for half in wanted}
    files = {half: _half(read_record(client, records[half]), half, known.stack_entry) for half in wanted}
    mask_name = f"{known.mask or name}_mask.mrc"
    remote = read_record(client, MASKS_RECORD).remote(mask_name, LICENCE) if mask else None
    return CespedFound(name, files, remote, known.stack_entry or name, records, [note] if note else [])


def done_file(entry: str, half: int, record_id: int | None, stack_bytes: int) -> tuple[str, str]:
    """Name and text of the file by which the published package knows that a half is complete.

    Two lines, the record's id and the bytes of the stack; without a record (an entry made here) the half
    and the entry's name stand for the id.
    """
    if record_id is None:
        return f"SUCCESSFUL_DOWNLOAD_{half}.txt", f"{entry}\n{stack_bytes}\n"
    return f"SUCCESSFUL_DOWNLOAD_{record_id}.txt", f"{record_id}\n{stack_bytes}\n"


def _half(record: Record, half: int, stack_entry: str | None) -> list[RemoteFile]:
    """The files of one half; one that borrows its stack may bring no more than its STAR file."""
    files = [record.remote(f"particles_{half}.star", LICENCE)]
    stack, info = f"particles_{half}.mrcs", f"info_{half}.json"
    if stack_entry is None or any(name.startswith(stack) for name in record.files):
        files.append(_stack(record, stack))
    if stack_entry is None or info in record.files:
        files.append(record.remote(info, LICENCE))
    return files


def _stack(record: Record, stack: str) -> RemoteFile:
    """A stack that lies whole or in chunks, which are joined by their numbers and not by their names."""
    where = f"Zenodo record {record.id}"
    pattern = re.compile(rf"{re.escape(stack)}\.chunk_(\d+)")
    chunks = {int(found[1]): name for name in record.files if (found := pattern.fullmatch(name))}
    if not chunks:
        return record.remote(stack, LICENCE)
    if stack in record.files:
        both = f"{stack} and {chunks[min(chunks)]}"
        raise InputError("the stack lies there whole and in chunks", file=where, found=both,
                         expected="one of the two", todo="report the record to its authors")  # fmt: skip
    missing = [f"{stack}.chunk_{n}" for n in range(max(chunks)) if n not in chunks]
    if missing:
        there = f"{len(chunks)} of at least {max(chunks) + 1}"
        raise InputError("chunks of the stack are missing", file=where, found=there,
                         expected=", ".join(missing), todo="try again later")  # fmt: skip
    pieces = tuple(record.files[chunks[n]].piece() for n in sorted(chunks))
    return RemoteFile(stack, pieces, record.licence or LICENCE)
