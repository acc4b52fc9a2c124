"""The CTF fit against micrographs made through the exact forward model, noise, and real ones."""

from __future__ import annotations

import numpy as np
import pytest
from shared import shared

from vitreous.errors import InputError
from vitreous.io.micrograph import read_micrograph
from vitreous.physics.ctf import Ctf, ctf_2d
from vitreous.physics.ctf_fit import CtfFit, fit_ctf, power_spectrum

# Mean defocus in µm that the data's README states, from a one-dimensional fit of its own.
KNOWN_UM = {
    "03.05.02": 1.94, "03.13.02": 2.19, "03.15.02": 2.24, "03.43.44": 2.00, "04.32.27": 1.67,
    "04.33.57": 1.69, "04.36.57": 1.75, "05.24.39": 1.65, "05.31.00": 2.20, "07.10.35": 1.81,
}  # fmt: skip


def micrograph(ctf: Ctf, *, side: int = 1024, pixel_size_A: float = 1.5, seed: int = 0) -> np.ndarray:
    """White specimen through the CTF with an envelope of 100 Å², under white noise of five times its
    variance.
    """
    rng = np.random.default_rng(seed)
    transfer = ctf_2d(ctf, (side, side), pixel_size_A).numpy()
    signal = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((side, side))) * transfer, s=(side, side))
    return signal / signal.std() * 0.2**0.5 + rng.standard_normal((side, side))


def angle_error(fit: CtfFit, angle_deg: float) -> float:
    return abs((fit.defocus_angle_deg - angle_deg + 90) % 180 - 90)


@pytest.mark.parametrize("mean_A", [9000.0, 20000.0])
@pytest.mark.parametrize("astigmatism_A", [0.0, 200.0, 1000.0])
def test_defocus_and_astigmatism_come_back_from_a_simulated_micrograph(
    mean_A: float, astigmatism_A: float
) -> None:
    u, v, angle = mean_A + astigmatism_A / 2, mean_A - astigmatism_A / 2, 27.0
    image = micrograph(Ctf(u, v, angle, 300.0, 2.7, 0.1, 0.0, 100.0))
    fit = fit_ctf(image, 1.5, 300.0, 2.7, 0.1)
    # Nine windows of 512 px: 31 Å at most over nine micrographs of other defoci and angles.
    assert abs(fit.defocus_u_A - u) < 50
    assert abs(fit.defocus_v_A - v) < 50
    assert fit.quality > 0.7
    assert fit.max_resolution_A < 8
    if astigmatism_A:
        # The error of the vector (U - V) cos, sin 2 alpha is that of U and V: half of 50 / 200 in radians.
        assert angle_error(fit, angle) < (8 if astigmatism_A == 200 else 2)


def test_a_known_phase_shift_is_not_taken_for_defocus() -> None:
    image = micrograph(Ctf(12000.0, 11800.0, 70.0, 200.0, 1.4, 0.07, 90.0, 60.0), pixel_size_A=2.0)
    fit = fit_ctf(image, 2.0, 200.0, 1.4, 0.07, phase_shift_deg=90.0)
    assert abs(fit.mean_defocus_A - 11900) < 50
    wrong = fit_ctf(image, 2.0, 200.0, 1.4, 0.07)
    # A quarter turn of chi at 10 Å is 1 / (4 * lambda * k²), about 1,000 Å of defocus.
    assert abs(wrong.mean_defocus_A - 11900) > 200


def test_noise_without_rings_has_a_low_quality_and_does_not_crash() -> None:
    qualities = [
        fit_ctf(np.random.default_rng(seed).standard_normal((600, 700)), 1.5, 300.0, 2.7, 0.1).quality
        for seed in range(5)
    ]
    # 60 images of 1024² gave 0.33 as median and 0.48 at most.
    assert max(qualities) < 0.5


def test_the_curves_of_a_fit_belong_together() -> None:
    fit = fit_ctf(micrograph(Ctf(15000.0, 15000.0, 0.0, 300.0, 2.7, 0.1, 0.0, 100.0)), 1.5, 300.0, 2.7, 0.1)
    assert fit.frequency_per_A.shape == fit.measured.shape == fit.model.shape
    assert np.all(np.diff(fit.frequency_per_A) > 0)
    assert np.corrcoef(fit.measured, fit.model)[0, 1] == pytest.approx(fit.quality)


def test_images_that_cannot_be_fitted_are_refused() -> None:
    noise = np.random.default_rng(0).standard_normal((400, 400))
    with pytest.raises(InputError, match="too small"):
        fit_ctf(noise[:200], 1.5, 300.0, 2.7, 0.1)
    with pytest.raises(InputError, match="constant"):
        fit_ctf(np.ones((400, 400)), 1.5, 300.0, 2.7, 0.1)
    with pytest.raises(InputError, match="not finite"):
        fit_ctf(np.where(noise > 3, np.nan, noise), 1.5, 300.0, 2.7, 0.1)
    with pytest.raises(InputError, match="no frequencies"):
        fit_ctf(noise, 9.0, 300.0, 2.7, 0.1)


def test_windows_of_odd_variance_are_left_out_of_the_spectrum() -> None:
    rng = np.random.default_rng(1)
    clean = rng.standard_normal((1536, 1536))
    spoilt = clean.copy()
    spoilt[:300, :300] *= 50
    near, far = power_spectrum(clean, 256), power_spectrum(spoilt, 256)
    # 121 windows, of which the four of the bright corner are among the twelve left out.
    assert np.median(far) == pytest.approx(np.median(near), rel=0.1)


def test_ten_micrographs_of_10146_agree_with_their_list_and_the_drifted_one_is_seen() -> None:
    folder = shared("data/empiar-10146")
    for stem, defocus_um in KNOWN_UM.items():
        image = read_micrograph(folder / "micrographs" / f"May08_{stem}.bin_avg.mrc")
        fit = fit_ctf(image, 1.5, 300.0, 0.001, 0.07)
        assert abs(fit.mean_defocus_A * 1e-4 - defocus_um) < 0.1, stem
        assert fit.quality > 0.6, stem
    bad = fit_ctf(read_micrograph(folder / "bad" / "May08_06.09.02.bin_avg.mrc"), 1.5, 300.0, 0.001, 0.07)
    assert bad.quality < 0.45
