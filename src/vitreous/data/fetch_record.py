"""What a fetch brought, as a JSON file: the promise that its files are here, and where each came from."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitreous.data.registry import find_entry
from vitreous.errors import InputError
from vitreous.runtime.files import read_json, write_json
from vitreous.runtime.plural import plural

if TYPE_CHECKING:
    from vitreous.data.download.manifest import Record

_NAMES = {"empiar": "EMPIAR", "cryoppp": "CryoPPP", "cesped": "CESPED", "emdb": "EMDB", "pdb": "PDB"}
_IMAGES = (".mrc", ".mrcs", ".tif", ".tiff", ".jpg", ".png", ".eer")
_NAMES |= {"mnist": "MNIST", "zenodo": "Zenodo"}


@dataclass(frozen=True)
class FetchRecord:
    """The archive and its entry, the folder, what the manifest says of each file by its path, and notes."""

    archive: str
    entry: str | None
    settings: dict[str, Any]
    folder: Path
    files: dict[str, dict[str, Any]]
    notes: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """For instance `EMPIAR, entry 10017`."""
        name = _NAMES.get(self.archive, self.archive)
        return f"{name}, entry {self.entry}" if self.entry else name

    def only(self, files: Iterable[Path]) -> list[Path]:
        """Those of the files that this fetch brought. Raises InputError where none is."""
        known = {os.path.abspath(self.folder / path) for path in self.files}
        kept = [path for path in files if os.path.abspath(path) in known]
        if not kept:
            found, todo = f"{len(known)} files, none among them", "fetch again, or correct `micrographs`"
            raise InputError("no micrograph was fetched", file=self.folder, found=found, todo=todo)
        return kept

    def left_out(self, taken: Iterable[Path]) -> dict[str, str]:
        """How many of the fetched images were not taken as micrographs, in words; empty where all were."""
        known = {self.folder / path for path in self.files if path.lower().endswith(_IMAGES)}
        chosen = {os.path.abspath(path) for path in taken}
        images = [path for path in known if os.path.abspath(path) not in chosen]
        if not images:
            return {}
        names = ", ".join(sorted(path.name for path in images)[:3])
        more = ", …" if len(images) > 3 else ""
        return {
            "left out": f"{plural(len(images), 'fetched image')} not matched by `micrographs`: {names}{more}"
        }

    def origin(self, path: Path) -> dict[str, Any]:
        """What the manifest says of a file: url, bytes, sha256, date, licence; or nothing."""
        known = self.files.get(os.path.relpath(path, self.folder), {})
        if not known:
            return {}
        return {**known, "url": known["urls"][0]}

    def doubts(self, settings: Any) -> dict[str, str]:
        """Which values of the settings are those of the registry and were verified by nobody."""
        known = find_entry(self.archive, self.entry or "")
        columns = [] if known is None else list(known.unverified)
        taken = [name for name in columns if getattr(settings, name, None) == getattr(known, name, None)]
        taken = [name for name in taken if getattr(settings, name, None) is not None]
        return {"registry": f"taken over, verified by nobody: {', '.join(taken)}"} if taken else {}


def write_fetch_record(
    path: str | Path, settings: Any, folder: Path, records: Iterable[Record], notes: Iterable[str]
) -> None:
    """Write the record of a fetch with `settings`, one of `FetchSettings`; its folder relative to its own."""
    plain = settings.model_dump(mode="json", exclude_defaults=True)
    about = {"archive": settings.source, "entry": getattr(settings, "entry", None), "settings": plain}
    files = {record.path: asdict(record) for record in records}
    place = os.path.relpath(folder, Path(path).parent)
    write_json(path, {**about, "folder": place, "files": files, "notes": list(notes)})


def read_fetch_record(path: str | Path) -> FetchRecord:
    """Read it. Raises InputError where the file is no record of a fetch."""
    plain = read_json(path)
    try:
        plain["folder"] = Path(os.path.normpath(Path(path).parent / plain["folder"]))
        plain["notes"] = tuple(plain["notes"])
        return FetchRecord(**plain)
    except (TypeError, KeyError) as error:
        raise InputError("not the record of a fetch", file=path, todo="remove it and fetch again") from error
