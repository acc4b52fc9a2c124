"""The combined picker: sums of two pickers' scores, and the road from training to picks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from discs import micrograph, scattered

from vitreous.errors import InputError, SettingsError
from vitreous.metrics.pick_matching import match
from vitreous.picking.candidates import Candidates
from vitreous.picking.combined import added, find_candidates, knows, load_model, train
from vitreous.picking.combined_settings import CombinedSettings
from vitreous.picking.training import Source
from vitreous.runtime.device import Runtime

D = 32.0
SETTINGS = CombinedSettings(weight=10, decision=-1, absent=-3)


def candidates(*places: tuple[float, float, float]) -> Candidates:
    x, y, score = np.array(places).reshape(-1, 3).T
    return Candidates(x, y, score)


def test_what_both_have_found_adds_up_and_what_one_has_found_is_fined() -> None:
    network = candidates((100, 100, 2.0), (300, 300, 1.0))
    likeness = candidates((103, 100, 0.4), (500, 500, 0.5))
    found = added(network, likeness, D, SETTINGS)
    # 2 + 10 * 0.4, 10 * 0.5 - 3, 1 - 3; each less the decision of -1
    assert found.score.tolist() == pytest.approx([7.0, 3.0, -1.0])
    # the network's centre is kept
    assert list(zip(found.x, found.y, strict=True)) == [(100, 100), (500, 500), (300, 300)]
    assert found.decision == 0


def test_one_of_the_two_may_have_found_nothing() -> None:
    nothing = candidates()
    assert added(nothing, candidates((10, 10, 0.5)), D, SETTINGS).score.tolist() == pytest.approx([3.0])
    assert added(candidates((10, 10, 9.5)), nothing, D, SETTINGS).score.tolist() == pytest.approx([6.0])
    assert len(added(nothing, nothing, D, SETTINGS).x) == 0


def test_a_network_that_finds_few_of_the_others_picks_learnt_another_molecule() -> None:
    places = [(100.0 * k, 50.0) for k in range(12)]
    likeness = candidates(*((x, y, 0.2) for x, y in places))
    sure, unsure = (candidates(*((x + 2, y, odds) for x, y in places)) for odds in (0.3, -2.0))
    assert knows(sure, likeness, D)
    assert not knows(unsure, likeness, D)
    assert not knows(candidates(*((x + D, y, 5.0) for x, y in places)), likeness, D)
    assert not knows(candidates(), likeness, D)
    # a handful of picks says nothing
    assert knows(unsure, candidates(*((x, y, 0.2) for x, y in places[:5])), D)


def test_it_learns_from_discs_without_labels_and_finds_others(tmp_path: Path) -> None:
    rng, runtime, path = np.random.default_rng(1), Runtime(), tmp_path / "model.pt"
    settings = CombinedSettings.model_validate(
        {"network": {"min_steps": 40, "max_steps": 40, "min_particles": 20}}
    )
    images, truths = [], []
    for _ in range(2):
        centres = scattered(rng, (400, 420), 45, 1.3 * D, 0.6 * D)
        images.append(micrograph(rng, (400, 420), centres, D, 1.0))
        truths.append(centres)
    sources = [Source("set", str(i), 1.0, D, "dark", lambda held=held: held) for i, held in enumerate(images)]
    torch.save(dict(train(sources[:1], settings, runtime).model), path)
    found = find_candidates(images[1], 1.0, D, "dark", settings, runtime, load_model(path, runtime))
    picks = np.stack([found.x, found.y], axis=1)[found.score >= 0]
    # discs as strong as the noise of a pixel: a few that touch may be missed
    assert len(match(truths[1], picks, D / 2)) >= 0.9 * len(truths[1])
    assert len(picks) <= 1.1 * len(truths[1])


def test_without_a_model_or_with_another_pickers_it_says_so(tmp_path: Path) -> None:
    image = np.zeros((100, 100), np.float32)
    with pytest.raises(SettingsError, match="needs a model"):
        find_candidates(image, 1.0, D, "dark", SETTINGS, Runtime())
    torch.save({"kind": "vitreous emmae 1"}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="another kind"):
        load_model(tmp_path / "other.pt", Runtime())
