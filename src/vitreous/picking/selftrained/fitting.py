"""Fitting the network: fields of pixels, turned, mirrored and jittered, and the risk of what they show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from vitreous.picking.candidates import Array
from vitreous.picking.selftrained.labels import CONTAMINATION, ELSEWHERE, OPEN, PARTICLE
from vitreous.picking.selftrained.loss import non_negative_risk
from vitreous.picking.selftrained.network import ScoreNetwork
from vitreous.picking.selftrained.settings import SelfTrainedSettings
from vitreous.runtime.device import Runtime

JITTER = 0.1  # standard deviation of the logarithm of the contrast, and of the brightness
WARM_UP = 20  # steps in which the learning rate rises
CENTRED = 0.5  # share of the fields that show a particle: in sparse micrographs few would


@dataclass(frozen=True)
class Example:
    """A micrograph to fit: planes (2, h, w), labels (h, w), centres x, y (n, 2) of its particles.

    `prior` is the share of particles among the data set's candidates that are not contamination.
    """

    dataset: str
    planes: torch.Tensor
    labels: NDArray[np.uint8]
    particles: Array
    prior: float


def fit_network(
    examples: Sequence[Example], settings: SelfTrainedSettings, runtime: Runtime
) -> tuple[ScoreNetwork, float]:
    """The fitted network and its mean loss over the last tenth of the steps; data sets count alike."""
    device = runtime.torch_device()
    rng = runtime.rng("selftrained fields")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(runtime.key("selftrained weights"))
        network = ScoreNetwork(settings.width)
    network = network.to(device).train()
    rate, decay = settings.learning_rate, settings.weight_decay
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay)
    datasets = [[e for e in examples if e.dataset == name] for name in sorted({e.dataset for e in examples})]
    losses = []
    steps = _steps(examples, settings)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * _share_of_rate(step, steps)
        turn = [datasets[(step * settings.batch + k) % len(datasets)] for k in range(settings.batch)]
        drawn = [members[int(rng.integers(len(members)))] for members in turn]
        fields = [draw_field(example, settings, rng) for example in drawn]
        loss = _mean_risk(network, drawn, fields, device)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return network.eval(), float(np.mean(losses[-max(1, steps // 10) :]))


def _steps(examples: Sequence[Example], settings: SelfTrainedSettings) -> int:
    """How long to train: longer with more labels (see the settings)."""
    particles = sum(len(example.particles) for example in examples)
    wanted = max(settings.min_steps, math.ceil(settings.steps_per_particle * particles))
    return min(settings.max_steps, wanted)


def _share_of_rate(step: int, steps: int) -> float:
    """The learning rate of a step over the highest: a short rise, then half a cosine down."""
    fall = 0.5 + 0.5 * np.cos(np.pi * step / steps)
    return float(min(1.0, (step + 1) / WARM_UP) * fall)


def draw_field(
    example: Example, settings: SelfTrainedSettings, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A square field of an example, turned, mirrored, its contrast jittered: planes (2, n, n), labels (n, n).

    A micrograph smaller than the field is filled up with what is outside of every image.
    """
    side = int(settings.field * settings.diameter_px)
    corner = _corner(example, side, rng)
    window = tuple(slice(start, start + side) for start in corner)
    planes, labels = example.planes[(slice(None), *window)], torch.from_numpy(example.labels[window])
    missing = (0, side - labels.shape[1], 0, side - labels.shape[0])
    planes, labels = functional.pad(planes, missing), functional.pad(labels, missing)
    gain, offset = float(np.exp(rng.normal(0, JITTER))), float(rng.normal(0, JITTER))
    planes = torch.stack([(planes[0] * gain + offset) * planes[1], planes[1]])
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    planes, labels = torch.rot90(planes, turns, (1, 2)), torch.rot90(labels, turns, (0, 1))
    return (planes.flip(2), labels.flip(1)) if mirrored else (planes, labels)


def _corner(example: Example, side: int, rng: np.random.Generator) -> tuple[int, int]:
    """The first row and column of a field; every other one shows a particle."""
    high = [max(length - side, 0) for length in example.labels.shape]
    if len(example.particles) and rng.random() < CENTRED:
        x, y = example.particles[int(rng.integers(len(example.particles)))]
        place = np.array([y, x]) + rng.uniform(-0.9, -0.1, 2) * side
    else:
        place = rng.uniform(0, 1, 2) * (np.array(high) + 1)
    row, column = (int(np.clip(np.floor(p), 0, h)) for p, h in zip(place, high, strict=True))
    return row, column


def _mean_risk(
    network: ScoreNetwork,
    drawn: Sequence[Example],
    fields: Sequence[tuple[torch.Tensor, torch.Tensor]],
    device: torch.device,
) -> torch.Tensor:
    """The risk of a batch, one planes (2, n, n), labels (n, n) of each drawn: the mean over data sets."""
    planes = torch.stack([planes for planes, _ in fields])
    scores = network(planes.to(device, memory_format=torch.channels_last))
    risks = []
    for members in _same_dataset(drawn):
        labels = torch.stack([fields[k][1] for k in members]).to(device)
        risks.append(_risk(scores[members], labels, drawn[members[0]].prior))
    return torch.stack(risks).mean()


def _same_dataset(drawn: Sequence[Example]) -> list[list[int]]:
    names = [example.dataset for example in drawn]
    return [[k for k, name in enumerate(names) if name == chosen] for chosen in sorted(set(names))]


def _risk(scores: torch.Tensor, labels: torch.Tensor, prior: float) -> torch.Tensor:
    """What to descend on for scores and labels (b, n, n) of one data set.

    Particles are the positives; they and the open candidates are the unlabelled. Contamination and what lies
    elsewhere are negatives, each with half the weight. A label that is missing in the fields adds nothing.
    """
    particle, open_, dirty, elsewhere = (
        scores[labels == value] for value in (PARTICLE, OPEN, CONTAMINATION, ELSEWHERE)
    )
    risk = scores.sum() * 0
    unlabelled = torch.cat([particle, open_])
    if len(particle):
        risk = risk + non_negative_risk(particle, unlabelled, prior)[1]
    elif len(open_):
        risk = risk + (1 - prior) * functional.softplus(open_).mean()
    for negatives in (dirty, elsewhere):
        if len(negatives):
            risk = risk + 0.5 * functional.softplus(negatives).mean()
    return risk
