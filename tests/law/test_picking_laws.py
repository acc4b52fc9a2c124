"""What must hold of picking whatever the picture: closed forms, invariances, no bias, an honest threshold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from discs import Array, coloured_noise, micrograph, scattered
from scipy.ndimage import gaussian_filter, gaussian_laplace, maximum_filter
from shared import ROOT

from vitreous.io.micrograph import read_micrograph
from vitreous.metrics.pick_curve import best_threshold, threshold_curve
from vitreous.metrics.pick_matching import match
from vitreous.picking.blob import find_candidates, noise_gain
from vitreous.picking.blob_settings import BlobSettings
from vitreous.picking.candidates import Candidates, Image
from vitreous.picking.noise_maxima import expected_highest, maxima_density, too_strong_for_noise
from vitreous.picking.structure import combined, median
from vitreous.picking.threshold import Threshold, choose_threshold
from vitreous.runtime.device import Runtime

RUNTIME = Runtime()
SHAPE = (500, 660)
FILTERS = ["log", "dog"]


def pick(image: Image, diameter: float, contrast: str = "dark", **settings: object) -> Candidates:
    return find_candidates(image, 1.0, diameter, contrast, BlobSettings.model_validate(settings), RUNTIME)


def points(found: Candidates) -> Array:
    return np.stack([found.x, found.y], axis=1)


def automatic(found: Sequence[Candidates]) -> Threshold:
    """The threshold as `collect_picks` takes it: over all candidates of all micrographs."""
    scores, evidence = (np.concatenate([getattr(one, key) for one in found]) for key in ("score", "evidence"))
    noise, spread = (median([getattr(one, key) for one in found]) for key in ("noise", "spread"))
    return choose_threshold(scores, noise, spread, combined([one.structure for one in found]), evidence)


def automatic_and_best_f1(
    truth: Sequence[Array], found: Sequence[Candidates], radius: float
) -> tuple[float, float]:
    threshold = automatic(found).value
    named = {str(index): centres for index, centres in enumerate(truth)}
    picks = {str(index): points(one) for index, one in enumerate(found)}
    scores = {str(index): one.score for index, one in enumerate(found)}
    best = best_threshold(threshold_curve(named, picks, scores, radius)).f1
    kept = {name: picks[name][scores[name] >= threshold] for name in picks}
    hits = sum(len(match(named[name], kept[name], radius)) for name in kept)
    return 2 * hits / (sum(map(len, kept.values())) + sum(map(len, truth))), best


# --- Maxima of noise


@pytest.mark.parametrize("kappa2", [0.5, 1.0, 1.5, 1.9])
def test_density_of_noise_maxima_integrates_to_one(kappa2: float) -> None:
    z = np.linspace(-8, 10, 4001)
    # the trapezoidal sum of a smooth function that has faded at both ends errs by rounding alone
    assert np.trapezoid(maxima_density(z, kappa2), z) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("kappa2", "field"),
    # with u = k² sigma²: <u>²/<u²> is 1²/2 for the Gaussian's power exp(-u), 3²/12 for the LoG's u² exp(-u)
    [(1.0, gaussian_filter), (1.5, gaussian_laplace)],
    ids=["Gaussian", "LoG"],
)
def test_density_of_noise_maxima_is_that_of_filtered_white_noise(kappa2: float, field: object) -> None:
    assert callable(field)
    noise = np.random.default_rng(4).standard_normal((1400, 1400))
    image = field(noise, 6.0, mode="wrap")
    image /= image.std()
    heights = np.sort(image[image == maximum_filter(image, 3, mode="wrap")])
    z = np.linspace(-6, 8, 2801)
    expected = np.interp(heights, z, np.cumsum(maxima_density(z, kappa2)) * (z[1] - z[0]))
    distance = np.abs(expected - np.arange(len(heights)) / len(heights)).max()
    # Kolmogorov-Smirnov at one in a thousand: 1.95/√n; neighbours repel each other, which narrows it
    assert len(heights) > 2000 and distance < 1.95 / np.sqrt(len(heights))


def test_expected_highest_is_exceeded_by_the_share_asked_for() -> None:
    z = np.linspace(0, 12, 4801)
    for count in (30, 1000, 100_000):
        above = maxima_density(z)[z >= expected_highest(count)].sum() * (z[1] - z[0])
        assert above * count == pytest.approx(0.5, rel=0.03)  # a step of z is 0.0025, of the tail 1 %


@pytest.mark.parametrize("kind", FILTERS)
def test_noise_gain_is_the_deviation_of_filtered_white_noise(kind: str) -> None:
    noise = np.random.default_rng(1).standard_normal((800, 800))
    sigma = 5.0
    if kind == "log":
        response = sigma**2 * gaussian_laplace(noise, sigma, mode="wrap")
    else:
        narrow, wide = sigma / np.sqrt(1.6), sigma * np.sqrt(1.6)
        response = gaussian_filter(noise, narrow, mode="wrap") - gaussian_filter(noise, wide, mode="wrap")
    # 800²/(4 pi sigma²) independent places: the deviation is known to 1 %
    assert noise_gain(sigma, kind) == pytest.approx(response.std(), rel=0.03)


def test_a_map_is_too_strong_for_noise_only_where_both_levels_are_known() -> None:
    assert too_strong_for_noise(1.0, 3.0)
    assert not too_strong_for_noise(1.0, 2.0)  # ice colours the noise
    assert not too_strong_for_noise(float("nan"), 3.0) and not too_strong_for_noise(1.0, float("nan"))


# --- The automatic threshold


@pytest.mark.parametrize("kind", FILTERS)
@pytest.mark.parametrize("colour", [1.0, 1.5, 2.0])
def test_noise_alone_gives_hardly_a_pick(colour: float, kind: str) -> None:
    images = [coloured_noise(np.random.default_rng([seed, 7]), SHAPE, colour, 3.0) for seed in range(3)]
    found = [pick(image, 30.0, filter=kind) for image in images]
    threshold = automatic(found)
    picks = sum(int((one.score >= threshold.value).sum()) for one in found)
    # half a maximum of them all is expected above it: four or more have odds of 1 to 570
    assert picks <= 3 and "noise" in threshold.rule


@pytest.mark.parametrize(
    ("diameter", "count", "noise"),
    [(30.0, 40, 2.0), (30.0, 90, 3.0), (40.0, 30, 4.0), (80.0, 12, 6.0), (30.0, 40, 4.5)],
    ids=["sparse", "many", "noisy", "large", "hardly-seen"],
)
def test_automatic_f1_is_near_the_best(diameter: float, count: int, noise: float) -> None:
    truth, found = [], []
    for seed in range(3):
        rng = np.random.default_rng([seed, 11])
        truth.append(scattered(rng, SHAPE, count, 1.1 * diameter, 0.6 * diameter))
        found.append(pick(micrograph(rng, SHAPE, truth[-1], diameter, noise), diameter))
    f1, best = automatic_and_best_f1(truth, found, diameter / 2)
    assert best > 0.7  # else the comparison means nothing
    assert f1 > best - 0.03


def test_in_a_crowded_simulation_nearly_every_maximum_is_taken() -> None:
    truth, found = [], []
    for seed in range(2):
        rng = np.random.default_rng([seed, 12])
        truth.append(scattered(rng, SHAPE, 400, 41.0, 20.0))
        found.append(pick(micrograph(rng, SHAPE, truth[-1], 40.0, 1.5), 40.0))
    assert len(truth[0]) > 100
    f1, best = automatic_and_best_f1(truth, found, 20.0)
    assert f1 > best - 0.01 and f1 > 0.95


def test_the_bundled_crowded_micrographs_are_picked_as_well_as_any_threshold_can() -> None:
    folder = ROOT / "resources" / "empiar-10146-sample"
    truth, found = [], []
    for table in sorted((folder / "coords").glob("*.csv")):
        image = read_micrograph(folder / "micrographs" / f"{table.stem}.mrc")
        truth.append(np.loadtxt(table, delimiter=",", skiprows=1)[:, :2])
        found.append(find_candidates(image, 1.5, 130.0, "dark", BlobSettings(), RUNTIME))
    f1, best = automatic_and_best_f1(truth, found, 130 / 1.5 / 2)
    assert len(truth) == 2 and f1 >= 0.85  # measured 0.916
    assert f1 > best - 0.01
    assert all(too_strong_for_noise(one.noise, one.spread) for one in found)


def test_five_particles_a_micrograph_are_found_and_little_else() -> None:
    truth, found = [], []
    for seed in range(4):
        rng = np.random.default_rng([seed, 13])
        truth.append(scattered(rng, SHAPE, 5, 60.0, 30.0))
        found.append(pick(micrograph(rng, SHAPE, truth[-1], 40.0, 3.0), 40.0))
    f1, best = automatic_and_best_f1(truth, found, 20.0)
    assert f1 > 0.9 and f1 > best - 0.05  # one false pick of twenty costs 0.024


def test_five_particles_in_a_single_micrograph_are_all_found() -> None:
    wrong = 0
    for seed in range(4):
        rng = np.random.default_rng([seed, 14])
        truth = scattered(rng, SHAPE, 5, 60.0, 30.0)
        found = pick(micrograph(rng, SHAPE, truth, 40.0, 2.0), 40.0)
        picks = points(found)[found.score >= automatic([found]).value]
        assert len(match(truth, picks, 20.0)) == 5
        wrong += len(picks) - 5
    assert wrong <= 4  # half a maximum of noise is expected in each: five or more have odds of 1 to 19


def test_a_threshold_follows_the_unit_of_the_scores() -> None:
    rng = np.random.default_rng(15)
    found = pick(micrograph(rng, SHAPE, scattered(rng, SHAPE, 40, 40.0, 20.0), 30.0, 2.5), 30.0)
    plain = choose_threshold(found.score, found.noise, found.spread).value
    # another unit is another histogram only by rounding; a bin of it is a 30th of the spread of the scores
    assert choose_threshold(8 * found.score, 8 * found.noise, 8 * found.spread).value == pytest.approx(
        8 * plain, rel=0.01
    )


def test_few_or_equal_or_no_scores_have_a_threshold_too() -> None:
    assert choose_threshold(np.zeros(0)).rule == "no candidates"
    assert "too few" in choose_threshold(np.array([1.0, 2.0, 3.0])).rule
    assert np.isfinite(choose_threshold(np.ones(200)).value)
    assert np.isfinite(choose_threshold(np.ones(200), 0.5, 0.5).value)


# --- Centres


@pytest.mark.parametrize("kind", FILTERS)
@pytest.mark.parametrize(
    ("diameter", "shape"),
    [(20.3, (301, 403)), (50.7, (601, 803)), (75.2, (601, 805))],
    ids=["bin 1", "bin 2", "bin 3"],
)
def test_centres_are_unbiased(diameter: float, shape: tuple[int, int], kind: str) -> None:
    rng = np.random.default_rng(3)
    truth = scattered(rng, shape, 40, 1.5 * diameter, 0.5 * diameter)
    found = points(pick(micrograph(rng, shape, truth, diameter, 0.05), diameter, filter=kind))[: len(truth)]
    pairs = match(truth, found, diameter / 4)
    offset = found[pairs.pick_index] - truth[pairs.truth_index]
    assert len(pairs) == len(truth)
    # Neighbours pull by up to 0.03 D either way, which averages out; a pixel convention gone wrong is 0.5.
    assert np.abs(offset.mean(axis=0)).max() < 0.1


@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
def test_the_centre_of_a_particle_that_touches_the_edge_from_inside_is_true(side: str) -> None:
    diameter, (h, w), offsets = 48.0, (206, 251), []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        along, inside = rng.uniform(-1, 1), diameter / 2 + 2 + rng.uniform(0, 1)  # the rim is soft
        centre = {
            "top": (w / 2 + along, inside),
            "bottom": (w / 2 + along, h - 1 - inside),
            "left": (inside, h / 2 + along),
            "right": (w - 1 - inside, h / 2 + along),
        }[side]
        found = pick(micrograph(rng, (h, w), np.array([centre]), diameter, 0.05), diameter)
        offsets.append(points(found)[0] - centre)
    # What stands for the background beyond the edge is a guess: 0.15 px inwards of 48 are measured.
    assert np.abs(np.mean(offsets, axis=0)).max() < 0.3


# --- Invariances


@pytest.fixture(scope="module")
def scene() -> tuple[Image, Array]:
    """Twenty-five dark discs of 30 px, at a signal that leaves doubt about none."""
    rng = np.random.default_rng(5)
    truth = scattered(rng, (300, 404), 25, 40.0, 20.0)
    return micrograph(rng, (300, 404), truth, 30.0, 2.0), truth


@pytest.mark.parametrize(("gain", "offset"), [(37.0, 1000.0), (1e-3, -5.0)])
def test_scores_do_not_depend_on_gain_and_offset(
    scene: tuple[Image, Array], gain: float, offset: float
) -> None:
    plain, other = pick(scene[0], 30.0), pick((scene[0] * gain + offset).astype(np.float32), 30.0)
    # float32: an offset of 5 at a contrast of 1e-3 leaves four digits
    np.testing.assert_allclose(other.score, plain.score, atol=2e-3)
    np.testing.assert_allclose([other.noise, other.spread], [plain.noise, plain.spread], rtol=2e-3)
    assert automatic([other]).value == pytest.approx(automatic([plain]).value, abs=5e-3)


def test_bright_particles_are_negated_dark_ones(scene: tuple[Image, Array]) -> None:
    dark, bright = pick(scene[0], 30.0), pick(-scene[0], 30.0, "bright")
    for key in ("x", "y", "score"):
        np.testing.assert_array_equal(getattr(bright, key), getattr(dark, key))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("normalise", ["none", "local"])
def test_contrast_auto_finds_the_polarity(scene: tuple[Image, Array], sign: int, normalise: str) -> None:
    found = pick(sign * scene[0], 30.0, "auto", normalise=normalise)
    known = pick(scene[0], 30.0, "dark", normalise=normalise)
    np.testing.assert_allclose(found.score, known.score, atol=1e-6)
    np.testing.assert_allclose(points(found), points(known), atol=1e-3)


def test_a_mirrored_image_has_mirrored_candidates(scene: tuple[Image, Array]) -> None:
    image = scene[0]
    plain, turned = pick(image, 30.0), pick(image[::-1, ::-1].copy(), 30.0)
    count = len(scene[1])
    # transforms of float32 are good to 1e-4 of the scores, which moves a flat maximum by hundredths
    np.testing.assert_allclose(turned.score[:count], plain.score[:count], atol=1e-3)
    expected = np.array(image.shape[::-1]) - 1 - points(plain)[:count]
    np.testing.assert_allclose(points(turned)[:count], expected, atol=0.05)
