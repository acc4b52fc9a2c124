"""The page's head: the verdict and the numbers one looks for first."""

from __future__ import annotations

import math

from vitreous.report.blocks import Tile, count, duration, fixed, plural
from vitreous.report.failures import failures, warnings
from vitreous.report.material import Material
from vitreous.report.multitarget import best_errors
from vitreous.report.results import read_benchmarks
from vitreous.report.scores import name_of, part

MOST = 4


def verdict(material: Material) -> tuple[str, str]:
    """One sentence about the run, and `good`, `attention` or `stale`."""
    stale, lost = len(material.records.stale), failures(material)
    told = warnings(material)
    parts = []
    if stale:
        parts.append(
            f"{plural(stale, 'result')} older than the code that made {'it' if stale == 1 else 'them'}"
        )
    if material.run.missing:
        parts.append(f"{plural(len(material.run.missing), 'expected file')} missing")
    if lost:
        parts.append(f"{plural(len(lost), 'member')} left out")
    if told:
        parts.append(plural(len(told), "warning"))
    if not material.run.results and not material.run.tables:
        return "This run holds no results yet.", "attention"
    if not parts:
        return "Everything that was asked for is there; nothing was left out.", "good"
    return f"{'; '.join(parts).capitalize()}.", "stale" if stale else "attention"


def tiles(material: Material) -> list[Tile]:
    """The first numbers: best F1, resolution and error, what failed, what is stale, how long it took."""
    found = [*_best_f1(material), *_best_resolution(material), *best_errors(material, MOST)]
    lost = len(failures(material))
    found.append(
        Tile(
            "left out",
            count(lost),
            note="micrographs that a stage went past",
            href="#failures",
            kind="bad" if lost else "",
        )
    )
    stale = len(material.records.stale)
    note = "results older than the code" if stale else "nothing older than the code"
    found.append(Tile("stale", count(stale), note=note, href="#provenance", kind="bad" if stale else ""))
    table = read_benchmarks(material.run.folder)
    if len(table) and "s" in table:
        found.append(
            Tile(
                "time",
                duration(float(table["s"].sum()), coarse=True),
                note="of all jobs together",
                href="#computing",
            )
        )
    return found


def _best_f1(material: Material) -> list[Tile]:
    best: dict[str, tuple[float, str, str]] = {}
    for subject, scores in material.scores("picks").items():
        score, dataset = scores.get("f1_micro"), part(subject, "dataset")
        if score is None or not math.isfinite(score.value):
            continue
        if dataset not in best or score.value > best[dataset][0]:
            best[dataset] = (score.value, name_of(subject, "denoiser", "picker"), score.interval)
    return [
        Tile(
            f"best F1 on {dataset}",
            fixed(value, 3),
            note=" · ".join(filter(None, (name, interval))),
            href="#picking",
        )
        for dataset, (value, name, interval) in list(best.items())[:MOST]
    ]


def _best_resolution(material: Material) -> list[Tile]:
    best: dict[str, tuple[float, str]] = {}
    for subject, scores in material.scores("maps").items():
        score = scores.get("resolution_corrected_0.143")
        if score is None or not math.isfinite(score.value):
            continue
        name = f"{part(subject, 'target')} of {part(subject, 'dataset')}"
        if name not in best or score.value < best[name][0]:
            best[name] = (score.value, name_of(subject, "denoiser", "picker", "selection", "engine"))
    return [
        Tile(f"best map, {name}", fixed(value, 2), "Å", note=maker, href="#maps")
        for name, (value, maker) in list(best.items())[:MOST]
    ]
