"""cryo-EMMAE from micrographs to candidates: training without labels, controls, what bad input gets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from discs import micrograph, scattered
from numpy.typing import NDArray
from shared import ROOT

from vitreous.errors import InputError, SettingsError, StageError
from vitreous.io.micrograph import read_micrograph
from vitreous.metrics.pick_matching import match
from vitreous.picking.candidates import Candidates
from vitreous.picking.emmae.dataset_typical import SURE, believed, consensus
from vitreous.picking.emmae.picker import EmmaeModel, find_candidates, load_model, train
from vitreous.picking.emmae.settings import EmmaeSettings
from vitreous.picking.likeness import ring_radii
from vitreous.picking.training import Source
from vitreous.runtime.device import Runtime

RUNTIME = Runtime()
D = 32.0
SHAPE = (352, 420)
TINY = {
    "network": {"width": 16, "depth": 1, "decoder_width": 16},
    "training": {"epochs": 1, "epoch_windows": 64},
}
Array = NDArray[np.float64]


def source(number: int, count: int = 40, noise: float = 1.0, sign: float = 1.0) -> tuple[Source, Array]:
    rng = np.random.default_rng(number)
    centres = scattered(rng, SHAPE, count, 1.2 * D, 0.6 * D)
    image = sign * micrograph(rng, SHAPE, centres, D, noise)
    return Source("set", f"m{number}", 1.0, D, "dark", lambda: image), centres


def trained(tmp_path: Path, settings: EmmaeSettings, sources: list[Source]) -> EmmaeModel:
    path = tmp_path / "model.pt"
    torch.save(dict(train(sources, settings, RUNTIME).model), path)
    return load_model(path, RUNTIME)


def picks(found: Candidates) -> Array:
    return np.stack([found.x, found.y], axis=1)[found.score >= found.decision]


@pytest.mark.parametrize("tokens", ["encoder", "untrained", "raw"])
def test_discs_are_found_by_a_model_that_has_seen_no_label(tmp_path: Path, tokens: str) -> None:
    settings = EmmaeSettings.model_validate({**TINY, "tokens": {"source": tokens}})
    held = [source(1), source(2)]
    model = trained(tmp_path, settings, [one for one, _ in held])
    unseen, centres = source(3)
    found = find_candidates(unseen.read(), 1.0, D, "dark", settings, RUNTIME, model)
    hits = match(centres, picks(found), D / 2)
    # discs as strong as the noise of a pixel: nothing but touching ones may be missed
    assert len(hits) >= 0.9 * len(centres) and len(picks(found)) <= 1.1 * len(centres)
    assert np.median(hits.distance) < 0.04 * D


def test_every_published_choice_together_gives_picks_in_the_stored_frame(tmp_path: Path) -> None:
    settings = EmmaeSettings.model_validate({**TINY, "published": True, "tokens": {"source": "raw"}})
    held, centres = source(4, noise=0.3)
    model = trained(tmp_path, settings, [held])
    found = find_candidates(held.read(), 1.0, D, "dark", settings, RUNTIME, model)
    near = match(centres, picks(found), D / 2)
    # the area rule takes 4 % of the picture, however crowded it is; a flipped frame would hit next to nothing
    assert len(near) >= 0.6 * len(picks(found)) and len(near) >= 5


def test_a_model_of_other_tokens_or_none_is_refused(tmp_path: Path) -> None:
    raw = EmmaeSettings.model_validate({"tokens": {"source": "raw"}})
    held, _ = source(5)
    model = trained(tmp_path, raw, [held])
    with pytest.raises(SettingsError, match="other tokens"):
        find_candidates(held.read(), 1.0, D, "dark", EmmaeSettings(), RUNTIME, model)
    with pytest.raises(SettingsError, match="needs a model"):
        find_candidates(held.read(), 1.0, D, "dark", raw, RUNTIME)


def test_a_file_that_is_no_model_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("no model")
    torch.save({"kind": "something else"}, tmp_path / "other.pt")
    for name in ("text.pt", "other.pt"):
        with pytest.raises(InputError, match=name):
            load_model(tmp_path / name, RUNTIME)


def test_a_model_file_with_settings_that_are_no_more_is_read(tmp_path: Path) -> None:
    settings = EmmaeSettings.model_validate({"tokens": {"source": "raw"}})
    stored = dict(train([source(4)[0]], settings, RUNTIME).model)
    tokens = {**stored["settings"]["tokens"], "offsets": 1, "whiten": False}
    older = {**stored, "settings": {**stored["settings"], "tokens": tokens}, "whitening": None}
    torch.save(older, tmp_path / "older.pt")
    model = load_model(tmp_path / "older.pt", RUNTIME)
    np.testing.assert_array_equal(model.clusters.centres, stored["centres"].numpy())
    torch.save({**older, "whitening": [torch.zeros(1), torch.eye(1)]}, tmp_path / "whitened.pt")
    with pytest.raises(InputError, match="whitened tokens"):
        load_model(tmp_path / "whitened.pt", RUNTIME)


def test_the_same_seed_trains_the_same_model(tmp_path: Path) -> None:
    settings = EmmaeSettings.model_validate(TINY)
    held, _ = source(6)
    first, second = (train([held], settings, RUNTIME).model for _ in range(2))
    assert torch.equal(first["centres"], second["centres"])
    assert torch.equal(first["typical"], second["typical"])


def test_each_set_that_was_trained_on_keeps_a_typical_particle_of_its_own(tmp_path: Path) -> None:
    settings = EmmaeSettings.model_validate({"tokens": {"source": "raw"}})
    one, centres = source(10, noise=0.3)
    bright, _ = source(11, noise=0.3)
    two = Source("other", "1", 1.0, D, "bright", lambda: -bright.read())
    both = trained(tmp_path, settings, [one, two])
    assert both.typical is not None and both.typical.shape[0] == 2
    found = picks(find_candidates(one.read(), 1.0, D, "dark", settings, RUNTIME, both))
    assert len(match(centres, found, D / 2)) >= 0.9 * len(centres)


def test_an_average_of_few_particles_is_believed_only_where_there_is_no_other() -> None:
    few, many = (np.ones(4), SURE - 1), (np.zeros(4), SURE)
    assert believed([few, many]).tolist() == [[0, 0, 0, 0]]
    assert believed([few, (np.full(4, 2.0), 3)]).tolist() == [[1, 1, 1, 1]]
    assert believed([]) is None


def test_bad_micrographs_are_left_out_and_nothing_but_bad_ones_end_the_training() -> None:
    settings = EmmaeSettings.model_validate({"tokens": {"source": "raw"}})
    good, _ = source(7)
    flat = Source("set", "flat", 1.0, D, "dark", lambda: np.zeros(SHAPE, np.float32))
    assert train([flat, good], settings, RUNTIME).log[0]["micrographs"] == 1
    with pytest.raises(StageError, match="no micrograph to train on"):
        train([flat], settings, RUNTIME)


@pytest.mark.parametrize("shape", [(351, 421), (300, 640)])
def test_odd_sizes_and_wide_aspects_keep_the_centres(tmp_path: Path, shape: tuple[int, int]) -> None:
    settings = EmmaeSettings.model_validate({"tokens": {"source": "raw"}})
    rng = np.random.default_rng(8)
    centres = scattered(rng, shape, 40, 1.2 * D, 0.6 * D)
    image = micrograph(rng, shape, centres, D, 0.5)
    held = Source("set", "odd", 1.0, D, "dark", lambda: image)
    model = trained(tmp_path, settings, [held])
    found = find_candidates(image, 1.0, D, "dark", settings, RUNTIME, model)
    near = match(centres, picks(found), D / 2)
    offset = (picks(found)[near.pick_index] - centres[near.truth_index]).mean(axis=0)
    assert len(near) >= 0.9 * len(centres)
    # 0.5 px is the goal for the mean; forty centres scatter by about 0.1 px
    assert (abs(offset) < 0.5).all()


@pytest.mark.parametrize("part", [np.s_[:1000, :1000], np.s_[:600, 620:], np.s_[360:840, :]])
def test_a_part_of_a_real_micrograph_is_picked_as_well_as_the_whole(
    tmp_path: Path, part: tuple[slice, slice]
) -> None:
    settings = EmmaeSettings.model_validate({"tokens": {"source": "raw"}})
    folder = ROOT / "resources" / "empiar-10146-sample"
    for table in sorted((folder / "coords").glob("*.csv")):
        image = read_micrograph(folder / "micrographs" / f"{table.stem}.mrc")[part]
        centres = np.loadtxt(table, delimiter=",", skiprows=1)[:, :2] - [
            part[1].start or 0,
            part[0].start or 0,
        ]
        centres = centres[((centres >= 0) & (centres < image.shape[::-1])).all(axis=1)]
        model = trained(
            tmp_path, settings, [Source("set", "part", 1.5, 130.0, "dark", lambda held=image: held)]
        )
        found = picks(find_candidates(image, 1.5, 130.0, "dark", settings, RUNTIME, model))
        # measured 0.92 to 0.97; a level from whole micrographs' numbers left some parts without a pick
        assert 2 * len(match(centres, found, 43.0)) / (len(found) + len(centres)) > 0.85


def test_hot_pixels_change_no_pick_far_from_them(tmp_path: Path) -> None:
    settings = EmmaeSettings.model_validate({"tokens": {"source": "raw"}})
    held, centres = source(9)
    model = trained(tmp_path, settings, [held])
    hot = held.read().copy()
    hot[100, 100] = hot[200, 300] = 1e4
    found = find_candidates(hot, 1.0, D, "dark", settings, RUNTIME, model)
    assert len(match(centres, picks(found), D / 2)) >= 0.85 * len(centres)


def test_noise_alone_gives_hardly_a_pick(tmp_path: Path) -> None:
    settings = EmmaeSettings.model_validate({"tokens": {"source": "raw"}})
    held, _ = source(10)
    model = trained(tmp_path, settings, [held])
    noise = np.random.default_rng(11).standard_normal(SHAPE).astype(np.float32)
    found = find_candidates(noise, 1.0, D, "dark", settings, RUNTIME, model)
    assert len(picks(found)) <= 2


def test_an_average_that_went_astray_is_left_out() -> None:
    radii = ring_radii()
    rng = np.random.default_rng(12)
    good = [np.exp(-((radii / 0.3) ** 2)) + 0.05 * rng.standard_normal(len(radii)) for _ in range(4)]
    astray = np.cos(14 * radii)
    found = consensus([*good, astray], np.array([0.5, 0.6, *[0.4] * (len(good) - 2), 0.3]))
    mean = np.mean(good, axis=0)
    assert np.corrcoef(found, mean)[0, 1] > 0.99


def test_bright_particles_are_found_where_the_contrast_is_left_to_the_picture(tmp_path: Path) -> None:
    settings = EmmaeSettings.model_validate({"tokens": {"source": "raw"}})
    bright, centres = source(13, sign=-1.0)
    model = trained(tmp_path, settings, [replace(bright, contrast="auto")])
    found = find_candidates(bright.read(), 1.0, D, "auto", settings, RUNTIME, model)
    assert len(match(centres, picks(found), D / 2)) >= 0.9 * len(centres)
