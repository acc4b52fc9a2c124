"""k-means, the particle's cluster, clusters of a micrograph, margins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from discs import discs, micrograph, scattered
from numpy.typing import NDArray

from vitreous.errors import InputError
from vitreous.picking.emmae.kmeans import KMeans, cluster_stream, draw_sample, fit
from vitreous.picking.emmae.micrograph_clusters import OUTSIDE, continued_cluster, segment
from vitreous.picking.emmae.mixture_margin import mixture_segment
from vitreous.picking.emmae.particle_cluster import (
    ClusterEvidence,
    chosen_cluster,
    particle_cluster,
    plausible_area,
    reference_cluster,
    token_mask,
    token_means,
)
from vitreous.picking.polarity import detected_contrast

D = 32.0
BLOBS = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@dataclass(frozen=True)
class Picture:
    image: NDArray[np.float32]
    mask: NDArray[np.bool_]
    diameter_px: float = D


def blobs(rng: np.random.Generator, count: int = 200) -> NDArray[np.float32]:
    tokens = BLOBS[np.arange(3 * count) % 3] + rng.standard_normal((3 * count, 2))
    return tokens.astype(np.float32)


def picture_with_ice(rng: np.random.Generator) -> tuple[Picture, NDArray[np.float64]]:
    """Dark particles of D, and one very dark ball four times as wide."""
    centres = scattered(rng, (320, 320), 20, 1.3 * D, 0.7 * D)
    centres = centres[np.hypot(*(centres - 250).T) > 100]
    dark = 0.3 * discs((320, 320), centres, D) + 0.6 * discs((320, 320), np.array([[250.0, 250.0]]), 4 * D)
    image = np.clip(0.7 - dark + 0.02 * rng.standard_normal((320, 320)), 0, 1)
    return Picture(image.astype(np.float32), np.ones((320, 320), bool)), centres


def raw_tokens(image: NDArray[np.float32]) -> NDArray[np.float32]:
    h, w = (side // 4 for side in image.shape)
    return image.reshape(h, 4, w, 4).transpose(0, 2, 1, 3).reshape(h, w, 16)


def test_kmeans_finds_three_blobs(rng: np.random.Generator) -> None:
    found = fit(blobs(rng), 3)
    order = np.argsort(found.centres @ [1, 2])
    assert np.abs(found.centres[order] - BLOBS).max() < 0.3  # standard error 1/√200 = 0.07
    assert found.counts.sum() == 600


def test_the_same_tokens_give_the_same_clusters_twice(rng: np.random.Generator) -> None:
    tokens = rng.standard_normal((500, 4)).astype(np.float32)
    assert np.array_equal(fit(tokens, 5, 3).centres, fit(tokens, 5, 3).centres)


def test_labels_of_a_map_keep_its_shape(rng: np.random.Generator) -> None:
    model = KMeans(BLOBS, np.ones(3, np.int64))
    tokens = blobs(rng).reshape(20, 30, 2)
    assert np.array_equal(model.labels(tokens).ravel(), np.arange(600) % 3)


def test_more_clusters_than_tokens_are_refused() -> None:
    with pytest.raises(InputError, match="fewer tokens than clusters"):
        fit(np.zeros((2, 3), np.float32), 3)
    with pytest.raises(InputError, match="no tokens"):
        cluster_stream(lambda: iter(()), 2, sample=10)


def test_constant_tokens_do_not_break_kmeans() -> None:
    found = fit(np.ones((50, 3), np.float32), 4)
    assert np.isfinite(found.centres).all() and found.counts.sum() == 50


def test_the_sample_does_not_depend_on_the_cut_into_blocks(rng: np.random.Generator) -> None:
    tokens = rng.standard_normal((1000, 2))

    def cut(size: int) -> Iterator[NDArray[np.float64]]:
        return (tokens[begin : begin + size] for begin in range(0, 1000, size))

    samples = [draw_sample(lambda size=size: cut(size), 100, 5) for size in (1000, 7, 130)]
    assert all(total == 1000 and np.array_equal(sample, samples[0][0]) for sample, total in samples)
    assert len(samples[0][0]) == 100


def test_the_particle_cluster_is_dark_and_of_the_particles_size(rng: np.random.Generator) -> None:
    picture, centres = picture_with_ice(rng)
    tokens = raw_tokens(picture.image)
    model = KMeans(np.outer([0.1, 0.4, 0.7], np.ones(16)), np.ones(3, np.int64))
    assert particle_cluster([(tokens, picture)], model) == 1  # 0 is the ice, 2 the background
    by_reference = reference_cluster(tokens, model, centres[:, 1], centres[:, 0], D)
    assert by_reference == 1


def test_a_reference_without_picks_is_refused(rng: np.random.Generator) -> None:
    picture, _ = picture_with_ice(rng)
    model = KMeans(np.zeros((1, 16)), np.ones(1, np.int64))
    with pytest.raises(InputError, match="no pick"):
        reference_cluster(raw_tokens(picture.image), model, np.zeros(0), np.zeros(0), D)


def test_a_picture_that_is_all_mask_is_refused() -> None:
    picture = Picture(np.zeros((16, 16), np.float32), np.zeros((16, 16), bool))
    with pytest.raises(InputError, match="no tokens"):
        particle_cluster([(np.zeros((4, 4, 16)), picture)], KMeans(np.zeros((1, 16)), np.ones(1, np.int64)))


def test_the_darkest_is_taken_where_no_cluster_has_patches() -> None:
    evidence = ClusterEvidence(np.array([0.5, 0.3, 0.8]), np.zeros(3), 0.55)
    assert chosen_cluster(evidence) == 1


def test_patches_too_large_or_too_small_do_not_count() -> None:
    member = np.zeros((40, 40), bool)
    member[2:10, 2:10] = True  # 64 tokens: a particle
    member[20, 20] = True
    member[15:39, 24:39] = True  # 360
    assert plausible_area(member, 64.0) == 64


def test_token_means_and_masks_cover_an_odd_rim() -> None:
    image = np.arange(30, dtype=np.float32).reshape(5, 6)
    assert token_means(image).shape == (2, 2)
    assert token_means(image)[0, 0] == image[:4, :4].mean()
    mask = np.ones((5, 6), bool)
    mask[:3] = False
    assert token_mask(mask).tolist() == [[False, False], [True, True]]


def test_a_cluster_of_more_than_half_of_the_field_is_followed() -> None:
    labels = np.zeros((20, 20), int)
    labels[:, 15:] = 1
    previous = labels == 0
    assert continued_cluster(labels, previous, np.ones((20, 20), bool), 3) == 0


def test_of_two_overlapping_clusters_the_more_contained_one_is_taken() -> None:
    labels = np.full((40, 40), 2)
    labels[10:20, 10:20] = 0  # 100 tokens, all inside
    labels[20:36, 10:30] = 1  # 320 tokens, 200 of them inside
    previous = np.zeros((40, 40), bool)
    previous[10:30, 10:30] = labels[10:30, 10:30] < 2
    assert continued_cluster(labels, previous, np.ones((40, 40), bool), 3) == 0


def test_overlap_at_the_rim_alone_still_counts() -> None:
    labels = np.zeros((20, 20), int)
    labels[0] = 1
    assert continued_cluster(labels, labels == 1, np.ones((20, 20), bool), 2) == 1
    assert continued_cluster(labels, np.zeros((20, 20), bool), np.ones((20, 20), bool), 2) is None


@pytest.mark.parametrize("crowded", [False, True])
def test_particles_have_margins_above_zero(rng: np.random.Generator, crowded: bool) -> None:
    shape, gap = (256, 256), 1.02 * D if crowded else 1.6 * D
    centres = scattered(rng, shape, 60 if crowded else 12, gap, D / 2)
    image = (0.7 - 0.3 * discs(shape, centres, D) + 0.02 * rng.standard_normal(shape)).astype(np.float32)
    tokens, inside = raw_tokens(image), np.ones((64, 64), bool)
    model = fit(tokens.reshape(-1, 16), 4, 0)
    particle = particle_cluster([(tokens, Picture(image, np.ones(shape, bool)))], model)
    for found in (
        segment(tokens, inside, model, particle, [3, 4, 5]),
        mixture_segment(tokens, inside, model, particle),
    ):
        at = found.margin[(centres[:, 1] // 4).astype(int), (centres[:, 0] // 4).astype(int)]
        assert (at > 0).mean() > 0.5
        away = discs(shape, centres, D)[2::4, 2::4] < 0.01
        assert (found.margin[away] > 0).mean() < 0.05


def test_what_is_masked_is_never_a_particle(rng: np.random.Generator) -> None:
    tokens = blobs(rng).reshape(20, 30, 2)
    inside = np.ones((20, 30), bool)
    inside[:5] = False
    found = segment(tokens, inside, KMeans(BLOBS, np.ones(3, np.int64)), 1, [3])
    assert (found.margin[:5] == OUTSIDE).all() and (found.margin[5:] > 0).any()


def test_fewer_tokens_than_clusters_leave_the_global_ones(rng: np.random.Generator) -> None:
    tokens = blobs(rng, 1).reshape(1, 3, 2)
    found = segment(tokens, np.array([[True, True, False]]), KMeans(BLOBS, np.ones(3, np.int64)), 1, [3])
    assert found.particle == 1


@pytest.mark.parametrize("contrast", ["dark", "bright"])
@pytest.mark.parametrize("hollow", [False, True])
def test_the_contrast_is_detected(rng: np.random.Generator, contrast: str, hollow: bool) -> None:
    shape = (384, 384)
    centres = scattered(rng, shape, 60, 1.1 * D, D / 2)
    image = micrograph(rng, shape, centres, D, 0.5)
    if hollow:
        image += 0.9 * discs(shape, centres, 0.5 * D).astype(np.float32)
    image = image if contrast == "dark" else -image
    assert detected_contrast(image, np.ones(shape, bool), D) == contrast
