"""Whether a measurement holds the target at all: evidence against noise alone on pixels not learnt from.

An image learnt from noise fits that noise ("Einstein from noise"), so its own likelihood says nothing. Here
the image of one half of the measurement is judged on the other half by a likelihood ratio whose numerator is
a probability density of the pixels whatever the image is. Its mean under noise alone is one, so by Markov's
inequality it exceeds 1 / a with probability a at most (split likelihood ratio; Wasserman, Ramdas and
Balakrishnan 2020).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.fft import irfft2, rfft2

from vitreous.multitarget.rotation import Rotations

# Sides of the tiles in image sides, and steps of the grids they lie on, in tile sides.
TILES = (2, 3, 4)
STEPS = 3
# Share of tiles with a target, at most: the density must stay one where the count of targets is wrong.
MOST = 0.9


def log_evidence(
    measurements: Tensor, images: Tensor, rotations: int, sigma: Tensor, density: Tensor
) -> Tensor:
    """Log of the likelihood ratio (b,) of targets like `images` (b, L, L) against noise, in nats.

    measurements (b, H, W), sigma (b,), density (b,): targets a pixel. Disjoint tiles hold no target or one at
    any place and rotation; the ratio is averaged over tilings, which leaves it the ratio of a density. The
    images must not have been made from these pixels.
    """
    size = images.shape[-1]
    gains = _gains(measurements.double(), images.double(), rotations, sigma.double())
    ratios = []
    for sides in TILES:
        tile = sides * size
        if tile > min(measurements.shape[-2:]):
            continue
        share = (density.double() * (tile - size + 1) ** 2).clamp(1e-6, MOST)
        steps = [tile * step // STEPS for step in range(STEPS)]
        ratios += [_tiled(gains, size, tile, (y, x), share) for y in steps for x in steps]
    return torch.logsumexp(torch.stack(ratios), 0) - math.log(len(ratios))


def combined(parts: list[Tensor]) -> Tensor:
    """The mean of ratios, from their logs (b,) each: again a ratio with mean one under noise."""
    return torch.logsumexp(torch.stack(parts), 0) - math.log(len(parts))


def _gains(measurements: Tensor, images: Tensor, rotations: int, sigma: Tensor) -> Tensor:
    """Log-likelihood ratio (b, h, w) of a target with its corner here, the mean over rotations."""
    size, shape = images.shape[-1], measurements.shape[-2:]
    variance = sigma.square()[:, None, None]
    spectra, total = rfft2(measurements), None
    turned = Rotations(rotations, size, images).turn(images)
    for k in range(rotations):
        template = turned[:, k]
        odds = irfft2(spectra * rfft2(template / variance, s=shape).conj(), s=shape)
        odds = odds - template.square().sum((-2, -1), keepdim=True) / (2 * variance)
        total = odds if total is None else torch.logaddexp(total, odds)
    assert total is not None
    total = total - math.log(rotations)
    return total[:, : shape[0] - size + 1, : shape[1] - size + 1]


def _tiled(gains: Tensor, size: int, tile: int, start: tuple[int, int], share: Tensor) -> Tensor:
    """Log-ratio (b,) of one tiling that starts at `start`."""
    places = tile - size + 1
    # A tile lies whole in the measurement where its last corner does.
    counts = [(gains.shape[axis + 1] + size - 1 - start[axis]) // tile for axis in (0, 1)]
    if min(counts) < 1:
        return gains.new_zeros(len(gains))
    rows = [start[0] + tile * index + torch.arange(places) for index in range(counts[0])]
    columns = [start[1] + tile * index + torch.arange(places) for index in range(counts[1])]
    blocks = gains[:, torch.stack(rows)][:, :, :, torch.stack(columns)]
    inside = torch.logsumexp(blocks.transpose(2, 3).flatten(3), 3) - 2 * math.log(places)
    share = share[:, None, None]
    return torch.logaddexp(torch.log1p(-share).expand_as(inside), torch.log(share) + inside).sum((1, 2))
