"""One measurement of one's own: the image that it holds many times, from files in and files out."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vitreous.errors import InputError, SettingsError
from vitreous.io.mrc import read_image, read_pixel_size_A, write_image, write_stack
from vitreous.io.picks import write_picks
from vitreous.multitarget.detection import Detection, Problem, detect
from vitreous.multitarget.em import robust_sigma
from vitreous.multitarget.poses import Poses, find_poses
from vitreous.multitarget.priors.base import Prior
from vitreous.multitarget.priors.registry import load_prior
from vitreous.multitarget.settings import EmSettings, MeasurementSettings
from vitreous.runtime.device import Runtime

log = logging.getLogger(__name__)
# Signal and prior may differ by this factor in mean square before the image range is taken for wrong.
RANGE = 16.0
# A background this many noise deviations from zero is none that targets were added to.
OFFSET = 0.5
# Radius of the blob that EM starts from without a prior, in sides of the image.
BLOB = 0.25


@dataclass(frozen=True)
class Wanted:
    """What is known of a measurement: side of the image in px, SNR or noise sd where known."""

    size: int
    snr: float | None = None
    sigma: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What was found: image (L, L) as EM ends, its poses, expected number, noise sd, evidence in nats."""

    image: Tensor
    poses: Poses
    targets: float
    sigma: float
    log_evidence: float
    claimed: bool


def detect_in_file(
    measurement: Path,
    out: Path,
    *,
    wanted: Wanted,
    settings: EmSettings,
    layout: MeasurementSettings,
    prior: Path | None = None,
    start: Path | None = None,
    poses: Path | None = None,
    history: Path | None = None,
    runtime: Runtime,
) -> Outcome:
    """Estimate the image in an MRC file and write it to `out`, empty where no target is claimed.

    `poses` gets the centres of the targets (STAR), `history` the image before and after each iteration.
    Raises InputError for a measurement that is not finite, constant, too small or whose range does not fit
    the prior, SettingsError for settings that contradict each other.
    """
    device = runtime.torch_device()
    pixels = torch.tensor(read_image(measurement), device=device)[None]
    known = None if prior is None else load_prior(prior, runtime)
    _check(measurement, pixels, wanted, prior, known)
    sigma = _noise(pixels, wanted, layout)
    _check_range(measurement, pixels, sigma, wanted, known)
    first = _start(start, wanted, sigma, known).to(pixels)
    frames: list[Tensor] = []
    problem = Problem(pixels, None if settings.sigma == "estimated" else pixels.new_tensor([sigma]),
                      layout.rotations, layout.separation_px(wanted.size), "whole measurement")  # fmt: skip
    found = detect(
        problem, first[None], settings, prior=known, generator=runtime.generator("starts"),
        watch=None if history is None else lambda _, images: frames.append(images[0].float().cpu()),
    )  # fmt: skip
    outcome = _outcome(pixels[0], found, settings, layout)
    size_A = read_pixel_size_A(measurement) or 1.0
    write_image(out, found.images[0].float().cpu().numpy(), size_A)
    if history is not None:
        write_stack(history, torch.stack(frames).numpy(), size_A)
    if poses is not None:
        _write_poses(poses, measurement, outcome, wanted.size)
    return outcome


def _check(file: Path, pixels: Tensor, wanted: Wanted, model: Path | None, prior: Prior | None) -> None:
    shape = tuple(pixels.shape[1:])
    if min(shape) < 2 * wanted.size:
        raise InputError(
            "the measurement is too small for the image", file=file, found=f"{shape[1]} x {shape[0]} px",
            expected=f"at least {2 * wanted.size} px", todo="give the side of one image as --size",
        )  # fmt: skip
    if float(pixels.std()) == 0:
        raise InputError("the measurement is constant", file=file, found=float(pixels.flatten()[0]))
    if prior is not None and prior.size != wanted.size:
        raise InputError(
            "the prior is for images of another size", file=model, found=f"{prior.size} px",
            expected=f"{wanted.size} px",
        )  # fmt: skip
    for name, value in (("--snr", wanted.snr), ("--sigma", wanted.sigma)):
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise SettingsError("must be a positive number", place=name, found=value)
    if wanted.snr is not None and wanted.sigma is not None:
        raise SettingsError("the noise is said twice", place="--sigma", todo="give --snr or --sigma")


def _noise(pixels: Tensor, wanted: Wanted, layout: MeasurementSettings) -> float:
    """Noise sd: as given, or from the SNR and the density, or robustly from the pixels."""
    if wanted.sigma is not None:
        return wanted.sigma
    if wanted.snr is not None:
        # Mean square = sigma^2 (1 + density x SNR), the targets' part being density x SNR x sigma^2.
        return math.sqrt(float(pixels.double().square().mean()) / (1 + layout.density * wanted.snr))
    return float(robust_sigma(pixels))


def _check_range(file: Path, pixels: Tensor, sigma: float, wanted: Wanted, prior: Prior | None) -> None:
    middle = float(pixels.median())
    if abs(middle) > OFFSET * sigma:
        raise InputError(
            "the background is not at zero", file=file, found=f"median {middle:.4g}, noise {sigma:.4g}",
            expected="targets added to noise of mean zero", todo="subtract the background",
        )  # fmt: skip
    if prior is None or wanted.snr is None:
        return
    signal = wanted.snr * sigma**2
    usual = prior.scale**2 + float(prior.mean.mean()) ** 2
    if not usual / RANGE < signal < usual * RANGE:
        raise InputError(
            "the image range does not fit the prior", file=file,
            found=f"targets of mean square {signal:.3g} by SNR and noise",
            expected=f"about {usual:.3g}, as the images that the prior was trained on",
            todo="scale the measurement, or give another --snr or --sigma",
        )  # fmt: skip


def _start(file: Path | None, wanted: Wanted, sigma: float, prior: Prior | None) -> Tensor:
    """The first image (L, L): as given, the prior's mean, or a blob as strong as the signal."""
    if file is not None:
        image = torch.tensor(read_image(file))
        if tuple(image.shape) != (wanted.size, wanted.size):
            found, expected = f"{image.shape[1]} x {image.shape[0]} px", f"{wanted.size} x {wanted.size} px"
            raise InputError("the start has another size", file=file, found=found, expected=expected)
        return image
    if prior is not None:
        return prior.mean
    at = torch.arange(wanted.size) - (wanted.size - 1) / 2
    blob = torch.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / (2 * (BLOB * wanted.size) ** 2))
    power = (wanted.snr or 1.0) * sigma**2
    return blob * math.sqrt(power / float(blob.square().mean()))


def _outcome(pixels: Tensor, found: Detection, settings: EmSettings, layout: MeasurementSettings) -> Outcome:
    estimate = found.estimate
    image, sigma = estimate.images[0], float(estimate.sigma[0])
    targets = float(estimate.targets[0])
    places = find_poses(
        pixels.to(image), image, sigma, max(targets, 1.0), rotations=layout.rotations,
        separation=layout.separation_px(image.shape[-1]),
    )  # fmt: skip
    evidence, claimed = float(found.log_evidence[0]), bool(found.claimed[0])
    if not claimed:
        log.warning("NOTHING CLAIMED: the two halves of the measurement do not confirm each other")
    return Outcome(image.float().cpu(), places, targets, sigma, evidence, claimed)


def _write_poses(path: Path, measurement: Path, outcome: Outcome, size: int) -> None:
    poses = outcome.poses if outcome.claimed else Poses(
        np.empty((0, 2), dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0)
    )  # fmt: skip
    centre = (size - 1) / 2
    table = pd.DataFrame(
        {
            "micrograph": [measurement.name] * len(poses.turns),
            "x": poses.corners[:, 1] + centre, "y": poses.corners[:, 0] + centre, "score": poses.mass,
        }
    )  # fmt: skip
    write_picks(path, table)
