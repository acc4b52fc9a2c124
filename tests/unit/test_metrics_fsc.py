"""FSC, resolution, and signal-to-noise ratio on curves and maps whose answer is known by construction."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vitreous.metrics.fsc import (
    expected_truth_correlation,
    fourier_ring_correlation,
    fourier_shell_correlation,
    mean_correlation,
    resolution_at,
    resolution_shell,
    shell_resolutions,
    spectral_snr,
)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rounded_radius(box: int) -> np.ndarray:
    """Shell numbers by the definition, in plain NumPy, full transform."""
    k = np.fft.fftfreq(box) * box
    return np.rint(np.sqrt(sum(np.meshgrid(k**2, k**2, k**2, indexing="ij")))).astype(int)


@pytest.mark.parametrize("box", [16, 17])
def test_fsc_reads_the_sign_that_each_shell_was_given(box: int) -> None:
    volume = noise(box, box, box)
    shells = rounded_radius(box)
    sign = torch.from_numpy(np.where(shells % 3 == 1, -1.0, 1.0))
    other = torch.fft.ifftn(torch.fft.fftn(volume) * sign).real
    expected = [-1.0 if shell % 3 == 1 else 1.0 for shell in range(box // 2 + 1)]
    # float64 transforms of unit noise: rounding only
    assert fourier_shell_correlation(volume, other).tolist() == pytest.approx(expected, abs=1e-12)


def test_fsc_equals_the_sum_written_out_over_the_half_transform() -> None:
    a, b = noise(8, 8, 8).numpy(), noise(8, 8, 8, seed=1).numpy()
    first, second = np.fft.rfftn(a), np.fft.rfftn(b)
    shells = rounded_radius(8)[:, :, :5]
    expected = []
    for shell in range(5):
        inside = shells == shell
        cross = sum((x * y.conjugate()).real for x, y in zip(first[inside], second[inside], strict=True))
        power = np.sum(np.abs(first[inside]) ** 2) * np.sum(np.abs(second[inside]) ** 2)
        expected.append(cross / np.sqrt(power))
    found = fourier_shell_correlation(torch.from_numpy(a), torch.from_numpy(b))
    assert found.tolist() == pytest.approx(expected, abs=1e-12)


def test_a_batch_gives_the_curves_of_its_members() -> None:
    a, b = noise(2, 3, 12, 12, 12), noise(2, 3, 12, 12, 12, seed=1)
    together = fourier_shell_correlation(a, b)
    assert together.shape == (2, 3, 7)
    assert torch.allclose(together[1, 2], fourier_shell_correlation(a[1, 2], b[1, 2]), atol=1e-12)


def test_ring_correlation_of_an_image_is_the_shell_correlation_in_two_dimensions() -> None:
    image = noise(5, 16, 16)
    assert torch.allclose(fourier_ring_correlation(image, -image), torch.full((5, 9), -1.0).double())
    # two waves of one frequency, 60 degrees apart in phase
    x = torch.arange(16, dtype=torch.float64)
    wave = torch.cos(2 * math.pi * 3 * x / 16).expand(16, 16)
    shifted = torch.cos(2 * math.pi * 3 * x / 16 + math.pi / 3).expand(16, 16)
    assert float(fourier_ring_correlation(wave, shifted)[3]) == pytest.approx(0.5, abs=1e-9)


def test_shell_without_power_has_no_correlation_rather_than_nan() -> None:
    volume = noise(12, 12, 12)
    volume = volume - volume.mean()
    zero = torch.zeros_like(volume)
    assert fourier_shell_correlation(volume, zero).tolist() == [0.0] * 7


def test_resolution_lies_where_a_straight_line_crosses() -> None:
    box, pixel_size_A = 100, 1.5
    curve = 1 - torch.arange(51, dtype=torch.float64) / 50
    # the line is 0.5 at shell 25 and 0.143 at shell 42.85, exactly
    assert resolution_at(curve, 0.5, box, pixel_size_A) == pytest.approx(150 / 25)
    assert resolution_at(curve, 0.143, box, pixel_size_A) == pytest.approx(150 / 42.85)
    assert resolution_shell(curve, 0.143, box, pixel_size_A) == pytest.approx(150 / 43)


def test_a_dip_decides_the_first_crossing_and_not_the_last() -> None:
    curve = torch.tensor([1, 0.9, 0.8, 0.2, 0.8, 0.8, 0.4, 0.3])
    # 0.8 -> 0.2 passes 0.5 halfway from shell 2; 0.8 -> 0.4 passes it at three quarters from shell 5
    assert resolution_at(curve, 0.5, 14, 1.0) == pytest.approx(14 / 2.5)
    assert resolution_at(curve, 0.5, 14, 1.0, crossing="last") == pytest.approx(14 / 5.75)
    assert resolution_shell(curve, 0.5, 14, 1.0, crossing="last") == pytest.approx(14 / 6)


def test_a_curve_that_never_falls_below_has_no_resolution() -> None:
    high = torch.full((9,), 0.9)
    assert math.isnan(resolution_at(high, 0.5, 16, 1.0))
    assert math.isnan(resolution_shell(high, 0.5, 16, 1.0))
    back_up = torch.tensor([1.0, 0.9, 0.1, 0.9])
    assert math.isnan(resolution_at(back_up, 0.5, 6, 1.0, crossing="last"))


def test_a_curve_below_from_the_first_shell_resolves_nothing() -> None:
    noise_only = torch.tensor([1.0, 0.1, 0.0, 0.05])
    assert resolution_at(noise_only, 0.143, 6, 2.0) == math.inf
    assert resolution_at(noise_only, 0.143, 6, 2.0, crossing="last") == math.inf


def test_shell_resolutions_count_from_infinity_to_nyquist() -> None:
    found = shell_resolutions(10, 2.0)
    assert found.tolist() == pytest.approx([math.inf, 20.0, 10.0, 20 / 3, 5.0, 4.0])


def test_a_seventh_between_halves_is_one_half_against_the_truth() -> None:
    seventh = torch.tensor([1 / 7])
    assert float(spectral_snr(seventh)) == pytest.approx(1 / 6)
    assert float(expected_truth_correlation(seventh)) == pytest.approx(0.5)


def test_mean_correlation_leaves_the_mean_of_the_map_out() -> None:
    assert float(mean_correlation(torch.tensor([100.0, 0.5, 0.25, 0.0]))) == pytest.approx(0.25)
