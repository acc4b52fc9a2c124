"""The parts of picking: working image, maxima, normalisation, template, plugins, settings."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from discs import Array, discs, micrograph, scattered
from pydantic import TypeAdapter, ValidationError

from vitreous.errors import InputError, SettingsError, StageError
from vitreous.metrics.pick_matching import match
from vitreous.picking import template, topaz
from vitreous.picking.blob import blob_response, find_candidates
from vitreous.picking.candidates import (
    Candidates,
    Image,
    load_candidates,
    no_candidates,
    save_candidates,
)
from vitreous.picking.peaks import climb, local_maxima, suppress
from vitreous.picking.registry import VARIANTS, load, modules_of, plugin_file, variant_of
from vitreous.picking.settings import (
    BlobSettings,
    PickerSettings,
    PluginSettings,
    TemplateSettings,
    TopazSettings,
)
from vitreous.picking.working import (
    WorkingImage,
    binned,
    picking_mask,
    smeared_bands,
    white_noise_level,
    working_image,
)
from vitreous.runtime.device import Runtime

RUNTIME = Runtime()


def pick(image: Image, diameter: float, **settings: object) -> Candidates:
    return find_candidates(image, 1.0, diameter, "dark", BlobSettings.model_validate(settings), RUNTIME)


def points(found: Candidates) -> Array:
    return np.stack([found.x, found.y], axis=1)


@pytest.fixture(scope="module")
def noise() -> Image:
    return np.random.default_rng(0).standard_normal((300, 410)).astype(np.float32)


# --- The working image


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_binning_keeps_the_place_of_things(factor: int) -> None:
    shape, place = (101, 134), np.array([[60.3, 41.8]])
    small = binned(discs(shape, place, 40.0).astype(np.float32), factor)
    assert small.shape == (-(-shape[0] // factor), -(-shape[1] // factor))
    y, x = np.mgrid[: small.shape[0], : small.shape[1]]
    centre = [float((axis * small).sum() / small.sum()) for axis in (x, y)]
    work = WorkingImage(small, np.ones(small.shape, dtype=bool), factor, 40.0 / factor)
    full = np.array(work.to_full(np.array(centre[0]), np.array(centre[1])))
    np.testing.assert_allclose(full, place[0], atol=0.02)  # the rim of the disc is sampled


@pytest.mark.parametrize(("diameter", "factor"), [(20.0, 1), (47.0, 1), (48.0, 2), (99.0, 4)])
def test_a_working_diameter_is_24_px_or_a_little_more(noise: Image, diameter: float, factor: int) -> None:
    work = working_image(noise, diameter, "dark")
    assert work.bin == factor and work.diameter_px == diameter / factor


def test_a_working_image_is_standardised_with_bright_particles_and_no_hot_pixels(noise: Image) -> None:
    image = 500 + 20 * noise
    image[100, 100] = 1e6
    work = working_image(image, 30.0, "dark")
    assert np.median(work.image) == pytest.approx(0, abs=1e-6)
    assert work.image.std() == pytest.approx(1, abs=0.01)  # 123,000 values
    assert np.abs(work.image).max() <= 5
    np.testing.assert_allclose(working_image(image, 30.0, "bright").image, -work.image)


def test_an_image_without_room_for_two_particles_is_refused(noise: Image) -> None:
    with pytest.raises(InputError, match="too small for the particle .*410 x 300 px"):
        working_image(noise, 151.0, "dark")
    with pytest.raises(InputError, match="constant|smeared"):
        working_image(np.full((300, 410), 7, dtype=np.float32), 30.0, "dark")


def test_smeared_bands_are_found_and_noise_has_none(noise: Image) -> None:
    assert smeared_bands(noise) == (0, 0, 0, 0)
    image = noise.copy()
    image[:7] = image[7]  # eight equal lines
    image[:, -5:] = image[:, [-6]]
    image[-4:, :] = 3.0
    top, bottom, left, right = smeared_bands(image)
    assert (top, left, right) == (8, 0, 6)
    assert bottom in (0, 4, 5)  # an empty band has no steps along it either


def test_nothing_is_picked_in_a_smeared_band(noise: Image) -> None:
    image = noise.copy()
    image[:20] = image[20]
    found = pick(image, 30.0)
    assert len(found.y) > 20 and found.y.min() > 20


def test_white_noise_is_known_from_the_finest_details_and_filtered_noise_is_refused(noise: Image) -> None:
    truth = scattered(np.random.default_rng(1), noise.shape, 30, 33.0, 15.0)
    work = working_image((3 * noise - 3 * discs(noise.shape, truth, 30.0)).astype(np.float32), 30.0, "dark")
    scale = 1.4826 * np.median(np.abs(3 * noise - 3 * discs(noise.shape, truth, 30.0) + 0.0))
    assert white_noise_level(work) < 1  # particles are no noise
    assert white_noise_level(work) == pytest.approx(3 / scale, rel=0.35)
    blurred = binned(np.kron(noise, np.ones((2, 2), dtype=np.float32)), 1)
    assert np.isnan(white_noise_level(working_image(blurred, 30.0, "dark")))


# --- Settings that limit


@pytest.mark.parametrize("border", [0.0, 0.5, 1.2])
@pytest.mark.parametrize("diameter", [30.0, 60.0])
def test_the_border_is_honoured(noise: Image, border: float, diameter: float) -> None:
    found = pick(noise, diameter, border=border)
    h, w = noise.shape
    assert len(found.x) > 5
    rim = min(found.x.min(), found.y.min(), w - 1 - found.x.max(), h - 1 - found.y.max())
    # centres are measured on a second map and may lie up to 0.15 D from the maximum that was allowed
    assert rim > (border - 0.15) * diameter


def test_a_border_wider_than_the_image_leaves_no_candidate(noise: Image) -> None:
    assert len(pick(noise, 60.0, border=4).x) == 0


def test_the_most_picks_are_the_best_ones(noise: Image) -> None:
    every, few = pick(noise, 30.0), pick(noise, 30.0, max_picks=7)
    assert len(every.x) > 7
    np.testing.assert_array_equal(few.score, every.score[:7])
    assert (np.diff(every.score) <= 0).all() and few.noise == every.noise


@pytest.mark.parametrize("distance", [0.3, 0.6, 1.5])
def test_the_least_distance_of_candidates_is_honoured(noise: Image, distance: float) -> None:
    mask = np.ones(noise.shape, dtype=bool)
    response = blob_response(noise, mask, 8.0, "log")
    x, y, _ = local_maxima(response, mask, distance * 30)
    between = np.hypot(x[:, None] - x, y[:, None] - y) + 1e9 * np.eye(len(x))
    assert between.min() >= distance * 30


# --- Maxima


def test_suppression_keeps_the_best_of_each_neighbourhood_and_is_deterministic() -> None:
    x, y = np.array([0.0, 3.0, 6.0, 9.0]), np.zeros(4)
    # the first takes the second; the third is not near any that is kept
    assert suppress(x, y, 5.0).tolist() == [0, 2]
    assert suppress(x, y, 3.0).tolist() == [0, 1, 2, 3]  # the distance itself is allowed
    assert suppress(x, y, 0.0).tolist() == [0, 1, 2, 3]
    assert suppress(np.zeros(0), np.zeros(0), 5.0).tolist() == []
    x, y = np.random.default_rng(0).uniform(0, 100, (2, 400))
    kept = suppress(x, y, 9.0)
    slow: list[int] = []
    for index in range(400):
        if all(np.hypot(x[index] - x[k], y[index] - y[k]) >= 9 for k in slow):
            slow.append(index)
    assert kept.tolist() == slow


def test_maxima_are_found_between_pixels_best_first() -> None:
    y, x = np.mgrid[:60, :80]
    score = sum(
        height * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 50)
        for cx, cy, height in ((20.3, 15.8, 1.0), (60.6, 40.25, 2.0))
    )
    found = local_maxima(np.asarray(score), np.ones((60, 80), dtype=bool), 10)
    # a parabola through a Gaussian of sigma 5 errs by less than 0.01 px
    np.testing.assert_allclose(found, [[60.6, 20.3], [40.25, 15.8], [2.0, 1.0]], atol=0.01)


def test_a_plateau_is_one_maximum_and_the_rim_of_the_mask_none() -> None:
    score = np.zeros((9, 9))
    score[4, 4:6] = 1
    score[0, 0] = score[8, 3] = 5
    x, y, _ = local_maxima(score, np.ones((9, 9), dtype=bool), 0)
    assert (x.tolist(), y.tolist()) == ([4.5], [4.0])
    assert len(local_maxima(np.ones((9, 9)), np.ones((9, 9), dtype=bool), 0)[0]) == 0


def test_climbing_reaches_the_top_nearby_and_leaves_alone_what_is_far() -> None:
    y, x = np.mgrid[:60, :80]
    score = np.exp(-((x - 30.4) ** 2 + (y - 20.7) ** 2) / 200)
    near_x, near_y = climb(score, np.array([27.0, 50.0]), np.array([23.0, 20.0]), 6.0)
    np.testing.assert_allclose([near_x[0], near_y[0]], [30.4, 20.7], atol=0.01)
    assert (near_x[1], near_y[1]) == (50.0, 20.0)


@pytest.mark.parametrize("kind", ["log", "dog"])
def test_a_constant_image_has_no_response_up_to_the_rim_of_its_mask(kind: str) -> None:
    mask = np.ones((90, 120), dtype=bool)
    mask[:9] = mask[:, -13:] = False
    image = np.where(mask, np.float32(3), np.float32(99))
    response = blob_response(image, mask, 6.0, kind)
    assert np.abs(response[mask]).max() < 1e-4  # float32 transforms of a level of 3


# --- Normalisation


def test_local_normalisation_levels_a_strong_gradient_of_noise() -> None:
    rng = np.random.default_rng(5)
    shape = (400, 500)
    truth = scattered(rng, shape, 40, 40.0, 20.0)
    strength = np.exp(np.arange(shape[1]) / 250)  # noise and particles are 7 times stronger at the right
    image = strength * (micrograph(rng, shape, truth, 30.0, 2.0) - 100)
    hits = {}
    for normalise in ("none", "local"):
        found = points(pick(image.astype(np.float32), 30.0, normalise=normalise))[: len(truth)]
        hits[normalise] = len(match(truth, found, 15.0))
    assert hits["local"] >= 39 and hits["none"] <= 36


# --- Candidates


def test_candidates_come_back_from_their_file(tmp_path: Path) -> None:
    found = Candidates(np.array([1.5]), np.array([2.25]), np.array([7.0]), 0.5)
    for one in (found, no_candidates()):
        save_candidates(tmp_path / "c.npz", one)
        back = load_candidates(tmp_path / "c.npz")
        for key in ("x", "y", "score", "noise", "spread"):
            np.testing.assert_array_equal(getattr(back, key), getattr(one, key))


def test_the_best_of_equal_scores_are_the_first() -> None:
    found = Candidates(np.arange(4.0), np.zeros(4), np.array([1.0, 2.0, 2.0, 2.0]))
    assert found.best(2).x.tolist() == [1.0, 2.0] and found.best(None).x.tolist() == [1.0, 2.0, 3.0, 0.0]


# --- Template


def test_a_template_correlates_fully_with_itself_and_with_any_gain() -> None:
    profile = np.array([1.0] * 16 + [0.0] * 4)
    drawn, weight = template.draw_template(profile, 24.0, 0.6)
    image = np.zeros((80, 90), dtype=np.float32)
    image[20 : 20 + len(drawn), 30 : 30 + len(drawn)] = drawn
    mask = np.ones(image.shape, dtype=bool)
    reach = len(drawn) // 2
    score = template.masked_correlation(image, mask, drawn, weight)
    assert np.unravel_index(score.argmax(), score.shape) == (20 + reach, 30 + reach)
    # the unit is that of the image: twice the contrast is twice the score, a level changes nothing
    scaled = template.masked_correlation(2 * image + 5, mask, drawn, weight)
    np.testing.assert_allclose(scaled, 2 * score, atol=1e-4)


def test_a_template_needs_a_model_and_a_polarity() -> None:
    image = np.zeros((100, 100), dtype=np.float32)
    arguments = (image, 1.0, 20.0)
    with pytest.raises(SettingsError, match="needs a model"):
        template.find_candidates(*arguments, "dark", TemplateSettings(), RUNTIME)
    with pytest.raises(SettingsError, match="polarity"):
        template.find_candidates(*arguments, "auto", TemplateSettings(), RUNTIME, model=np.ones(4))
    with pytest.raises(SettingsError, match="polarity"):
        topaz.find_candidates(*arguments, "auto", TopazSettings(), RUNTIME)


def test_a_file_that_is_no_template_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_text("no model")
    with pytest.raises(InputError, match="not a model file"):
        template.load_model(path, RUNTIME)
    torch.save({"kind": "something else"}, path)
    with pytest.raises(InputError, match="another kind"):
        template.load_model(path, RUNTIME)


def test_training_without_a_micrograph_says_so() -> None:
    with pytest.raises(StageError, match="no picks to average"):
        template.train([], TemplateSettings(), RUNTIME)


# --- Plugins


def test_a_plugin_is_found_by_file_and_by_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "own_picker.py"
    file.write_text("def pick(*arguments, **named):\n    return 'picked'\n")
    assert load(f"{file}:pick")() == "picked"
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load("own_picker:pick")() == "picked"
    sys.modules.pop("own_picker")
    assert plugin_file(f"{file}:pick") == file and plugin_file("own_picker:pick") is None


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("nowhere.py:pick", "^nowhere.py:pick: picker cannot be imported .*no file nowhere.py"),
        ("no_such_module:pick", "^no_such_module:pick: picker cannot be imported .*No module named"),
        ("math:pick", r"^math:pick: no such function .*def pick\(\.\.\.\)"),
        ("math:pi", "^math:pi: no such function "),
    ],
)
def test_a_missing_plugin_is_named_in_one_line(entry: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        load(entry)
    assert "\n" not in str(caught.value)


def test_every_variant_has_functions_that_exist() -> None:
    for variant in VARIANTS.values():
        for entry in (variant.find, variant.load, variant.train):
            assert entry is None or callable(load(entry))
    assert modules_of(TemplateSettings()) == ["vitreous.picking.template"]
    assert modules_of(PluginSettings(entry="own.py:pick")) == []  # a file is hashed as an input
    assert variant_of(PluginSettings(entry="own:pick")).find == "own:pick"


# --- Settings


@pytest.mark.parametrize(
    "given",
    [
        {"variant": "blob", "min_distance": -1},
        {"variant": "blob", "filter": "sobel"},
        {"variant": "blob", "options": {}},
        {"variant": "blob", "threshold": float("nan")},
        {"variant": "topaz", "scan": []},
        {"variant": "topaz", "scan": [80.0]},
        {"variant": "plugin", "entry": "no function"},
        {"variant": "magic"},
    ],
)
def test_settings_out_of_range_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(PickerSettings).validate_python(given)


@pytest.mark.skipif(importlib.util.find_spec("topaz") is None, reason="Topaz is not installed (make topaz)")
def test_topaz_finds_discs_where_they_are_and_twice_the_same() -> None:
    rng = np.random.default_rng(0)
    shape = (500, 620)
    truth = scattered(rng, shape, 12, 80.0, 45.0)
    image = micrograph(rng, shape, truth, 60.0, 1.0)
    settings = TopazSettings(model="resnet8_u64", diameter_px=15.0)
    runs = [topaz.find_candidates(image, 1.0, 60.0, "dark", settings, RUNTIME) for _ in range(2)]
    np.testing.assert_array_equal(points(runs[0]), points(runs[1]))
    found = points(runs[0])[: len(truth)]
    pairs = match(truth, found, 30.0)
    assert len(pairs) >= 9
    # the true ratio of the sizes, not the nominal factor: two px are half a pixel of the scaled image
    assert np.abs((found[pairs.pick_index] - truth[pairs.truth_index]).mean(axis=0)).max() < 4


def test_the_mask_of_allowed_centres_shrinks_by_the_border(noise: Image) -> None:
    work = working_image(noise, 30.0, "dark")
    inner = picking_mask(work, 0.5)
    assert inner.sum() == (300 - 30) * (410 - 30)
