"""The transfer function's shapes, devices, corrections."""

from __future__ import annotations

import pytest
import torch

from vitreous.physics.ctf import Ctf, apply_ctf, ctf_1d, ctf_2d, phase_flip, wavelength_A, wiener

PLAIN = Ctf(15000.0, 14000.0, 30.0, 300.0, 2.7, 0.1)


def _image(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_wavelengths_are_the_relativistic_ones():
    for voltage_kv, expected in ((300.0, 0.019687615), (200.0, 0.025079494), (100.0, 0.037014579)):
        assert wavelength_A(voltage_kv) == pytest.approx(expected, rel=1e-7)


def test_numbers_give_one_image_and_tensors_one_each():
    assert ctf_2d(PLAIN, (8, 10), 1.5).shape == (8, 6)
    assert ctf_2d(PLAIN, (8, 10), 1.5, rfft=False).shape == (8, 10)
    many = Ctf(torch.tensor([1e4, 2e4, 3e4]), 14000.0, torch.zeros(3), 300.0, 2.7, 0.1)
    assert ctf_2d(many, (8, 10), 1.5).shape == (3, 8, 6)
    assert ctf_1d(many, torch.linspace(0, 0.3, 7)).shape == (3, 7)
    assert ctf_1d(PLAIN, torch.linspace(0, 0.3, 7)).shape == (7,)


def test_each_row_of_a_batch_is_its_own_ctf():
    one = ctf_2d(Ctf(12000.0, 9000.0, 70.0, 200.0, 2.0, 0.07, 45.0, 30.0, 0.8), (12, 12), 2.0)
    pair = Ctf(torch.tensor([15000.0, 12000.0]), torch.tensor([14000.0, 9000.0]), torch.tensor([30.0, 70.0]),
               torch.tensor([300.0, 200.0]), torch.tensor([2.7, 2.0]), torch.tensor([0.1, 0.07]),
               torch.tensor([0.0, 45.0]), torch.tensor([0.0, 30.0]), torch.tensor([1.0, 0.8]))  # fmt: skip
    values = ctf_2d(pair, (12, 12), torch.tensor([1.5, 2.0]))
    assert torch.allclose(values[0], ctf_2d(PLAIN, (12, 12), 1.5), atol=1e-6)
    assert torch.allclose(values[1], one, atol=1e-6)


def test_the_half_of_the_whole_is_the_half_spectrum():
    whole = ctf_2d(PLAIN, (10, 12), 1.5, rfft=False)
    half = ctf_2d(PLAIN, (10, 12), 1.5)
    assert torch.allclose(whole[:, :6], half[:, :6], atol=1e-6)


def test_single_precision_is_enough_for_a_whole_micrograph():
    single = Ctf(torch.tensor([30000.0]), 29000.0, 30.0, 300.0, 2.7, 0.1)
    double = Ctf(torch.tensor([30000.0], dtype=torch.float64), 29000.0, 30.0, 300.0, 2.7, 0.1)
    # Phases reach 450 rad at 1 Å pixels; a float32 holds them to 3e-5.
    assert (ctf_2d(single, (512, 512), 1.0) - ctf_2d(double, (512, 512), 1.0)).abs().max() < 2e-4


def test_double_parameters_give_double_values():
    double = Ctf(torch.tensor(1e4, dtype=torch.float64), 1e4, 0.0, 300.0, 2.7, 0.1)
    assert ctf_2d(double, (8, 8), 1.0).dtype == torch.float64
    assert ctf_2d(PLAIN, (8, 8), 1.0).dtype == torch.float32


def test_phase_flip_makes_the_transfer_positive():
    image = _image(15, 15)  # odd: at an even Nyquist an astigmatic CTF has no single value
    values = ctf_2d(PLAIN, (15, 15), 1.5).double()
    corrected = phase_flip(apply_ctf(image, values), values)
    assert torch.allclose(corrected, apply_ctf(image, values.abs()), atol=1e-12)
    assert torch.allclose(phase_flip(phase_flip(image, values), values), image, atol=1e-12)


def test_a_zero_of_the_ctf_is_not_lost_by_the_flip():
    image = _image(8, 8)
    assert torch.allclose(phase_flip(image, torch.zeros(8, 5)), image)


def test_wiener_restores_an_image_without_noise():
    image = _image(2, 15, 15)
    values = ctf_2d(PLAIN, (15, 15), 4.0).double()
    values = torch.where(values.abs() < 0.05, 0.05, values)
    restored = wiener(apply_ctf(image, values), values, 1e9)
    assert torch.allclose(restored, image, atol=1e-5)


def test_wiener_takes_a_ratio_for_each_frequency():
    image = _image(8, 8)
    values = torch.ones(8, 5, dtype=torch.float64)
    ratio = torch.full((8, 5), 1.0, dtype=torch.float64)
    assert torch.allclose(wiener(image, values, ratio), image / 2)
