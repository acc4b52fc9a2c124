"""What a rule or the command line calls: micrographs by batch, the data set of them, a stack of particles."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from vitreous.errors import InputError
from vitreous.io.dataset import write_dataset
from vitreous.io.mrc import StackWriter, write_image, write_volume
from vitreous.io.particles import ParticleSet, write_particles
from vitreous.io.star import Block, read_star, write_star
from vitreous.runtime.device import Runtime
from vitreous.runtime.files import atomic_path
from vitreous.runtime.plural import plural
from vitreous.runtime.progress import progress
from vitreous.runtime.provenance import fingerprint, write_provenance
from vitreous.runtime.work import Work, run_items
from vitreous.simulate.detector import as_stored
from vitreous.simulate.micrograph import Micrograph, Scene, mean_ctf, prepare_scene, simulate_micrograph
from vitreous.simulate.particles import particle_batches, scale_to_snr
from vitreous.simulate.placement import Layout
from vitreous.simulate.settings import (
    ParticlesSettings,
    SimulateSettings,
    TargetSettings,
    micrograph_stem,
)
from vitreous.simulate.targets import make_target
from vitreous.simulate.truth import (
    dataset_info,
    micrograph_row,
    particle_rows,
    particle_set,
    picks_of,
    stack_optics,
)

log = logging.getLogger(__name__)
STAGE = "vitreous.simulate.stages"
MICROGRAPHS, PARTICLES, FILES = "truth_micrographs", "truth_particles", "files"
_OURS = re.compile(r"m\d{5}\.(mrc|png)")


def make_scene(settings: SimulateSettings, runtime: Runtime) -> Scene:
    """The targets of a data set, scaled to the wanted SNR and transformed."""
    targets = [make_target(target, settings.pixel_size_A) for target in settings.targets]
    return prepare_scene(targets, settings, runtime)


def simulate_batch(
    batch_file: Path,
    indices: Sequence[int],
    dataset_folder: Path,
    settings: SimulateSettings,
    runtime: Runtime,
) -> None:
    """Make micrographs `indices` (from 0) in `dataset_folder` and list them, with truth, in `batch_file`.

    A micrograph that lies there unchanged, made with the same settings, seed and code, is not made again; the
    number of micrographs of the data set does not matter to any of them. An empty batch succeeds.
    """
    plain = settings.model_dump(mode="json", exclude={"micrographs"}) | {"run_seed": runtime.seed}
    files = source_files(settings.targets)
    index_of = {f"micrographs/{micrograph_stem(index)}.mrc": index for index in indices}
    scene = cache(lambda: make_scene(settings, runtime))

    def make(name: str) -> dict[str, Block]:
        micrograph = simulate_micrograph(index_of[name], scene(), settings, runtime)
        paths = _write_micrograph(dataset_folder, Path(name).name, micrograph, settings)
        return {
            MICROGRAPHS: micrograph_row(name, micrograph.ctf),
            PARTICLES: particle_rows(name, micrograph.particles, micrograph.ctf, settings.targets),
            FILES: _fingerprints(dataset_folder, paths),
        }

    with Work(batch_file, settings=plain, stage=f"{STAGE}:simulate_batch", inputs=files) as work:
        for name in index_of:
            _forget_if_changed(work.item(name), dataset_folder)
        made, _ = run_items(
            list(index_of), make, work, write_star, read_star, max_failed_share=0.0, label="micrograph"
        )
        empty = empty_tables(settings)
        tables = {block: _joined([empty[block], *(part[block] for part in made.values())]) for block in empty}
        listed = pd.Series(sorted(index_of), dtype="str")
        names = pd.DataFrame({"rlnMicrographName": listed, "rlnOpticsGroup": 1})
        write_star(batch_file, {"micrographs": names, **tables})
    write_provenance(
        batch_file.with_suffix(".provenance.json"), stage=f"{STAGE}:simulate_batch", settings=plain,
        inputs=files, seed=runtime.seed,
    )  # fmt: skip


def empty_tables(settings: SimulateSettings) -> dict[str, Block]:
    """The truth of no micrograph: both tables without rows."""
    ctf = mean_ctf(settings)
    nothing = Layout(np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros((0, 3)), np.zeros(0))
    return {
        MICROGRAPHS: micrograph_row("", ctf).iloc[:0],
        PARTICLES: particle_rows("", nothing, ctf, settings.targets),
    }


def source_files(targets: Sequence[TargetSettings]) -> list[Path]:
    """The map and atom files of targets; raises InputError where one is missing."""
    files = [path for target in targets for path in (target.map, target.atoms) if path is not None]
    for path in files:
        if not path.is_file():
            raise InputError("file of a target not found", file=path)
    return files


def _write_micrograph(
    folder: Path, file: str, micrograph: Micrograph, settings: SimulateSettings
) -> list[Path]:
    """Write image, half-doses and mask; returns their paths."""
    exposure = micrograph.exposure
    images = {folder / "micrographs" / file: exposure.full}
    if settings.half_doses:
        images |= {folder / "half1" / file: exposure.half1, folder / "half2" / file: exposure.half2}
    for path, image in images.items():
        _write_image_as(path, as_stored(image, settings.format), settings.pixel_size_A)
    mask = folder / "truth" / "masks" / f"{Path(file).stem}.png"
    with atomic_path(mask) as part:
        Image.fromarray(micrograph.labels).save(part)
    return [*images, mask]


def _write_image_as(path: Path, image: NDArray[np.generic], pixel_size_A: float) -> None:
    """Write an MRC image in the array's own number format; the same content gives the same bytes."""
    if image.dtype == np.float32:
        write_image(path, image, pixel_size_A)
        return
    with atomic_path(path) as part, mrcfile.new(part) as mrc:
        mrc.set_data(image)
        mrc.voxel_size = (pixel_size_A, pixel_size_A, pixel_size_A)
        mrc.header.nlabl = 0
        mrc.header.label[:] = b""


def _fingerprints(folder: Path, paths: Sequence[Path]) -> pd.DataFrame:
    rows = [{"path": path.relative_to(folder).as_posix(), **fingerprint(path)} for path in paths]
    return pd.DataFrame(rows)


def _forget_if_changed(item: Path, folder: Path) -> None:
    """Remove a finished item whose images are gone or were changed since, so that they are made again."""
    if not item.exists():
        return
    files = read_star(item)[FILES]
    assert isinstance(files, pd.DataFrame)
    for row in files.to_dict("records"):
        path = folder / str(row["path"])
        wanted = {"bytes": int(row["bytes"]), "mtime_ns": int(row["mtime_ns"])}
        if not path.is_file() or fingerprint(path) != wanted:
            item.unlink()
            return


def _joined(tables: Sequence[Block]) -> pd.DataFrame:
    """Tables one below the other; where none has rows, the first, which has the columns."""
    frames = [table for table in tables if isinstance(table, pd.DataFrame)]
    return pd.concat([table for table in frames if len(table)] or frames[:1], ignore_index=True)


def collect_dataset(
    batch_files: Sequence[Path],
    dataset_folder: Path,
    settings: SimulateSettings,
    runtime: Runtime,
    *,
    name: str,
) -> None:
    """Join batches to a data set in standard form, with truth/: picks, particles, micrographs (CTF), maps.

    micrographs.star has no CTF, so that estimating it is real work; truth/micrographs.star has it. Images of
    an earlier, larger data set are removed.
    """
    blocks = [empty_tables(settings), *(read_star(path) for path in batch_files)]
    micrographs, particles = (
        _joined([block[block_name] for block in blocks])
        .sort_values("rlnMicrographName", kind="stable")
        .reset_index(drop=True)
        for block_name in (MICROGRAPHS, PARTICLES)
    )
    info = dataset_info(name, settings)
    for target in make_scene(settings, runtime).targets:
        path = dataset_folder / "truth" / "maps" / f"{target.name}.mrc"
        write_volume(path, target.volume.cpu().numpy(), settings.pixel_size_A)
    known = particle_set(particles, info)
    truth = {"optics": known.optics, "micrographs": micrographs}
    write_star(dataset_folder / "truth" / "micrographs.star", truth)
    _remove_leftovers(dataset_folder, set(micrographs["rlnMicrographName"]), settings)
    plain = micrographs[["rlnMicrographName", "rlnOpticsGroup"]]
    write_dataset(dataset_folder, info, plain, picks=picks_of(particles), particles=known)
    made = plural(len(micrographs), "micrograph")
    log.info("%s: %s, %s", name, made, plural(len(particles), "particle"))
    write_provenance(
        dataset_folder / "provenance.json", stage=f"{STAGE}:collect_dataset",
        settings=settings.model_dump(mode="json"), inputs=batch_files, seed=runtime.seed,
    )  # fmt: skip


def _remove_leftovers(folder: Path, names: set[str], settings: SimulateSettings) -> None:
    """Remove micrographs, halves and masks, named as ours are, that this data set does not have."""
    stems = {Path(name).stem for name in names}
    for place in ("micrographs", "half1", "half2", "truth/masks"):
        unwanted = place.startswith("half") and not settings.half_doses
        for path in sorted((folder / place).glob("m*")):
            if _OURS.fullmatch(path.name) and (unwanted or path.stem not in stems):
                log.warning("removed %s, which an earlier data set left", path)
                path.unlink()


def simulate_particles(settings: ParticlesSettings, out_star: Path, runtime: Runtime) -> None:
    """Write particles with known poses: `out_star`, its stack `<stem>.mrcs` and maps `<stem>-<target>.mrc`.

    Protein bright, noise of variance 1. Only one batch is in memory at a time.
    """
    targets = [make_target(target, settings.pixel_size_A, settings.box_px) for target in settings.targets]
    targets = scale_to_snr(targets, settings)
    stack = out_star.with_suffix(".mrcs")
    tables = []
    total = -(-settings.particles // settings.batch)
    with StackWriter(stack, (settings.box_px, settings.box_px), settings.pixel_size_A) as writer:
        for batch in progress(particle_batches(targets, settings, runtime), total, "batches of particles"):
            number = np.arange(writer.count + 1, writer.count + 1 + len(batch.table))
            batch.table.insert(0, "rlnImageName", [f"{i:06d}@{stack.name}" for i in number])
            writer.append(batch.images)
            tables.append(batch.table)
    for target in targets:
        path = out_star.with_name(f"{out_star.stem}-{target.name}.mrc")
        write_volume(path, target.volume.cpu().numpy(), settings.pixel_size_A)
    optics = stack_optics(settings, settings.box_px)
    write_particles(out_star, ParticleSet(optics, pd.concat(tables, ignore_index=True)))
    write_provenance(
        out_star.with_suffix(".provenance.json"), stage=f"{STAGE}:simulate_particles",
        settings=settings.model_dump(mode="json"), inputs=source_files(settings.targets), seed=runtime.seed,
    )  # fmt: skip
