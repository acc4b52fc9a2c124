"""What the contamination mask must find and what it must leave, on pictures whose content is known."""

from __future__ import annotations

import numpy as np
import pytest
from discs import discs, scattered
from numpy.typing import NDArray
from scipy import ndimage
from shared import shared

from vitreous.picking.contamination import contamination_mask
from vitreous.picking.working import WorkingImage, working_image

D = 24
SHAPE = (480, 480)
Array = NDArray[np.float64]


def work_of(image: Array, noise: float, seed: int = 0) -> WorkingImage:
    """The picture with white noise at working scale, particles bright."""
    grain = np.random.default_rng(seed).normal(scale=noise, size=image.shape)
    return working_image((image + grain).astype(np.float32), D, "bright")


def particles(count: int = 110, seed: int = 5, gap: float = 1.0) -> Array:
    """Centres (n, 2) at least `gap` diameters apart."""
    return scattered(np.random.default_rng(seed), SHAPE, count, gap * D, D / 2)


def balls(centres: Array) -> Array:
    """Projections of solid balls of height 1."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = np.zeros(SHAPE)
    half = D // 2
    for cx, cy in centres:
        place = np.s_[
            max(0, int(cy) - half) : int(cy) + half + 2, max(0, int(cx) - half) : int(cx) + half + 2
        ]
        distance = (x[place] - cx) ** 2 + (y[place] - cy) ** 2
        image[place] += np.sqrt(np.clip(1 - distance / half**2, 0, None))
    return image


def lattice(columns: int) -> Array:
    """Centres (n, 2) of touching particles."""
    rows = range(int(SHAPE[0] / D / 0.866))
    return np.array(
        [[(a + 0.5 * (b % 2) + 0.5) * D, (0.866 * b + 0.5) * D] for b in rows for a in range(columns)]
    )


@pytest.mark.parametrize("strength", [0.5, 2.0, 30.0, 300.0])
def test_a_single_particle_is_never_masked_however_strong(strength: float) -> None:
    image = strength * discs(SHAPE, np.array([[200.0, 240.0]]), D)
    assert contamination_mask(work_of(image, 1.0)).share == 0


@pytest.mark.parametrize("noise", [0.05, 0.5, 3.0, 8.0])
def test_crowded_particles_are_not_masked_at_any_noise(noise: float) -> None:
    # up to noise of 8: a signal to noise ratio of 0.016 for discs of height 1
    assert contamination_mask(work_of(discs(SHAPE, particles(400), D), noise)).share == 0


@pytest.mark.parametrize("noise", [0.05, 1.0])
@pytest.mark.parametrize("columns", [10, 20])
def test_touching_particles_are_not_masked_though_they_end_abruptly(columns: int, noise: float) -> None:
    assert contamination_mask(work_of(balls(lattice(columns)), noise)).share == 0


def test_hollow_shells_and_rods_are_not_masked() -> None:
    shells = discs(SHAPE, particles(300), D) - discs(SHAPE, particles(300), 0.65 * D)
    rods = ndimage.zoom(discs(SHAPE, particles(300), D), (0.5, 1), order=1)
    for image in (shells, rods):
        assert contamination_mask(work_of(image, 0.3)).share == 0


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 1.5])
def test_noise_of_any_colour_and_ice_of_uneven_thickness_are_not_masked(exponent: float) -> None:
    frequency = np.hypot(np.fft.fftfreq(SHAPE[0])[:, None], np.fft.rfftfreq(SHAPE[1])[None]) + 1e-3
    white = np.random.default_rng(6).normal(size=SHAPE)
    coloured = np.fft.irfft2(np.fft.rfft2(white) / frequency**exponent, SHAPE)
    assert contamination_mask(work_of(coloured, 0.0)).share == 0
    ramp = np.linspace(0, 10, SHAPE[1])[None] * np.ones(SHAPE)
    assert contamination_mask(work_of(ramp + balls(particles()), 1.0)).share == 0


@pytest.mark.parametrize("noise", [0.7, 1.5, 3.0])
@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_carbon_is_masked_up_to_its_edge_and_no_particle_beyond(angle: float, noise: float) -> None:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] - 240.0
    beyond = x * np.cos(angle) + y * np.sin(angle) - 60  # px past the edge
    centres = particles()
    along = (centres - 240) @ [np.cos(angle), np.sin(angle)] - 60
    centres = centres[along < -0.75 * D]
    found = contamination_mask(work_of(discs(SHAPE, centres, D) + 3 * (beyond > 0), noise))
    assert found.mask[beyond > 3].mean() > 0.99
    column, row = np.rint(centres).astype(int).T
    # Almost without noise touching discs of hard rims may pass for a wide body: hence 0.7 and more.
    assert not found.mask[row, column].any()
    assert found.mask[beyond < -D].mean() < 0.02


@pytest.mark.parametrize("diameters", [1.5, 2.5, 6.0])
def test_a_ball_of_ice_is_masked_and_little_else(diameters: float) -> None:
    centres = particles()
    far = centres[np.hypot(*(centres - 240).T) > (diameters / 2 + 1) * D]
    ball = discs(SHAPE, np.array([[240.0, 240.0]]), diameters * D)
    found = contamination_mask(work_of(discs(SHAPE, far, D) + 3 * ball, 1.0)).mask
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] - 240.0
    distance = np.hypot(x, y) - diameters * D / 2
    assert found[distance < 0].mean() > 0.97
    assert not found[distance > 0.6 * D].any()


def test_a_weak_film_is_found_beside_a_ball_a_hundred_times_stronger() -> None:
    image = discs(SHAPE, particles()[:40], D) + 100 * discs(SHAPE, np.array([[100.0, 100.0]]), 5 * D)
    image[:, 330:] += 1.5
    assert contamination_mask(work_of(image, 1.0)).mask[:, 335:].mean() > 0.97


def test_a_picture_all_of_carbon_and_one_with_a_broken_place_stay_free() -> None:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    centres = particles()
    broken = np.hypot(x - 240, y - 240) < 3.5 * D
    torn = x < 0.3 * SHAPE[1]
    for hole in (np.zeros(SHAPE, dtype=bool), broken, torn):
        image = np.where(hole, 0, 3 + discs(SHAPE, centres, D))
        assert contamination_mask(work_of(image, 1.0)).share == 0


def test_scale_offset_and_mirroring_of_the_picture_do_not_change_the_mask() -> None:
    image = discs(SHAPE, particles(), D) + 3 * discs(SHAPE, np.array([[100.0, 300.0]]), 4 * D)
    image[:, 350:] += 2
    image += np.random.default_rng(7).normal(size=SHAPE)
    mask = contamination_mask(work_of(image, 0.0)).mask
    assert np.array_equal(contamination_mask(work_of(50 * image - 1000, 0.0)).mask, mask)
    for turned in (np.fliplr, np.flipud, np.transpose):
        # the order of sums differs: single pixels at a level may change sides
        assert np.mean(contamination_mask(work_of(turned(image), 0.0)).mask != turned(mask)) < 0.001


def test_the_ball_of_the_micrograph_cleaner_example_is_masked() -> None:
    from PIL import Image

    from vitreous.io.micrograph import read_micrograph

    folder = shared("data/micrograph-cleaner")
    image = read_micrograph(folder / "Ucsf_stack_1142_DW.mrc")
    theirs = np.array(Image.open(folder / "Ucsf_stack_1142_DW_mask.png")) > 127
    ours = contamination_mask(working_image(image, 46, "dark")).mask  # 46 px: not binned
    # The network's mask is no truth: its rim is soft and it marks small spots too.
    assert (ours & theirs).sum() / (ours | theirs).sum() > 0.7
    assert 0.1 < ours.mean() < 0.22


def test_a_monolayer_of_real_apoferritin_keeps_its_particles() -> None:
    import csv

    from vitreous.io.micrograph import read_micrograph

    folder = shared("data/empiar-10146")
    lost = total = 0
    for path in sorted((folder / "micrographs").glob("*.mrc"))[:4]:
        work = working_image(read_micrograph(path), 130 / 1.5, "dark")
        mask = contamination_mask(work).mask
        with open(next((folder / "coords").glob(f"{path.name.split('.bin')[0]}*.csv"))) as handle:
            picks = [(float(row["x"]), float(row["y"])) for row in csv.DictReader(handle)]
        column, row = ((np.array(picks) + 0.5) / work.bin - 0.5).round().astype(int).T
        lost, total = lost + int(mask[row, column].sum()), total + len(picks)
    # some of the picks lie on black contamination: those are rightly lost
    assert lost <= 0.02 * total
