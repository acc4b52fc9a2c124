"""How picking holds up where the input is not what it should be: noise, diameter, parts, polarity.

The picker is that of `vitreous pick`: the encoder that comes along, its clusters found anew in what is given.
F1 one-to-one within half of the true diameter, pooled over the micrographs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vitreous.io.dataset import Dataset
from vitreous.io.micrograph import read_micrograph
from vitreous.metrics.pick_matching import match
from vitreous.picking.emmae.picker import find_candidates, restored, train
from vitreous.picking.emmae.settings import EmmaeSettings
from vitreous.picking.registry import shipped_model
from vitreous.picking.training import Source
from vitreous.runtime.device import Runtime

Image = NDArray[np.float32]
RUNTIME = Runtime(threads=1)
SETTINGS = EmmaeSettings.model_validate({"training": {"encoder_from": shipped_model(EmmaeSettings())}})


@dataclass(frozen=True)
class Case:
    """A micrograph (h, w), its true centres (n, 2) and diameter, px, and what the picker is told of it."""

    image: Image
    truth: NDArray[np.float64]
    diameter_px: float
    contrast: str
    true_px: float


def cases_of(folder: Path, most: int) -> list[Case]:
    """The annotated micrographs of a data set in the standard form."""
    dataset = Dataset(folder)
    table, target = dataset.truth_picks(), dataset.info.targets[0]
    assert table is not None and target.diameter_A is not None
    diameter = target.diameter_A / dataset.info.pixel_size_A
    found = []
    for name in sorted(dataset.annotated())[:most]:
        truth = table.loc[table["micrograph"] == name, ["x", "y"]].to_numpy(float)
        image = read_micrograph(dataset.micrograph_path(name))
        found.append(Case(image, truth, diameter, dataset.info.contrast, diameter))
    return found


def noisy(case: Case, strength: float) -> Case:
    """White noise added, `strength` times the micrograph's own deviation."""
    rng = np.random.default_rng(case.truth.size)
    noise = rng.normal(0, strength * case.image.std(), case.image.shape).astype(np.float32)
    return replace(case, image=case.image + noise)


def part(case: Case, share: float) -> Case:
    """The upper left part, `share` of each side."""
    h, w = (int(share * side) for side in case.image.shape)
    inside = (case.truth < [w, h]).all(axis=1)
    return replace(case, image=np.ascontiguousarray(case.image[:h, :w]), truth=case.truth[inside])


def sloped(case: Case) -> Case:
    """A background that rises by four of the micrograph's deviations from left to right."""
    slope = 4 * case.image.std() * np.linspace(-0.5, 0.5, case.image.shape[1], dtype=np.float32)
    return replace(case, image=case.image + slope)


CHANGES: dict[str, Callable[[Case], Case]] = {
    "as it is": lambda case: case,
    "inverted, contrast: auto": lambda case: replace(case, image=-case.image, contrast="auto"),
    "noise as strong again": lambda case: noisy(case, 1),
    "twice that noise": lambda case: noisy(case, 2),
    "diameter 25 % too small": lambda case: replace(case, diameter_px=0.75 * case.diameter_px),
    "diameter 15 % too large": lambda case: replace(case, diameter_px=1.15 * case.diameter_px),
    "diameter 30 % too large": lambda case: replace(case, diameter_px=1.3 * case.diameter_px),
    "sloping background": sloped,
    "0.8 of each side": lambda case: part(case, 0.8),
    "half of each side": lambda case: part(case, 0.5),
}


def f1_of(cases: list[Case]) -> float:
    """Learn from the micrographs, pick them, compare: F1 of all together."""
    sources = [
        Source("set", str(number), 1.0, case.diameter_px, case.contrast, case.image.copy)
        for number, case in enumerate(cases)
    ]
    model = restored(train(sources, SETTINGS, RUNTIME).model, RUNTIME)
    truth = picked = hits = 0
    for case in cases:
        found = find_candidates(case.image, 1.0, case.diameter_px, case.contrast, SETTINGS, RUNTIME, model)
        picks = np.stack([found.x, found.y], axis=1)[found.score >= 0]
        truth, picked = truth + len(case.truth), picked + len(picks)
        hits += len(match(case.truth, picks, case.true_px / 2))
    return 2 * hits / max(truth + picked, 1)


def main() -> None:
    """Print a row for every change, a column for every data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+", type=Path, help="folders in the standard form, with truth")
    parser.add_argument("--most", type=int, default=5, help="micrographs of each")
    options = parser.parse_args()
    torch.set_num_threads(1)
    held = [cases_of(folder, options.most) for folder in options.datasets]
    print(f"{'':26s}" + "".join(f"{folder.name:>20s}" for folder in options.datasets), flush=True)
    for word, change in CHANGES.items():
        scores = [f1_of([change(case) for case in cases]) for cases in held]
        print(f"{word:26s}" + "".join(f"{score:20.3f}" for score in scores), flush=True)


if __name__ == "__main__":
    main()
