"""E-step on patches: each L x L patch holds at most one target, or a piece of one (paper 001, eqs. 9 to 16).

The published loop over shifts and rotations is a correlation; here it is done by FFT on 2L x 2L, which holds
every shift without wrapping. Shifts have components 0 to 2L - 1: below L the image moves down and right,
above L up and left by 2L less that, and L in either component leaves the patch empty.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fft import irfft2, rfft2

from vitreous.errors import InputError
from vitreous.multitarget.rotation import Rotations
from vitreous.multitarget.statistics import Statistics, joined, sums_of_squares

# Logits that are worked on at once: few enough for a core's cache, many enough for a GPU.
CHUNK = {"cpu": 100_000, "cuda": 100_000_000}
# Patches of each measurement in a chunk, at least: fewer would add to the sums more often than it pays.
LEAST = 8
# Spectra of this many numbers are kept over the iterations; of larger measurements they are made anew, one
# transform more to 2 K others, so that memory does not grow beside the measurement itself.
KEPT = 2_000_000


@dataclass(frozen=True)
class Patches:
    """Patches of b measurements, ready for the E-step: pixels (b, D, L, L), squares (b,).

    `spectra` (b, D, 2L, L + 1), where they are few enough to be kept.
    """

    pixels: Tensor
    squares: Tensor
    spectra: Tensor | None = None

    @property
    def size(self) -> int:
        """Side L of a patch, px."""
        return int(self.pixels.shape[-1])

    @property
    def count(self) -> int:
        """Patches of one measurement, D."""
        return int(self.pixels.shape[1])

    def of(self, part: slice) -> Patches:
        """Those of some of the measurements."""
        spectra = None if self.spectra is None else self.spectra[part]
        return Patches(self.pixels[part], self.squares[part], spectra)

    def chunks(self, length: int) -> Iterator[Tensor]:
        """Spectra (b, c, 2L, L + 1) of `length` patches after the other."""
        for first in range(0, self.count, length):
            part = slice(first, first + length)
            yield padded_spectra(self.pixels[:, part]) if self.spectra is None else self.spectra[:, part]


def padded_spectra(patches: Tensor) -> Tensor:
    """Half spectra (..., 2L, L + 1) of patches (..., L, L), padded to twice their side."""
    side = 2 * patches.shape[-1]
    return rfft2(patches, s=(side, side))


def cut_patches(measurements: Tensor, size: int) -> Tensor:
    """Measurements (b, N, N) as patches (b, D, L, L), row by row; InputError where L does not divide N."""
    side = measurements.shape[-1]
    if side % size or measurements.shape[-2] % size:
        raise InputError(
            "patches need a measurement whose side is a multiple of the image's",
            found=f"{measurements.shape[-2]} x {side} px for images of {size} px",
            expected=f"{side // size * size} or {(side // size + 1) * size} px",
            todo="cut the measurement, or use `e_step: whole`, which takes any size",
        )
    tall, wide = measurements.shape[-2] // size, side // size
    parts = measurements.reshape(-1, tall, size, wide, size).transpose(2, 3)
    return parts.reshape(len(measurements), tall * wide, size, size)


def prepare_patches(measurements: Tensor, size: int) -> Patches:
    """Cut, and where there is room transform, once for all iterations."""
    patches = cut_patches(measurements, size)
    squares = sums_of_squares(measurements)
    few = 2 * patches.numel() <= KEPT  # of real numbers; a half spectrum has twice as many complex ones
    return Patches(patches, squares, padded_spectra(patches) if few else None)


def empty_shifts(size: int, like: Tensor) -> Tensor:
    """Which shifts (2L, 2L) leave a patch empty."""
    at = torch.arange(2 * size, device=like.device) == size
    return at[:, None] | at[None, :]


def uniform_shifts(size: int, like: Tensor) -> Tensor:
    """The published prior of shifts (2L, 2L): all alike (paper 001, below eq. 15)."""
    return torch.full((2 * size, 2 * size), 1 / (4 * size**2), dtype=like.dtype, device=like.device)


def shifts_of_empty(empty: Tensor, size: int) -> Tensor:
    """The prior of shifts (b, 2L, 2L) with one number `empty` (b,), the share of empty patches."""
    nothing = empty_shifts(size, empty)
    some = (2 * size - 1) ** 2
    return torch.where(nothing, (empty / (4 * size - 1))[:, None, None], ((1 - empty) / some)[:, None, None])


def patch_statistics(
    patches: Patches, images: Tensor, rotations: Rotations, sigma: Tensor, shifts: Tensor
) -> Statistics:
    """E-step: images (b, L, L), sigma (b,), prior of shifts (b, 2L, 2L), which sums to one.

    Rotations are taken as equally likely. The log-likelihood is that of all patches as independent.
    """
    cells = rotations.count * (2 * patches.size) ** 2
    at_once = CHUNK[images.device.type]
    group = max(1, at_once // (LEAST * cells))
    parts = []
    for first in range(0, len(images), group):
        part = slice(first, first + group)
        own = patches.of(part)
        chunk = max(1, at_once // (cells * len(own.squares)))
        parts.append(_group(own, images[part], rotations, sigma[part], shifts[part], chunk))
    return joined(parts)


def _group(
    patches: Patches, images: Tensor, rotations: Rotations, sigma: Tensor, shifts: Tensor, chunk: int
) -> Statistics:
    size, side = patches.size, 2 * patches.size
    turned = rotations.turn(images)
    box = rfft2(torch.ones((size, size), dtype=images.dtype, device=images.device), s=(side, side))
    squares = rfft2(turned.square(), s=(side, side))
    energy = irfft2(box * squares.conj(), s=(side, side))
    noise = sigma.to(images.dtype).square()[:, None, None, None]
    prior = torch.log(shifts)[:, None] - math.log(rotations.count)
    bias = (prior - energy / (2 * noise))[:, None]
    templates = (rfft2(turned, s=(side, side)) / noise).conj().resolve_conj()[:, None]
    pulled = torch.zeros_like(templates[:, 0])
    mass = torch.zeros_like(energy)
    likelihood = torch.zeros(len(images), dtype=torch.float64, device=images.device)
    for spectra in patches.chunks(chunk):
        logits = irfft2(spectra[:, :, None] * templates, s=(side, side)).add_(bias)
        # As one axis, which is many times faster than three.
        flat = logits.flatten(2)
        posterior = flat.softmax(2)
        # The sum of exponentials, from its largest term and that term's share.
        likelihood += (flat.amax(2) - posterior.amax(2).log()).double().sum(1)
        posterior = posterior.reshape(logits.shape)
        # Conjugated, as it is the smaller factor that is then copied.
        pulled += (spectra.conj().resolve_conj()[:, :, None] * rfft2(posterior)).sum(1)
        mass += posterior.sum(1)
    pull = irfft2(pulled.conj(), s=(side, side))[..., :size, :size]
    weight = irfft2(box * rfft2(mass).conj(), s=(side, side))[..., :size, :size]
    by_shift = mass.sum(1)
    nothing = by_shift[:, empty_shifts(size, images)].sum(1)
    explained = 2 * (pull * turned).sum((1, 2, 3)) - (weight * turned.square()).sum((1, 2, 3))
    variance = sigma.double().square()
    return Statistics(
        pull=pull,
        weight=weight,
        targets=patches.count - nothing,
        empty=nothing / patches.count,
        log_likelihood=likelihood - patches.squares / (2 * variance) + _constant(patches, variance),
        residual=patches.squares - explained.double(),
        shifts=by_shift / patches.count,
    )


def _constant(patches: Patches, variance: Tensor) -> Tensor:
    """The normalisation of the noise's density."""
    pixels = patches.count * patches.size**2
    return -0.5 * pixels * torch.log(2 * math.pi * variance)
