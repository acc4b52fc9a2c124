"""Laws of the FSC: signs, gains, signal-to-noise ratios; RELION's own answer on the same half-maps."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from shared import shared

from vitreous.metrics.fsc import fourier_shell_correlation, resolution_shell
from vitreous.metrics.postprocess import FscCurves, corrected_fsc, default_mask, randomise_phases

WITNESS = "data/maps/halves-3488-simulated"
COLUMNS = {
    "unmasked": "rlnFourierShellCorrelationUnmaskedMaps",
    "masked": "rlnFourierShellCorrelationMaskedMaps",
    "corrected": "rlnFourierShellCorrelationCorrected",
}


def noise(box: int, seed: int) -> torch.Tensor:
    return torch.randn((box,) * 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def smooth_map(box: int, seed: int = 0) -> torch.Tensor:
    """A map whose spectrum falls off, so that halves with white noise have a falling FSC."""
    k = torch.fft.fftfreq(box) * box
    radius = (k[:, None, None] ** 2 + k[None, :, None] ** 2 + k[None, None, : box // 2 + 1].abs() ** 2).sqrt()
    spectrum = torch.fft.rfftn(noise(box, seed)) * torch.exp(-((radius / (0.15 * box)) ** 2))
    grid = torch.arange(box, dtype=torch.float64) - box // 2
    distance = grid[:, None, None] ** 2 + grid[None, :, None] ** 2 + grid**2
    return torch.fft.irfftn(spectrum, s=(box,) * 3) * torch.exp(-distance / (0.18 * box) ** 2)


def test_map_against_its_negative_is_minus_one_at_every_shell_the_mean_included() -> None:
    volume = noise(20, 0) + 3
    # rounding of float64 only
    assert fourier_shell_correlation(volume, -volume).tolist() == pytest.approx([-1.0] * 11, abs=1e-12)


def test_fsc_does_not_see_the_gain_of_either_map() -> None:
    a, b = noise(18, 0), noise(18, 1) + noise(18, 0)
    scaled = fourier_shell_correlation(1e-6 * a, 400.0 * b)
    assert torch.allclose(scaled, fourier_shell_correlation(a, b), atol=1e-12)


def test_fsc_does_not_see_a_common_shift() -> None:
    a, b = noise(18, 0), noise(18, 1) + noise(18, 0)
    moved = [torch.roll(volume, (3, -2, 5), dims=(0, 1, 2)) for volume in (a, b)]
    assert torch.allclose(fourier_shell_correlation(*moved), fourier_shell_correlation(a, b), atol=1e-12)


@pytest.mark.parametrize("snr", [1 / 6, 0.5, 2.0])
def test_fsc_follows_from_the_signal_to_noise_ratio_of_the_halves(snr: float) -> None:
    box = 40
    truth = noise(box, 0)
    halves = [truth + noise(box, seed) / snr**0.5 for seed in (1, 2)]
    pairs = {
        "half against half": (halves[0], halves[1], snr / (1 + snr)),
        "half against truth": (halves[0], truth, (snr / (1 + snr)) ** 0.5),
        "sum against truth": (halves[0] + halves[1], truth, (2 * snr / (1 + 2 * snr)) ** 0.5),
    }
    for name, (a, b, expected) in pairs.items():
        # shells 8 to 20 hold some 17,000 values: standard error below 0.008; the laws lie 0.1 apart
        found = float(fourier_shell_correlation(a, b)[8:].mean())
        assert found == pytest.approx(expected, abs=0.02), name


def test_randomised_phases_keep_amplitudes_and_lose_all_correlation_beyond_the_start() -> None:
    box, start = 32, 6
    volume = smooth_map(box)
    spectrum = torch.fft.rfftn(volume)
    drawn = randomise_phases(spectrum, start, torch.Generator().manual_seed(99))
    real = torch.fft.irfftn(drawn, s=(box,) * 3)
    # a real map comes back with the spectrum that was drawn: the phases obey F(-k) = F(k)*
    assert torch.allclose(torch.fft.rfftn(real), drawn, atol=1e-9 * float(spectrum.abs().max()))
    assert torch.allclose(drawn.abs(), spectrum.abs(), rtol=1e-9, atol=1e-12)
    curve = fourier_shell_correlation(volume, real)
    assert torch.allclose(curve[:start], torch.ones(start).double(), atol=1e-9)
    # shell 7 has about 300 independent values: sd 0.06; all shells beyond together far less
    assert float(curve[start + 1 :].abs().max()) < 0.25
    assert float(curve[start + 1 :].mean().abs()) < 0.02


def test_corrected_fsc_takes_away_what_a_hard_mask_adds_to_noise() -> None:
    box = 40
    truth = smooth_map(box)
    halves = [truth + 1.5 * float(truth.std()) * noise(box, seed) for seed in (1, 2)]
    grid = torch.arange(box) - box // 2
    radius = (grid[:, None, None] ** 2 + grid[None, :, None] ** 2 + grid**2).sqrt()
    hard = ((radius < 10) & (radius > 6)).double()
    curves = corrected_fsc(*halves, hard, pixel_size_A=2.0, seeds=range(4))
    tail = slice(14, 21)
    # beyond shell 14 there is no signal: the unmasked curve is noise about 0 there
    assert float(curves.unmasked[tail].mean().abs()) < 0.03
    # there the mask alone makes 0.33; one box this small leaves some 0.05 of scatter after the correction
    assert float(curves.masked[tail].mean()) > 0.25
    assert float(curves.corrected[tail].mean().abs()) < 0.12
    start = round(box * 2.0 / curves.randomise_from_A)
    assert torch.equal(curves.corrected[: start + 2], curves.masked[: start + 2])
    assert float(curves.unmasked[start]) < 0.8 <= float(curves.unmasked[start - 1])


def test_a_mask_copied_from_the_noise_is_called_too_tight_and_a_soft_ball_is_not() -> None:
    box = 32
    truth = smooth_map(box)
    halves = [truth + 0.5 * float(truth.std()) * noise(box, seed) for seed in (1, 2)]
    # a lone sharp speck makes both masked halves look alike whatever their phases
    speck = torch.zeros(box, box, box).double()
    speck[16:18, 16:18, 16:18] = 1.0
    assert corrected_fsc(*halves, speck, pixel_size_A=2.0, seeds=range(4)).mask_too_tight
    assert not corrected_fsc(*halves, default_mask(box), pixel_size_A=2.0, seeds=range(4)).mask_too_tight


def test_curves_that_stay_high_are_not_corrected() -> None:
    volume = noise(16, 0)
    curves = corrected_fsc(volume, volume, default_mask(16), pixel_size_A=1.0)
    assert np.isnan(curves.randomise_from_A)
    assert torch.equal(curves.corrected, curves.masked)
    assert np.isnan(curves.resolution(0.143))


def test_curves_equal_those_of_relion_postprocess_on_stored_half_maps() -> None:
    folder = shared(WITNESS)
    halves = [read(folder / f"run_half{half}_class001_unfil.mrc") for half in (1, 2)]
    mask = torch.from_numpy(mrcfile.read(folder / "mask.mrc.gz").astype(np.float64))
    curves = corrected_fsc(*halves, mask, pixel_size_A=1.05, seeds=range(10))
    compare(curves, relion_table(folder / "postprocess.star"), corrected_within=0.03)
    assert curves.randomise_from_A == pytest.approx(15.0, abs=1e-3)
    # RELION reports the shell before the first one below 0.143
    first_below = 105 / resolution_shell(curves.corrected, 0.143, 100, 1.05)
    assert 105 / (first_below - 1) == pytest.approx(3.181818, abs=1e-5)


@pytest.mark.relion
def test_curves_equal_those_of_relion_postprocess_run_here(tmp_path: Path) -> None:
    program = shutil.which("relion_postprocess")
    if program is None:
        pytest.skip("relion_postprocess is not on the PATH")
    box, pixel_size_A = 48, 2.5
    truth = smooth_map(box)
    halves = [(truth + 0.6 * float(truth.std()) * noise(box, seed)).float() for seed in (1, 2)]
    mask = default_mask(box, 24)
    for name, volume in {"half1": halves[0], "half2": halves[1], "mask": mask}.items():
        with mrcfile.new(tmp_path / f"{name}.mrc") as file:
            file.set_data(volume.float().numpy())
            file.voxel_size = pixel_size_A
    command = [program, "--i", "half1.mrc", "--i2", "half2.mrc", "--mask", "mask.mrc", "--o", "./post"]
    subprocess.run([*command, "--angpix", str(pixel_size_A)], cwd=tmp_path, check=True, capture_output=True)
    curves = corrected_fsc(*halves, mask, pixel_size_A=pixel_size_A)
    # RELION draws one seed, whose curve scatters by some 0.03 in a box this small
    compare(curves, relion_table(tmp_path / "post.star"), corrected_within=0.1)


def read(path: Path) -> torch.Tensor:
    return torch.from_numpy(mrcfile.read(path).astype(np.float64))


def relion_table(path: Path) -> dict[str, np.ndarray]:
    """The FSC table of a postprocess STAR file, column by column, read without our own reader."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt") as file:
        lines = file.read().split("data_fsc")[1].split("data_guinier")[0].splitlines()
    names = [line.split()[0][1:] for line in lines if line.startswith("_rln")]
    rows = [line.split() for line in lines if line.strip() and line.split()[0].isdigit()]
    values = np.array([[float(word) for word in row] for row in rows])
    return dict(zip(names, values.T, strict=True))


def compare(curves: FscCurves, table: dict[str, np.ndarray], *, corrected_within: float) -> None:
    """Unmasked and masked to 1e-5 below Nyquist; corrected within a bar up to 0.8 Nyquist and 0.1 beyond."""
    nyquist = curves.box // 2
    for name, column in COLUMNS.items():
        found, expected = getattr(curves, name).numpy()[1:nyquist], table[column][1:nyquist]
        difference = np.abs(found - expected)
        if name == "corrected":
            last = int(0.8 * nyquist)
            assert difference[:last].max() < corrected_within
            assert difference[last:].max() < 0.1
        else:
            assert difference.max() < 1e-5, name
