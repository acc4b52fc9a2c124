"""A score network by implicit score matching (paper 001, eq. 5; Hyvarinen & Dayan 2005), for tiny images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from vitreous.errors import SettingsError
from vitreous.multitarget.prior_settings import ImplicitPriorSettings
from vitreous.multitarget.priors.base import Known, in_chunks, known_of, stored_known
from vitreous.multitarget.priors.fitting import Trained, fit, fresh, image_batches, weights
from vitreous.nets.training import Plan
from vitreous.runtime.device import Runtime


class ScoreNetwork(nn.Module):
    """Three dense layers with Softplus between them: pixels (b, d) to the gradient of log p (b, d)."""

    def __init__(self, pixels: int, width: int) -> None:
        """Weights are drawn from torch's global generator."""
        super().__init__()
        self.dense1 = nn.Linear(pixels, width)
        self.dense2 = nn.Linear(width, width)
        self.dense3 = nn.Linear(width, pixels)

    def score_and_trace(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The score (b, d) at pixels (b, d) and the trace (b,) of its Jacobian, in closed form.

        tr = s2' [W2 * (W1 W3)'] s1 with s = Softplus' = sigmoid of what goes into the layers' Softplus
        (methods/multitarget.md §6): no backward pass a pixel.
        """
        first = self.dense1(pixels)
        second = self.dense2(functional.softplus(first))
        score: Tensor = self.dense3(functional.softplus(second))
        core = self.dense2.weight * (self.dense1.weight @ self.dense3.weight).T
        trace = ((second.sigmoid() @ core) * first.sigmoid()).sum(1)
        return score, trace

    def score(self, pixels: Tensor) -> Tensor:
        """The score (b, d) at pixels (b, d)."""
        return self.score_and_trace(pixels)[0]

    def forward(self, images: Tensor) -> Tensor:
        """The loss for images (b, L, L): mean of |s|^2 / 2 + tr grad s (paper 001, eq. 5)."""
        score, trace = self.score_and_trace(images.flatten(1))
        return (0.5 * score.square().sum(1) + trace).mean()


@dataclass(frozen=True)
class ImplicitPrior(Known):
    """A trained score network; it knows no noise levels."""

    network: ScoreNetwork

    def score(self, images: Tensor) -> Tensor:
        """The network's score (b, L, L) at images (b, L, L)."""
        return in_chunks(
            lambda part, _: self.network.score(part.flatten(1)).view_as(part), images, 0.0, self.mean.device
        )

    def denoise(self, images: Tensor, noise: Tensor | float) -> Tensor:
        """Raises SettingsError: the score is that of clean images alone."""
        todo = "take the update `gradient`, or another prior (gaussian, vp, edm)"
        raise SettingsError("the prior `implicit` cannot denoise", todo=todo)


def train(
    images: Tensor, settings: ImplicitPriorSettings, runtime: Runtime, folder: Path | None = None
) -> Trained:
    """Train on the first `settings.samples` of images (n, L, L), all of them in each step."""
    images = images[: settings.samples]
    known = known_of(images)
    network = fresh(lambda: ScoreNetwork(known.size**2, settings.width), runtime)
    rate = settings.learning_rate
    plan = Plan(settings.steps, rate, least_rate=rate, checkpoint_every=settings.checkpoint_every)
    batches = image_batches(images, lambda clean, _: (clean,), runtime, batch=len(images))
    rows = fit(network, batches, plan, runtime, known, settings, folder)
    return Trained(known, weights(network), rows)


def load(stored: Mapping[str, Any], settings: ImplicitPriorSettings, runtime: Runtime) -> ImplicitPrior:
    """The prior that a model file holds."""
    device = runtime.torch_device()
    network = ScoreNetwork(int(stored["size"]) ** 2, settings.width)
    network.load_state_dict(stored["state"])
    return ImplicitPrior(*stored_known(stored, device), network.to(device).eval())
