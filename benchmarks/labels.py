"""What labels would bring: the self-trained picker's network taught with the truth instead.

It is taught and judged on the same micrographs, as the label-free pickers are, so its F1 is a bound on what
this network can reach there. Thresholds: the picker's own, the best one for all data sets, the best of each.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from vitreous.io.dataset import Dataset
from vitreous.io.micrograph import read_micrograph
from vitreous.metrics.pick_matching import match
from vitreous.picking.candidates import Array, Candidates
from vitreous.picking.combined import added
from vitreous.picking.combined_settings import CombinedSettings
from vitreous.picking.emmae import picker as emmae
from vitreous.picking.selftrained import picker as network_picker
from vitreous.picking.selftrained import training as selftraining
from vitreous.picking.selftrained.fitting import Example, fit_network
from vitreous.picking.selftrained.labels import PARTICLE, label_plane
from vitreous.picking.selftrained.scene import scene_of
from vitreous.picking.training import Source
from vitreous.picking.working import working_image
from vitreous.runtime.device import Runtime

SETTINGS = CombinedSettings()
RUNTIME = Runtime(threads=1)


@dataclass(frozen=True)
class Judged:
    """A micrograph and its true centres (n, 2)."""

    source: Source
    truth: Array


def judged(folder: Path) -> list[Judged]:
    """The annotated micrographs of a data set in the standard form."""
    dataset = Dataset(folder)
    truth = dataset.truth_picks()
    target = dataset.info.targets[0]
    assert truth is not None and target.diameter_A is not None
    diameter_px = target.diameter_A / dataset.info.pixel_size_A
    found = []
    for name in dataset.annotated():
        path = dataset.micrograph_path(name)
        source = Source(folder.name, name, 1.0, diameter_px, "dark", partial(read_micrograph, path))
        found.append(Judged(source, truth.loc[truth["micrograph"] == name, ["x", "y"]].to_numpy(float)))
    return found


def taught(pictures: Sequence[Judged]) -> network_picker.Model:
    """The network, taught with all true centres."""
    examples, settings = [], SETTINGS.network
    for one in pictures:
        source = one.source
        scene = scene_of(
            working_image(source.read(), source.diameter_px, source.contrast), settings.diameter_px
        )
        x, y = scene.from_full(*one.truth.T)
        labels = np.full(len(x), PARTICLE, dtype=np.uint8)
        plane, centres = label_plane(scene, x, y, labels), np.stack([x, y], axis=1)
        examples.append(Example(source.dataset, scene.planes(), plane, centres, 1.0))
    return network_picker.Model(settings.diameter_px, fit_network(examples, settings, RUNTIME)[0])


def counts(pictures: Sequence[Judged], found: Sequence[Candidates], cut: float) -> Array:
    """Truth, picks and hits from a score `cut` on, one-to-one within D/2."""
    total = np.zeros(3)
    for one, part in zip(pictures, found, strict=True):
        picks = np.stack([part.x, part.y], axis=1)[part.score >= cut]
        total += len(one.truth), len(picks), len(match(one.truth, picks, one.source.diameter_px / 2))
    return total


def f1(total: Array) -> float:
    """F1 of truth, picks and hits."""
    return float(2 * total[2] / max(total[0] + total[1], 1))


def row(pictures: Sequence[Judged], found: Sequence[Candidates], own: bool) -> str:
    """F1 at the own threshold where there is one, at the best common one, at the best of each data set."""
    scores = np.concatenate([part.score for part in found])
    cuts = np.quantile(scores, np.linspace(0, 1, 60)[:-1])
    sets = sorted({one.source.dataset for one in pictures})
    held = []
    for name in sets:
        members = [k for k, one in enumerate(pictures) if one.source.dataset == name]
        parts = [pictures[k] for k in members], [found[k] for k in members]
        held.append([counts(*parts, cut) for cut in [0.0, *cuts]])
    table = np.array(held)  # (sets, cuts, 3)
    at_own = f1(table[:, 0].sum(axis=0))
    common = max(f1(total) for total in table.sum(axis=0))
    # of cuts that are as good, as all are without a particle, the one with the fewest picks
    each = f1(sum(max(rows, key=lambda total: (f1(total), -total[1])) for rows in table))
    return f"{f'{at_own:.3f}' if own else '-':>9s} {common:12.3f} {each:10.3f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+", type=Path, help="folders in the standard form, with truth")
    options = parser.parse_args()
    torch.set_num_threads(1)
    pictures = [one for folder in options.datasets for one in judged(folder)]
    sources = [one.source for one in pictures]
    likeness = emmae.restored(emmae.train(sources, SETTINGS.likeness, RUNTIME).model, RUNTIME)
    trained = selftraining.train(sources, SETTINGS.network, RUNTIME)
    alone = network_picker.restored(trained.model, RUNTIME)
    rest = [(s.read(), s.pixel_size_A, s.diameter_A, s.contrast) for s in sources]
    like = [emmae.find_candidates(*each, SETTINGS.likeness, RUNTIME, likeness) for each in rest]
    print(f"{'F1':36s} {'own cut':>9s} {'best common':>12s} {'best each':>10s}", flush=True)
    print(f"{'likeness (raw pixels)':36s} {row(pictures, like, own=True)}", flush=True)
    for word, model in (("without labels", alone), ("taught with the truth", taught(pictures))):
        found = [network_picker.find_candidates(*each, SETTINGS.network, RUNTIME, model) for each in rest]
        print(f"{'network ' + word:36s} {row(pictures, found, own=model is alone)}", flush=True)
        sums = [
            added(one, other, s.diameter_px, SETTINGS)
            for one, other, s in zip(found, like, sources, strict=True)
        ]
        print(f"{'sum, network ' + word:36s} {row(pictures, sums, own=model is alone)}", flush=True)


if __name__ == "__main__":
    main()
