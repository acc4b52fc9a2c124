"""Laws of clustering and of likeness: equal to a plain restatement, invariant where they must be."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from discs import micrograph, scattered
from numpy.typing import NDArray

from vitreous.metrics.pick_matching import match
from vitreous.picking.emmae.component_level import crossing, excess, likeness_level
from vitreous.picking.emmae.kmeans import KMeans, cluster_stream, fit, lloyd_stream, plus_plus_start
from vitreous.picking.emmae.micrograph_clusters import margin
from vitreous.picking.likeness import REACH, LikenessField, disc_contrast, ring_radii, typical_particle
from vitreous.picking.peaks import local_maxima

Array = NDArray[np.float64]
D = 32.0


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def plain_lloyd(tokens: Array, centres: Array, passes: int) -> Array:
    for _ in range(passes):
        labels = ((tokens[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        centres = np.array([tokens[labels == index].mean(axis=0) for index in range(len(centres))])
    return centres


def in_blocks(tokens: Array, size: int) -> Iterator[Array]:
    return (tokens[begin : begin + size] for begin in range(0, len(tokens), size))


@pytest.mark.parametrize("kind", ["float64", "float32"])
def test_streamed_passes_equal_lloyd_in_memory(rng: np.random.Generator, kind: str) -> None:
    tokens = rng.standard_normal((2000, 6)) + 3 * rng.integers(0, 3, (2000, 1))
    start = plus_plus_start(tokens, 4, rng)
    found = lloyd_stream(lambda: in_blocks(tokens.astype(kind), 333), start, 5)
    assert np.abs(found.centres - plain_lloyd(tokens, start, 5)).max() < 1e-6
    assert found.counts.sum() == 2000


def test_a_sample_that_holds_all_tokens_is_a_fit_of_all(rng: np.random.Generator) -> None:
    tokens = rng.standard_normal((500, 3))
    streamed = cluster_stream(lambda: in_blocks(tokens, 64), 3, sample=500, seed=4)
    assert np.array_equal(streamed.centres, fit(tokens, 3, 4).centres)


def test_a_sampled_clustering_ends_near_that_of_all_tokens(rng: np.random.Generator) -> None:
    tokens = np.array([[0.0, 0], [9, 0], [0, 9]])[np.arange(9000) % 3] + rng.standard_normal((9000, 2))
    streamed = cluster_stream(lambda: in_blocks(tokens, 1000), 3, sample=300)
    assert streamed.counts.sum() == 9000
    by_place = np.argsort(streamed.centres @ [1, 2])
    truth = np.array([tokens[index::3].mean(axis=0) for index in range(3)])
    assert np.abs(streamed.centres[by_place] - truth).max() < 1e-3  # 4.5 sd between blobs: hardly any differ


def test_lloyd_leaves_each_centre_the_mean_of_its_tokens(rng: np.random.Generator) -> None:
    tokens = rng.standard_normal((3000, 2))
    found = fit(tokens, 5)
    labels = found.labels(tokens)
    means = np.array([tokens[labels == index].mean(axis=0) for index in range(5)])
    assert np.abs(means - found.centres).max() < 0.01  # passes end where nothing moves by more than 1e-4


def test_the_margin_is_the_sign_of_the_label_and_one_at_the_centre(rng: np.random.Generator) -> None:
    model = KMeans(rng.standard_normal((4, 3)), np.ones(4, np.int64))
    tokens = 2 * rng.standard_normal((30, 20, 3))
    assert np.array_equal(margin(tokens, model, 2) > 0, model.labels(tokens) == 2)
    assert margin(model.centres, model, 2)[2] == pytest.approx(1, abs=1e-9)
    between = (model.centres[2] + model.centres) / 2
    assert (margin(np.delete(between, 2, axis=0), model, 2) <= 1e-9).all()


def test_the_margin_does_not_change_with_scale_or_origin_of_tokens(rng: np.random.Generator) -> None:
    centres, tokens = rng.standard_normal((3, 4)), rng.standard_normal((50, 4))
    plain = margin(tokens, KMeans(centres, np.ones(3, np.int64)), 0)
    moved = margin(5 * tokens + 2, KMeans(5 * centres + 2, np.ones(3, np.int64)), 0)
    assert np.allclose(plain, moved, atol=1e-9)


def test_likeness_equals_a_correlation_taken_directly(rng: np.random.Generator) -> None:
    field = LikenessField(rng.standard_normal((90, 80)).astype(np.float32), np.ones((90, 80), bool), 16.0)
    profile = np.cos(3 * ring_radii())
    y, x, reach = 40, 41, int(np.ceil(16 * REACH))
    window = field.image[y - reach : y + reach + 1, x - reach : x + reach + 1].astype(float)
    offset = np.arange(-reach, reach + 1)
    radius = np.hypot(offset[:, None], offset) / 16
    disc = radius <= REACH
    template = np.interp(radius, ring_radii(), profile)
    expected = np.corrcoef(window[disc], template[disc])[0, 1]
    found = field.likeness(profile)
    # the floor of the deviation takes away a little where a window has less than most
    assert abs(found[y, x]) <= abs(expected) + 1e-4 and found[y, x] * expected > 0
    assert found[y, x] == pytest.approx(expected, rel=0.25)


def test_likeness_does_not_change_with_level_and_contrast_of_the_picture(rng: np.random.Generator) -> None:
    image, mask = rng.standard_normal((100, 100)).astype(np.float32), np.ones((100, 100), bool)
    profile = np.linspace(-1, 1, 16)
    plain = LikenessField(image, mask, 20.0).likeness(profile)
    other = LikenessField(7 * image + 300, mask, 20.0).likeness(profile)
    assert np.abs(plain - other).max() < 1e-3  # float32 about a level of 300


def test_likeness_of_masked_places_is_nothing(rng: np.random.Generator) -> None:
    mask = np.ones((120, 120), bool)
    mask[:30] = False
    image = np.where(mask, rng.standard_normal((120, 120)), 1e4).astype(np.float32)
    found = LikenessField(image, mask, 20.0).likeness(np.linspace(-1, 1, 16))
    assert (found[:30] == 0).all() and np.abs(found).max() <= 1


def test_the_typical_particle_is_found_though_half_of_the_starts_are_ice(rng: np.random.Generator) -> None:
    centres = scattered(rng, (600, 600), 40, 1.6 * D, 0.8 * D)
    image = micrograph(rng, (600, 600), centres, D, 0.5)
    others = scattered(rng, (600, 600), 40, 1.6 * D, 0.8 * D)
    rows, columns = (np.concatenate([centres[:, axis], others[:, axis]]) for axis in (1, 0))
    found = typical_particle(LikenessField(image, np.ones(image.shape, bool), D), rows, columns)
    assert found is not None and found.alikeness > 0.6
    inner, outer = found.profile[ring_radii() < 0.4].mean(), found.profile[ring_radii() > 0.6].mean()
    assert inner < outer - 0.5


def test_places_in_the_gaps_of_a_crowd_do_not_lead_to_a_particle_of_the_other_sign(
    rng: np.random.Generator,
) -> None:
    centres = scattered(rng, (600, 600), 150, 1.05 * D, 0.8 * D)
    image = micrograph(rng, (600, 600), centres, D, 0.5)
    field = LikenessField(image, np.ones(image.shape, bool), D)
    x, y, _ = local_maxima(field.image, field.mask, 0.6 * D)
    astray, found = (typical_particle(field, y, x, sign) for sign in (0, -1))
    assert astray is not None and disc_contrast(astray.profile) > 0
    assert found is not None and disc_contrast(found.profile) < 0
    peaks = np.stack(local_maxima(found.likeness, field.mask, 0.6 * D)[:2], axis=1)[: len(centres)]
    assert len(match(centres, peaks, D / 2)) > 0.9 * len(centres)


def test_the_crossing_of_two_humps_lies_between_them(rng: np.random.Generator) -> None:
    scores = np.concatenate([0.2 + 0.08 * rng.standard_normal(300), 0.7 + 0.06 * rng.standard_normal(100)])
    assert 0.38 < crossing(scores, 0.2) < 0.6


def test_noise_alone_is_cut_at_its_own_highest(rng: np.random.Generator) -> None:
    noise = 0.25 + 0.1 * rng.standard_normal((2, 300))
    level = likeness_level(noise[0], noise[1])
    assert (noise[0] > level).sum() < 8  # a few of 300 by chance


def test_a_handful_of_particles_stands_above_noise(rng: np.random.Generator) -> None:
    noise = 0.25 + 0.08 * rng.standard_normal((2, 300))
    level = likeness_level(np.append(noise[0], [0.75, 0.8, 0.82, 0.7]), noise[1])
    assert 0.35 < level < 0.7


def test_a_few_dozen_particles_are_told_from_minima_that_reach_as_far(
    rng: np.random.Generator,
) -> None:
    # the rims of crowded particles make minima that are no noise
    scores = np.concatenate([0.15 + 0.08 * rng.standard_normal(50), 0.6 + 0.1 * rng.standard_normal(90)])
    minima = np.clip(0.29 + 0.16 * rng.standard_normal(160), -1, 0.62)
    assert 0.25 < likeness_level(scores, minima) < 0.5


def test_the_excess_over_noise_is_that_of_the_score_where_it_is_largest() -> None:
    # from 0.5 on three places against one: 2 / sqrt(4); from 0.2 on four against four: none
    assert excess(np.array([0.2, 0.5, 0.6, 0.7]), np.array([0.2, 0.3, 0.4, 0.5])) == pytest.approx(2 / 2**0.5)
    assert excess(np.array([0.1]), np.array([0.5, 0.6])) == 0
    assert excess(np.zeros(0), np.array([0.5])) == 0
