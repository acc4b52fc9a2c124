"""Whether a picture is more than Gaussian noise: the skewness of its details, whatever their spectrum.

Where particles lie so close that nearly every maximum is one, their scores have a single hump, as those of
noise have; this tells them apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import fft

from vitreous.picking.candidates import Array
from vitreous.picking.working import WorkingImage

# Cycles per diameter: finer than the shape that blob filters see, coarser than where particles have faded.
BAND = (1.3, 2.5)
CUT = 3.0  # standard deviations: a few strong things must not speak for the whole picture


def skewness_significance(work: WorkingImage) -> float:
    """Skewness of the image (h, w), 1.3 to 2.5 cycles per diameter, over its standard error in noise.

    Values are cut at three standard deviations. The error is that of a Gaussian field with the image's own
    correlation r: variance 6 Σ r³ / n over all shifts of n pixels.
    """
    h, w = work.image.shape
    rows, columns = np.flatnonzero(work.mask.any(axis=1)), np.flatnonzero(work.mask.any(axis=0))
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    spectrum = fft.rfft2(np.where(work.mask, work.image, np.float32(0)))
    ky, kx = fft.fftfreq(h), fft.rfftfreq(w)
    k = np.hypot(ky[:, None], kx[None]) * work.diameter_px
    spectrum *= (_step(k - BAND[0]) * _step(BAND[1] - k)).astype(np.float32)
    details = fft.irfft2(spectrum, (h, w))[window]
    correlation = fft.irfft2(np.abs(spectrum) ** 2, (h, w))
    correlation /= correlation[0, 0]
    error = np.sqrt(6 * float((correlation**3).sum()) / details.size)
    details = np.clip(details / max(float(details.std()), 1e-12), -CUT, CUT)
    less = details - details.mean()
    return float((less**3).mean() / (less**2).mean() ** 1.5 / max(error, 1e-12))


def _step(distance: Array) -> Array:
    """0 below, 1 above 0, over a width of a quarter cycle per diameter."""
    return 0.5 + 0.5 * np.sin(np.pi * np.clip(distance / 0.25, -0.5, 0.5))


def combined(values: Sequence[float]) -> float:
    """The significance of many micrographs together; NaN where most of them have none."""
    known = _known(values)
    return float(known.sum() / np.sqrt(len(known))) if len(known) else math.nan


def median(values: Sequence[float]) -> float:
    """The median of the finite values where most are finite, else NaN."""
    known = _known(values)
    return float(np.median(known)) if len(known) else math.nan


def _known(values: Sequence[float]) -> Array:
    every = np.asarray(values, dtype=float)
    finite = every[np.isfinite(every)]
    return finite if len(finite) > len(every) / 2 else finite[:0]
