"""What a rule calls: fetch, import into the standard form, batches, the picks that came with a dataset."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel

from vitreous.data.check import GOOD, check_fetched, refuse_damaged, state_of
from vitreous.data.download.settings import NetworkSettings
from vitreous.data.fetch import fetch, write_record
from vitreous.data.fetch_record import read_fetch_record
from vitreous.data.local import import_local, local_files
from vitreous.data.particle_sets import import_particles_of
from vitreous.data.settings import CespedSettings, LocalSettings
from vitreous.errors import InputError
from vitreous.io.batches import batch_of
from vitreous.io.dataset import Dataset, write_batch
from vitreous.io.picks import write_picks
from vitreous.io.star import read_star
from vitreous.runtime.device import Runtime
from vitreous.runtime.files import atomic_path
from vitreous.runtime.lock import Lock
from vitreous.runtime.plural import plural
from vitreous.runtime.provenance import write_provenance

log = logging.getLogger(__name__)
PathLike = str | Path
STAGE = "vitreous.data.stages"
NAME = "rlnMicrographName"


def import_dataset(
    folder_out: PathLike,
    *,
    settings: LocalSettings,
    provenance: PathLike,
    runtime: Runtime,
    fetched: PathLike | None = None,
) -> None:
    """Lay a folder (relative to the working directory) down in the standard form at `folder_out`.

    `fetched` is the record of the fetch that brought it, if it was fetched.
    """
    out = Path(folder_out)
    record = read_fetch_record(fetched) if fetched is not None else None
    with Lock(out.with_name(f".{out.name}.lock")):
        import_local(out, settings, root=".", fetched=record)
    sources = [Path(fetched)] if fetched is not None else local_files(settings, root=".")
    log.info("%s: %s of %s", out, plural(len(sources), "file"), settings.folder)
    plain = settings.model_dump(mode="json", exclude_defaults=True)
    stage = f"{STAGE}:import_dataset"
    write_provenance(provenance, stage=stage, settings=plain, inputs=sources, seed=runtime.seed)


def import_particle_set(
    folder_out: PathLike,
    *,
    settings: LocalSettings | CespedSettings,
    provenance: PathLike,
    runtime: Runtime,
    fetched: PathLike | None = None,
) -> None:
    """Lay particles without micrographs down in the standard form: a user's, or halves of CESPED."""
    out = Path(folder_out)
    record = read_fetch_record(fetched) if fetched is not None else None
    with Lock(out.with_name(f".{out.name}.lock")):
        import_particles_of(out, settings, root=".", fetched=record)
    sources = [Path(fetched)] if fetched is not None else []
    if isinstance(settings, LocalSettings):
        sources = local_files(settings, root=".")
    plain = settings.model_dump(mode="json", exclude_defaults=True)
    stage = f"{STAGE}:import_particle_set"
    write_provenance(provenance, stage=stage, settings=plain, inputs=sources, seed=runtime.seed)


def fetch_entry(record: PathLike, *, settings: BaseModel, root: PathLike, network: NetworkSettings) -> None:
    """Fetch what `settings`, one of `FetchSettings`, ask for below `root` and write the record of it."""
    got = fetch(settings, root, network=network)
    write_record(record, settings, got)
    log.info("%s: %s", got.folder, plural(len(got.paths), "file"))


def check_entry(record: PathLike, out_csv: PathLike) -> None:
    """Hold every fetched file against its recorded bytes and SHA-256; one row a file.

    Raises StageError where one is missing or damaged, after all are named in the log.
    """
    rows = check_fetched(read_fetch_record(record))
    for path, _, state in rows:
        if state != GOOD:
            log.error("%s: %s", path, state)
    with atomic_path(out_csv) as part:
        pd.DataFrame(rows, columns=["path", "bytes", "state"]).to_csv(part, index=False)
    refuse_damaged(rows, record)


def list_entries(rows: Sequence[Mapping[str, Any]], listed: PathLike, sizes: PathLike) -> None:
    """Write what is fetched (name, source, entry, folder, state) and how large it is, as two tables."""
    table = pd.DataFrame([{**row, **state_of(row)} for row in rows])
    columns = ["name", "source", "entry", "folder", "micrographs"]
    for path, chosen in ((listed, [*columns, "state"]), (sizes, ["name", "bytes", "here_bytes"])):
        with atomic_path(path) as part:
            table.reindex(columns=chosen).convert_dtypes().to_csv(part, sep="\t", index=False)


def list_hashed_batch(micrographs_star: PathLike, out_star: PathLike, *, index: int, count: int) -> None:
    """Write batch `index` (from 0) of `count` of a dataset, by the hash of each micrograph's name."""
    table = read_star(micrographs_star)["micrographs"]
    assert isinstance(table, pd.DataFrame)
    write_batch(out_star, [name for name in table[NAME] if batch_of(Path(name).stem, count) == index])


def list_batch(micrographs_star: PathLike, out_star: PathLike, *, stems: Sequence[str]) -> None:
    """Write the micrographs of a batch: those of the dataset whose file name without ending is in `stems`."""
    table = read_star(micrographs_star)["micrographs"]
    assert isinstance(table, pd.DataFrame)
    wanted = set(stems)
    write_batch(out_star, [name for name in table[NAME] if Path(name).stem in wanted])


def given_picks(
    dataset_folder: PathLike,
    picks_star: PathLike,
    failed_csv: PathLike,
    *,
    provenance: PathLike,
    runtime: Runtime,
) -> None:
    """Take the picks that came with a dataset as picks; raises InputError where none came."""
    dataset = Dataset(dataset_folder)
    picks = dataset.truth_picks()
    if picks is None:
        raise InputError("no picks came with this dataset", file=dataset.folder, todo="name another picker")
    write_picks(picks_star, picks)
    with atomic_path(failed_csv) as part:
        pd.DataFrame({"micrograph": [], "error": []}).to_csv(part, index=False)
    source = dataset.folder / "truth" / "picks.star"
    stage = f"{STAGE}:given_picks"
    write_provenance(provenance, stage=stage, settings={}, inputs=[source], seed=runtime.seed)
