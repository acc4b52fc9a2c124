"""M-steps: from the statistics of an E-step to the next image (paper 001, eqs. 17 and 18, and beyond)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vitreous.multitarget.rotation import Rotations
from vitreous.multitarget.statistics import Statistics

if TYPE_CHECKING:
    from vitreous.multitarget.priors.base import Prior

# Where rotations are interpolated the normal matrix weakens what is near Nyquist. A damped correction to
# the division pixel by pixel restores a part; undamped it raises the noise more than the image. Measured on
# digits with known poses, K = 36: 1 is right at SNR 1, 0.3 slightly better at 10 and 0.1 at 100.
DAMPING = 1.0
CG_STEPS = 4
# Corners that turn out of the box are seen by few taps, whose weights may cancel or be negative: divided by
# no less than this share of the most that a pixel can be seen, they fall to zero instead of growing large.
LEAST_SEEN = 0.3
TINY = 1e-12


def likelihood_gradient(images: Tensor, found: Statistics, rotations: Rotations, sigma: Tensor) -> Tensor:
    """Gradient (b, L, L) of the expected log-likelihood Q at images (b, L, L), in nats per unit."""
    pull = rotations.back(found.pull)
    seen = rotations.normal(images, found.weight)
    return (pull - seen) / sigma.to(images.dtype).square()[:, None, None]


def gradient_steps(
    images: Tensor,
    found: Statistics,
    rotations: Rotations,
    sigma: Tensor,
    *,
    rate: float,
    gamma: float,
    steps: int,
    prior: Prior | None,
) -> Tensor:
    """`steps` steps of gradient ascent on Q + gamma log p (paper 001, eq. 18)."""
    for _ in range(steps):
        uphill = likelihood_gradient(images, found, rotations, sigma)
        if prior is not None and gamma != 0:
            uphill = uphill + gamma * prior.score(images)
        images = images + rate * uphill
    return images


def closed_form(pull: Tensor, weight: Tensor, rotations: Rotations) -> Tensor:
    """The images (b, L, L) that maximise Q: least squares of what was pulled, weighted by how often seen.

    For exact rotations a division pixel by pixel; others are corrected from there, with damping.
    """
    right = rotations.back(pull)
    ones = torch.ones_like(right)
    # The columns' sums of the normal matrix; its diagonal where rotations move whole pixels.
    diagonal = rotations.normal(ones, weight)
    if rotations.exact:
        return right / diagonal.clamp_min(TINY)
    total = weight.sum(1).mean((-2, -1)).clamp_min(TINY)[:, None, None]
    images = right / torch.maximum(diagonal, LEAST_SEEN * total)
    return _conjugate_gradients(images, right, weight, rotations)


def _conjugate_gradients(images: Tensor, right: Tensor, weight: Tensor, rotations: Rotations) -> Tensor:
    ridge = DAMPING * weight.sum(1).mean((-2, -1)).clamp_min(TINY)[:, None, None]
    residual = right - rotations.normal(images, weight)
    direction, power = residual, residual.square().sum((-2, -1), keepdim=True)
    for _ in range(CG_STEPS):
        product = rotations.normal(direction, weight) + ridge * direction
        step = power / (direction * product).sum((-2, -1), keepdim=True).clamp_min(TINY)
        images = images + step * direction
        residual = residual - step * product
        new = residual.square().sum((-2, -1), keepdim=True)
        direction, power = residual + new / power.clamp_min(TINY) * direction, new
    return images


def statistic_noise(found: Statistics, rotations: Rotations, sigma: Tensor) -> Tensor:
    """Standard deviation (b,) of the noise in a pixel of the closed form: sigma / sqrt(times seen)."""
    seen = found.weight.sum(1).mean((-2, -1))
    return sigma.to(seen.dtype) / seen.clamp_min(TINY).sqrt()


def plug_and_play(
    found: Statistics, rotations: Rotations, sigma: Tensor, prior: Prior, least_noise: Tensor
) -> Tensor:
    """The prior's denoiser on the closed form, at its noise or at `least_noise` (b,) where that is more.

    With the exact denoiser and the right noise it is the posterior mean of the image given the poses.
    """
    images = closed_form(found.pull, found.weight, rotations)
    noise = torch.maximum(statistic_noise(found, rotations, sigma), least_noise.to(images.dtype))
    return prior.denoise(images, noise)
