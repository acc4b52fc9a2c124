"""Closed forms of the transfer function: origin, zeros, astigmatism, envelope, gradients, symmetry."""

from __future__ import annotations

import math

import pytest
import torch

from vitreous.physics.ctf import Ctf, ctf_1d, ctf_2d, wavelength_A, wiener
from vitreous.physics.fourier import frequencies_2d

ONE = torch.tensor(1.0, dtype=torch.float64)


@pytest.mark.parametrize("amplitude", [0.0, 0.07, 0.1, 1.0])
def test_at_the_origin_the_ctf_is_the_amplitude_contrast(amplitude: float):
    values = ctf_2d(Ctf(20000 * ONE, 18000.0, 33.0, 300.0, 2.7, amplitude), (8, 8), 1.5)
    assert float(values[0, 0]) == pytest.approx(amplitude, abs=1e-12)


def test_a_phase_plate_of_ninety_degrees_makes_the_origin_bright():
    values = ctf_2d(Ctf(5000 * ONE, 5000.0, 0.0, 300.0, 2.7, 0.0, phase_shift_deg=90.0), (8, 8), 1.5)
    assert float(values[0, 0]) == pytest.approx(1.0)


@pytest.mark.parametrize("order", [1, 2, 7])
def test_zeros_lie_where_the_phase_is_a_multiple_of_pi(order: int):
    # Without Cs: pi lambda dz k^2 + w = m pi.
    phase = math.asin(0.1)
    k = math.sqrt((order * math.pi - phase) / (math.pi * wavelength_A(300.0) * 15000))
    ctf = Ctf(15000 * ONE, 15000.0, 0.0, 300.0, 0.0, 0.1)
    around = ctf_1d(ctf, torch.tensor([0.999 * k, k, 1.001 * k], dtype=torch.float64))
    assert abs(float(around[1])) < 1e-12
    assert float(around[0] * around[2]) < 0


def test_zeros_with_spherical_aberration_solve_the_quadratic():
    wavelength, defocus, cs = wavelength_A(200.0), 9000.0, 2.0e7
    # 1/2 Cs l^3 q^2 - l dz q + m = 0 with q = k^2, no amplitude contrast.
    for order in (1, 3):
        a, b = 0.5 * cs * wavelength**3, wavelength * defocus
        k = math.sqrt((b - math.sqrt(b * b - 4 * a * order)) / (2 * a))
        value = ctf_1d(Ctf(defocus * ONE, defocus, 0.0, 200.0, 2.0, 0.0), k * ONE[None])
        assert abs(float(value)) < 1e-11


def test_underfocus_is_positive_and_protein_stays_bright():
    first_rise = ctf_1d(Ctf(10000 * ONE, 10000.0, 0.0, 300.0, 2.7, 0.1), torch.linspace(0, 0.03, 20).double())
    assert (first_rise.diff() > 0).all() and (first_rise > 0).all()


@pytest.mark.parametrize("angle", [0.0, 45.0, 90.0, 135.0])
def test_along_the_astigmatic_axes_the_defocus_is_u_and_v(angle: float):
    values = ctf_2d(Ctf(16000 * ONE, 12000.0, angle, 300.0, 2.7, 0.1), (65, 65), 1.3, rfft=False)
    grid = frequencies_2d((65, 65), rfft=False, spacing=1.3, dtype=torch.float64)
    theta = torch.rad2deg(torch.atan2(grid[..., 1], grid[..., 0]))  # ky along increasing rows
    for turn, defocus in ((angle, 16000.0), (angle + 90, 12000.0)):
        on_axis = torch.sin(torch.deg2rad(theta - turn)).abs() < 1e-9
        k = grid[on_axis].norm(dim=-1)
        expected = ctf_1d(Ctf(defocus * ONE, defocus, 0.0, 300.0, 2.7, 0.1), k)
        assert len(k) > 60 and torch.allclose(values[on_axis], expected, atol=1e-9)


def test_turning_the_axes_by_half_a_turn_changes_nothing():
    a = ctf_2d(Ctf(16000 * ONE, 12000.0, 20.0, 300.0, 2.7, 0.1), (16, 16), 1.5)
    b = ctf_2d(Ctf(16000 * ONE, 12000.0, 200.0, 300.0, 2.7, 0.1), (16, 16), 1.5)
    c = ctf_2d(Ctf(12000 * ONE, 16000.0, 110.0, 300.0, 2.7, 0.1), (16, 16), 1.5)
    assert torch.allclose(a, b, atol=1e-10) and torch.allclose(a, c, atol=1e-10)


def test_a_phase_shift_of_pi_inverts_the_contrast():
    a = ctf_2d(Ctf(16000 * ONE, 12000.0, 20.0, 300.0, 2.7, 0.1), (16, 16), 1.5)
    b = ctf_2d(Ctf(16000 * ONE, 12000.0, 20.0, 300.0, 2.7, 0.1, phase_shift_deg=180.0), (16, 16), 1.5)
    assert torch.allclose(a, -b, atol=1e-12)


def test_the_envelope_is_a_gaussian_of_b_over_four():
    k = torch.tensor([0.1, 0.2], dtype=torch.float64)
    plain = ctf_1d(Ctf(16000 * ONE, 16000.0, 0.0, 300.0, 2.7, 0.1), k)
    damped = ctf_1d(Ctf(16000 * ONE, 16000.0, 0.0, 300.0, 2.7, 0.1, b_factor_A2=80.0, scale=0.7), k)
    assert torch.allclose(damped / plain, 0.7 * torch.exp(-20 * k**2))


def test_the_ctf_does_not_depend_on_the_box_at_a_given_frequency():
    ctf = Ctf(16000 * ONE, 12000.0, 20.0, 300.0, 2.7, 0.1)
    small, large = ctf_2d(ctf, (16, 16), 1.5), ctf_2d(ctf, (32, 32), 1.5)
    assert torch.allclose(small[:8, :8], large[:16:2, :16:2], atol=1e-10)


def test_the_ctf_has_gradients_in_every_parameter():
    numbers = [15000.0, 13000.0, 25.0, 300.0, 2.7, 0.1, 30.0, 20.0, 0.9, 1.7]
    values = [torch.tensor([number], dtype=torch.float64, requires_grad=True) for number in numbers]

    def forward(*parameters: torch.Tensor) -> torch.Tensor:
        return ctf_2d(Ctf(*parameters[:-1]), (4, 4), parameters[-1])

    # The phase has slopes of 1e2 rad per mm or Å; a step of 1e-6 keeps differences linear.
    assert torch.autograd.gradcheck(forward, tuple(values), eps=1e-6, atol=1e-5)


def test_wiener_is_the_best_linear_estimate():
    generator = torch.Generator().manual_seed(0)
    signal = torch.randn(200, 8, 8, generator=generator, dtype=torch.float64)
    noise = torch.randn(200, 8, 8, generator=generator, dtype=torch.float64) * 0.7
    values = ctf_2d(Ctf(20000 * ONE, 20000.0, 0.0, 300.0, 2.7, 0.1), (8, 8), 2.0)
    observed = torch.fft.irfft2(torch.fft.rfft2(signal) * values) + noise

    def error(snr: float) -> float:
        return float((wiener(observed, values, snr) - signal).square().mean())

    right = 1 / 0.49
    assert error(right) < min(error(right / 2), error(right * 2))
