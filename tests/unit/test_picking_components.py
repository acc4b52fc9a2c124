"""From margins to picks: level, splitting, centroids, likeness, rejection, border, published rules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from discs import discs, micrograph, scattered
from numpy.typing import NDArray

from vitreous.metrics.pick_matching import match
from vitreous.picking.candidates import Candidates
from vitreous.picking.emmae.component_splitting import component_centroids
from vitreous.picking.emmae.components import area_rule_candidates, density_level, margin_map, picks_of
from vitreous.picking.emmae.kmeans import fit
from vitreous.picking.emmae.micrograph_clusters import Segmentation, segment
from vitreous.picking.emmae.particle_cluster import particle_cluster, token_mask
from vitreous.picking.emmae.published_picks import published_picks
from vitreous.picking.emmae.settings import EmmaeSettings

Array = NDArray[np.float64]
D, SCALE = 32.0, 2.5
NO_REJECTION = {"components": {"reject": False}}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@dataclass(frozen=True)
class Picture:
    image: NDArray[np.float32]
    mask: NDArray[np.bool_]
    diameter_px: float = D

    def to_full(self, row: Array, column: Array) -> tuple[Array, Array]:
        return (column + 0.5) * SCALE - 0.5, (row + 0.5) * SCALE - 0.5


def full(centres: Array) -> Array:
    return (centres + 0.5) * SCALE - 0.5


def picture_of(image: NDArray[np.floating]) -> Picture:
    low, high = np.quantile(image, [0.001, 0.999])
    levels = np.clip((image - low) / (high - low), 0, 1).astype(np.float32)
    return Picture(levels, np.ones(image.shape, bool))


def segmented(picture: Picture) -> Segmentation:
    h, w = (side // 4 for side in picture.image.shape)
    tokens = picture.image.reshape(h, 4, w, 4).transpose(0, 2, 1, 3).reshape(h, w, 16)
    model = fit(tokens.reshape(-1, 16), 4)
    particle = particle_cluster([(tokens, picture)], model)
    return segment(tokens, token_mask(picture.mask), model, particle, [3, 4, 5])


def picked(found: Candidates) -> Array:
    return np.stack([found.x, found.y], axis=1)[found.score > 0]


def settings_of(**changes: object) -> EmmaeSettings:
    return EmmaeSettings.model_validate(changes)


@pytest.mark.parametrize("changes", [{}, NO_REJECTION], ids=["likeness", "margin"])
@pytest.mark.parametrize("shape", [(320, 320), (240, 400)])
def test_particles_are_found_where_they_are(
    rng: np.random.Generator, changes: dict[str, object], shape: tuple[int, int]
) -> None:
    centres = scattered(rng, shape, 30, 1.4 * D, 0.6 * D)
    picture = picture_of(micrograph(rng, shape, centres, D, 0.3))
    picks = picked(picks_of(segmented(picture), picture, settings_of(**changes)))
    pairs = match(full(centres), picks, D * SCALE / 2)
    assert len(pairs) == len(centres) and len(picks) <= len(centres) + 1
    error = picks[pairs.pick_index] - full(centres)[pairs.truth_index]
    assert np.abs(error.mean(axis=0)).max() < 0.5 * SCALE  # half a working px
    assert np.median(np.hypot(*error.T)) < 0.04 * D * SCALE


def test_hollow_particles_that_touch_are_found_at_their_middle(rng: np.random.Generator) -> None:
    shape = (400, 400)
    centres = scattered(rng, shape, 90, 1.02 * D, 0.6 * D)
    image = micrograph(rng, shape, centres, D, 0.2) + 0.9 * discs(shape, centres, 0.55 * D)
    picture = picture_of(image)
    picks = picked(picks_of(segmented(picture), picture, settings_of()))
    pairs = match(full(centres), picks, D * SCALE / 4)
    assert 2 * len(pairs) / (len(centres) + len(picks)) > 0.9
    assert np.median(pairs.distance) < 0.04 * D * SCALE


def test_ice_and_clumps_are_rejected(rng: np.random.Generator) -> None:
    shape = (500, 500)
    centres = scattered(rng, shape, 60, 1.5 * D, 0.7 * D)
    ice = np.array([[120.0, 130.0], [380.0, 300.0]])
    centres = centres[np.min(np.hypot(*(centres[:, None] - ice).T), axis=0) > 2.2 * D]
    image = micrograph(rng, shape, centres, D, 0.3) - 2 * discs(shape, ice, 3 * D)
    picture = picture_of(image)
    picks = picked(picks_of(segmented(picture), picture, settings_of()))
    pairs = match(full(centres), picks, D * SCALE / 2)
    assert len(pairs) >= 0.95 * len(centres)
    on_ice = np.min(np.hypot(*(picks[:, None] - full(ice)).T), axis=0) < 1.2 * D * SCALE
    assert on_ice.sum() == 0


def test_noise_alone_gives_next_to_no_pick(rng: np.random.Generator) -> None:
    picture = picture_of(rng.standard_normal((400, 400)))
    assert len(picked(picks_of(segmented(picture), picture, settings_of()))) <= 5


def test_a_few_particles_are_found_and_little_else(rng: np.random.Generator) -> None:
    centres = scattered(rng, (400, 400), 6, 2 * D, D)
    picture = picture_of(micrograph(rng, (400, 400), centres, D, 0.5))
    picks = picked(picks_of(segmented(picture), picture, settings_of()))
    assert len(match(full(centres), picks, D * SCALE / 2)) == 6 and len(picks) <= 9


@pytest.mark.parametrize("changes", [{}, NO_REJECTION], ids=["likeness", "margin"])
def test_masked_contaminated_and_border_places_stay_empty(
    rng: np.random.Generator, changes: dict[str, object]
) -> None:
    shape = (320, 320)
    centres = scattered(rng, shape, 40, 1.2 * D, 0.2 * D)
    picture = picture_of(micrograph(rng, shape, centres, D, 0.3))
    contaminated = np.zeros(shape, bool)
    contaminated[:, 200:] = True
    found = picks_of(segmented(picture), picture, settings_of(border=0.5, **changes), contaminated)
    column, row = (found.x + 0.5) / SCALE - 0.5, (found.y + 0.5) / SCALE - 0.5
    assert len(found.x) and (column <= 200).all()
    assert min(row.min(), column.min()) >= 0.5 * D and row.max() <= 319 - 0.5 * D


def test_candidates_are_apart_ordered_and_say_their_decision(rng: np.random.Generator) -> None:
    centres = scattered(rng, (320, 320), 30, 1.3 * D, 0.6 * D)
    picture = picture_of(micrograph(rng, (320, 320), centres, D, 0.3))
    found = picks_of(segmented(picture), picture, settings_of())
    points = np.stack([found.x, found.y], axis=1)
    apart = np.hypot(*(points[:, None] - points).T) + 1e9 * np.eye(len(points))
    assert apart.min() >= 0.6 * D * SCALE - 1e-6
    assert (np.diff(found.score) <= 0).all() and found.decision == 0
    assert (found.score < 0).any() and np.isfinite(found.score).all()


def test_the_same_micrograph_gives_the_same_picks_twice(rng: np.random.Generator) -> None:
    picture = picture_of(micrograph(rng, (256, 256), scattered(rng, (256, 256), 20, 40, 20), D, 0.5))
    first, second = (picks_of(segmented(picture), picture, settings_of()) for _ in range(2))
    assert np.array_equal(first.score, second.score) and np.array_equal(first.x, second.x)


def test_a_picture_without_maxima_gives_no_candidate() -> None:
    picture = Picture(np.full((128, 128), 0.5, np.float32), np.ones((128, 128), bool))
    flat = Segmentation(np.full((32, 32), -0.5, np.float32), np.zeros((32, 32), int), 1)
    for changes in ({}, NO_REJECTION):
        found = picks_of(flat, picture, settings_of(**changes))
        assert len(found.x) == 0


def test_two_touching_discs_are_one_component_or_two(rng: np.random.Generator) -> None:
    values = discs((60, 90), np.array([[30.0, 30.0], [52.0, 30.0]]), 22).astype(np.float32)
    from scipy.ndimage import gaussian_filter

    values = gaussian_filter(values, 5)
    inside = np.ones(values.shape, bool)
    row, column, _, area = component_centroids(values, inside, 0.3, 10.0)
    assert len(row) == 2 and np.abs(np.sort(column) - [30, 52]).max() < 1.5 and np.abs(row - 30).max() < 0.5
    whole = component_centroids(values, inside, 0.3, np.inf)
    assert len(whole[0]) == 1 and whole[3][0] == area.sum()
    assert whole[1][0] == pytest.approx(41, abs=0.1)


def test_nothing_above_the_level_is_no_component() -> None:
    found = component_centroids(np.zeros((20, 20), np.float32), np.ones((20, 20), bool), 0.5, 5.0)
    assert all(len(part) == 0 for part in found)


def test_the_level_lies_between_background_and_particles(rng: np.random.Generator) -> None:
    centres = scattered(rng, (320, 320), 30, 1.5 * D, 0.6 * D)
    margins = discs((320, 320), centres, D)[2::4, 2::4] * 2 - 1 + 0.1 * rng.standard_normal((80, 80))
    fine = margin_map(margins, Picture(np.zeros((320, 320), np.float32), np.ones((320, 320), bool)), 0.15)
    assert -0.9 < density_level(fine) < 0.9
    assert fine.values.shape == (160, 160) and fine.diameter == D / 2


def test_area_rule_candidates_are_the_published_picks_in_full_px(rng: np.random.Generator) -> None:
    mask = discs((80, 80), scattered(rng, (80, 80), 12, 12, 8), 8) > 0.5
    found_in_mask = Segmentation(mask.astype(np.float32), mask.astype(int), 1)
    picture = Picture(np.zeros((320, 320), np.float32), np.ones((320, 320), bool))
    rules = {"rule": "area", "greedy": False, "round": True}
    found = area_rule_candidates(found_in_mask, picture, settings_of(components=rules))
    plain = published_picks(mask, D / 2)
    assert sorted(found.score) == sorted(plain[:, 3]) and len(found.x) == len(plain) > 5
    expected = (((plain[:, 1] + 0.5) * 2 - 0.5) + 0.5) * SCALE - 0.5
    assert np.allclose(np.sort(found.x), np.sort(expected))
