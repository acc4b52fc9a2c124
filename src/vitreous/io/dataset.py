"""The standard form of a dataset: one folder, whatever the data came from.

dataset.json, micrographs.star, micrographs/, truth/{picks.star,micrographs.csv,particles.star,maps/},
batches and manifest.json. The name of a micrograph is its path below the folder, e.g. `micrographs/m001.mrc`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import ValidationError

from vitreous.errors import InputError
from vitreous.io.batches import batch_name, batch_of
from vitreous.io.dataset_info import DatasetInfo, Target
from vitreous.io.picks import read_picks, write_picks
from vitreous.io.star import Block, read_star, require_columns, write_star
from vitreous.runtime.files import atomic_path, read_json, sha256_file, write_json

if TYPE_CHECKING:
    from vitreous.io.particles import ParticleSet

__all__ = [
    "Dataset",
    "DatasetInfo",
    "Target",
    "batch_name",
    "batch_of",
    "read_batch",
    "write_batch",
    "write_batches",
    "write_dataset",
    "write_manifest",
]

NAME = "rlnMicrographName"


class Dataset:
    """A dataset in standard form; every method reads what it names and nothing else."""

    def __init__(self, folder: str | Path) -> None:
        """Point at the folder; raises InputError where its dataset.json is absent or says nonsense."""
        self.folder = Path(folder)
        file = self.folder / "dataset.json"
        try:
            self.info = DatasetInfo.model_validate(read_json(file))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise InputError(first["msg"], file=file, place=place, found=first["input"]) from error

    def micrographs(self) -> pd.DataFrame:
        """One row a micrograph: rlnMicrographName, rlnOpticsGroup, and its CTF where known."""
        return _table(self.folder / "micrographs.star", "micrographs", (NAME, "rlnOpticsGroup"))

    def optics(self) -> pd.DataFrame:
        """One row an optics group: pixel size and what is known of voltage, Cs, amplitude contrast."""
        return _table(self.folder / "micrographs.star", "optics", ("rlnOpticsGroup",))

    def micrograph_path(self, name: str) -> Path:
        """The file of a micrograph; raises InputError for a name that leads to no file of the folder."""
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts:
            raise InputError(
                "name leads out of the dataset", file=self.folder / "micrographs.star", found=name
            )
        path = self.folder / pure
        if not path.exists():
            raise InputError("micrograph not found", file=path, todo="make the dataset again")
        return path

    def truth_picks(self) -> pd.DataFrame | None:
        """The true picks (micrograph, x, y, score), or None where the dataset has none."""
        path = self.folder / "truth" / "picks.star"
        return read_picks(path) if path.exists() else None

    def annotated(self) -> set[str]:
        """Names of the micrographs whose truth is known, among them those with no particle.

        What truth/micrographs.csv says; without it all of them if there are true picks, else none.
        """
        path = self.folder / "truth" / "micrographs.csv"
        if path.exists():
            table = pd.read_csv(path, dtype={"micrograph": str}, keep_default_na=False)
            require_columns(table, ("micrograph", "annotated"), file=path, block="")
            return set(table["micrograph"][table["annotated"] == 1])
        return set(self.micrographs()[NAME]) if self.truth_picks() is not None else set()

    def truth_poses(self) -> ParticleSet | None:
        """The true particles with poses and CTF, or None."""
        from vitreous.io.particles import read_particles

        path = self.folder / "truth" / "particles.star"
        return read_particles(path) if path.exists() else None

    def truth_map(self, target: str) -> Path | None:
        """The file of a target's true map, or None."""
        path = self.folder / "truth" / "maps" / f"{target}.mrc"
        return path if path.exists() else None

    def target(self, name: str) -> Target:
        """A target by name; raises InputError naming those there are."""
        found = [target for target in self.info.targets if target.name == name]
        if not found:
            names = ", ".join(target.name for target in self.info.targets) or "none"
            raise InputError("no such target", file=self.folder / "dataset.json", found=name, expected=names)
        return found[0]


def write_dataset(
    folder: str | Path,
    info: DatasetInfo,
    micrographs: pd.DataFrame,
    *,
    picks: pd.DataFrame | None = None,
    annotated: Iterable[str] | None = None,
    particles: ParticleSet | None = None,
    origins: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write dataset.json, micrographs.star, truth/ and manifest of a folder that holds the images already.

    `micrographs` has rlnMicrographName (paths below the folder) and, where known, CTF columns; rlnOpticsGroup
    is 1 where absent. `annotated` names the micrographs whose truth is complete; None says all. `origins` go
    into the manifest. The same content gives the same bytes. Raises InputError for a name given twice and
    picks of an unknown micrograph.
    """
    folder = Path(folder)
    table = micrographs.copy()
    require_columns(table, (NAME,), file=folder / "micrographs.star", block="micrographs")
    if table[NAME].duplicated().any():
        twice = table[NAME][table[NAME].duplicated()].iloc[0]
        raise InputError("micrograph stands twice", file=folder / "micrographs.star", found=twice)
    if "rlnOpticsGroup" not in table:
        table["rlnOpticsGroup"] = 1
    write_json(folder / "dataset.json", info.model_dump())
    write_star(folder / "micrographs.star", {"optics": optics_table(info, table), "micrographs": table})
    if picks is not None:
        unknown = set(picks["micrograph"]) - set(table[NAME])
        if unknown:
            raise InputError("picks of an unknown micrograph", file=folder, found=sorted(unknown)[0])
        write_picks(folder / "truth" / "picks.star", picks)
    if annotated is not None:
        known = set(annotated)
        with atomic_path(folder / "truth" / "micrographs.csv") as part:
            flags = table[NAME].isin(known).astype(int)
            pd.DataFrame({"micrograph": table[NAME], "annotated": flags}).to_csv(part, index=False)
    if particles is not None:
        from vitreous.io.particles import write_particles

        write_particles(folder / "truth" / "particles.star", particles)
    write_manifest(folder, origins)


def optics_table(info: DatasetInfo, micrographs: pd.DataFrame) -> pd.DataFrame:
    """The optics block (RELION 3.1) of micrographs: values not known are left out, never invented."""
    groups = sorted(set(micrographs["rlnOpticsGroup"]))
    optics = pd.DataFrame({"rlnOpticsGroupName": [f"opticsGroup{group}" for group in groups]})
    optics["rlnOpticsGroup"] = groups
    values = {
        "rlnMicrographOriginalPixelSize": info.pixel_size_A,
        "rlnMicrographPixelSize": info.pixel_size_A,
        "rlnVoltage": info.voltage_kv, "rlnSphericalAberration": info.cs_mm,
        "rlnAmplitudeContrast": info.amplitude_contrast,
    }  # fmt: skip
    for label, value in values.items():
        if value is not None:
            optics[label] = float(value)
    return optics


def write_manifest(folder: str | Path, origins: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """Write manifest.json: path, bytes and SHA-256 of every file of the dataset, and where it came from.

    `origins` say of fetched files, by path, their url, date and licence, and `bytes` and `sha256` as they
    were when fetched: a file that still has that size is not hashed again. Batches, provenance and hidden
    files are no part of the dataset.
    """
    folder = Path(folder)
    skipped = ("manifest.json", "provenance.json")
    files = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        hidden = any(part.startswith(".") or part.endswith(".work") for part in PurePosixPath(name).parts)
        if hidden or name in skipped or name.startswith("batch-") or not path.is_file():
            continue
        origin, size = (origins or {}).get(name, {}), path.stat().st_size
        sha256 = origin["sha256"] if origin.get("bytes") == size else sha256_file(path)
        facts = {key: origin[key] for key in ("date", "licence") if origin.get(key)}
        files.append({"path": name, "bytes": size, "sha256": sha256, "url": origin.get("url"), **facts})
    write_json(folder / "manifest.json", {"files": files})


def write_batches(folder: str | Path, names: Iterable[str], count: int) -> list[Path]:
    """Write `count` batch files: batch i takes every count-th name in sorted order; empty ones are valid."""
    ordered = sorted(names)
    paths = [Path(folder) / batch_name(index, count) for index in range(count)]
    for index, path in enumerate(paths):
        write_batch(path, ordered[index::count])
    return paths


def write_batch(path: str | Path, names: Iterable[str]) -> None:
    """Write one batch file: the names of its micrographs; the same names give the same bytes."""
    write_star(path, {"micrographs": pd.DataFrame({NAME: pd.Series(list(names), dtype="str")})})


def read_batch(path: str | Path) -> list[str]:
    """The names of the micrographs of a batch, in the order of the file."""
    return [str(name) for name in _table(Path(path), "micrographs", (NAME,))[NAME]]


def _table(path: Path, name: str, labels: Sequence[str]) -> pd.DataFrame:
    blocks: dict[str, Block] = read_star(path)
    block = blocks.get(name)
    if not isinstance(block, pd.DataFrame):
        raise InputError("block missing", file=path, found=", ".join(blocks), expected=f"data_{name}")
    require_columns(block, labels, file=path, block=name)
    return block
