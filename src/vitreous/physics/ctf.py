"""The contrast transfer function, RELION's signs, and its two corrections.

C(k) = +sin(chi + phase shift + w), chi = pi lambda dz(k) k^2 - pi/2 Cs lambda^3 k^4, w = arcsin(amplitude
contrast): C(0) is +amplitude contrast, so bright protein stays bright. Underfocus is positive; lengths in Å.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from vitreous.physics.fourier import frequencies_2d

Value = float | Tensor
_Number = TypeVar("_Number", float, Tensor)


@dataclass(frozen=True)
class Ctf:
    """Parameters of the transfer function; each is a number or a tensor `(b,)`.

    Defocus U and V in Å along the axes of the astigmatism, U at `defocus_angle_deg` from x towards y;
    Cs in mm; phase shift in degrees; the envelope is `scale * exp(-b_factor_A2 k^2 / 4)`.
    """

    defocus_u_A: Value
    defocus_v_A: Value
    defocus_angle_deg: Value
    voltage_kv: Value
    cs_mm: Value
    amplitude_contrast: Value
    phase_shift_deg: Value = 0.0
    b_factor_A2: Value = 0.0
    scale: Value = 1.0


def wavelength_A(voltage_kv: _Number) -> _Number:
    """Relativistic electron wavelength in Å; 0.0196876 at 300 kV."""
    volts = voltage_kv * 1e3
    return 12.2643247 / (volts * (1 + 0.978466e-6 * volts)) ** 0.5


def _columns(
    ctf: Ctf, trailing: int, dtype: torch.dtype, device: torch.device | str | None
) -> dict[str, Tensor]:
    """Each parameter as a tensor with `trailing` axes of length one behind its own."""
    values = {name: torch.as_tensor(getattr(ctf, name), dtype=dtype, device=device) for name in vars(ctf)}
    return {name: value.reshape(*value.shape, *[1] * trailing) for name, value in values.items()}


def _home(
    ctf: Ctf, extra: Value, device: torch.device | str | None
) -> tuple[torch.dtype, torch.device | str | None]:
    """Precision and device of the result: those of the tensors among the parameters."""
    tensors = [value for value in (*vars(ctf).values(), extra) if isinstance(value, Tensor)]
    kinds = [value.dtype for value in tensors if value.is_floating_point()]
    dtype = torch.float64 if torch.float64 in kinds else torch.float32
    return dtype, tensors[0].device if tensors and device is None else device


def _transfer(p: dict[str, Tensor], defocus_k2: Tensor, k2: Tensor) -> Tensor:
    """CTF from (mean) defocus times k^2 and k^2, broadcast over the parameters."""
    wavelength = wavelength_A(p["voltage_kv"])
    chi = math.pi * wavelength * defocus_k2 - (math.pi / 2) * p["cs_mm"] * 1e7 * wavelength**3 * k2**2
    phase = chi + torch.deg2rad(p["phase_shift_deg"]) + torch.arcsin(p["amplitude_contrast"])
    return p["scale"] * torch.exp(-p["b_factor_A2"] * k2 / 4) * torch.sin(phase)


def ctf_2d(
    ctf: Ctf,
    shape: Sequence[int],
    pixel_size_A: Value,
    *,
    rfft: bool = True,
    device: torch.device | str | None = None,
) -> Tensor:
    """Values at the frequencies of images `(h, w)`, FFT order: `(b, h, w//2+1)`, or without b for numbers.

    `pixel_size_A` is a number or `(b,)`. Differentiable in every parameter that is a tensor.
    """
    dtype, device = _home(ctf, pixel_size_A, device)
    parameters = _columns(ctf, 2, dtype, device)
    size = torch.as_tensor(pixel_size_A, dtype=dtype, device=device)
    grid = frequencies_2d(shape, rfft, dtype=dtype, device=device)
    kx, ky = (grid / size.reshape(*size.shape, 1, 1, 1)).unbind(-1)
    k2 = kx * kx + ky * ky
    mean = (parameters["defocus_u_A"] + parameters["defocus_v_A"]) / 2
    half = (parameters["defocus_u_A"] - parameters["defocus_v_A"]) / 2
    twice = torch.deg2rad(2 * parameters["defocus_angle_deg"])
    # k^2 cos 2(theta - angle) without the angle theta of k, which k = 0 does not have.
    turned = (kx * kx - ky * ky) * twice.cos() + 2 * kx * ky * twice.sin()
    return _transfer(parameters, mean * k2 + half * turned, k2)


def ctf_1d(ctf: Ctf, frequency_per_A: Tensor) -> Tensor:
    """Values at frequencies `(m,)` in 1/Å for the mean defocus, without astigmatism: `(b, m)` or `(m,)`."""
    dtype, device = _home(ctf, frequency_per_A, None)
    parameters = _columns(ctf, 1, dtype, device)
    k2 = frequency_per_A.to(dtype) ** 2
    mean = (parameters["defocus_u_A"] + parameters["defocus_v_A"]) / 2
    return _transfer(parameters, mean * k2, k2)


def apply_ctf(images: Tensor, ctf_values: Tensor) -> Tensor:
    """Images `(..., h, w)` seen through half-spectrum values `(..., h, w//2+1)`, broadcast."""
    shape = tuple(images.shape[-2:])
    return torch.fft.irfft2(torch.fft.rfft2(images) * ctf_values, s=shape)


def phase_flip(images: Tensor, ctf_values: Tensor) -> Tensor:
    """Images `(..., h, w)` with the sign of the CTF taken out; a zero of the CTF counts as positive."""
    return apply_ctf(images, torch.where(ctf_values < 0, -1.0, 1.0).to(images.dtype))


def wiener(images: Tensor, ctf_values: Tensor, snr: Value) -> Tensor:
    """Images (..., h, w) deconvolved by C / (C^2 + 1/snr); `snr` is a number or broadcasts to half spectra.

    `snr` is the ratio of signal power before the CTF to noise power, per frequency.
    """
    return apply_ctf(images, ctf_values / (ctf_values**2 + 1 / snr))
