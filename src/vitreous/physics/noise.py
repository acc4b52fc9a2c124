"""Noise, white and coloured, and its level for a given signal-to-noise ratio."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vitreous.errors import InputError
from vitreous.physics.fourier import shell_indices


def white_noise(
    shape: Sequence[int],
    generator: torch.Generator | None = None,
    *,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Independent normal values of mean 0 and variance 1, `shape`, on the generator's device."""
    device = "cpu" if generator is None else generator.device
    return torch.randn(tuple(shape), generator=generator, dtype=dtype, device=device)


def coloured_noise(
    shape: Sequence[int], spectrum: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Normal noise `(..., h, w)` with the power `spectrum` `(s,)` per shell, on the generator's device.

    Power is |FFT|^2 / (h w), so white noise of variance 1 has the spectrum 1; shells beyond the last take
    its value. Shells are those of `shell_indices((h, w))`.
    """
    if spectrum.min() < 0 or not torch.isfinite(spectrum).all():
        raise InputError("a noise spectrum has negative or non-finite power", found=float(spectrum.min()))
    noise = white_noise(shape, generator, dtype=spectrum.dtype)
    size = tuple(shape[-2:])
    shells = shell_indices(size, device=noise.device).clamp(max=spectrum.shape[0] - 1)
    amplitude = spectrum.to(noise.device).sqrt()[shells]
    return torch.fft.irfft2(torch.fft.rfft2(noise) * amplitude, s=size)


def signal_variance(images: Tensor, mask: Tensor | None = None) -> Tensor:
    """Variance of images `(..., h, w)` inside `mask` `(h, w)` (weights; default all), `(...)`."""
    weights = torch.ones_like(images) if mask is None else mask.expand_as(images)
    total = weights.sum((-2, -1))
    mean = (weights * images).sum((-2, -1)) / total
    return (weights * (images - mean[..., None, None]) ** 2).sum((-2, -1)) / total


def add_noise(
    images: Tensor,
    snr: float,
    mask: Tensor | None = None,
    generator: torch.Generator | None = None,
    *,
    spectrum: Tensor | None = None,
) -> Tensor:
    """Images `(..., h, w)` with noise such that signal variance / noise variance = `snr`, each image.

    Each image by itself, its variance taken in `mask` `(h, w)`. White, or with the shape of `spectrum` (see
    `coloured_noise`; the level of `spectrum` does not matter).
    """
    # ASSUME: papers say "SNR 0.1" without its definition; here variance in the mask over noise variance.
    if not snr > 0:
        raise InputError("a signal-to-noise ratio must be positive", found=snr)
    if spectrum is None:
        noise = white_noise(images.shape, generator, dtype=images.dtype)
    else:
        shells = shell_indices(images.shape[-2:], rfft=False).clamp(max=spectrum.shape[0] - 1)
        level = spectrum.cpu()[shells].mean().to(spectrum.device)
        noise = coloured_noise(images.shape, (spectrum / level).to(images.dtype), generator)
    sd = (signal_variance(images, mask) / snr).sqrt()
    return images + sd[..., None, None] * noise.to(images.device)
