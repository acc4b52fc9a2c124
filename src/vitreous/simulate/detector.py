"""From the mean of the electrons to what a camera counts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vitreous.errors import InputError
from vitreous.physics.fourier import frequencies_2d
from vitreous.simulate.settings import DetectorSettings

Float32 = NDArray[np.float32]
INT8_COUNTS_PER_SD = 20.0


@dataclass(frozen=True)
class Exposure:
    """Electrons a pixel: the whole exposure and its two half-doses, `half1 + half2 = full` exactly."""

    full: Float32
    half1: Float32
    half2: Float32


def expose(mean_electrons: Float32, settings: DetectorSettings, rng: np.random.Generator) -> Exposure:
    """Counts for mean electrons a pixel `(h, w)`: Poisson, blurred by the MTF, reading noise added.

    Each electron of the exposure falls into one half or the other with probability 1/2, which makes the
    halves independent Poisson counts; each half has reading noise of half the variance.
    """
    counts = rng.poisson(mean_electrons)
    first = rng.binomial(counts, 0.5)
    sd = settings.readout_noise_e / math.sqrt(2)
    halves = []
    for part in (first, counts - first):
        image = _blurred(part.astype(np.float32), settings.mtf_at_nyquist)
        halves.append(image + np.float32(sd) * rng.standard_normal(image.shape, dtype=np.float32))
    return Exposure(halves[0] + halves[1], halves[0], halves[1])


def noise_variance(electrons: float, settings: DetectorSettings) -> float:
    """Variance in electrons^2 of a pixel that receives `electrons` on average, MTF included."""
    return electrons * _mtf_power(settings.mtf_at_nyquist) + settings.readout_noise_e**2


def mtf_2d(shape: tuple[int, int], at_nyquist: float) -> torch.Tensor:
    """Gaussian transfer (h, w//2+1) of the camera over the half spectrum; `at_nyquist` along an axis."""
    k2 = frequencies_2d(shape, True).square().sum(-1)
    return torch.exp(math.log(at_nyquist) * k2 / 0.25)


def _mtf_power(at_nyquist: float) -> float:
    """Mean of the squared transfer over all frequencies: the share of white noise's variance that is left."""
    if at_nyquist == 1:
        return 1.0
    width = math.sqrt(-2 * math.log(at_nyquist)) / 0.5
    # The transfer is separable: (mean over |k| < 1/2 of exp(-width^2 k^2))^2.
    return (math.sqrt(math.pi) / width * math.erf(width / 2)) ** 2


def _blurred(counts: Float32, at_nyquist: float) -> Float32:
    if at_nyquist == 1:
        return counts
    half = torch.fft.rfft2(torch.from_numpy(counts)) * mtf_2d(counts.shape, at_nyquist)
    return torch.fft.irfft2(half, s=counts.shape).numpy()


def as_stored(image: Float32, kind: str) -> NDArray[np.generic]:
    """An image (h, w) in the number format `kind`: float32, float16, uint16 (whole electrons) or int8.

    int8 holds 20 steps a standard deviation about the mean, as microscopes scale their sums; what does not
    fit is clipped. Raises InputError for a format that is not known.
    """
    if kind in ("float32", "float16"):
        return image.astype(kind)
    if kind == "uint16":
        return np.clip(np.rint(image), 0, 65535).astype(np.uint16)
    if kind == "int8":
        steps = (image - image.mean()) * (INT8_COUNTS_PER_SD / image.std())
        return np.clip(np.rint(steps), -128, 127).astype(np.int8)
    raise InputError("unknown number format", found=kind, expected="float32, float16, uint16, int8")
