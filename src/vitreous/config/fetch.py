"""Paths, settings and targets of what is fetched and imported, as plain values for Snakemake."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Literal

from vitreous.config.canonical import canonical
from vitreous.config.models import (
    FETCHED,
    CespedDataset,
    Config,
    LocalDataset,
    SimulatedDataset,
)
from vitreous.config.paths import Layout, alternatives
from vitreous.data import sizes
from vitreous.data.fetch_record import read_fetch_record
from vitreous.data.fetch_settings import (
    CespedFetch,
    CryopppFetch,
    EmpiarFetch,
    PdbFetch,
    fetch_key,
    folder_of,
)
from vitreous.data.settings import ImportSettings

PLANNING_ONLY = ("ctf", "batches", "expected")
_PARTS = (EmpiarFetch, CryopppFetch, CespedFetch)
Kind = Literal["local", "fetched", "particles", "simulate"]


class FetchPlan:
    """What a configuration fetches: `datasets` from archives, and `downloads`."""

    def __init__(self, config: Config, layout: Layout) -> None:
        """Lay it out; nothing is read from disk before a rule asks."""
        self.config, self.layout = config, layout
        self.blocks = config.fetched()
        self.by_key = {fetch_key(fetch_part(block)): name for name, block in self.blocks.items()}

    def kind(self, dataset: str) -> Kind:
        """How a dataset gets into the standard form."""
        block = self.config.datasets[dataset]
        if isinstance(block, SimulatedDataset):
            return "simulate"
        if isinstance(block, CespedDataset) or not block.micrographs:
            return "particles"
        return "local" if isinstance(block, LocalDataset) else "fetched"

    # paths

    def record(self, name: str | None = None) -> str:
        """The record of a block's fetch; without a name as a pattern with the wildcard `fetch`.

        Its name says what is fetched and holds a hash of everything that was chosen, so that another choice,
        or another block of the same name, is another record.
        """
        key = alternatives(self.by_key) if name is None else fetch_key(fetch_part(self.blocks[name]))
        return f"{self.config.data_root}/fetched/{key if name else f'{{fetch,{key}}}'}.json"

    def checked(self, name: str | None = None) -> str:
        """The table of a check of fetched files; without a name as a pattern."""
        entry = f"{{entry,{alternatives(self.blocks)}}}" if name is None else name
        return self.layout.result("data", f"check-{entry}.csv")

    def table(self, name: str) -> str:
        """The table `list` or `size`."""
        return self.layout.result("data", f"{name}.tsv")

    # settings

    def settings(self, key: str) -> dict[str, Any]:
        """What the fetch with that record needs; what an import needs reruns no fetch."""
        return canonical(fetch_part(self.blocks[self.by_key[key]]))

    def root(self) -> str:
        """Where archives' folders lie."""
        return str(self.config.data_root)

    def import_settings(self, dataset: str) -> dict[str, Any]:
        """What the import of a fetched dataset needs, as of a local folder; of CESPED as it is."""
        block = self.config.datasets[dataset]
        if isinstance(block, CespedDataset):
            return canonical(block, without=PLANNING_ONLY)
        assert isinstance(block, FETCHED)
        part = fetch_part(block)
        names = set(type(block).model_fields) - set(ImportSettings.model_fields)
        settings = canonical(block, without=(*PLANNING_ONLY, *names))
        return {**settings, "source": "local", "folder": str(Path(self.root()) / folder_of(part))}

    def inputs(self, dataset: str) -> list[str]:
        """The record that the import of a dataset waits for, if it is a fetched one."""
        return [self.record(dataset)] if dataset in self.blocks else []

    def batch(self, count: int, batch: str) -> dict[str, int]:
        """A batch's place: `index` from 0, and `count`."""
        return {"index": int(batch.split("-", 1)[0]) - 1, "count": count}

    def brings(self, folder: str) -> list[str]:
        """The records of the downloads that fill a folder, given relative to `data_root` or as it is."""
        root = self.config.data_root
        wanted = os.path.normpath(root / folder)
        places = {name: root / folder_of(block) for name, block in self.config.downloads.items()}
        return [self.record(name) for name, place in places.items() if os.path.normpath(place) == wanted]

    def brings_file(self, path: Path) -> list[str]:
        """The records of the downloads that bring a file, by its folder; of the PDB by its name."""
        found = []
        for name, block in self.config.downloads.items():
            place = self.config.data_root / folder_of(block)
            own = f"{block.entry}.cif.gz" if isinstance(block, PdbFetch) else ""
            if path.is_relative_to(place) and path.name.endswith(own):
                found.append(self.record(name))
        return found

    def file_stamp(self, name: str) -> str:
        """A hash of what lies where a fetch put its files: paths, sizes and times as they are now."""
        record = Path(self.record(name))
        if not record.exists():
            return ""
        found = read_fetch_record(record)
        stats = [(path, _stat(found.folder / path)) for path in sorted(found.files)]
        return hashlib.sha256(repr(stats).encode()).hexdigest()[:16]

    # what there is

    def rows(self) -> list[dict[str, Any]]:
        """A row a fetched block: its name, source, entry, folder, record and expected bytes."""
        return [
            {
                "name": name, "source": block.source, "entry": getattr(block, "entry", ""),
                "folder": f"{self.root()}/{folder_of(fetch_part(block))}", "record": self.record(name),
                "bytes": expected_bytes(block), "micrographs": expected_micrographs(block),
            }
            for name, block in self.blocks.items()
        ]  # fmt: skip

    def stamp(self) -> list[tuple[bool, float]]:
        """What changes when more of it is here: whether each record is there, and its manifest's time."""
        manifests = [Path(str(row["folder"])) / "manifest.jsonl" for row in self.rows()]
        times = [path.stat().st_mtime if path.exists() else 0.0 for path in manifests]
        return [
            (Path(self.record(name)).exists(), time) for name, time in zip(self.blocks, times, strict=True)
        ]

    def targets(self) -> dict[str, list[str]]:
        """Targets of the workflow by name, with the files that each makes."""
        root = self.layout.dataset_root
        files = [name for name in self.config.datasets if self.kind(name) != "simulate"]
        imported = [f"{root}/{name}/dataset.json" for name in files]
        return {
            "data_list": [self.table("list")],
            "data_size": [self.table("size")],
            "data_fetch": [self.record(name) for name in self.blocks],
            "data_check": [self.checked(name) for name in self.blocks],
            "data_import": imported,
            **{f"fetch_{name.replace('-', '_')}": [self.record(name)] for name in self.blocks},
        }


def _stat(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def fetch_part(block: Any) -> Any:
    """What of a block is fetched, as one of `FetchSettings`."""
    for kind in _PARTS:
        if isinstance(block, kind):
            return kind.model_validate({name: getattr(block, name) for name in kind.model_fields})
    return block


def expected_micrographs(block: Any) -> int | None:
    """How many micrographs a block brings: as it says itself, else as far as the registry knows."""
    given = getattr(block, "expected", None)
    return int(given.micrographs) if given else sizes.expected_micrographs(fetch_part(block))


def expected_bytes(block: Any) -> int | None:
    """How many bytes a block takes on disk: as it says itself, else as far as the registry knows."""
    given = getattr(block, "expected", None)
    return int(given.gigabytes * 1e9) if given else sizes.expected_bytes(fetch_part(block))
