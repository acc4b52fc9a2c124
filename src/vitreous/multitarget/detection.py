"""From measurements to images: EM from several starts, orientation, and whether anything is there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vitreous.multitarget.em import Estimate, estimate
from vitreous.multitarget.evidence import combined, log_evidence
from vitreous.multitarget.orientation import oriented
from vitreous.multitarget.settings import EmSettings
from vitreous.multitarget.starts import other_starts

if TYPE_CHECKING:
    from vitreous.multitarget.priors.base import Prior

# ASSUME: after a change of orientation the image is nearly right: less noise to begin with, fewer iterations.
AGAIN = {"anneal_from": 0.6, "share": 0.4}
Watch = Callable[[int, Tensor], None]


@dataclass(frozen=True)
class Problem:
    """Measurements (b, H, W), noise sd (b,) or None, number of rotations, least distance of corners in px.

    `label`: what progress is said of; empty: none is.
    """

    measurements: Tensor
    sigma: Tensor | None
    rotations: int
    separation: int
    label: str = ""

    def part(self, rows: slice, name: str) -> Problem:
        """The same with some of the rows of each measurement."""
        return replace(self, measurements=self.measurements[:, rows], label=self.label and name)

    def repeated(self, times: int) -> Problem:
        """The same with all measurements `times` times over."""
        sigma = None if self.sigma is None else self.sigma.repeat(times)
        label = self.label and f"{self.label}, other starts"
        return replace(self, measurements=self.measurements.repeat(times, 1, 1), sigma=sigma, label=label)


@dataclass(frozen=True)
class Detection:
    """`estimate` as EM ends; `images` (b, L, L) claimed, empty where `claimed` (b,) is false.

    `log_evidence` (b,): of targets against noise, NaN where it was not asked for.
    """

    estimate: Estimate
    images: Tensor
    log_evidence: Tensor
    claimed: Tensor


def detect(
    problem: Problem,
    start: Tensor,
    settings: EmSettings,
    *,
    prior: Prior | None,
    generator: torch.Generator,
    watch: Watch | None = None,
) -> Detection:
    """Estimate the images of measurements from `start` (b, L, L) as the settings say."""
    found = best_of_starts(problem, start, settings, prior, generator, watch)
    if settings.alarm_rate is None:
        nothing = torch.full_like(found.sigma, torch.nan, dtype=torch.float64)
        return Detection(found, found.images, nothing, torch.ones_like(nothing, dtype=torch.bool))
    evidence = confirmed(problem, start, settings, prior, generator)
    claimed = evidence >= math.log(1 / settings.alarm_rate)
    images = torch.where(claimed[:, None, None], found.images, torch.zeros_like(found.images))
    return Detection(found, images, evidence, claimed)


def best_of_starts(
    problem: Problem,
    start: Tensor,
    settings: EmSettings,
    prior: Prior | None,
    generator: torch.Generator,
    watch: Watch | None = None,
) -> Estimate:
    """EM from every start; of each measurement the end with the highest likelihood, then oriented."""
    if settings.start == "prior" and prior is not None:
        start = prior.mean.to(start).expand_as(start)
    first = _em(problem, start, settings, prior, watch)
    if settings.restarts > 1:
        others = other_starts(start, settings.restarts - 1, prior, generator)
        tries = _em(problem.repeated(len(others)), others.flatten(0, 1), settings, prior, None)
        first = likeliest([first, *split(tries, len(others))])
    if not settings.orient or prior is None:
        return first
    turned = oriented(first.images, prior, problem.rotations, generator)
    again = settings.model_copy(
        update={
            "anneal_from": min(settings.anneal_from, AGAIN["anneal_from"]),
            "iterations": math.ceil(AGAIN["share"] * settings.iterations),
        }
    )
    return _em(problem, turned, again, prior, None)


def confirmed(
    problem: Problem, start: Tensor, settings: EmSettings, prior: Prior | None, generator: torch.Generator
) -> Tensor:
    """Log-evidence (b,): images of one half of the rows judged on the other, and the other way round."""
    size, height = start.shape[-1], problem.measurements.shape[-2]
    middle = max(height // 2 // size, 1) * size
    halves = [
        problem.part(slice(None, middle), "upper half"), problem.part(slice(middle, None), "lower half"),
    ]  # fmt: skip
    plain = settings.model_copy(update={"orient": False})
    ratios = []
    for own, other in (halves, halves[::-1]):
        found = best_of_starts(own, start, plain, prior, generator)
        pixels = own.measurements.shape[-1] * own.measurements.shape[-2]
        density = (found.targets / pixels).double()
        args = (other.measurements, found.images, problem.rotations, found.sigma, density)
        ratios.append(log_evidence(*args))
    return combined(ratios)


def likeliest(tries: list[Estimate]) -> Estimate:
    """Of each measurement the estimate whose last image has the highest likelihood."""
    best = torch.stack([one.log_likelihood[:, -1] for one in tries]).argmax(0)
    rows = torch.arange(len(best), device=best.device)
    length = max(one.log_likelihood.shape[1] for one in tries)
    likelihood = torch.stack([_lengthened(one.log_likelihood, length) for one in tries])
    return Estimate(
        images=torch.stack([one.images for one in tries])[best, rows],
        targets=torch.stack([one.targets for one in tries])[best, rows],
        sigma=torch.stack([one.sigma for one in tries])[best, rows],
        log_likelihood=likelihood[best, rows],
        iterations=torch.stack([one.iterations for one in tries])[best, rows],
    )


def split(tries: Estimate, count: int) -> list[Estimate]:
    """An estimate of repeated measurements as one for each repetition."""
    parts = zip(
        tries.images.chunk(count), tries.targets.chunk(count), tries.sigma.chunk(count),
        tries.log_likelihood.chunk(count), tries.iterations.chunk(count), strict=True,
    )  # fmt: skip
    return [Estimate(*part) for part in parts]


def _lengthened(values: Tensor, length: int) -> Tensor:
    """A history (b, n) with its last value repeated up to `length`."""
    return torch.cat([values, values[:, -1:].expand(-1, length - values.shape[1])], 1)


def _em(
    problem: Problem, start: Tensor, settings: EmSettings, prior: Prior | None, watch: Watch | None
) -> Estimate:
    return estimate(
        problem.measurements, start, problem.sigma, settings,
        rotations=problem.rotations, separation=problem.separation, prior=prior, watch=watch,
        label=problem.label,
    )  # fmt: skip
