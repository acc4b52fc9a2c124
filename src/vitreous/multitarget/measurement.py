"""Measurements with known truth: turned copies of an image in a field of white noise (paper 001, eq. 1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.errors import InputError, SettingsError
from vitreous.multitarget.rotation import Rotations
from vitreous.multitarget.settings import MeasurementSettings

# Candidates that are drawn for each target wanted; the public code of paper 001 gives up after ten.
PUBLISHED_TRIES = 10
TRIES = 2000


@dataclass(frozen=True)
class Planted:
    """A measurement (N, N) with the truth: upper left corners y, x (p, 2), rotations (p,), noise sd."""

    pixels: Tensor
    corners: NDArray[np.int64]
    turns: NDArray[np.int64]
    sigma: float


def noise_sd(image: Tensor, snr: float) -> float:
    """Noise sd for SNR = ||F||^2 / (L^2 sigma^2), over the whole box (paper 001, Section I)."""
    if not isinstance(snr, int | float) or not snr > 0 or not math.isfinite(snr):
        raise SettingsError("a signal-to-noise ratio must be a positive number", place="snr", found=repr(snr))
    power = float(image.double().square().mean())
    if power == 0 or not math.isfinite(power):
        raise InputError(
            "a target must have pixels other than zero, all finite", found=f"mean square {power}"
        )
    return math.sqrt(power / snr)


def place_corners(
    side: int, size: int, count: int, separation: int, rng: np.random.Generator, *, published: bool = False
) -> NDArray[np.int64]:
    """Upper left corners (p, 2) of squares of `size` px in `side` px, uniform, one after the other.

    A candidate is dropped where both its distances to an earlier corner are below `separation`.
    `published`: as the public code, one more than `count` and fewer where ten times `count` candidates do not
    give them. Else raises SettingsError where they do not fit.
    """
    wanted, tries = (count + 1, PUBLISHED_TRIES * count) if published else (count, TRIES * count)
    taken = np.empty((0, 2), dtype=np.int64)
    for candidate in rng.integers(0, side - size + 1, size=(tries, 2)):
        if len(taken) == wanted:
            break
        if np.all(np.abs(taken - candidate).max(axis=1, initial=0) >= separation):
            taken = np.concatenate([taken, candidate[None]])
    if len(taken) < wanted and not published:
        most = len(taken) * size**2 / side**2
        raise SettingsError(
            "so many targets do not fit", place="density",
            found=f"{wanted} targets of {size} px in {side} px",
            expected=f"a density of at most about {most:.2f} with a separation of {separation} px",
        )  # fmt: skip
    return taken


def plant(
    image: Tensor, settings: MeasurementSettings, snr: float, rng: np.random.Generator, *, empty: bool = False
) -> Planted:
    """Copies of an image (L, L) in a measurement, with noise; with `empty` the noise alone.

    The draws do not depend on the SNR: the same generator gives the same places and the same noise, scaled.
    Raises SettingsError where the targets do not fit, InputError for an image that is not finite.
    """
    size = image.shape[-1]
    side, separation = settings.side(size), settings.separation_px(size)
    sigma = noise_sd(image, snr)
    published = settings.count == "published"
    corners = place_corners(side, size, settings.targets(size), separation, rng, published=published)
    turns = rng.integers(0, settings.rotations, size=len(corners))
    noise = rng.standard_normal((side, side), dtype=np.float64)
    pixels = sigma * torch.from_numpy(noise)
    if empty:
        return Planted(pixels, corners[:0], turns[:0], sigma)
    turned = Rotations(settings.rotations, size, image.double()).turn(image.double()[None])[0]
    for (y, x), k in zip(corners, turns, strict=True):
        pixels[y : y + size, x : x + size] += turned[k]
    return Planted(pixels, corners, turns, sigma)


def average_of_known(planted: Planted, size: int, rotations: Rotations) -> Tensor:
    """The image (L, L) by least squares where all poses are known: what no method can do without a prior."""
    from vitreous.multitarget.maximise import closed_form

    pull = planted.pixels.new_zeros((1, rotations.count, size, size))
    weight = planted.pixels.new_zeros((1, rotations.count, 1, 1))
    for (y, x), k in zip(planted.corners, planted.turns, strict=True):
        pull[0, k] += planted.pixels[y : y + size, x : x + size]
        weight[0, k] += 1
    return closed_form(pull, weight, rotations)[0]
