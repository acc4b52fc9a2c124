"""Fourier shell correlation, the resolution read from it, and the signal-to-noise ratio behind it."""

from __future__ import annotations

import math
from typing import Literal

import torch

from vitreous.errors import InputError
from vitreous.physics.fourier import shell_indices

Crossing = Literal["first", "last"]


def fourier_shell_correlation(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """FSC of two maps (..., n, n, n): (..., n//2 + 1) float64, shell 0 first.

    FSC_k = Re Σ A B* / √(Σ|A|² Σ|B|²) over the voxels of the half-complex transform with round(|k|) = shell,
    the kx > 0 half counted once, as relion_postprocess counts. A shell without power in a map is 0.
    Raises InputError where shapes or sides differ or a value is not finite.
    Source: Harauz & van Heel, Optik 73 (1986) 146; the counting: methods/reconstruction.md §2.
    """
    check_maps(a, b, dims=3)
    return spectra_correlation(half_spectrum(a, 3), half_spectrum(b, 3), dims=3)


def fourier_ring_correlation(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """FRC of two images (..., n, n): (..., n//2 + 1) float64, ring 0 first; counted as the FSC is.

    Raises InputError where shapes or sides differ or a value is not finite.
    """
    check_maps(a, b, dims=2)
    return spectra_correlation(half_spectrum(a, 2), half_spectrum(b, 2), dims=2)


def half_spectrum(array: torch.Tensor, dims: int) -> torch.Tensor:
    """Half-complex transform over the last `dims` axes in float64: (..., n, n//2 + 1) complex128."""
    return torch.fft.rfftn(array.to(torch.float64), dim=tuple(range(-dims, 0)))


def spectra_correlation(a: torch.Tensor, b: torch.Tensor, *, dims: int) -> torch.Tensor:
    """Correlation by shells of two half-complex spectra (..., n, n//2 + 1): (..., n//2 + 1) float64."""
    cross = _shell_sums((a * b.conj()).real, dims)
    power = _shell_sums(_power(a), dims) * _shell_sums(_power(b), dims)
    # ASSUME: a shell without power in one map has no correlation, so 0 (the formula is 0/0).
    return torch.where(power > 0, cross / power.clamp_min(torch.finfo(torch.float64).tiny).sqrt(), 0.0)


def resolution_at(
    fsc: torch.Tensor, threshold: float, box: int, pixel_size_A: float, *, crossing: Crossing = "first"
) -> float:
    """Resolution in Å where the curve (n_shells,) falls through `threshold`, linear between two shells.

    `first`: the first fall below; `last`: the fall after which the curve stays below (for a dip at a zero of
    the CTF). NaN where it never falls below, or, for `last`, where it ends above; infinite where shell 1 is
    below and the curve never comes above before the fall. Shell 0, the mean, is not looked at.
    """
    below = _fall(fsc, threshold, crossing)
    if below is None:
        return math.nan
    if below == 1:
        return math.inf
    high, low = float(fsc[below - 1]), float(fsc[below])
    shell = below - 1 + (high - threshold) / (high - low)
    return box * pixel_size_A / shell


def resolution_shell(
    fsc: torch.Tensor, threshold: float, box: int, pixel_size_A: float, *, crossing: Crossing = "first"
) -> float:
    """Resolution in Å of the first shell of a curve (n_shells,) below `threshold`, without interpolation.

    The form CESPED uses; crossings and NaN as in `resolution_at`. relion_postprocess reports
    the shell before this one.
    """
    below = _fall(fsc, threshold, crossing)
    return math.nan if below is None else box * pixel_size_A / below


def shell_resolutions(box: int, pixel_size_A: float) -> torch.Tensor:
    """Resolution in Å of each shell 0 … box//2: (box//2 + 1,) float64, infinite at shell 0."""
    return box * pixel_size_A / torch.arange(box // 2 + 1, dtype=torch.float64)


def spectral_snr(fsc: torch.Tensor) -> torch.Tensor:
    """Signal-to-noise ratio F/(1 − F) of each half, from their FSC F (...) to (...); 0 where F ≤ 0."""
    positive = fsc.clamp_min(0)
    return positive / (1 - positive)


def expected_truth_correlation(fsc: torch.Tensor) -> torch.Tensor:
    """Expected FSC of the sum of halves with the noise-free map, (...) to (...): √(2F/(1 + F)), 0 if F ≤ 0.

    So 0.143 between the halves is 0.5 against the truth. Source: Rosenthal & Henderson 2003, C_ref.
    """
    positive = fsc.clamp_min(0)
    return (2 * positive / (1 + positive)).sqrt()


def mean_correlation(fsc: torch.Tensor) -> torch.Tensor:
    """Mean over the shells 1 … of curves (..., n_shells): (...), a figure that no single dip decides."""
    return fsc[..., 1:].mean(-1)


def check_maps(*arrays: torch.Tensor, dims: int) -> None:
    """Raise InputError unless all arrays share one shape, the last `dims` sides are equal, values finite."""
    shape = arrays[0].shape
    if any(array.shape != shape for array in arrays):
        raise InputError("maps of different shape", found=[tuple(array.shape) for array in arrays])
    sides = set(shape[-dims:])
    if len(shape) < dims or len(sides) != 1:
        raise InputError("not a cube or square", found=tuple(shape), expected=f"{dims} equal sides")
    if not all(bool(torch.isfinite(array).all()) for array in arrays):
        raise InputError("the map holds values that are not finite", expected="numbers only")


def _power(spectrum: torch.Tensor) -> torch.Tensor:
    return spectrum.real.square() + spectrum.imag.square()


def _shell_sums(values: torch.Tensor, dims: int) -> torch.Tensor:
    """Sums over shells 0 … n//2 of values (..., n, n//2 + 1); the corners beyond are left out."""
    box = values.shape[-2]
    shells = shell_indices((box,) * dims, device=values.device).flatten()
    last = box // 2
    sums = values.new_zeros((*values.shape[:-dims], int(shells.max()) + 1))
    sums.index_add_(-1, shells, values.flatten(-dims))
    return sums[..., : last + 1]


def _fall(fsc: torch.Tensor, threshold: float, crossing: Crossing) -> int | None:
    """First shell ≥ 1 below the threshold, or the one after which all are below; None without a fall."""
    if fsc.ndim != 1 or len(fsc) < 2:
        raise InputError("not one curve", found=tuple(fsc.shape), expected="(n_shells,), 2 or more")
    below = (fsc[1:] < threshold).nonzero().flatten() + 1
    if len(below) == 0:
        return None
    if crossing == "first":
        return int(below[0])
    above = (fsc[1:] >= threshold).nonzero().flatten() + 1
    fall = int(above[-1]) + 1 if len(above) else 1
    return fall if fall < len(fsc) else None
