"""Stages of the room: CTFs and particles of a batch, their gathering, and maps; paths in, paths out."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vitreous.errors import InputError
from vitreous.io.dataset import Dataset, read_batch
from vitreous.io.micrograph import micrograph_shape, read_micrograph
from vitreous.io.mrc import write_volume
from vitreous.io.particles import ParticleSet, image_locations, read_particles
from vitreous.io.star import read_star, write_star
from vitreous.physics.ctf_fit import fit_ctf
from vitreous.physics.symmetry import PointGroup, parse
from vitreous.reconstruction.batches import (
    Extraction,
    extract_micrograph,
    join_batches,
    particle_optics,
    prepare_extraction,
    refuse_smaller_frame,
    stack_name,
)
from vitreous.reconstruction.ctf_table import (
    FAILED,
    NAME,
    Fitted,
    ctf_table,
    curve_table,
    failures,
    fitted,
    given_table,
    optics_of,
)
from vitreous.reconstruction.halves import (
    SUBSET,
    HalfMaps,
    check_images,
    check_maps,
    check_ready,
    half_counts,
    no_maps,
    of_target,
    subsets,
    with_poses,
    with_subsets,
)
from vitreous.reconstruction.registry import ENGINES, engine
from vitreous.reconstruction.settings import CtfSettings, ExtractionSettings, NativeEngine, RelionEngine
from vitreous.reconstruction.tables import (
    collect_curves,
    collect_failed,
    counts_of,
    errors_table,
    load_rows,
    save_rows,
    table_of,
    write_csv,
    write_rows,
)
from vitreous.runtime.device import Runtime
from vitreous.runtime.files import read_json, write_json
from vitreous.runtime.plural import plural
from vitreous.runtime.provenance import write_provenance
from vitreous.runtime.work import Work, run_items

log = logging.getLogger(__name__)
PathLike = str | Path


def estimate_ctf_batch(
    batch: PathLike,
    dataset_folder: PathLike,
    out_star: PathLike,
    *,
    settings: CtfSettings,
    max_failed_share: float,
    provenance: PathLike,
    runtime: Runtime,
) -> None:
    """Fit the CTF of every micrograph of a batch; writes a row each, and `.failed.csv`, `.curves.csv` beside.

    A micrograph without rings, or one that cannot be read, has vitreousCtfFailed = 1; only the latter count
    against `max_failed_share`. Raises InputError where the data set does not state voltage, Cs or amplitude
    contrast.
    """
    dataset, out, names = Dataset(dataset_folder), Path(out_star), read_batch(batch)
    optics = (dataset.info.pixel_size_A, *optics_of(dataset))

    def compute(name: str) -> Fitted:
        image = read_micrograph(dataset.micrograph_path(name))
        fit = fit_ctf(
            image,
            *optics,
            phase_shift_deg=settings.phase_shift_deg,
            window_px=settings.window_px,
            defocus_range_A=settings.defocus_A,
            resolution_range_A=settings.band_A,
        )
        return fitted(fit, settings.phase_shift_deg)

    key = {**settings.model_dump(exclude={"min_quality"}), "optics": list(optics)}
    runtime.torch_device()
    with Work(out, settings=key, stage=_stage("estimate_ctf_batch")) as work:
        found, errors = run_items(
            names,
            compute,
            work,
            write_json,
            read_json,
            max_failed_share=max_failed_share,
            inputs=lambda name: [dataset.folder / name],
            label="micrograph",
        )
    rows = {name: fit["row"] for name, fit in found.items()}
    table = ctf_table(_micrographs(dataset, names), rows, settings.min_quality)
    failed = failures(table, errors, settings.min_quality)
    for name, error in zip(failed["micrograph"], failed["error"], strict=True):
        log.warning("no CTF for %s: %s", name, error)
    write_star(out, {"optics": dataset.optics(), "micrographs": table})
    write_csv(out.with_suffix(".failed.csv"), failed)
    write_csv(
        out.with_suffix(".curves.csv"), curve_table({name: fit["curves"] for name, fit in found.items()})
    )
    counts = {"micrographs": len(names), "unreadable": len(errors), "failed": int(table[FAILED].sum())}
    _provenance(
        provenance, "estimate_ctf_batch", settings, [batch, dataset.folder / "dataset.json"], runtime, counts
    )


def collect_ctf(
    batches: Sequence[PathLike], out_star: PathLike, *, provenance: PathLike, runtime: Runtime
) -> None:
    """Join the CTFs of all batches, sorted by name, and beside them their `failed.csv` and `curves.csv`."""
    out, blocks = Path(out_star), [read_star(path) for path in batches]
    tables = [
        table_of(blocks_of, "micrographs", path) for blocks_of, path in zip(blocks, batches, strict=True)
    ]
    filled = [table for table in tables if len(table)]
    joined = pd.concat(filled).sort_values(NAME).reset_index(drop=True) if filled else tables[0]
    write_star(out, {"optics": table_of(blocks[0], "optics", batches[0]), "micrographs": joined})
    failed = collect_failed(batches, out.parent / "failed.csv")
    collect_curves(batches, out.parent / "curves.csv")
    log.info("CTFs of %s, %d of them failed", plural(len(joined), "micrograph"), len(failed))
    _provenance(
        provenance, "collect_ctf", None, batches, runtime, {"micrographs": len(joined), "failed": len(failed)}
    )


def given_ctf(
    dataset_folder: PathLike, out_star: PathLike, *, provenance: PathLike, runtime: Runtime
) -> None:
    """Take over the CTFs that came with a data set; raises InputError where it brings none."""
    dataset, out = Dataset(dataset_folder), Path(out_star)
    table = given_table(dataset)
    failed = failures(table.assign(rlnCtfFigureOfMerit=0.0), {}, 0.0).assign(
        error="the data set states no defocus"
    )
    write_star(out, {"optics": dataset.optics(), "micrographs": table})
    write_csv(out.parent / "failed.csv", failed)
    counts = {"micrographs": len(table), "failed": len(failed)}
    _provenance(provenance, "given_ctf", None, [dataset.folder / "micrographs.star"], runtime, counts)


def extract_batch(
    batch: PathLike,
    dataset_folder: PathLike,
    picks_star: PathLike,
    ctf_star: PathLike | None,
    out_star: PathLike,
    *,
    settings: ExtractionSettings,
    max_failed_share: float,
    provenance: PathLike,
    runtime: Runtime,
) -> None:
    """Cut the particles of a batch's picks; writes a row each, and stacks and `.failed.csv` beside it.

    What is left out (picks outside, at the edge, constant boxes, micrographs without CTF) is counted in the
    block vitreous_counts, and so are picks of micrographs that the data set does not have. Raises InputError
    where all are of such, or belong to micrographs of another size.
    """
    dataset, out, names = Dataset(dataset_folder), Path(out_star), read_batch(batch)
    inputs = [Path(path) for path in (picks_star, ctf_star) if path is not None]
    folder = out.parent / "stacks"
    job = prepare_extraction(
        dataset, names, inputs[0], inputs[1] if ctf_star is not None else None, folder, settings
    )
    refuse_smaller_frame(job.picks, _shapes(job), inputs[0])
    _say_unknown(job, inputs[0])
    runtime.torch_device()
    key = {**settings.model_dump(), "dataset": dataset.info.model_dump(mode="json")}
    truth = dataset.folder / "truth" / "particles.star"
    known = [truth] if job.truth is not None else []
    with Work(out, settings=key, stage=_stage("extract_batch"), inputs=[*inputs, *known]) as work:
        _forget_lost_stacks(job, names, work)
        found, errors = run_items(
            names,
            lambda name: _extracted(job, name),
            work,
            save_rows,
            load_rows,
            max_failed_share=max_failed_share,
            inputs=lambda name: [dataset.folder / name],
            label="micrograph",
        )
    rows, counts = join_batches(
        (found[name][0] for name in found), (found[name][1] for name in found), job.labels
    )
    counts["unknown_micrograph"] = sum(job.unknown.values())
    every = dataset.micrographs()[NAME].tolist()
    if len(every) == 1 and len(rows):
        log.warning("one micrograph only: its particles are split into half-sets by turns")
    rows[SUBSET] = subsets(rows[NAME].tolist(), every, runtime.seed)
    write_rows(out, particle_optics(dataset, job.size), rows, counts)
    write_csv(out.with_suffix(".failed.csv"), errors_table(errors))
    _say(counts)
    _provenance(provenance, "extract_batch", settings, [batch, *inputs], runtime, counts)


def collect_particles(
    batches: Sequence[PathLike], out_star: PathLike, *, provenance: PathLike, runtime: Runtime
) -> None:
    """Join the particles of all batches, in their order, and their failures (`failed.csv` beside `out_star`).

    `out_star` must stand in the folder of the batches: the names of the stacks are relative to it.
    """
    out, blocks = Path(out_star), [read_star(path) for path in batches]
    if any(Path(path).parent.resolve() != out.parent.resolve() for path in batches):
        raise InputError("batches of another folder", file=out, todo="gather particles beside their batches")
    tables = [table_of(blocks_of, "particles", path) for blocks_of, path in zip(blocks, batches, strict=True)]
    counts = [counts_of(blocks_of) for blocks_of in blocks]
    rows, total = join_batches(tables, counts, [str(label) for label in tables[0]])
    write_rows(out, table_of(blocks[0], "optics", batches[0]), rows, total)
    collect_failed(batches, out.parent / "failed.csv")
    _say(total)
    _provenance(provenance, "collect_particles", None, batches, runtime, total)


def reconstruct(
    particles_star: PathLike,
    out_folder: PathLike,
    *,
    settings: NativeEngine | RelionEngine,
    symmetry: str,
    target: str | None = None,
    provenance: PathLike,
    runtime: Runtime,
) -> None:
    """Half-maps and map of particles with poses; writes half1.mrc, half2.mrc, map.mrc and reconstruct.json.

    Particles without a pose, or of another `target`, are left out and counted. Without any left in one of the
    halves the maps are zeros and the status is `empty`. Raises InputError for what no engine may see: missing
    columns, half-sets other than 1 and 2, NaN.
    """
    path, out, start = Path(particles_star), Path(out_folder), time.monotonic()
    group = parse(symmetry)
    particles = read_particles(path)
    chosen = of_target(with_poses(particles), target)
    facts: dict[str, Any] = {
        "engine": settings.variant,
        "symmetry": group.name,
        "particles": len(particles),
        "used": len(chosen),
    }
    chosen = with_subsets(chosen, runtime.seed)
    halves = half_counts(chosen.particles, file=path)
    if len(chosen):
        check_ready(chosen, file=path, ctf=settings.ctf)
    if all(halves.values()):
        maps, size_A = _engine_maps(chosen, path, out, settings, group, runtime)
    else:
        if len(chosen):
            check_images(image_locations(chosen, path))
        maps, size_A = no_maps(particles, path)
        said = (
            f"TOO FEW PARTICLES ({halves[1]} in half 1, {halves[2]} in half 2)"
            if len(chosen)
            else "NO PARTICLES"
        )
        log.warning("%s with a pose in %s (of %d): the maps are empty", said, path, len(particles))
    for name, volume in (("half1", maps.half1), ("half2", maps.half2), ("map", maps.full)):
        write_volume(out / f"{name}.mrc", volume, size_A)
    facts |= {
        **{f"half{half}": number for half, number in halves.items()},
        "status": "ok" if all(halves.values()) else "empty",
        "box_px": len(maps.full),
        "pixel_size_A": size_A,
        **maps.facts,
    }
    write_json(out / "reconstruct.json", facts)
    given = plural(len(particles), "particle")
    log.info("map of %d of %s by %s", len(chosen), given, settings.variant)
    modules, seconds = [ENGINES[settings.variant]], round(time.monotonic() - start, 2)
    _provenance(provenance, "reconstruct", settings, [path], runtime, facts, modules, seconds=seconds)


def _engine_maps(
    particles: ParticleSet,
    path: Path,
    out: Path,
    settings: NativeEngine | RelionEngine,
    group: PointGroup,
    runtime: Runtime,
) -> tuple[HalfMaps, float]:
    """Maps of the engine, checked, and their pixel size; its own files are removed."""
    images, folder, run = image_locations(particles, path), out / "engine.work", engine(settings.variant)
    maps = run(particles, images, settings=settings, group=group, runtime=runtime, folder=folder)
    size_A = check_maps(maps, particles, out)
    shutil.rmtree(folder, ignore_errors=True)
    return maps, size_A


def _stage(function: str) -> str:
    return f"{__name__}:{function}"


def _micrographs(dataset: Dataset, names: Sequence[str]) -> pd.DataFrame:
    """Rows of the data set's micrographs in the order of `names`; InputError for an unknown name."""
    table = dataset.micrographs().set_index(NAME, drop=False)
    unknown = [name for name in names if name not in table.index]
    if unknown:
        raise InputError(
            "micrograph of the batch is not in the data set", file=dataset.folder, found=unknown[0]
        )
    return table.loc[list(names)].reset_index(drop=True)


def _shapes(job: Extraction) -> dict[str, tuple[int, int]]:
    """Sizes of the micrographs that can be read; the others are reported when their turn comes."""
    shapes = {}
    for name in job.picks:
        try:
            shapes[name] = micrograph_shape(job.dataset.micrograph_path(name))
        except InputError:
            continue
    return shapes


def _extracted(job: Extraction, name: str) -> tuple[pd.DataFrame, dict[str, int]]:
    rows, counts = extract_micrograph(job, name)
    if counts["outside"]:
        log.warning("%s: %s outside the micrograph left out", name, plural(counts["outside"], "pick"))
    return rows, counts


def _say_unknown(job: Extraction, file: Path) -> None:
    if job.unknown:
        names = ", ".join(list(job.unknown)[:3]) + (" …" if len(job.unknown) > 3 else "")
        picks, of = plural(sum(job.unknown.values()), "pick"), plural(len(job.unknown), "micrograph")
        log.warning("%s: %s of %s not here left out (%s)", file, picks, of, names)


def _forget_lost_stacks(job: Extraction, names: Sequence[str], work: Work) -> None:
    """Drop finished items whose stack is no longer there, so that they are made again."""
    for name in names:
        item = work.item(name, [job.dataset.folder / name])
        if item.exists() and len(load_rows(item)[0]) and not (job.folder / stack_name(name)).exists():
            item.unlink()


def _say(counts: Mapping[str, int]) -> None:
    """One line on what became of the picks; a loud one where nothing is left."""
    said = ", ".join(f"{value} {key.replace('_', ' ')}" for key, value in counts.items())
    log.log(logging.INFO if counts["particles"] else logging.WARNING, "particles: %s", said)
    if not counts["particles"]:
        log.warning("NO PARTICLES: the table is valid and empty")


def _provenance(
    path: PathLike,
    stage: str,
    settings: CtfSettings | ExtractionSettings | NativeEngine | RelionEngine | None,
    inputs: Sequence[PathLike],
    runtime: Runtime,
    counts: Mapping[str, Any],
    modules: Sequence[str] = (),
    **facts: Any,
) -> None:
    values = {} if settings is None else settings.model_dump()
    write_provenance(
        path,
        stage=_stage(stage),
        settings=values,
        inputs=inputs,
        seed=runtime.seed,
        modules=modules,
        facts={"counts": dict(counts), **facts},
    )
