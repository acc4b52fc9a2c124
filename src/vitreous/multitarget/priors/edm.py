"""The prior as a denoiser for all noise levels (Karras et al. 2022): score = (D(x; s) - x) / s^2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vitreous.multitarget.prior_settings import EdmPriorSettings, EdmTrainingSettings
from vitreous.multitarget.priors.base import Known, in_chunks, known_of, stored_known
from vitreous.multitarget.priors.fitting import Trained, fit, fresh, image_batches, weights
from vitreous.nets.edm import EdmDenoiser, draw_noise_levels
from vitreous.nets.training import Plan
from vitreous.nets.unet import UNet
from vitreous.runtime.device import Runtime


@dataclass(frozen=True)
class EdmPrior(Known):
    """A trained denoiser; the score is asked for at noise `score_noise`."""

    denoiser: EdmDenoiser
    score_noise: float

    @torch.no_grad()
    def score(self, images: Tensor) -> Tensor:
        """Gradient of log p at noise `score_noise` (Karras et al. 2022, eq. 3), (b, L, L)."""
        return (self.denoise(images, self.score_noise) - images) / self.score_noise**2

    def denoise(self, images: Tensor, noise: Tensor | float) -> Tensor:
        """Expected clean images (b, L, L) of images (b, L, L) with noise of standard deviation (b,)."""
        return in_chunks(self.denoiser.denoise, images, noise, self.mean.device)


def train(
    images: Tensor, settings: EdmPriorSettings, runtime: Runtime, folder: Path | None = None
) -> Trained:
    """Train on images (n, L, L), half of them moved at random."""
    known, chosen = known_of(images), settings.training

    def dress(clean: Tensor, chance: torch.Generator) -> tuple[Tensor, ...]:
        levels = draw_noise_levels(len(clean), chosen.noise_mean, chosen.noise_spread, chance)
        return clean, levels, torch.randn(clean.shape, generator=chance)

    batches = image_batches(
        images,
        dress,
        runtime,
        batch=chosen.batch,
        epoch_images=chosen.epoch_images,
        shift_px=chosen.shift_px,
    )
    model = fresh(lambda: _denoiser(settings, known.scale, float(known.mean.mean())), runtime)
    rows = fit(model, batches, _plan(chosen), runtime, known, settings, folder)
    return Trained(known, weights(model), rows)


def load(stored: Mapping[str, Any], settings: EdmPriorSettings, runtime: Runtime) -> EdmPrior:
    """The prior that a model file holds."""
    size, mean, scale, seen = stored_known(stored, runtime.torch_device())
    denoiser = _denoiser(settings, scale, float(mean.mean()))
    denoiser.load_state_dict(stored["state"])
    return EdmPrior(size, mean, scale, seen, denoiser.to(mean.device).eval(), settings.score_noise)


def _denoiser(settings: EdmPriorSettings, data_std: float, data_mean: float) -> EdmDenoiser:
    network = UNet(settings.network.widths, blocks=settings.network.blocks)
    return EdmDenoiser(network, data_std, data_mean)


def _plan(settings: EdmTrainingSettings) -> Plan:
    return Plan(
        settings.epochs,
        settings.learning_rate,
        least_rate=settings.least_rate,
        warmup_epochs=settings.warmup_epochs,
        precision=settings.precision,
        checkpoint_every=settings.checkpoint_every,
    )
