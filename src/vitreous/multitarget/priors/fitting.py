"""What the trainings of all priors share: batches drawn by the number of the epoch, and going on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitreous.multitarget.prior_settings import PriorBase
from vitreous.multitarget.priors.base import Known
from vitreous.nets.training import CHECKPOINT, Batches, Plan, is_of_run, train
from vitreous.runtime.device import Runtime

# What a batch becomes: clean images (b, L, L) and random numbers to the arguments of the model.
Dress = Callable[[Tensor, torch.Generator], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Trained:
    """A trained prior: what it knows of its images, weights (on the CPU), and a row an epoch."""

    known: Known
    state: dict[str, Tensor]
    log: list[dict[str, float]]


def fresh(build: Callable[[], nn.Module], runtime: Runtime) -> nn.Module:
    """A network whose first weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(runtime.key("prior weights"))
        return build()


def image_batches(
    images: Tensor,
    dress: Dress,
    runtime: Runtime,
    *,
    batch: int,
    epoch_images: int | None = None,
    shift_px: int = 0,
) -> Batches:
    """Batches of images (n, L, L), drawn without replacement in an epoch; half of each is moved.

    An incomplete last batch is left out, so that all steps weigh the same.
    """
    size = min(batch, len(images))
    steps = max(1, min(epoch_images or len(images), len(images)) // size)

    def draw(epoch: int, rank: int, world: int) -> Iterator[tuple[Tensor, ...]]:
        chance = runtime.generator("prior batches", epoch)
        order = torch.randperm(len(images), generator=chance)
        for step in range(steps):
            clean = images[order[step * size : (step + 1) * size]]
            clean = torch.cat([moved(clean[: size // 2], shift_px, chance), clean[size // 2 :]])
            yield tuple(part[rank::world] for part in dress(clean, chance))

    return Batches(steps, draw)


def moved(images: Tensor, reach: int, generator: torch.Generator) -> Tensor:
    """Images (b, h, w), each moved by up to `reach` px in x and in y; zeros come in."""
    if reach == 0:
        return images
    count, h, w = images.shape
    padded = functional.pad(images, (reach,) * 4)
    corners = torch.randint(0, 2 * reach + 1, (2, count, 1), generator=generator)
    rows, columns = corners[0] + torch.arange(h), corners[1] + torch.arange(w)
    return padded[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


def fit(
    model: nn.Module,
    batches: Batches,
    plan: Plan,
    runtime: Runtime,
    known: Known,
    settings: PriorBase,
    folder: Path | None,
) -> list[dict[str, float]]:
    """Train `model` in place; a row an epoch. A killed run goes on from its checkpoint in `folder`."""
    identity = _identity(known, settings, runtime)
    resume = None if folder is None else folder / CHECKPOINT
    if resume is not None and not is_of_run(resume, identity):
        resume = None
    return train(
        model, batches, plan, runtime, folder=folder, resume_from=resume, identity=identity, label="prior"
    )


def weights(network: nn.Module) -> dict[str, Tensor]:
    """The weights of a network, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def _identity(known: Known, settings: PriorBase, runtime: Runtime) -> str:
    """What makes two runs the same: settings, seed and images."""
    plain: dict[str, Any] = settings.model_dump(mode="json")
    text = json.dumps([plain, runtime.seed, runtime.device], sort_keys=True)
    return hashlib.sha256(text.encode() + known.seen.numpy().tobytes()).hexdigest()
