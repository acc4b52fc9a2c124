"""Pictures of multi-target detection: what was planted above what every method made of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from vitreous.errors import VitreousError
from vitreous.io.mrc import open_stack
from vitreous.report.blocks import Block, Column, Figure, Fold, Mosaic, MosaicRow, Prose, fixed
from vitreous.report.material import Material
from vitreous.report.multitarget_results import Experiment
from vitreous.report.pictures import Image, pixel_picture
from vitreous.report.results import Result, read_table

MOST_COLUMNS = 10
MOST_SNRS = 3
SIDE_PX, LARGE_PX = 60, 96
FEW = 6  # so many columns leave room for large pictures
# As in the errors' own alignment: 6 px, or a quarter of the image where that is less.
MAX_SHIFT_PX = 6
NOTE = (
    "The first draw of each target, turned and moved onto the truth as for the aligned error, which stands "
    "below it. Grey values of a column are those of its truth; what lies beyond is clipped."
)
LONGEST = 6


@dataclass(frozen=True)
class _Truth:
    """The planted images (t, L, L) of an experiment with their names, and the ends of their grey values."""

    images: Image
    names: list[str]

    @property
    def side_px(self) -> int:
        """How large a picture is shown."""
        return SIDE_PX if len(self.names) > FEW else LARGE_PX

    def picture(self, image: Image, column: int, alt: str) -> Markup:
        """An image in the grey values of a column's truth."""
        own = self.images[column]
        picture = pixel_picture(image, float(own.min()), float(own.max()), side_px=self.side_px)
        return picture.element(alt)


def picture_blocks(material: Material, experiment: Experiment) -> list[Block]:
    """What was planted and what was made of it, at a few SNRs; nothing where no image is there."""
    trials = {
        (result.names["method"], float(result.names["snr"])): result
        for result in material.run.of("trials")
        if result.names["experiment"] == experiment.name and _is_number(result.names["snr"])
    }
    drawn = {key: trials[key] for key in experiment.means if key in trials}
    if not drawn:
        return []
    try:
        truth = _truth(list(drawn.values()))
    except (VitreousError, OSError, ValueError) as error:
        return [Prose(f"Recovered images are not shown: {error}", kind="warning")]
    if truth is None:
        return [
            Prose("Recovered images are not shown: no `targets.mrcs` beside the estimates.", kind="empty")
        ]
    chosen = _few(experiment.snrs)
    made = {snr: _at(material, experiment, snr, truth, drawn) for snr in chosen}
    if len(chosen) == 1:
        title = f"Recovered images at SNR {chosen[0]:g}"
        return [replace(one, caption=title) if isinstance(one, Mosaic) else one for one in made[chosen[0]]]
    return [
        Fold(f"Recovered images at SNR {snr:g}", blocks, open=snr == chosen[0])
        for snr, blocks in made.items()
        if blocks
    ]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _few(snrs: Sequence[float]) -> list[float]:
    """At most `MOST_SNRS` of the SNRs, evenly over their ranks, the lowest first."""
    ordered = sorted(snrs)
    places = np.linspace(0, len(ordered) - 1, min(MOST_SNRS, len(ordered))).round().astype(int)
    return [ordered[place] for place in dict.fromkeys(places.tolist())]


def _truth(results: Sequence[Result]) -> _Truth | None:
    for result in results:
        path, trials = result.file("targets.mrcs"), read_table(result.file("trials.csv"))
        if path is None or "target" not in trials:
            continue
        names = [str(name) for name in trials["target"].unique()]
        images = open_stack(path)[:]
        if len(images) != len(names):
            raise ValueError(f"{path} has {len(images)} images for {len(names)} targets")
        return _Truth(images[:MOST_COLUMNS], names[:MOST_COLUMNS])
    return None


def _at(
    material: Material,
    experiment: Experiment,
    snr: float,
    truth: _Truth,
    trials: dict[tuple[str, float], Result],
) -> list[Block]:
    """The mosaic at one SNR, with a line for each method that could not be shown."""
    planted = [
        Figure(truth.picture(image, column, f"Truth: {truth.names[column]}"), "")
        for column, image in enumerate(truth.images)
    ]
    rows, problems = [MosaicRow("truth", planted, kind="truth")], []
    for method in experiment.methods:
        if (method, snr) not in trials:
            continue
        try:
            figures = _figures(experiment, trials[method, snr], truth)
        except (VitreousError, OSError, ValueError) as error:
            problems.append(f"{method} at SNR {snr:g} is not shown: {error}")
            continue
        if material.budget.take(sum(len(figure.picture) for figure in figures)):
            rows.append(MosaicRow(method, figures))
        else:
            why = "to keep the page small; `report.max_megabytes` allows more"
            problems.append(f"{method} at SNR {snr:g} is left out {why}.")
    columns = [
        Column(label, title=name) for label, name in zip(short_names(truth.names), truth.names, strict=True)
    ]
    shown: list[Block] = [Mosaic(columns, rows, note=NOTE)] if len(rows) > 1 else []
    return shown + [Prose(problem, kind="warning") for problem in problems]


def _figures(experiment: Experiment, result: Result, truth: _Truth) -> list[Figure]:
    """The estimates of one method, a figure a target."""
    trials, path = read_table(result.file("trials.csv")), result.file("estimates.mrcs")
    if path is None or not {"target", "seed", "control"} <= set(trials):
        raise ValueError("its trials are not there")
    stack = open_stack(path)
    if len(stack) != len(trials) or stack.shape[1:] != truth.images.shape[1:]:
        raise ValueError(f"{path} does not fit its trials")
    rows = _first_draws(trials, truth.names)
    images = _onto_truth(stack[rows], truth.images, experiment.rotations)
    figures = []
    for column, (row, image) in enumerate(zip(rows, images, strict=True)):
        error = float(trials["error_aligned"].iloc[row]) if "error_aligned" in trials else math.nan
        said = f", aligned error {fixed(error, 3)}" if math.isfinite(error) else ""
        alt = f"{result.names['method']} at SNR {result.names['snr']}: {truth.names[column]}{said}"
        figures.append(Figure(truth.picture(image, column, alt), fixed(error, 2)))
    return figures


def _first_draws(trials: pd.DataFrame, names: Sequence[str]) -> list[int]:
    """Rows of the lowest seed of each target, controls left out; raises ValueError where one has none."""
    planted = trials[trials["control"] == 0].sort_values("seed", kind="stable").drop_duplicates("target")
    rows = dict(zip(planted["target"].astype(str), planted.index.to_numpy(int).tolist(), strict=True))
    missing = [name for name in names if name not in rows]
    if missing:
        raise ValueError(f"no trial of {missing[0]}")
    return [rows[name] for name in names]


def _onto_truth(estimates: Image, truth: Image, rotations: int) -> NDArray[np.float32]:
    """Estimates (t, L, L) in the turn and at the place that are nearest to the truth (t, L, L)."""
    import torch

    from vitreous.metrics.image_errors import aligned_error, apply_alignment
    from vitreous.multitarget.rotation import Rotations

    images, planted = (torch.from_numpy(np.asarray(one, np.float64)) for one in (estimates, truth))
    size = truth.shape[-1]
    turned = Rotations(rotations, size, planted).turn
    reach = min(MAX_SHIFT_PX, size // 4)
    found = aligned_error(images, planted, rotations, max_shift_px=reach, turned=turned)
    moved = apply_alignment(images, found.rotation, found.shift_px, rotations, turned)
    return moved.float().numpy()


def short_names(names: Sequence[str]) -> list[str]:
    """Names without the words that all begin with, cut at the next hyphen where one is still long."""
    words = [name.split("-") for name in names]
    shared = 0
    while all(len(one) > shared + 1 for one in words) and len({one[shared] for one in words}) == 1:
        shared += 1
    shared = shared if len(names) > 1 else 0
    labels = ["-".join(one[shared:]) for one in words]
    return labels if max(map(len, labels), default=0) <= LONGEST else [one[shared] for one in words]
