"""What tells particles from noise of any colour: details around candidates, and the skewness of a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from discs import Array, micrograph, scattered
from numpy.typing import NDArray
from shared import shared

from vitreous.io.micrograph import read_micrograph
from vitreous.metrics.pick_curve import best_threshold, threshold_curve
from vitreous.metrics.pick_matching import match
from vitreous.picking.blob import find_candidates
from vitreous.picking.blob_settings import BlobSettings
from vitreous.picking.candidates import Candidates
from vitreous.picking.structure import combined, median
from vitreous.picking.threshold import Threshold, choose_threshold
from vitreous.runtime.device import Runtime

SHAPE = (500, 660)
DIAMETER = 36.0


def noise(seed: int, excess: float, shape: tuple[int, int] = SHAPE) -> NDArray[np.float32]:
    """White noise and noise of power 1/k² that has `excess` times its power at 1/diameter."""
    rng = np.random.default_rng([seed, 31])
    k = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None])
    k[0, 0] = 1
    gain = np.sqrt(1 + excess / (k * DIAMETER) ** 2)
    return np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape)) * gain, shape).astype(np.float32)


def shells(seed: int, level: float, excess: float) -> tuple[NDArray[np.float32], Array]:
    """Dark rings that nearly fill the plane, in coloured noise of deviation `level`, and their centres."""
    rng = np.random.default_rng([seed, 37])
    centres = scattered(rng, SHAPE, 190, 0.95 * DIAMETER, 0.0)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = level * noise(seed, excess)
    for cx, cy in centres:
        image -= np.exp(-0.5 * ((np.hypot(x - cx, y - cy) - 0.31 * DIAMETER) / (0.1 * DIAMETER)) ** 2)
    return image.astype(np.float32), centres


def pick(image: NDArray[np.float32], diameter: float = DIAMETER) -> Candidates:
    return find_candidates(image, 1.0, diameter, "dark", BlobSettings(), Runtime())


def automatic(found: Sequence[Candidates]) -> Threshold:
    noise, spread = (median([getattr(one, key) for one in found]) for key in ("noise", "spread"))
    scores, evidence = (np.concatenate([getattr(one, key) for one in found]) for key in ("score", "evidence"))
    return choose_threshold(scores, noise, spread, combined([one.structure for one in found]), evidence)


def automatic_and_best_f1(
    truth: Sequence[Array], found: Sequence[Candidates], radius: float
) -> tuple[float, float]:
    cut = automatic(found).value
    named = {str(index): centres for index, centres in enumerate(truth)}
    picks = {str(index): np.stack([one.x, one.y], axis=1) for index, one in enumerate(found)}
    scores = {str(index): one.score for index, one in enumerate(found)}
    kept = {name: picks[name][scores[name] >= cut] for name in picks}
    hits = sum(len(match(named[name], kept[name], radius)) for name in kept)
    f1 = 2 * hits / (sum(map(len, kept.values())) + sum(map(len, truth)))
    return f1, best_threshold(threshold_curve(named, picks, scores, radius)).f1


@pytest.mark.parametrize("excess", [0.0, 1.0, 10.0])
def test_evidence_of_noise_of_any_colour_is_standard_normal(excess: float) -> None:
    evidence = np.concatenate([pick(noise(seed, excess)).evidence for seed in range(8)])
    known = evidence[np.isfinite(evidence)]
    assert len(known) > 1000
    # four standard errors of the mean; neighbours share pixels, which widens it a little
    assert abs(known.mean()) < 4 / np.sqrt(len(known))
    assert known.std() == pytest.approx(1, abs=0.1)


def test_evidence_stands_at_the_particles_and_not_beside_them() -> None:
    rng = np.random.default_rng(3)
    centres = scattered(rng, SHAPE, 60, 1.3 * DIAMETER, DIAMETER)
    found = pick(micrograph(rng, SHAPE, centres, DIAMETER, 1.0))
    near = np.hypot(found.x[:, None] - centres[:, 0], found.y[:, None] - centres[:, 1]).min(axis=1)
    known = np.isfinite(found.evidence)
    hits, others = (
        found.evidence[known & (near < DIAMETER / 4)],
        found.evidence[known & (near > DIAMETER / 2)],
    )
    assert len(hits) > 40 and len(others) > 40
    # in standard errors of noise: hits far above, others at 0
    assert hits.mean() > 6 / np.sqrt(len(hits))
    assert abs(others.mean()) < 4 / np.sqrt(len(others))


@pytest.mark.parametrize("excess", [0.0, 1.0, 10.0])
def test_structure_of_noise_of_any_colour_is_not_significant(excess: float) -> None:
    found = [pick(noise(seed, excess)).structure for seed in range(8)]
    assert max(map(abs, found)) < 4  # standard errors
    assert abs(combined(found)) < 4


@pytest.mark.parametrize("excess", [4.0, 10.0])
def test_strongly_coloured_noise_gives_hardly_a_pick(excess: float) -> None:
    found = [pick(noise(seed, excess)) for seed in range(4)]
    assert median([one.spread / one.noise for one in found]) > 2.2  # stronger than white noise could be
    threshold = automatic(found)
    # half a maximum of them all is expected above it
    assert sum(int((one.score >= threshold.value).sum()) for one in found) <= 3
    assert "noise alone" in threshold.rule


def test_crowded_shells_are_picked_though_their_scores_have_one_hump() -> None:
    truth, found = [], []
    for seed in range(2):
        image, centres = shells(seed, 0.8, 1.0)
        truth.append(centres)
        found.append(pick(image))
    assert abs(combined([one.structure for one in found])) > 6
    f1, best = automatic_and_best_f1(truth, found, DIAMETER / 2)
    assert best > 0.85
    assert f1 > best - 0.02


def test_levels_known_for_few_micrographs_are_not_taken_for_all() -> None:
    nan = float("nan")
    assert np.isnan(median([1.0, nan, nan])) and np.isnan(combined([9.0, nan]))
    assert median([1.0, 3.0, nan]) == 2.0
    assert combined([3.0, 3.0, 3.0, 3.0]) == 6.0


def test_automatic_threshold_of_the_real_apoferritin_set_is_within_a_hundredth_of_its_best() -> None:
    folder = shared("data/empiar-10146")
    truth, found = [], []
    for path in sorted((folder / "micrographs").glob("*.mrc")):
        table = pd.read_csv(folder / "coords" / f"{path.name[:-4]}.csv")
        truth.append(table[["x", "y"]].to_numpy(float))
        found.append(pick(read_micrograph(path), 130 / 1.5))
    f1, best = automatic_and_best_f1(truth, found, 65 / 1.5)
    assert f1 >= 0.85
    assert f1 >= best - 0.01
