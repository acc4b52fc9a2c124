"""Which of the images that explain a measurement alike is the likeliest under the prior.

Turned by any of the K rotations, or moved within its empty margin, an image explains the measurement as well.
A prior learned on upright, centred images tells which it is.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vitreous.multitarget.priors.base import Prior
from vitreous.multitarget.rotation import Rotations

# Noise levels, in spreads of the data, and draws of noise for each.
LEVELS = (0.8, 1.2, 1.6, 2.4)
DRAWS = 4


def oriented(images: Tensor, prior: Prior, rotations: int, generator: torch.Generator) -> Tensor:
    """Each image (b, L, L) centred by whole pixels, in the likeliest of its rotations."""
    chosen = []
    for image in images:
        candidates = _candidates(image, prior, rotations)
        badness = denoising_misfit(candidates, prior, generator)
        chosen.append(candidates[int(badness.argmin())])
    return torch.stack(chosen)


def denoising_misfit(images: Tensor, prior: Prior, generator: torch.Generator) -> Tensor:
    """What stands for -log p (n,) of images (n, L, L), up to a constant, in nats.

    The squared error of denoising an image with noise added, over the noise's variance and integrated over
    the log of its level: the integral that gives a density its logarithm, at a few levels. All images get
    the same noise.
    """
    size = images.shape[-1]
    step = math.log(LEVELS[-1] / LEVELS[0]) / (len(LEVELS) - 1)
    total = images.new_zeros(len(images))
    for level in LEVELS:
        noise = level * prior.scale
        for _ in range(DRAWS):
            drawn = torch.randn((size, size), generator=generator, dtype=torch.float64).to(images)
            misfit = (prior.denoise(images + noise * drawn, noise) - images).square().sum((-2, -1))
            total += 0.5 * step / DRAWS * misfit / noise**2
    return total


def _candidates(image: Tensor, prior: Prior, rotations: int) -> Tensor:
    """The image in every rotation, its centre of gravity where that of the prior's mean lies, (K, L, L)."""
    turned = Rotations(rotations, image.shape[-1], image).turn(image[None])[0]
    target = centre_of_gravity(prior.mean.to(image))
    found = []
    for one in turned:
        down, right = (target - centre_of_gravity(one)).round().long().tolist()
        found.append(shifted(one, down, right))
    return torch.stack(found)


def centre_of_gravity(image: Tensor) -> Tensor:
    """Centre y, x (2,) px of what is above zero in an image (L, L); the box's where nothing is."""
    weight = image.clamp_min(0)
    at = torch.arange(image.shape[-1], device=image.device, dtype=image.dtype)
    total = weight.sum()
    if float(total) <= 0:
        return at.mean().expand(2)
    return torch.stack([(weight.sum(1) * at).sum(), (weight.sum(0) * at).sum()]) / total


def shifted(image: Tensor, down: int, right: int) -> Tensor:
    """An image (L, L) moved by whole pixels, zeros where nothing comes from."""
    size = image.shape[-1]
    moved = torch.zeros_like(image)
    if max(abs(down), abs(right)) >= size:
        return moved
    to = [slice(max(by, 0), size + min(by, 0)) for by in (down, right)]
    of = [slice(max(-by, 0), size + min(-by, 0)) for by in (down, right)]
    moved[to[0], to[1]] = image[of[0], of[1]]
    return moved
