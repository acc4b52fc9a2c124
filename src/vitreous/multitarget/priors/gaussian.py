"""The exact prior of independent Gaussian pixels about a mean image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vitreous.multitarget.prior_settings import GaussianPriorSettings
from vitreous.multitarget.priors.base import Known, stored_known
from vitreous.runtime.device import Runtime


@dataclass(frozen=True)
class GaussianPrior(Known):
    """N(mean, std^2): score and denoiser in closed form (methods/multitarget.md §6)."""

    std: float

    @torch.no_grad()
    def score(self, images: Tensor) -> Tensor:
        """(mean - x) / std^2, (b, L, L) at images (b, L, L)."""
        return (self.mean.to(images) - images) / self.std**2

    @torch.no_grad()
    def denoise(self, images: Tensor, noise: Tensor | float) -> Tensor:
        """(std^2 x + s^2 mean) / (std^2 + s^2), (b, L, L) of images (b, L, L) with noise s, (b,)."""
        spread = torch.as_tensor(noise, dtype=images.dtype, device=images.device).expand(len(images))
        part = self.std**2 / (self.std**2 + spread[:, None, None] ** 2)
        mean = self.mean.to(images)
        return mean + part * (images - mean)


def gaussian_prior(settings: GaussianPriorSettings, mean: Tensor) -> GaussianPrior:
    """The prior about a mean image (L, L), on its device; it has seen no image."""
    pixels = float((settings.std**2 + mean.double().var(correction=0)).sqrt())
    seen = torch.empty(0, dtype=torch.int64)
    return GaussianPrior(mean.shape[-1], mean.float(), pixels, seen, settings.std)


def load(stored: Mapping[str, Any], settings: GaussianPriorSettings, runtime: Runtime) -> GaussianPrior:
    """The prior of a model file, on the runtime's device."""
    return GaussianPrior(*stored_known(stored, runtime.torch_device()), settings.std)
