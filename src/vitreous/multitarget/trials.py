"""One target in several measurements: planted, looked for, and judged against what was planted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vitreous.metrics.image_errors import Alignment, aligned_error, aligned_frc, rotation_error
from vitreous.multitarget.detection import Detection, Problem, detect
from vitreous.multitarget.measurement import Planted, average_of_known, plant
from vitreous.multitarget.poses import find_poses, matches
from vitreous.multitarget.rotation import Rotations
from vitreous.multitarget.settings import EmSettings, MeasurementSettings
from vitreous.runtime.device import Runtime

if TYPE_CHECKING:
    from vitreous.multitarget.priors.base import Prior

Row = dict[str, Any]
MAX_SHIFT_PX = 6
# Measurements of this many pixels are worked on at once.
PIXELS_AT_ONCE = 6_000_000


@dataclass(frozen=True)
class Trial:
    """What is tried: a method with its prior, on measurements of one kind, at one SNR."""

    method: EmSettings
    measurement: MeasurementSettings
    snr: float
    seeds: int
    controls: int
    prior: Prior | None


def run_target(
    image: Tensor, name: str, start: Tensor, trial: Trial, runtime: Runtime
) -> tuple[list[Row], Tensor]:
    """All measurements of one target (L, L): a row each, and the estimates (n, L, L) as EM ends.

    The same target and seed give the same poses and noise whatever the method and the SNR. Controls, of noise
    alone, come after the others.
    """
    count = trial.seeds + trial.controls
    group = max(1, PIXELS_AT_ONCE // trial.measurement.side(image.shape[-1]) ** 2)
    rows: list[Row] = []
    estimates = []
    for first in range(0, count, group):
        numbers = range(first, min(first + group, count))
        planted = [_planted(image, name, number, trial, runtime) for number in numbers]
        found = _detected(planted, image, name, start, trial, runtime)
        rows += _judged(planted, found, image, start, trial, list(numbers))
        estimates.append(found.estimate.images.float().cpu())
    return [{"target": name, **row} for row in rows], torch.cat(estimates)


def _planted(image: Tensor, name: str, number: int, trial: Trial, runtime: Runtime) -> Planted:
    empty = number >= trial.seeds
    own = number - trial.seeds if empty else number
    rng = runtime.rng("control" if empty else "measurement", name, own)
    return plant(image, trial.measurement, trial.snr, rng, empty=empty)


def _detected(
    planted: list[Planted], image: Tensor, name: str, start: Tensor, trial: Trial, runtime: Runtime
) -> Detection:
    device, dtype = runtime.torch_device(), getattr(torch, trial.method.precision)
    pixels = torch.stack([one.pixels for one in planted]).to(device, dtype)
    sigma = torch.tensor([one.sigma for one in planted], dtype=dtype, device=device)
    given = sigma if trial.method.sigma == "given" else None
    size = image.shape[-1]
    problem = Problem(pixels, given, trial.measurement.rotations, trial.measurement.separation_px(size))
    starts = start.to(device, dtype).expand(len(planted), -1, -1)
    generator = runtime.generator("starts", name)
    return detect(problem, starts, trial.method, prior=trial.prior, generator=generator)


def _judged(
    planted: list[Planted], found: Detection, image: Tensor, start: Tensor, trial: Trial, numbers: list[int]
) -> list[Row]:
    truth = image.double()
    judge = Judge(truth, trial.measurement.rotations)
    estimate = found.estimate
    images = estimate.images.double().cpu()
    references = _references(planted, start, trial, judge)
    turned, aligned = judge.errors(images)
    shells = judge.frc_shells(images)
    rows: list[Row] = []
    for index, one in enumerate(planted):
        control = numbers[index] >= trial.seeds
        row: Row = {
            "seed": numbers[index] - (trial.seeds if control else 0), "control": int(control),
            "planted": len(one.turns), "found": float(estimate.targets[index]),
            "sigma": one.sigma, "sigma_found": float(estimate.sigma[index]),
            "iterations": int(estimate.iterations[index]),
            "log_likelihood": float(estimate.log_likelihood[index, -1]),
            "log_evidence": float(found.log_evidence[index]), "claimed": int(found.claimed[index]),
            "grown": float(found.images[index].double().cpu().norm() / truth.norm()),
        }  # fmt: skip
        if not control:
            row |= {"error": float(turned[index]), "error_aligned": float(aligned.error[index])}
            row |= {"frc_shell": float(shells[index]), **references[index]}
            row |= _pose_counts(one, found, index, aligned, trial, image.shape[-1])
        rows.append(row)
    return rows


class Judge:
    """Errors against one true image (L, L) float64, up to K rotations and shifts."""

    def __init__(self, truth: Tensor, rotations: int) -> None:
        """The operator of rotations is made once."""
        self.truth, self.rotations = truth, rotations
        operator = Rotations(rotations, truth.shape[-1], truth)
        self.turned: Callable[[Tensor], Tensor] = operator.turn

    @property
    def _reach(self) -> int:
        return min(MAX_SHIFT_PX, self.truth.shape[-1] // 4)

    def errors(self, images: Tensor) -> tuple[Tensor, Alignment]:
        """Published errors (b,), over rotations alone, and alignments over shifts as well."""
        images = images.double().cpu()
        turned = rotation_error(images, self.truth, self.rotations, self.turned)
        aligned = aligned_error(
            images, self.truth, self.rotations, max_shift_px=self._reach, turned=self.turned
        )
        return turned, aligned

    def frc_shells(self, images: Tensor) -> Tensor:
        """Shells (b,) at which the ring correlation with the truth falls to one half."""
        return aligned_frc(
            images.double().cpu(), self.truth, self.rotations, max_shift_px=self._reach, turned=self.turned
        )[1]


def _references(planted: list[Planted], start: Tensor, trial: Trial, judge: Judge) -> list[Row]:
    """What a row is to be read against: the start, the prior's mean, the average with known poses.

    Known poses need no rotation and no shift, so their errors are plain ones; the others are aligned.
    """
    size = judge.truth.shape[-1]
    operator = Rotations(trial.measurement.rotations, size, judge.truth)
    common: Row = {"start_error": float(judge.errors(start[None])[1].error)}
    if trial.prior is not None:
        turned, aligned = judge.errors(trial.prior.mean[None])
        common |= {"prior_error": float(turned), "prior_error_aligned": float(aligned.error)}
    rows = []
    for one in planted:
        row = dict(common)
        if len(one.turns):
            known = average_of_known(one, size, operator)
            row["known_error"] = _relative(known, judge.truth)
            if trial.prior is not None:
                row["known_prior_error"] = _known_with_prior(known, one, trial.prior, judge.truth)
        rows.append(row)
    return rows


def _known_with_prior(known: Tensor, planted: Planted, prior: Prior, truth: Tensor) -> float:
    """Error of the same denoiser on the average with known poses; NaN for a prior that has none."""
    from vitreous.errors import SettingsError

    noise = planted.sigma / math.sqrt(len(planted.turns))
    try:
        device = prior.mean.device
        return _relative(prior.denoise(known[None].to(device), noise)[0].double().cpu(), truth)
    except SettingsError:
        return math.nan


def _relative(image: Tensor, truth: Tensor) -> float:
    return float((image - truth).norm() / truth.norm())


def _pose_counts(
    planted: Planted, found: Detection, index: int, aligned: Alignment, trial: Trial, size: int
) -> Row:
    """Precision and recall of poses: places with a probability of at least one half, within 2 px."""
    rotations = trial.measurement.rotations
    estimate = found.estimate
    poses = find_poses(
        planted.pixels.to(estimate.images), estimate.images[index], float(estimate.sigma[index]),
        max(float(estimate.targets[index]), 1.0) if trial.method.e_step == "whole" else len(planted.turns),
        rotations=rotations, separation=trial.measurement.separation_px(size),
    )  # fmt: skip
    x, y = aligned.shift_px[index].tolist()
    turn = int(aligned.rotation[index])
    right = matches(poses, planted.corners, planted.turns, rotations=rotations, turn=turn, shift=(y, x))
    return {
        "pose_precision": right / len(poses.turns) if len(poses.turns) else math.nan,
        "pose_recall": right / len(planted.turns) if len(planted.turns) else math.nan,
    }


def checked_images(images: Tensor, names: list[str]) -> None:
    """Refuse targets that are not finite or empty; raises InputError with the target's name."""
    from vitreous.errors import InputError

    for image, name in zip(images, names, strict=True):
        if not bool(torch.isfinite(image).all()) or not bool((image != 0).any()):
            what = "a target must have finite pixels, not all zero"
            raise InputError(what, place=name, expected="an image")


def mean_and_error(values: np.ndarray, groups: np.ndarray) -> tuple[float, float, int]:
    """Mean of the values (n,), its standard error over the groups (targets), and how many are finite.

    Draws of one target share that target, so the error is that of the targets' means; with one target that
    of its draws.
    """
    known = np.isfinite(values)
    if not known.any():
        return math.nan, math.nan, 0
    values, groups = values[known], groups[known]
    means = np.array([values[groups == one].mean() for one in np.unique(groups)])
    spread = means if len(means) > 1 else values
    error = float(spread.std(ddof=1) / math.sqrt(len(spread))) if len(spread) > 1 else math.nan
    return float(values.mean()), error, int(known.sum())
