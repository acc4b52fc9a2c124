"""How far estimated images are from the truth, up to the turns and shifts that data cannot tell apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vitreous.errors import InputError
from vitreous.metrics.fsc import fourier_ring_correlation, resolution_at

# Images (b, L, L) to all their K turns (b, K, L, L) about (L - 1)/2.
Turned = Callable[[Tensor], Tensor]
FRC_THRESHOLD = 0.5


@dataclass(frozen=True)
class Alignment:
    """Best turn and shift of each estimate: `error` (b,) float64, relative l2 after both.

    `rotation` (b,) counts turns of 360/K degrees, counter-clockwise; `shift_px` (b, 2) = (x, y) comes after
    the turn.
    """

    error: Tensor
    rotation: Tensor
    shift_px: Tensor


def rotation_error(
    estimates: Tensor, truth: Tensor, rotations: int = 4, turned: Turned | None = None
) -> Tensor:
    """Published error (b,): least relative l2 distance over K turns, without shifts, float64.

    `estimates` (b, L, L) against `truth` (b, L, L) or (L, L). For K of 1, 2, 4 the turns move pixels and are
    exact; `turned` brings others. Source: arXiv 2312.08500, §5; methods/multitarget.md §7.1.
    """
    truth = _matching(estimates, truth)
    turns = _all_turns(estimates, rotations, turned)
    distance = (turns - truth[:, None]).flatten(2).norm(dim=2)
    return distance.min(dim=1).values / truth.flatten(1).norm(dim=1)


def aligned_error(
    estimates: Tensor,
    truth: Tensor,
    rotations: int = 4,
    *,
    max_shift_px: int = 6,
    turned: Turned | None = None,
) -> Alignment:
    """Least relative l2 distance over K turns and whole shifts up to `max_shift_px` in x and y.

    The turned estimate is moved and filled up with zeros. Shapes as of `rotation_error`; all shifts at once
    by FFT: |F|² of the kept window + |X|² - 2 correlation. Source: methods/multitarget.md §7.2.
    """
    truth = _matching(estimates, truth)
    if max_shift_px < 0:
        raise InputError("max_shift_px is negative", found=max_shift_px, expected="0 or more")
    max_shift_px = min(max_shift_px, truth.shape[-1] - 1)  # further out nothing is left of an image
    turns = _all_turns(estimates, rotations, turned)
    square = _kept_square(turns, max_shift_px) - 2 * _correlation(turns, truth[:, None], max_shift_px)
    best = square.flatten(1).argmin(dim=1)
    width = 2 * max_shift_px + 1
    rotation, y, x = best // width**2, best // width % width, best % width
    shift_px = torch.stack([x, y], dim=1) - max_shift_px
    moved = apply_alignment(estimates, rotation, shift_px, rotations, turned)
    # From the images themselves: the sum of three terms above loses half the digits near 0.
    error = (moved.double() - truth).flatten(1).norm(dim=1) / truth.flatten(1).norm(dim=1)
    return Alignment(error, rotation, shift_px)


def apply_alignment(
    images: Tensor, rotation: Tensor, shift_px: Tensor, rotations: int = 4, turned: Turned | None = None
) -> Tensor:
    """Images (b, L, L) turned `rotation` (b,) times 360/K degrees, then moved by `shift_px` (b, 2) = (x, y).

    What leaves the box is lost; what comes in is 0. The type is kept.
    """
    turns = _turns(images, rotations, turned)
    chosen = turns[torch.arange(len(images), device=images.device), rotation]
    moved = torch.zeros_like(chosen)
    side = images.shape[-1]
    for index, (x, y) in enumerate(shift_px.tolist()):
        source = chosen[index, max(0, -y) : side - max(0, y), max(0, -x) : side - max(0, x)]
        moved[index, max(0, y) : side - max(0, -y), max(0, x) : side - max(0, -x)] = source
    return moved


def aligned_frc(
    estimates: Tensor,
    truth: Tensor,
    rotations: int = 4,
    *,
    max_shift_px: int = 6,
    turned: Turned | None = None,
) -> tuple[Tensor, Tensor]:
    """Fourier ring correlation after alignment: curves (b, L//2 + 1), the shell (b,) where each falls to 0.5.

    Shells count in 1/(L pixels) and are interpolated; 0 where shell 1 is below already, L//2 where the curve
    never falls. Alignment and shapes as of `aligned_error`.
    """
    found = aligned_error(estimates, truth, rotations, max_shift_px=max_shift_px, turned=turned)
    moved = apply_alignment(estimates, found.rotation, found.shift_px, rotations, turned)
    curves = fourier_ring_correlation(moved, truth.expand_as(moved))
    box = truth.shape[-1]
    shells = [box / resolution_at(curve, FRC_THRESHOLD, box, 1.0) for curve in curves.cpu()]
    last = float(box // 2)
    return curves, torch.tensor(shells, dtype=torch.float64).nan_to_num(nan=last)


def _matching(estimates: Tensor, truth: Tensor) -> Tensor:
    """The truth as (b, L, L) or (1, L, L) float64; InputError where shapes differ or the truth is empty."""
    truth = truth.double()
    truth = truth[None] if truth.ndim == 2 else truth
    fits = truth.ndim == 3 and truth.shape[1:] == estimates.shape[1:] and len(truth) in (1, len(estimates))
    if not fits or truth.shape[-1] != truth.shape[-2]:
        raise InputError("estimates and truth do not fit together", found=f"{tuple(estimates.shape)} and "
                         f"{tuple(truth.shape)}", expected="(b, L, L) and (b, L, L) or (L, L)")  # fmt: skip
    if bool((truth == 0).flatten(1).all(dim=1).any()):
        raise InputError("a relative error needs a true image that is not 0 everywhere")
    return truth


def _turns(images: Tensor, rotations: int, turned: Turned | None) -> Tensor:
    """Images (b, L, L) in every turn, (b, K, L, L), counter-clockwise with row 0 on top, as `rot90`."""
    if turned is None:
        if rotations < 1 or 4 % rotations:
            raise InputError("only quarter turns are exact", found=f"{rotations} rotations",
                             expected="1, 2 or 4", todo="give an operator `turned` for others")  # fmt: skip
        step = 4 // rotations
        return torch.stack([torch.rot90(images, step * k, (-2, -1)) for k in range(rotations)], dim=1)
    turns = turned(images)
    expected = (len(images), rotations, *images.shape[1:])
    if tuple(turns.shape) != expected:
        raise InputError("`turned` gave other images", found=tuple(turns.shape), expected=expected)
    return turns


def _all_turns(images: Tensor, rotations: int, turned: Turned | None) -> Tensor:
    return _turns(images, rotations, turned).double()


def _correlation(images: Tensor, truth: Tensor, reach: int) -> Tensor:
    """Sum over p of image(p - s) truth(p) for shifts s: (b, K, L, L) to (b, K, y and x of s + reach)."""
    side = images.shape[-1]
    padded = (side + reach, side + reach)  # so that no shift up to `reach` wraps around
    product = torch.fft.rfft2(images, s=padded).conj() * torch.fft.rfft2(truth, s=padded)
    whole = torch.fft.irfft2(product, s=padded)
    return torch.roll(whole, (reach, reach), (-2, -1))[..., : 2 * reach + 1, : 2 * reach + 1]


def _kept_square(images: Tensor, reach: int) -> Tensor:
    """Sum of squares of the pixels that stay in the box at each shift, shaped as a correlation."""
    inside = torch.ones_like(images[:1, :1])
    return _correlation(images.square(), inside, reach)
