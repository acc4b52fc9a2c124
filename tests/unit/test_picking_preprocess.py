"""Pre-processing of cryo-EMMAE: centres stay where they are, and each published choice does what it did."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from discs import micrograph, scattered
from numpy.typing import NDArray

from vitreous.picking.emmae.background import local_statistics, region_weights
from vitreous.picking.emmae.enhancement import published_shift
from vitreous.picking.emmae.preprocess import Prepared, prepare, prepared_from_picture
from vitreous.picking.emmae.resampling import resampled
from vitreous.picking.emmae.settings import EmmaeSettings, PreprocessSettings
from vitreous.picking.emmae.smoothing import double_box, guided_filter

Array = NDArray[np.float64]
PUBLISHED = EmmaeSettings(published=True).preprocess
# square and even; odd; the aspect of a K3 camera, 5760 x 4092, both ways
SHAPES = [((768, 768), 60.0), ((771, 645), 57.0), ((864, 614), 66.0), ((614, 864), 66.0)]


def discs_at_edges(shape: tuple[int, int], diameter: float) -> tuple[NDArray[np.float32], Array, int]:
    """A noisy micrograph of discs, their centres (n, 2) as x, y, and how many of them lie along the edges."""
    rng = np.random.default_rng(3)
    h, w = shape
    near = 0.65 * diameter
    along = [np.arange(2 * diameter, side - 2 * diameter, 1.7 * diameter) for side in (w, h)]
    edges = [(x, y) for x in along[0] for y in (near, h - 1 - near)]
    edges += [(x, y) for y in along[1] for x in (near, w - 1 - near)]
    inner = scattered(rng, shape, 20, 1.5 * diameter, 2.2 * diameter)
    centres = np.vstack([edges, inner])
    centres += rng.uniform(-0.5, 0.5, centres.shape)
    return micrograph(rng, shape, centres, diameter, 1.0), centres, len(edges)


def shifts(prepared: Prepared, centres: Array, diameter: float) -> Array:
    """Rows and columns (n, 2), in full px of the grid's own frame, by which discs lie off their centres.

    Each disc is found by moving a disc-shaped window to the centre of the darkness within it.
    """
    scales = np.array([prepared.row_scale, prepared.column_scale])
    found = []
    for x, y in centres:
        row = prepared.shape[0] - 1 - y if prepared.published_frame else y
        start = (np.array([row, x]) + 0.5) / scales - 0.5
        radius = 0.54 * diameter / scales
        low = np.maximum(np.floor(start - 2 * radius), 0).astype(int)
        cut = prepared.image[
            tuple(slice(a, int(b) + 1) for a, b in zip(low, start + 2 * radius, strict=True))
        ]
        grid = np.stack(np.mgrid[: cut.shape[0], : cut.shape[1]], axis=-1) + low
        centre = start
        for _ in range(14):
            distance = np.linalg.norm((grid - centre) / radius, axis=-1)
            window = np.clip((1 - distance) * radius.mean() + 0.5, 0, 1)[..., None]
            dark = window * (1 - cut[..., None])
            mean = [(weight * grid).sum(axis=(0, 1)) / weight.sum() for weight in (dark, window)]
            centre = centre + mean[0] - mean[1]
        found.append((centre - start) * scales)
    return np.array(found)


@pytest.mark.parametrize(("shape", "diameter"), SHAPES)
def test_centres_stay_where_they_are_to_half_a_pixel(shape: tuple[int, int], diameter: float) -> None:
    image, centres, edges = discs_at_edges(shape, diameter)
    prepared = prepare(image, diameter, "dark", PreprocessSettings())
    moved = shifts(prepared, centres, diameter)
    assert np.abs(moved.mean(axis=0)).max() < 0.5
    assert np.abs(moved[:edges].mean(axis=0)).max() < 0.5
    assert prepared.row_scale == prepared.column_scale  # discs stay round
    assert prepared.diameter_px == pytest.approx(32.0)


@pytest.mark.parametrize(("shape", "diameter"), SHAPES[1:3])
def test_published_settings_move_the_picture_as_published(shape: tuple[int, int], diameter: float) -> None:
    image, centres, _ = discs_at_edges(shape, diameter)
    prepared = prepare(image, diameter, "dark", PUBLISHED)
    moved = shifts(prepared, centres, diameter).mean(axis=0)
    predicted = published_shift(PUBLISHED)
    assert predicted == -3.0  # -4 of the deconvolution, +1 of two boxes of even side
    np.testing.assert_allclose(moved, [predicted, predicted], atol=0.5)  # the spread of 60 noisy discs


@pytest.mark.parametrize("keys", [{"equalise": "full"}, {}])
def test_one_setting_brings_the_published_shift_and_another_takes_half_of_it(keys: dict[str, Any]) -> None:
    image, centres, _ = discs_at_edges((614, 700), 60.0)
    for smooth, expected in (("none", -4.0), ("box", -3.0)):
        settings = PreprocessSettings(centred=False, smooth=smooth, **keys)
        assert published_shift(settings) == expected
        moved = shifts(prepare(image, 60.0, "dark", settings), centres, 60.0).mean(axis=0)
        np.testing.assert_allclose(moved, [expected, expected], atol=0.5)


def test_a_micrograph_that_is_not_binned_moves_no_further() -> None:
    image, centres, _ = discs_at_edges((300, 340), 30.0)  # less than 32 px a diameter: one px is one px
    prepared = prepare(image, 30.0, "dark", PreprocessSettings(centred=False))
    assert prepared.row_scale == 1
    np.testing.assert_allclose(shifts(prepared, centres, 30.0).mean(axis=0), [-3, -3], atol=0.5)


def test_published_working_grid_is_square_and_its_diameter_the_larger_one() -> None:
    image, _, _ = discs_at_edges((864, 614), 66.0)
    prepared = prepare(image, 66.0, "dark", PUBLISHED)
    assert prepared.image.shape == (1024, 1024)
    assert (prepared.row_scale, prepared.column_scale) == (864 / 1024, 614 / 1024)
    assert prepared.diameter_px / 2 == max(66 * 1024 / 864, 66 * 1024 / 614) / 2


def test_coordinates_come_back_in_the_stored_frame() -> None:
    image, mask = np.zeros((4, 4), np.float32), np.ones((4, 4), dtype=bool)
    prepared = Prepared(image, mask, 2.0, 3.0, 2.0, (12, 8))
    assert prepared.to_full(np.array([0.0]), np.array([0.0])) == (0.5, 1.0)  # the middle of 3 x 2 px
    published = Prepared(image, mask, 2.0, 3.0, 2.0, (12, 8), published_frame=True)
    assert published.to_full(np.array([1.0]), np.array([1.0])) == (2.0, 9.0)  # §1.6 step 8


def test_published_picture_of_a_micrograph_upside_down_is_read_back_upside_down() -> None:
    image, centres, _ = discs_at_edges((614, 614), 60.0)
    prepared = prepare(image, 60.0, "dark", PUBLISHED)
    row = (prepared.shape[0] - 1 - centres[:, 1] - 3 + 0.5) / prepared.row_scale - 0.5
    column = (centres[:, 0] - 3 + 0.5) / prepared.column_scale - 0.5
    x, y = prepared.to_full(row, column)
    # 3 px from the kernels, and the missing half pixels of the published conversion
    half = (1 - prepared.row_scale) / 2
    np.testing.assert_allclose(x, centres[:, 0] - 3 + half)
    np.testing.assert_allclose(y, centres[:, 1] + 3 + 1 - half)


def test_bright_particles_are_made_dark() -> None:
    image, _, _ = discs_at_edges((512, 512), 60.0)
    for settings in (PreprocessSettings(), PUBLISHED):
        dark = prepare(image, 60.0, "dark", settings)
        bright = prepare(-image, 60.0, "bright", settings)
        np.testing.assert_array_equal(dark.image, bright.image)


@pytest.mark.parametrize(
    "keys",
    [
        {"background": "corners"}, {"background": "disc"}, {"working": "square"}, {"centred": False},
        {"clip": None}, {"blur": None}, {"equalise": "full"}, {"equalise": "none"}, {"tile": None},
        {"smooth": "box"}, {"smooth": "none"}, {"smooth_size": None},
    ],
    ids=str,
)  # fmt: skip
def test_every_published_choice_is_one_setting_away(keys: dict[str, Any]) -> None:
    image, centres, _ = discs_at_edges((512, 480), 64.0)
    ours = prepare(image, 64.0, "dark", PreprocessSettings())
    other = prepare(image, 64.0, "dark", PreprocessSettings(**keys))
    assert other.image.shape != ours.image.shape or not np.array_equal(other.image, ours.image)
    levels = other.image * 255
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)  # 8 bits
    assert other.image.min() >= 0 and other.image.max() <= 1
    rows, columns = ((centres[:, ::-1] + 0.5) / [other.row_scale, other.column_scale] - 0.5).astype(int).T
    if other.published_frame:
        rows = other.image.shape[0] - 1 - rows
    assert other.image[rows, columns].mean() < other.image.mean() - 0.1  # particles dark


def test_smeared_and_empty_bands_are_masked_and_do_not_touch_the_rest() -> None:
    image, _, _ = discs_at_edges((600, 600), 60.0)
    spoilt = image.copy()
    spoilt[:40] = spoilt[40]
    spoilt[:, -30:] = 0.0
    prepared = prepare(spoilt, 60.0, "dark", PreprocessSettings())
    scale = prepared.row_scale
    filled = [np.flatnonzero(prepared.mask.any(axis=axis)) for axis in (1, 0)]
    # to a working px beyond the band, never inside it
    assert 40 <= (filled[0][0] + 0.5) * scale < 40 + 2.5 * scale
    assert 570 - 2.5 * scale < (filled[1][-1] + 0.5) * scale <= 570
    assert (filled[0][-1], filled[1][0]) == (prepared.mask.shape[0] - 1, 0)
    rows, columns = filled[0][0], filled[1][-1] + 1
    part = image[round(rows * scale) :, : round(columns * scale)]
    alone = prepare(part, 60.0, "dark", PreprocessSettings()).image
    inside = prepared.image[rows:, :columns]
    common = tuple(slice(0, min(a, b)) for a, b in zip(alone.shape, inside.shape, strict=True))
    # the grids lie a fraction of a working px apart, so noise differs; a band that leaked would show at once
    middle = np.abs(alone[common].mean(axis=1) - inside[common].mean(axis=1))
    assert middle[:8].max() < 0.05


def test_prepared_picture_keeps_its_grid() -> None:
    picture = np.arange(256, dtype=np.uint8).reshape(16, 16)
    prepared = prepared_from_picture(picture, 5.0)
    np.testing.assert_array_equal(np.rint(prepared.image * 255).astype(np.uint8), picture)
    assert prepared.mask.all()
    assert prepared.to_full(np.array([3.0]), np.array([4.0])) == (4.0, 3.0)


def test_resampling_keeps_planes_and_takes_means_of_blocks() -> None:
    row, column = np.mgrid[:60, :47].astype(np.float32)
    plane = 2 * row - column
    for scales in ((2.5, 1.7), (0.6, 1.0)):
        shape = (round(60 / scales[0]), round(47 / scales[1]))
        small = resampled(plane, shape, scales, offset=0.25)
        r, c = (np.arange(side) for side in shape)
        exact = 2 * ((r[:, None] + 0.5) * scales[0] - 0.25) - ((c + 0.5) * scales[1] - 0.25)
        error = (small - exact)[2:-3, 2:-3]  # beyond the edges the image is repeated
        # a px cut by the rim of a new one counts from its own centre: up to 1/8 px, nothing on average
        assert np.abs(error).max() < (1e-4 if scales[0] < 1 else 0.15)
        assert abs(error.mean()) < 0.01
    blocks = plane[:, :45].reshape(20, 3, 15, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(resampled(plane[:, :45], (20, 15), (3.0, 3.0)), blocks, atol=1e-4)
    cut = resampled(plane, (60, 47), (1.0, 1.0), limits=(0.0, 5.0))
    np.testing.assert_allclose(cut, np.clip(plane, 0, 5), atol=1e-6)


def test_regions_have_the_published_areas() -> None:
    for name, area in (("corners", 1 - np.pi / 4), ("disc", np.pi / 4), ("ring", np.pi * (1.5**2 - 0.5**2))):
        weights = region_weights(name, (40.0, 40.0), 1.5)  # type: ignore[arg-type]
        assert weights.sum() == pytest.approx(1, abs=1e-5)
        # a fully covered px has the weight 1 / area; rims are sampled with 4 x 4 points a px
        assert 1 / weights.max() == pytest.approx(area * 40**2, rel=0.02)
        np.testing.assert_allclose(weights, weights[::-1, ::-1], atol=1e-9)


def test_local_statistics_are_those_of_the_region() -> None:
    rng = np.random.default_rng(5)
    image = (rng.standard_normal((96, 80)) + np.linspace(0, 3, 80)).astype(np.float32)
    mean, deviation = local_statistics(image, (16.0, 16.0), "ring", 1.5)
    weights = region_weights("ring", (16.0, 16.0), 1.5)
    reach = weights.shape[0] // 2
    for row, column in ((40, 40), (50, 33)):
        part = image[row - reach : row + reach + 1, column - reach : column + reach + 1]
        level = (weights * part).sum()
        assert mean[row, column] == pytest.approx(level, abs=1e-4)
        spread = np.sqrt((weights * part**2).sum() - level**2)
        assert deviation[row, column] == pytest.approx(spread, abs=1e-3)


def test_guided_filter_keeps_edges_that_a_double_box_blurs_and_with_a_faint_guide_is_that_box() -> None:
    rng = np.random.default_rng(6)
    step = (np.arange(64) >= 32).astype(np.float32) * np.ones((64, 1), np.float32)
    noisy = step + 0.05 * rng.standard_normal(step.shape).astype(np.float32)
    kept, blurred = guided_filter(noisy, noisy, (9, 9), 0.01), double_box(noisy, (9, 9))
    rise = [float((image[:, 32] - image[:, 31]).mean()) for image in (kept, blurred)]
    assert rise[0] > 0.8 and rise[1] < 0.3
    assert kept[:, :20].std() < 0.5 * noisy[:, :20].std()
    faint = 6e-5 * noisy  # §1.2 step 6: the published guide, divided by 255 once too often
    np.testing.assert_allclose(
        guided_filter(noisy, faint, (20, 20), 0.1), double_box(noisy, (20, 20)), atol=1e-5
    )


def test_a_box_of_even_side_moves_the_picture_by_half_a_pixel_each_time() -> None:
    point = np.zeros((81, 81), np.float32)
    point[40, 40] = 1
    for side, moved in ((20, 1.0), (21, 0.0)):
        image = double_box(point, (side, side))
        row, column = np.indices(image.shape)
        centre = [float((image * axis).sum() / image.sum()) - 40 for axis in (row, column)]
        np.testing.assert_allclose(centre, [moved, moved], atol=1e-4)
