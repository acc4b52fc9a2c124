"""The published prior for digits: a score network of the variance-preserving SDE (paper 001, eq. 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vitreous.multitarget.prior_settings import VpPriorSettings
from vitreous.multitarget.priors.base import Known, in_chunks, known_of, stored_known
from vitreous.multitarget.priors.fitting import Trained, fit, fresh, image_batches, weights
from vitreous.multitarget.priors.vp_network import VpNetwork
from vitreous.nets.training import Plan
from vitreous.nets.vp_sde import EARLIEST, alpha, sigma, time_of_noise
from vitreous.runtime.device import Runtime


class VpScore(nn.Module):
    """The score of noisy images by a network that gives it itself, or -sigma times it (`scaled`)."""

    def __init__(self, network: nn.Module, scaled: bool) -> None:
        """Wrap a network of images (b, L, L) and times (b,)."""
        super().__init__()
        self.network, self.scaled = network, scaled

    def score(self, images: Tensor, times: Tensor) -> Tensor:
        """Gradient of log p_t, (b, L, L), at images (b, L, L) and times (b,)."""
        output: Tensor = self.network(images, times).to(images.dtype)
        return -output / sigma(times)[:, None, None] if self.scaled else output

    def forward(self, clean: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        """The loss for clean images (b, L, L), times (b,), noise (b, L, L) of unit deviation.

        Paper 001, eq. 7 with the weight sigma^2: mean of (sigma s + noise)^2.
        """
        spread = sigma(times)[:, None, None]
        noisy = alpha(times)[:, None, None] * clean + spread * noise
        return (spread * self.score(noisy, times) + noise).square().mean()


@dataclass(frozen=True)
class VpPrior(Known):
    """A trained network of the SDE; the score is asked for at `query_time`, of images as they are."""

    model: VpScore
    query_time: float

    def score(self, images: Tensor) -> Tensor:
        """The score (b, L, L) at images (b, L, L), not multiplied by alpha, as in the public code."""
        return in_chunks(self.model.score, images, self.query_time, self.mean.device)

    def denoise(self, images: Tensor, noise: Tensor | float) -> Tensor:
        """Expected clean images (b, L, L) of images (b, L, L) with noise of standard deviation (b,).

        Tweedie's formula at the time when the SDE has that noise: D = x + sigma^2 / alpha s(alpha x).
        """
        return in_chunks(self._denoised, images, noise, self.mean.device)

    def _denoised(self, images: Tensor, noise: Tensor) -> Tensor:
        times = time_of_noise(noise).clamp(EARLIEST, 1.0)
        shrink, spread = alpha(times)[:, None, None], sigma(times)[:, None, None]
        return images + spread**2 / shrink * self.model.score(shrink * images, times)


def train(images: Tensor, settings: VpPriorSettings, runtime: Runtime, folder: Path | None = None) -> Trained:
    """Train on images (n, L, L) of values about 0 to 1, as the published ones are."""
    known, chosen = known_of(images), settings.training

    def dress(clean: Tensor, chance: torch.Generator) -> tuple[Tensor, ...]:
        times = EARLIEST + (1 - EARLIEST) * torch.rand(len(clean), generator=chance)
        return clean, times, torch.randn(clean.shape, generator=chance)

    model = fresh(lambda: _model(settings), runtime)
    plan = Plan(
        chosen.epochs,
        chosen.learning_rate,
        least_rate=chosen.least_rate,
        precision=chosen.precision,
        checkpoint_every=chosen.checkpoint_every,
    )
    batches = image_batches(images, dress, runtime, batch=chosen.batch, epoch_images=chosen.epoch_images)
    rows = fit(model, batches, plan, runtime, known, settings, folder)
    return Trained(known, weights(model), rows)


def load(stored: Mapping[str, Any], settings: VpPriorSettings, runtime: Runtime) -> VpPrior:
    """The prior that a model file holds."""
    device, model = runtime.torch_device(), _model(settings)
    model.load_state_dict(stored["state"])
    return VpPrior(*stored_known(stored, device), model.to(device).eval(), settings.query_time)


def _model(settings: VpPriorSettings) -> VpScore:
    return VpScore(VpNetwork(settings.widths), scaled=settings.parametrisation == "noise")
