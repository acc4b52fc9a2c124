"""The registry of public datasets, `config/datasets.tsv`: what is known of each before anything is fetched.

Imports nothing heavy: the Snakefile reads it.
"""

from __future__ import annotations

import csv
import difflib
import functools
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vitreous.errors import InputError, SettingsError

# Beside the configurations of the repository that this package is installed from.
REGISTRY = Path(__file__).resolve().parents[3] / "config" / "datasets.tsv"
_LISTS = ("papers", "emdb", "location", "unverified")


@dataclass(frozen=True)
class Entry:
    """One dataset; units stand in the names of the columns, None is not known (docs/datasets.md).

    `unverified` names the columns whose value nobody could verify.
    """

    name: str
    archive: str
    entry: str
    title: str
    kind: str
    pixel_size_A: float | None
    voltage_kv: float | None
    cs_mm: float | None
    amplitude_contrast: float | None
    diameter_A: float | None
    diameter_px: float | None
    symmetry: str | None
    width: int | None
    height: int | None
    micrographs: int | None
    particles: int | None
    bytes: int | None
    format: str | None
    cryoppp_micrographs: int | None
    cryoppp_bytes: int | None
    licence: str | None
    papers: tuple[str, ...]
    emdb: tuple[str, ...]
    location: tuple[str, ...]
    first_file: str | None
    unverified: tuple[str, ...]
    sources: str | None

    def marked(self, column: str) -> str:
        """A value as text, with a question mark behind one that nobody verified; `-`: not known."""
        value = getattr(self, column)
        if value in (None, ()):
            return "-"
        text = (
            ",".join(value)
            if isinstance(value, tuple)
            else f"{value:g}"
            if isinstance(value, float)
            else str(value)
        )
        return text + ("?" if column in self.unverified else "")


@functools.cache
def read_registry(path: Path = REGISTRY) -> dict[str, Entry]:
    """All entries by name. Raises InputError with line and column where the file is not as it should be."""
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            rows = list(csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))
    except OSError as error:
        raise InputError("registry of datasets cannot be read", file=path, found=error.strerror) from error
    columns = [field.name for field in fields(Entry)]
    if not rows or rows[0] != columns:
        found = ", ".join(rows[0]) if rows else "nothing"
        raise InputError("other columns than expected", file=path, found=found, expected=", ".join(columns))
    entries: dict[str, Entry] = {}
    for number, row in enumerate(rows[1:], start=2):
        entry = _entry(row, columns, path, number)
        if entry.name in entries:
            raise InputError("name stands twice", file=path, place=f"line {number}", found=entry.name)
        entries[entry.name] = entry
    return entries


def find_entry(archive: str, entry: str) -> Entry | None:
    """The entry of an archive by its number or code there, or None. CryoPPP's entries are EMPIAR's."""
    archive = "empiar" if archive == "cryoppp" else archive
    wanted = entry.upper()
    found = (one for one in read_registry().values() if one.archive == archive)
    return next((one for one in found if one.entry.upper() == wanted), None)


def named_entry(name: str) -> Entry:
    """The entry of that name. Raises SettingsError naming the nearest."""
    entries = read_registry()
    if name not in entries:
        same = [known for known, entry in entries.items() if entry.entry.lower() == name.strip().lower()]
        near = same or difflib.get_close_matches(name.lower().replace("_", "-"), entries, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "`vitreous data list` shows them"
        raise SettingsError("no dataset of this name is in the registry", found=name, todo=hint)
    return entries[name]


def _entry(row: list[str], columns: list[str], path: Path, number: int) -> Entry:
    place = f"line {number}"
    if len(row) != len(columns):
        found, expected = f"{len(row)} fields", len(columns)
        raise InputError("wrong number of fields", file=path, place=place, found=found, expected=expected)
    values: dict[str, Any] = {}
    for field, text in zip(fields(Entry), row, strict=True):
        try:
            values[field.name] = _value(field.name, str(field.type), text.strip())
        except ValueError as error:
            where = f"{place}, {field.name}"
            raise InputError("not a number", file=path, place=where, found=text) from error
    unknown = sorted(set(values["unverified"]) - set(columns))
    if unknown:
        raise InputError("`unverified` names no column", file=path, place=place, found=unknown[0])
    return Entry(**values)


def _value(name: str, kind: str, text: str) -> Any:
    if name in _LISTS:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if text == "" and "None" in kind:
        return None
    return float(text) if "float" in kind else int(text) if "int" in kind else text
