"""A simulated micrograph is what its truth says: poses, shifts, CTF, SNR, noise, independence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vitreous.physics.ctf import Ctf, ctf_2d
from vitreous.physics.fourier import crop_or_pad
from vitreous.physics.projection import project_prepared
from vitreous.runtime.device import Runtime
from vitreous.simulate.artefacts import Scenery
from vitreous.simulate.micrograph import Scene, compose, padded_field, prepare_scene, simulate_micrograph
from vitreous.simulate.placement import Layout
from vitreous.simulate.settings import SimulateSettings
from vitreous.simulate.targets import make_target

RUNTIME = Runtime(seed=3)
SETTINGS = SimulateSettings(
    shape=(256, 320),
    pixel_size_A=4.0,
    targets=[{"name": "a", "phantom": "c1", "diameter_A": 120, "count": 8}],
)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return scene_of(SETTINGS)


def scene_of(settings: SimulateSettings) -> Scene:
    targets = [make_target(target, settings.pixel_size_A) for target in settings.targets]
    return prepare_scene(targets, settings, RUNTIME)


def noise_free(scene: Scene, layout: Layout, ctf: Ctf) -> np.ndarray:
    """1 - mean of the electrons over that of an empty field: bright protein, as in particles."""
    _, field = padded_field(SETTINGS.shape, scene)
    scenery = Scenery(np.zeros(field, np.float32), np.ones(field, np.float32), np.zeros(field, np.uint8))
    return 1 - compose(scene, layout, scenery, ctf, SETTINGS, RUNTIME)


@pytest.mark.parametrize("height", [0.0, 700.0])
@pytest.mark.parametrize("xy", [(150.0, 120.0), (150.4, 119.7), (149.75, 120.25), (170.5, 140.0)])
def test_extracted_particle_equals_ctf_of_projection_at_true_pose(
    scene: Scene, xy: tuple[float, float], height: float
) -> None:
    ctf = Ctf(9000.0, 8000.0, 30.0, 300.0, 2.7, 0.1)
    layout = Layout(np.array([0]), np.array([xy]), np.array([[40.0, 75.0, -110.0]]), np.array([height]))
    image = noise_free(scene, layout, ctf)
    half = 48
    x, y = round(xy[0]), round(xy[1])
    found = torch.from_numpy(image[y - half : y + half, x - half : x + half])

    # The particle stands at centre - origin, so the rest of the centre is a negative origin (RELION).
    origin = torch.tensor([[x - xy[0], y - xy[1]]], dtype=torch.float32)
    bare = project_prepared(scene.transforms[0], layout.matrices(), origins_px=origin)
    bare = crop_or_pad(bare, (192, 192))
    at_height = replace(ctf, defocus_u_A=9000.0 + height, defocus_v_A=8000.0 + height)
    seen = torch.fft.irfft2(torch.fft.rfft2(bare) * ctf_2d(at_height, (192, 192), 4.0), s=(192, 192))
    expected = crop_or_pad(seen, (96, 96))[0] * (2 * scene.interaction * 4.0)

    correlation = torch.corrcoef(torch.stack([found.flatten(), expected.flatten()]))[0, 1]
    assert correlation > 0.9995
    # in absolute units too: what is left is the tail of the point spread beyond the 192 px of `seen`
    assert (found - expected).std() < 0.02 * expected.std()


def test_wrong_sign_of_the_shift_would_be_seen(scene: Scene) -> None:
    ctf = Ctf(9000.0, 8000.0, 30.0, 300.0, 2.7, 0.1)
    pose, zero = np.array([[40.0, 75.0, -110.0]]), np.zeros(1)
    plus = noise_free(scene, Layout(np.array([0]), np.array([[150.45, 120.0]]), pose, zero), ctf)
    minus = noise_free(scene, Layout(np.array([0]), np.array([[149.55, 120.0]]), pose, zero), ctf)
    box = (slice(80, 160), slice(110, 190))
    # 0.9 px of 4 Å between the two: below what the equality test asks for
    assert np.corrcoef(plus[box].ravel(), minus[box].ravel())[0, 1] < 0.99


def test_protein_is_dark_in_micrographs(scene: Scene) -> None:
    micrograph = simulate_micrograph(0, scene, SETTINGS, RUNTIME)
    y, x = np.indices(SETTINGS.shape)
    near = np.zeros(SETTINGS.shape, bool)
    for cx, cy in micrograph.particles.xy_px:
        near |= (x - cx) ** 2 + (y - cy) ** 2 < 12**2
    assert micrograph.exposure.full[near].mean() < micrograph.exposure.full[~near].mean()


def test_same_seed_gives_same_bytes_and_another_seed_does_not(scene: Scene) -> None:
    first, again = (simulate_micrograph(1, scene, SETTINGS, RUNTIME) for _ in range(2))
    other = simulate_micrograph(1, scene, SETTINGS, Runtime(seed=4))
    assert first.exposure.full.tobytes() == again.exposure.full.tobytes()
    assert first.exposure.full.tobytes() != other.exposure.full.tobytes()


def test_seed_of_the_settings_makes_another_data_set_of_the_same_kind(scene: Scene) -> None:
    other = SETTINGS.model_copy(update={"seed": 1})
    one, two = (simulate_micrograph(0, scene, each, RUNTIME) for each in (SETTINGS, other))
    assert not np.array_equal(one.particles.xy_px, two.particles.xy_px)


def test_noise_variance_of_an_empty_field_follows_the_dose(scene: Scene) -> None:
    bare = {"ice": {"gradient": 0, "structure": 0}, "detector": {"readout_noise_e": 3.0}}
    for dose in (2.0, 30.0):
        settings = SimulateSettings(
            **SETTINGS.model_dump(exclude={"targets", "ice", "detector", "dose_e_per_A2"}) | bare,
            dose_e_per_A2=dose,
            targets=[{"name": "a", "phantom": "c1", "diameter_A": 120, "count": 0}],
        )
        exposure = simulate_micrograph(0, scene, settings, RUNTIME).exposure
        electrons = dose * 16
        # 81,920 pixels: the variance is known to sqrt(2/n) = 0.5 %, the mean to far less; four sigma
        assert exposure.full.mean() == pytest.approx(electrons, rel=0.005)
        assert exposure.full.var() == pytest.approx(electrons + 9, rel=0.02)


def test_half_doses_sum_to_the_whole_and_their_noise_is_independent(scene: Scene) -> None:
    exposure = simulate_micrograph(0, scene, SETTINGS, RUNTIME).exposure
    assert np.array_equal(exposure.half1 + exposure.half2, exposure.full)
    noise = [half - exposure.full / 2 for half in (exposure.half1, exposure.half2)]
    assert np.allclose(noise[0], -noise[1], atol=1e-3)
    electrons = 40.0 * 16
    # the difference has only noise: var(half1 - half2) = var of the whole's noise, if they are independent
    difference = exposure.half1 - exposure.half2
    assert difference.var() == pytest.approx(electrons + 1, rel=0.05)
    nothing = SETTINGS.model_copy(update={"targets": [SETTINGS.targets[0].model_copy(update={"count": 0.0})]})
    flat = SimulateSettings(**nothing.model_dump(exclude={"ice"}), ice={"gradient": 0, "structure": 0})
    halves = simulate_micrograph(5, scene, flat, RUNTIME).exposure
    # 81,920 pixels of independent noise correlate to 1/sqrt(n) = 0.0035; four sigma
    assert abs(np.corrcoef(halves.half1.ravel(), halves.half2.ravel())[0, 1]) < 0.014


@pytest.mark.parametrize(("snr", "mtf"), [(0.02, 1.0), (0.3, 0.4)])
def test_measured_snr_is_the_one_asked_for(snr: float, mtf: float) -> None:
    settings = SimulateSettings(
        shape=(512, 512), pixel_size_A=4.0, snr=snr, defocus_spread_A=0, astigmatism_A=0,
        targets=[{"name": "a", "phantom": "c4", "diameter_A": 120, "count": 60}],
        ice={"gradient": 0, "structure": 0}, detector={"mtf_at_nyquist": mtf},
    )  # fmt: skip
    scene = scene_of(settings)
    micrograph = simulate_micrograph(0, scene, settings, RUNTIME)
    bare = settings.model_copy(update={"targets": [settings.targets[0].model_copy(update={"count": 0.0})]})
    noise = simulate_micrograph(0, scene, bare, RUNTIME).exposure.full.var()
    y, x = np.indices(settings.shape)
    image = micrograph.exposure.full
    inside = [
        image[(x - cx) ** 2 + (y - cy) ** 2 <= 15**2].var() - noise for cx, cy in micrograph.particles.xy_px
    ]
    # about 60 discs of 709 px: the noise's variance alone moves the mean by sqrt(2 / 42,000) = 0.7 % of it;
    # neighbours' fringes add a little; Poisson noise is lower in dark protein by 5 % at SNR 0.3
    assert np.mean(inside) / noise == pytest.approx(snr, rel=0.15, abs=0.012)


def test_particles_keep_their_distance_and_avoid_carbon() -> None:
    settings = SimulateSettings(
        shape=(512, 512), pixel_size_A=4.0, overlap=0.2,
        targets=[{"name": "a", "phantom": "d2", "diameter_A": 120, "count": 80}],
        artefacts={"carbon_probability": 1, "ice_balls": [2, 2], "aggregates": [1, 1], "debris": [3, 3]},
    )  # fmt: skip
    micrograph = simulate_micrograph(0, scene_of(settings), settings, RUNTIME)
    xy = micrograph.particles.xy_px
    apart = np.linalg.norm(xy[:, None] - xy[None], axis=-1) + np.eye(len(xy)) * 1e3
    assert len(xy) > 10 and apart.min() >= 0.8 * 30 - 1e-2  # centres are rounded to 0.001 px
    assert set(np.unique(micrograph.labels)) == {0, 85, 170, 255}
    x, y = np.rint(xy).astype(int).T
    assert (micrograph.labels[y, x] == 0).all()
