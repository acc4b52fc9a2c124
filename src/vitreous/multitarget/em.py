"""Approximate expectation-maximisation (paper 001, Algorithm 1) with every E-step and M-step of this room."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vitreous.errors import InputError, SettingsError
from vitreous.multitarget.maximise import closed_form, gradient_steps, plug_and_play, statistic_noise
from vitreous.multitarget.patches import (
    patch_statistics,
    prepare_patches,
    shifts_of_empty,
    uniform_shifts,
)
from vitreous.multitarget.rotation import Rotations
from vitreous.multitarget.settings import EmSettings
from vitreous.multitarget.statistics import Statistics
from vitreous.multitarget.whole import WholeStep
from vitreous.runtime.memory import keep_freed_memory
from vitreous.runtime.progress import progress

if TYPE_CHECKING:
    from vitreous.multitarget.priors.base import Prior

# Kreymer et al. 2022 start from a clean measurement's share; at densities of 0.04 to 0.1 that is near this.
FIRST_EMPTY = 0.6
# Density that the expected number of targets starts from: the paper's.
FIRST_DENSITY = 0.1
# Of |M - median|, for a normal distribution.
MAD = 1.4826


@dataclass(frozen=True)
class Estimate:
    """What EM found in b measurements.

    `images` (b, L, L); `targets` (b,) expected number; `sigma` (b,); `log_likelihood` (b, iterations + 1), of
    the images before each iteration and of the last; `iterations` (b,), those until the updates ended.
    """

    images: Tensor
    targets: Tensor
    sigma: Tensor
    log_likelihood: Tensor
    iterations: Tensor


@dataclass
class _State:
    """What changes over the iterations beside the images: sigma (b,), targets (b,), shifts (b, 2L, 2L)."""

    sigma: Tensor
    targets: Tensor
    shifts: Tensor


class Expectation:
    """The E-step that the settings ask for, with the pose prior that it learns."""

    def __init__(
        self, measurements: Tensor, start: Tensor, sigma: Tensor, settings: EmSettings, separation: int
    ) -> None:
        """Prepare measurements (b, H, W) for images like `start` (b, L, L)."""
        size = start.shape[-1]
        self.settings = settings
        self.patches = prepare_patches(measurements, size) if settings.e_step == "patch" else None
        self.whole = None if self.patches else WholeStep(measurements, size, separation)
        self.pixels = measurements.shape[-1] * measurements.shape[-2]
        count = FIRST_DENSITY * self.pixels / size**2
        shifts = uniform_shifts(size, start).expand(len(start), -1, -1)
        if settings.shifts != "uniform":
            shifts = shifts_of_empty(torch.full_like(sigma, FIRST_EMPTY, dtype=start.dtype), size)
        self.state = _State(sigma, torch.full_like(sigma, max(count, 1.0)), shifts)

    def statistics(self, images: Tensor, rotations: Rotations) -> Statistics:
        """The posterior's sums for images (b, L, L)."""
        state = self.state
        if self.patches is not None:
            return patch_statistics(self.patches, images, rotations, state.sigma, state.shifts)
        assert self.whole is not None
        return self.whole.statistics(images, rotations, state.sigma, state.targets)

    def learn(self, found: Statistics) -> None:
        """Update what the settings say is learned of the poses' prior and of the noise."""
        state = self.state
        if self.whole is not None:
            state.targets = found.targets.to(state.targets).clamp(1.0, self.whole.most_targets)
        elif self.settings.shifts == "empty":
            size = found.pull.shape[-1]
            share = found.empty.clamp(1e-6, 1 - 1e-6)
            state.shifts = shifts_of_empty(share, size)
        elif self.settings.shifts == "free":
            assert found.shifts is not None
            state.shifts = found.shifts.clamp_min(1e-12)
        if self.settings.sigma == "estimated":
            state.sigma = (found.residual / self.pixels).clamp_min(1e-12).sqrt().to(state.sigma)


def robust_sigma(measurements: Tensor) -> Tensor:
    """Noise sd (b,) from the median absolute deviation; too high by what targets add to it."""
    flat = measurements.flatten(1)
    return MAD * (flat - flat.median(1, keepdim=True).values).abs().median(1).values


def estimate(
    measurements: Tensor,
    start: Tensor,
    sigma: Tensor | None,
    settings: EmSettings,
    *,
    rotations: int,
    separation: int,
    prior: Prior | None = None,
    watch: Callable[[int, Tensor], None] | None = None,
    label: str = "",
) -> Estimate:
    """Run EM on measurements (b, H, W) from images `start` (b, L, L), noise sd `sigma` (b,).

    `separation` px is the least distance of two corners that the whole-measurement E-step takes for granted.
    `watch(iteration, images)` sees the images before the first iteration and after each; with a `label`
    progress is said. Raises SettingsError where the M-step needs a prior that is not there, InputError for
    pixels that are not finite and for a measurement without noise.
    """
    m_step = chosen_m_step(settings, prior)
    keep_freed_memory()
    dtype = getattr(torch, settings.precision)
    images, data = start.to(dtype), measurements.to(dtype)
    first = robust_sigma(measurements) if sigma is None or settings.sigma == "estimated" else sigma
    _check(measurements, start, first)
    operator = Rotations(rotations, images.shape[-1], images)
    expect = Expectation(data, images, first.to(dtype), settings, separation)
    done = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    ended = torch.full((len(images),), settings.iterations, device=images.device)
    likelihood = []
    if watch is not None:
        watch(0, images)
    steps = range(settings.iterations)
    for iteration in progress(steps, len(steps), label) if label else steps:
        found = expect.statistics(images, operator)
        likelihood.append(found.log_likelihood)
        new = _maximised(images, found, operator, expect.state.sigma, settings, m_step, prior, iteration)
        new = torch.where(done[:, None, None], images, new)
        step = (new - images).square().sum((-2, -1)).sqrt()
        images = new
        expect.learn(found)
        if watch is not None:
            watch(iteration + 1, images)
        newly = ~done & (step < settings.stop_below) & (iteration >= _annealed(settings, m_step))
        ended[newly] = iteration + 1
        done = done | newly
        if bool(done.all()):
            break
    found = expect.statistics(images, operator)
    likelihood.append(found.log_likelihood)
    state = expect.state
    return Estimate(images, found.targets, state.sigma, torch.stack(likelihood, 1), ended)


def _check(measurements: Tensor, start: Tensor, sigma: Tensor) -> None:
    for what, pixels in (("a measurement", measurements), ("the image that EM starts from", start)):
        bad = int((~torch.isfinite(pixels)).sum())
        if bad:
            raise InputError(f"{what} has pixels that are not finite", found=f"{bad} of {pixels.numel()}")
    if not bool(((sigma > 0) & torch.isfinite(sigma)).all()):
        raise InputError(
            "the noise's standard deviation must be positive", found=float(sigma.min()),
            todo="give it, if the measurement is constant or more than half of its pixels are alike",
        )  # fmt: skip


def chosen_m_step(settings: EmSettings, prior: Prior | None) -> str:
    """The M-step that `auto` stands for; raises SettingsError for plug-and-play without a prior."""
    if settings.m_step == "plug-and-play" and prior is None:
        raise SettingsError(
            "plug-and-play needs a prior", place="m_step", todo="name a prior, or leave it out"
        )
    if settings.m_step == "auto":
        return "closed-form" if prior is None else "plug-and-play"
    return settings.m_step


def _maximised(
    images: Tensor,
    found: Statistics,
    rotations: Rotations,
    sigma: Tensor,
    settings: EmSettings,
    m_step: str,
    prior: Prior | None,
    iteration: int,
) -> Tensor:
    if m_step == "gradient":
        return gradient_steps(
            images, found, rotations, sigma, rate=settings.learning_rate, prior=prior,
            gamma=gamma_at(settings, iteration), steps=settings.gradient_steps,
        )  # fmt: skip
    if m_step == "closed-form":
        return closed_form(found.pull, found.weight, rotations)
    assert prior is not None
    least = annealed_noise(settings, prior.scale, statistic_noise(found, rotations, sigma), iteration)
    return plug_and_play(found, rotations, sigma, prior, least)


def gamma_at(settings: EmSettings, iteration: int) -> float:
    """Weight of the prior at an iteration (paper 001, Table I; the public code divides by T - 1)."""
    if settings.gamma_schedule == "constant":
        return settings.gamma
    return settings.gamma * iteration / max(settings.iterations - 1, 1)


def annealed_noise(settings: EmSettings, scale: float, last: Tensor, iteration: int) -> Tensor:
    """Least noise (b,) of the denoiser, from `anneal_from` x scale down to the statistic's, geometric."""
    first = settings.anneal_from * scale
    share = iteration / max(_annealed(settings, "plug-and-play"), 1)
    if first <= 0 or share >= 1:
        return last
    return torch.where(last < first, first * (last / first) ** share, last)


def _annealed(settings: EmSettings, m_step: str) -> int:
    """Iterations of annealing."""
    if m_step != "plug-and-play" or settings.anneal_from == 0:
        return 0
    return math.ceil(settings.anneal_share * settings.iterations)
