"""What a rule calls: a local folder into the standard form, its batches, the picks that came with it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vitreous.data.local import import_local, local_files
from vitreous.data.settings import LocalSettings
from vitreous.errors import InputError
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
) -> None:
    """Lay a user's folder (relative to the working directory) down in the standard form at `folder_out`."""
    out = Path(folder_out)
    with Lock(out.with_name(f".{out.name}.lock")):
        import_local(out, settings, root=".")
    sources = local_files(settings, root=".")
    log.info("%s: %s of %s", out, plural(len(sources), "file"), settings.folder)
    plain = settings.model_dump(mode="json", exclude_defaults=True)
    stage = f"{STAGE}:import_dataset"
    write_provenance(provenance, stage=stage, settings=plain, inputs=sources, seed=runtime.seed)


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
