"""Masked and phase-randomised, corrected FSC of two half-maps, as relion_postprocess computes it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from vitreous.errors import InputError
from vitreous.metrics.fsc import (
    check_maps,
    half_spectrum,
    resolution_at,
    resolution_shell,
    shell_resolutions,
    spectra_correlation,
)
from vitreous.physics.masks import soft_ball

# The corrected curve is the masked one up to this many shells past the start of the randomisation (RELION's).
SHELLS_BEFORE_CORRECTION = 2
# A mask whose randomised FSC is above this at the resolution found makes correlation of its own.
RANDOMISED_TOO_HIGH = 0.2


@dataclass(frozen=True)
class FscCurves:
    """The four curves of two half-maps by shell (n_shells,), float64; `randomised` is a mean over seeds.

    `corrected_by_seed` (seeds, n_shells) holds what each seed alone would have given. `randomise_from_A` is
    the resolution of the first randomised shell, NaN where no shell was and `corrected` equals `masked`.
    """

    box: int
    pixel_size_A: float
    shell: torch.Tensor
    resolution_A: torch.Tensor
    unmasked: torch.Tensor
    masked: torch.Tensor
    randomised: torch.Tensor
    corrected: torch.Tensor
    corrected_by_seed: torch.Tensor
    randomise_from_A: float

    def resolution(self, threshold: float, curve: str = "corrected") -> float:
        """Resolution in Å where the named curve first falls through `threshold`, see `resolution_at`."""
        return resolution_at(getattr(self, curve), threshold, self.box, self.pixel_size_A)

    def randomised_at(self, threshold: float = 0.143) -> float:
        """The randomised FSC at the first shell of the corrected curve below `threshold`; NaN without one."""
        resolution = resolution_shell(self.corrected, threshold, self.box, self.pixel_size_A)
        if not math.isfinite(resolution):
            return math.nan
        return float(self.randomised[round(self.box * self.pixel_size_A / resolution)])

    @property
    def mask_too_tight(self) -> bool:
        """Whether the randomised FSC exceeds 0.2 at the resolution found (0.143): use a softer mask."""
        return self.randomised_at() > RANDOMISED_TOO_HIGH


def corrected_fsc(
    half1: torch.Tensor,
    half2: torch.Tensor,
    mask: torch.Tensor,
    *,
    pixel_size_A: float,
    seeds: Iterable[int] = range(10),
    randomise_below: float = 0.8,
) -> FscCurves:
    """FSC curves of two half-maps (n, n, n) under a mask (n, n, n) with values 0 … 1.

    Phases of both halves are randomised independently from the first shell whose unmasked FSC is below
    `randomise_below`; F = (F_masked − F_random)/(1 − F_random) from two shells later on, F_masked before.
    F_random is the mean over `seeds`, since one seed moves the last shells by 0.03.
    Raises InputError on maps that do not fit or a mask without content.
    Source: Chen et al., Ultramicroscopy 135 (2013) 24; the shells as RELION 3.1.3 writes them.
    """
    check_maps(half1, half2, mask, dims=3)
    if half1.ndim != 3 or not bool((mask > 0).any()):
        raise InputError("no mask over one map", found=tuple(mask.shape), expected="(n, n, n), not all zero")
    box = half1.shape[-1]
    spectra = half_spectrum(half1, 3), half_spectrum(half2, 3)
    unmasked = spectra_correlation(*spectra, dims=3)
    masked = spectra_correlation(half_spectrum(half1 * mask, 3), half_spectrum(half2 * mask, 3), dims=3)
    start = _randomise_from(unmasked, randomise_below)
    # Where the whole curve stays above the level there is nothing to randomise and nothing to correct.
    drawn = [masked] if start is None else [_randomised_fsc(spectra, mask, start, seed) for seed in seeds]
    by_seed = torch.stack(drawn)
    first = len(masked) if start is None else start + SHELLS_BEFORE_CORRECTION
    resolution_A = shell_resolutions(box, pixel_size_A)
    return FscCurves(
        box=box,
        pixel_size_A=pixel_size_A,
        shell=torch.arange(box // 2 + 1),
        resolution_A=resolution_A,
        unmasked=unmasked.cpu(),
        masked=masked.cpu(),
        randomised=by_seed.mean(0).cpu(),
        corrected=_corrected(masked, by_seed.mean(0), first).cpu(),
        corrected_by_seed=_corrected(masked, by_seed, first).cpu(),
        randomise_from_A=math.nan if start is None else float(resolution_A[start]),
    )


def randomise_phases(spectrum: torch.Tensor, start: int, generator: torch.Generator) -> torch.Tensor:
    """Keep the amplitudes of a half-complex spectrum (n, n, n//2 + 1), draw the phases where |k| ≥ start.

    The phases are those of white noise, so that the result is again the transform of a real map.
    """
    box = spectrum.shape[0]
    noise = torch.randn((box,) * 3, generator=generator, dtype=torch.float64).to(spectrum.device)
    phases = torch.sgn(torch.fft.rfftn(noise))
    return torch.where(_squared_radius(box, spectrum.device) >= start**2, spectrum.abs() * phases, spectrum)


def default_mask(box: int, diameter_px: float | None = None, *, edge_share: float = 0.08) -> torch.Tensor:
    """The soft ball (box, box, box) under which a map is judged where no mask is given.

    Radius half the particle's diameter, but no more than leaves room for the edge inside the box; without a
    diameter 0.35 of the box. Edge `edge_share` of the box, at least 6 px. Raises InputError on a box of 12
    or less.
    """
    # ASSUME: edge and radius after methods/reconstruction.md §9 (44 + 10 px in a box of 128).
    edge = max(6.0, edge_share * box)
    largest = box / 2 - edge
    if largest <= 0:
        raise InputError("no room for the mask's edge", place="box", found=box, expected=f"> {2 * edge:g}")
    radius = 0.35 * box if diameter_px is None else diameter_px / 2
    return soft_ball(box, min(radius, largest), edge)


def _randomise_from(unmasked: torch.Tensor, threshold: float) -> int | None:
    below = (unmasked[1:] < threshold).nonzero().flatten()
    return int(below[0]) + 1 if len(below) else None


def _corrected(masked: torch.Tensor, randomised: torch.Tensor, first: int) -> torch.Tensor:
    """(F_masked − F_random)/(1 − F_random) from shell `first` on: (..., n_shells)."""
    corrected = masked.expand_as(randomised).clone()
    corrected[..., first:] = ((masked - randomised) / (1 - randomised))[..., first:]
    return corrected


def _randomised_fsc(
    spectra: tuple[torch.Tensor, torch.Tensor], mask: torch.Tensor, start: int, seed: int
) -> torch.Tensor:
    """FSC under the mask after both halves' phases were drawn afresh, independently, from one seed."""
    generator = torch.Generator().manual_seed(seed)
    box = mask.shape[-1]
    masked = []
    for spectrum in spectra:
        drawn = randomise_phases(spectrum, start, generator)
        masked.append(half_spectrum(torch.fft.irfftn(drawn, s=(box,) * 3) * mask, 3))
    return spectra_correlation(masked[0], masked[1], dims=3)


def _squared_radius(box: int, device: torch.device) -> torch.Tensor:
    """|k|² in index units of the half-complex transform: (n, n, n//2 + 1)."""
    full = (torch.fft.fftfreq(box, dtype=torch.float64, device=device) * box).square()
    half = torch.arange(box // 2 + 1, dtype=torch.float64, device=device).square()
    return full[:, None, None] + full[None, :, None] + half[None, None, :]
