"""The particles of one micrograph, and of a batch of them: rows, stacks and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitreous.errors import InputError
from vitreous.io.dataset import Dataset
from vitreous.io.micrograph import read_micrograph
from vitreous.io.mrc import StackWriter
from vitreous.io.particles import ANGLES, DEFOCUS, ORIGINS, ParticleSet, origins_A, pixel_sizes_A
from vitreous.io.picks import read_picks
from vitreous.io.star import read_star
from vitreous.reconstruction.ctf_table import FAILED, INHERITED, NAME
from vitreous.reconstruction.extraction import (
    CHUNK,
    BoxSize,
    box_size,
    cut_boxes,
    develop,
    match_truth,
    origins,
    place_boxes,
    refuse_other_size,
)
from vitreous.reconstruction.halves import HAS_POSE, TARGET
from vitreous.reconstruction.settings import ExtractionSettings

COUNTED = (
    "picks",
    "unknown_micrograph",
    "outside",
    "over_edge",
    "constant",
    "ctf_failed",
    "particles",
    "with_pose",
)


@dataclass(frozen=True)
class Extraction:
    """All that the particles of a batch are made from; tables by micrograph.

    `unknown` counts the picks of micrographs that the data set does not have; only the batch with the data
    set's first micrograph holds them, so that sums over batches are right.
    """

    dataset: Dataset
    settings: ExtractionSettings
    size: BoxSize
    folder: Path
    groups: Mapping[str, int]
    picks: Mapping[str, pd.DataFrame]
    ctf: Mapping[str, Mapping[str, Any]] | None
    truth: Mapping[str, pd.DataFrame] | None
    unknown: Mapping[str, int]

    @property
    def labels(self) -> list[str]:
        """The columns of the particles, in order."""
        labels = ["rlnImageName", NAME, "rlnCoordinateX", "rlnCoordinateY", *ORIGINS, "rlnOpticsGroup"]
        if any(len(table) and table["score"].notna().all() for table in self.picks.values()):
            labels.append("rlnAutopickFigureOfMerit")
        if self.ctf is not None:
            known = next(iter(self.ctf.values()), {})
            labels += [label for label in INHERITED if label in known]
        return labels + ([*ANGLES, HAS_POSE, TARGET] if self.truth is not None else [])


def prepare_extraction(
    dataset: Dataset,
    names: Sequence[str],
    picks_star: Path,
    ctf_star: Path | None,
    folder: Path,
    settings: ExtractionSettings,
) -> Extraction:
    """Read the tables of a batch.

    Raises InputError where the data set names no target (so no diameter), or where no pick is of one of its
    micrographs.
    """
    targets = dataset.info.targets
    if not targets:
        raise InputError("no target, so no diameter for the box", file=dataset.folder / "dataset.json")
    size = box_size(
        dataset.info.pixel_size_A,
        max(target.diameter_A for target in targets),
        box_px=settings.box_px,
        box_factor=settings.box_factor,
        pixel_size_A=settings.pixel_size_A,
        background_factor=settings.background_factor,
    )
    table = dataset.micrographs()
    groups = dict(zip(table[NAME], table["rlnOpticsGroup"].astype(int), strict=True))
    picks = read_picks(picks_star)
    unknown = _unknown_micrographs(picks, list(groups), picks_star)
    if next(iter(groups), None) not in names:
        unknown = {}
    picks = picks[picks["micrograph"].isin(list(names))]
    ctf = None if ctf_star is None else _rows_by_name(ctf_star)
    truth = _truth(dataset) if settings.poses == "truth" else None
    by_name = {str(name): table for name, table in picks.groupby("micrograph", sort=False)}
    return Extraction(dataset, settings, size, folder, groups, by_name, ctf, truth, unknown)


def _unknown_micrographs(picks: pd.DataFrame, known: Sequence[str], file: Path) -> dict[str, int]:
    """How many picks each micrograph has that is not `known`; InputError where none is known."""
    stray = picks.loc[~picks["micrograph"].isin(known), "micrograph"]
    if len(picks) and len(stray) == len(picks):
        raise InputError(
            "the picks belong to no micrograph of the data set",
            file=file,
            found=str(stray.iloc[0]),
            expected=f"e.g. {known[0]}" if known else "a data set with micrographs",
            todo="give picks the names that stand in micrographs.star",
        )
    return {str(name): int(number) for name, number in stray.value_counts(sort=False).items()}


def refuse_smaller_frame(
    picks: Mapping[str, pd.DataFrame], shapes: Mapping[str, tuple[int, int]], file: Path
) -> None:
    """Raise InputError where 50 picks or more all lie in the first 0.55 of both sides: binned images."""
    shares = [
        picks[name][["x", "y"]].to_numpy() / np.array(shapes[name][::-1]) for name in picks if name in shapes
    ]
    far = np.concatenate(shares) if shares else np.empty((0, 2))
    if len(far) >= 50 and (far.max(axis=0) < 0.55).all():
        h, w = next(iter(shapes.values()))
        seen = far.max(axis=0) * [w, h]
        raise InputError(
            "picks of another micrograph size or binning",
            file=file,
            found=f"all {len(far)} picks within {seen[0]:.0f} x {seen[1]:.0f} px",
            expected=f"{w} x {h} px",
            todo="scale the coordinates",
        )


def stack_name(micrograph: str) -> str:
    """Name of a stack: the micrograph's path below `micrographs/`, folders joined by two underscores."""
    parts = PurePosixPath(micrograph).with_suffix("").parts
    return "__".join(parts[1:] if len(parts) > 1 and parts[0] == "micrographs" else parts) + ".mrcs"


def extract_micrograph(job: Extraction, name: str) -> tuple[pd.DataFrame, dict[str, int]]:
    """The rows of a micrograph's particles and the counts of `COUNTED`; writes their stack.

    Raises InputError for a micrograph that cannot be read, is smaller than the box, or is not that of the
    picks.
    """
    picks = job.picks.get(name)
    counts = dict.fromkeys(COUNTED, 0)
    empty = pd.DataFrame(columns=job.labels)
    if picks is None:
        return empty, counts
    counts["picks"] = len(picks)
    ctf = _ctf_row(job, name)
    if ctf is not None and ctf.get(FAILED, 0) == 1:
        counts["ctf_failed"] = len(picks)
        return empty, counts
    micrograph = read_micrograph(job.dataset.micrograph_path(name))
    if min(micrograph.shape) < job.size.cut_px:
        raise InputError(
            "the box is larger than the micrograph",
            file=name,
            found=f"{job.size.cut_px} px",
            expected=f"at most {min(micrograph.shape)} px",
        )
    centres = picks[["x", "y"]].to_numpy(float)
    refuse_other_size(centres, micrograph.shape, file=name)
    boxes = place_boxes(centres, job.size.cut_px, micrograph.shape)
    counts["outside"], counts["over_edge"] = (
        int(boxes.outside.sum()),
        int((boxes.over_edge & ~boxes.outside).sum()),
    )
    kept = ~boxes.outside if job.settings.edge == "pad" else ~boxes.outside & ~boxes.over_edge
    written = _write_stack(job, name, micrograph, boxes.corner, np.flatnonzero(kept))
    counts["constant"] = int(kept.sum()) - len(written)
    rows = _rows(job, name, picks.iloc[written], boxes.remainder_px[written], ctf)
    counts["particles"] = len(rows)
    counts["with_pose"] = int(rows[HAS_POSE].sum()) if HAS_POSE in rows else 0
    return rows, counts


def _write_stack(
    job: Extraction,
    name: str,
    micrograph: NDArray[np.float32],
    corner: NDArray[np.int64],
    kept: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Write the stack of the picks `kept`; which of them are in it (a constant box is left out)."""
    path, size = job.folder / stack_name(name), job.size
    path.unlink(missing_ok=True)
    if not len(kept):
        return kept
    written = []
    with StackWriter(path, (size.box_px, size.box_px), size.pixel_size_A) as stack:
        for start in range(0, len(kept), CHUNK):
            part = kept[start : start + CHUNK]
            boxes = cut_boxes(micrograph, corner[part], size.cut_px)
            images, good = develop(
                boxes, size, invert=job.dataset.info.contrast == "dark", ramp=job.settings.ramp
            )
            stack.append(images)
            written.append(part[good])
    return np.concatenate(written)


def _rows(
    job: Extraction,
    name: str,
    picks: pd.DataFrame,
    remainder_px: NDArray[np.float64],
    ctf: Mapping[str, Any] | None,
) -> pd.DataFrame:
    """The table of particles whose stack has just been written, in its order."""
    stack = f"{job.folder.name}/{stack_name(name)}"
    rows = pd.DataFrame({"rlnImageName": [f"{i + 1:06d}@{stack}" for i in range(len(picks))]}, dtype="str")
    rows[NAME] = pd.Series([name] * len(picks), dtype="str")
    rows["rlnCoordinateX"], rows["rlnCoordinateY"] = picks["x"].to_numpy(), picks["y"].to_numpy()
    rows["rlnAutopickFigureOfMerit"] = picks["score"].to_numpy()
    rows["rlnOpticsGroup"] = job.groups[name]
    for label in INHERITED if ctf is not None else ():
        if label in ctf:  # type: ignore[operator]
            rows[label] = ctf[label]  # type: ignore[index]
    if job.truth is not None:
        remainder_px = _add_poses(job, name, rows, remainder_px)
    rows[list(ORIGINS)] = origins(remainder_px, job.dataset.info.pixel_size_A)
    return rows[job.labels]


def _add_poses(
    job: Extraction, name: str, rows: pd.DataFrame, remainder_px: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Fill the pose columns from the truth; gives where the particle stands in its box (micrograph px)."""
    assert job.truth is not None
    centres = rows[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy(float)
    truth = job.truth.get(name)
    # ASSUME: of several targets the smallest decides what is near enough, as in the evaluation of picks.
    radius = min(target.diameter_A for target in job.dataset.info.targets) / 2 / job.dataset.info.pixel_size_A
    found = np.full(len(rows), -1)
    if truth is not None and len(rows):
        found = match_truth(centres, truth[["x", "y"]].to_numpy(), radius)
    matched = found >= 0
    for label in ANGLES:
        rows[label] = np.where(matched, truth[label].to_numpy()[found], 0.0) if truth is not None else 0.0
    rows[HAS_POSE] = matched.astype(int)
    known = truth[TARGET].to_numpy()[found] if truth is not None else np.full(len(rows), "none")
    rows[TARGET] = pd.Series(np.where(matched, known, "none"), dtype="str")
    if truth is None:
        return remainder_px
    moved = truth[["x", "y"]].to_numpy()[found] - centres + remainder_px
    return np.where(matched[:, None], moved, remainder_px)


def join_batches(
    tables: Iterable[pd.DataFrame], counts: Iterable[Mapping[str, int]], labels: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """All rows in one table with these columns, and summed counts; empty tables have no types."""
    filled = [table for table in tables if len(table)]
    joined = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(labels))
    total: Counter[str] = Counter(dict.fromkeys(COUNTED, 0))
    for count in counts:
        total.update({key: int(value) for key, value in count.items()})
    return joined, dict(total)


def particle_optics(dataset: Dataset, size: BoxSize) -> pd.DataFrame:
    """The optics groups of the data set with pixel and box of the particles."""
    optics = dataset.optics().drop(columns="rlnMicrographPixelSize", errors="ignore")
    return optics.assign(
        rlnImagePixelSize=float(size.pixel_size_A), rlnImageSize=size.box_px, rlnImageDimensionality=2
    )


def _ctf_row(job: Extraction, name: str) -> Mapping[str, Any] | None:
    if job.ctf is None:
        return None
    if name not in job.ctf:
        raise InputError("no CTF for this micrograph", file=name, todo="estimate the CTF of all micrographs")
    return job.ctf[name]


def _rows_by_name(path: Path) -> dict[str, dict[str, Any]]:
    block = read_star(path).get("micrographs")
    if not isinstance(block, pd.DataFrame) or not {NAME, *DEFOCUS} <= set(block):
        raise InputError(
            "no table of CTFs", file=path, expected=f"data_micrographs with {', '.join(DEFOCUS)}"
        )
    labels = [str(label) for label in block]
    rows = zip(*(block[label].tolist() for label in labels), strict=True)
    return {str(row[labels.index(NAME)]): dict(zip(labels, row, strict=True)) for row in rows}


def _truth(dataset: Dataset) -> dict[str, pd.DataFrame] | None:
    """The true particles by micrograph: centre x, y in px, angles, target; None without true poses."""
    particles: ParticleSet | None = dataset.truth_poses()
    needed = {NAME, "rlnCoordinateX", "rlnCoordinateY", *ANGLES}
    if particles is None or not needed <= set(particles.particles):
        return None
    table = particles.particles
    truth = table[[NAME, *ANGLES]].copy()
    shift = np.zeros((len(table), 2))
    if set(ORIGINS) <= set(table):
        shift = origins_A(particles) / (pixel_sizes_A(particles)[:, None] if len(table) else 1.0)
    truth["x"] = table["rlnCoordinateX"].to_numpy() - shift[:, 0]
    truth["y"] = table["rlnCoordinateY"].to_numpy() - shift[:, 1]
    truth[TARGET] = table[TARGET].to_numpy() if TARGET in table else "none"
    return {str(name): rows for name, rows in truth.groupby(NAME, sort=False)}
