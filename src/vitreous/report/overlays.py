"""Micrographs of a picker with its picks drawn on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from vitreous.errors import VitreousError
from vitreous.io.micrograph import read_micrograph
from vitreous.report.blocks import Block, Figure, Gallery, Key, Prose, fixed, plural
from vitreous.report.material import Material
from vitreous.report.pictures import Picture, micrograph_picture, overlay
from vitreous.report.results import Result, pick_counts, read_result_picks, read_table

KEYS = (
    Key("hit", "hit", "circle"),
    Key("missed particle", "miss", "square"),
    Key("false pick", "false", "cross"),
)
NOTE = (
    "Filtered for the eye: noise below D/12 and slopes beyond 2 D are removed, D the particle's diameter. "
    "A click enlarges a picture."
)
# What the kinds of picks are called in captions: one, several.
WORDS = {
    "hit": ("hit", "hits"),
    "miss": ("missed", "missed"),
    "false": ("false", "false"),
    "pick": ("pick", "picks"),
}
NEEDED = {"kind", "micrograph", "x", "y"}


@dataclass(frozen=True)
class _Shown:
    """A micrograph to show: its rank's name, its own name, a remark, and a table kind, x, y of its picks."""

    rank: str
    micrograph: str
    remark: str
    picks: pd.DataFrame


def overlays(material: Material, result: Result) -> list[Block]:
    """A few micrographs with hits, misses and false picks; with the picks alone where there is no truth."""
    wanted = material.settings.overlays_per_picker
    compared = bool(result.file("matches.csv"))
    shown = _compared(result, wanted) if compared else _uncompared(result, wanted)
    figures, problems, refused = [], [], material.budget.refused
    for one in shown:
        try:
            figure = _figure(material, result, one)
        except (VitreousError, OSError, ValueError) as error:
            problems.append(f"{one.micrograph} is not shown: {error}")
            continue
        figures += [figure] if figure else []
    left_out = material.budget.refused - refused
    if left_out:
        pictures = plural(left_out, "picture")
        problems.append(f"{pictures} left out to keep the page small; `report.max_megabytes` allows more.")
    keys = KEYS if compared else (Key("pick", "pick", "circle"),)
    blocks: list[Block] = [Gallery(figures, keys, note=NOTE)] if figures else []
    return blocks + [Prose(problem, kind="warning") for problem in problems]


def _spread(count: int, wanted: int) -> list[tuple[int, str]]:
    """Places evenly spread over `count` ranks, first and last included, with the names of the ranks."""
    if not count or not wanted:
        return []
    last = count - 1
    names = {
        last // 2: "median",
        (last + 1) // 2: "median",
        last: "worst",
        0: "best" if last else "the only one",
    }
    places = np.unique(np.linspace(0, last, min(wanted, count)).round().astype(int)).tolist()
    return [(place, names.get(place, f"rank {place + 1} of {count}")) for place in places]


def _compared(result: Result, wanted: int) -> list[_Shown]:
    """Micrographs over the ranks of F1, best first; those that failed are left out."""
    table, matches = read_table(result.file("per_micrograph.csv")), read_table(result.file("matches.csv"))
    if "f1" not in table or not set(matches) >= NEEDED:
        return []
    table = table[~table["missing"].astype(bool)] if "missing" in table else table
    ordered = table.dropna(subset=["f1"]).sort_values("f1", ascending=False, kind="stable")
    shown = []
    for place, rank in _spread(len(ordered), wanted):
        name, f1 = str(ordered["micrograph"].iloc[place]), float(ordered["f1"].iloc[place])
        shown.append(_Shown(rank, name, f"F1 {fixed(f1, 3)}", matches[matches["micrograph"] == name]))
    return shown


def _uncompared(result: Result, wanted: int) -> list[_Shown]:
    """Micrographs over the ranks of the number of picks, most first."""
    if result.names["picker"] == "truth":
        return []
    counts, picks = pick_counts(result).sort_values(ascending=False, kind="stable"), read_result_picks(result)
    names = {"best": "most picks", "worst": "fewest picks"}
    return [
        _Shown(
            names.get(rank, rank),
            str(counts.index[place]),
            "",
            picks[picks["micrograph"] == counts.index[place]].assign(kind="pick"),
        )
        for place, rank in _spread(len(counts), wanted)
    ]


def _figure(material: Material, result: Result, shown: _Shown) -> Figure | None:
    picture, longer, name = _picture(material, result.names["dataset"], shown.micrograph)
    kinds = {str(kind): rows[["x", "y"]].to_numpy(float) for kind, rows in shown.picks.groupby("kind")}
    named = ("pick",) if "pick" in kinds else ("hit", "miss", "false")
    counts = ", ".join(plural(len(kinds.get(kind, ())), *WORDS[kind]) for kind in named)
    radius_px = (material.diameter_px(result.names["dataset"]) or 0.03 * longer) / 2
    alt = f"Micrograph {shown.micrograph} with picks of {result.label}: {counts}"
    budget = material.budget
    marks, again = f"picks-{budget.taken + 1}", name in budget.shown
    drawn = overlay(picture, kinds, radius_px, alt, name=name, marks=marks, again=again)
    if not budget.take(len(drawn)):
        return None
    budget.shown.add(name)
    return Figure(drawn, shown.rank, _joined([Path(shown.micrograph).name, shown.remark, counts]))


def _joined(words: Sequence[str]) -> str:
    return " · ".join(word for word in words if word)


def _picture(material: Material, dataset: str, micrograph: str) -> tuple[Picture, int, str]:
    """The micrograph's picture, its longer side in px and its name on the page; made once for all pickers."""
    if (dataset, micrograph) not in material.pictures:
        folder = material.run.datasets.get(dataset)
        if folder is None:
            raise ValueError("the folder of its data set is not known")
        pixels = read_micrograph(folder / micrograph)
        picture = micrograph_picture(
            pixels, side_px=material.settings.overlay_side_px, diameter_px=material.diameter_px(dataset)
        )
        name = f"micrograph-{len(material.pictures) + 1}"
        material.pictures[dataset, micrograph] = (picture, max(pixels.shape), name)
    return material.pictures[dataset, micrograph]
