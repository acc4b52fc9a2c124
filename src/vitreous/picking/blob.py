"""The blob picker: maxima of the Laplacian (or a difference) of Gaussians at the scale of the particle.

Scores come from normalised convolutions: each local mean is taken over the part of its window that lies in
the image. So nothing is invented beyond the edges, a constant gives 0 up to the rim, and noise is the same
everywhere. Centres come from a second map, whose image goes on beyond the edges as its background does: a
particle that touches the edge from inside has its true centre there. Centres of particles that the edge cuts
are drawn inwards by up to a tenth of the diameter.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from vitreous.picking.blob_settings import BlobSettings
from vitreous.picking.candidates import Array, Candidates, Image
from vitreous.picking.evidence import detail_evidence
from vitreous.picking.peaks import climb, local_maxima
from vitreous.picking.structure import skewness_significance
from vitreous.picking.working import WorkingImage, picking_mask, white_noise_level, working_image
from vitreous.runtime.device import Runtime

DOG_RATIO = 1.6  # Marr & Hildreth 1980: the ratio at which a difference of Gaussians is closest to the LoG


def find_candidates(
    image: Image,
    pixel_size_A: float,
    diameter_A: float,
    contrast: str,
    settings: BlobSettings,
    runtime: Runtime,
    model: Any = None,
) -> Candidates:
    """Candidates of a micrograph (h, w); the score is the response in robust sd of the binned image.

    `contrast` is dark, bright or auto. Raises InputError where the image is too small or constant.
    """
    work = working_image(image, diameter_A / pixel_size_A, "dark" if contrast == "auto" else contrast)
    return blob_candidates(work, settings, runtime, auto=contrast == "auto")


def blob_candidates(
    work: WorkingImage, settings: BlobSettings, runtime: Runtime, *, auto: bool = False
) -> Candidates:
    """Candidates of an image (h, w) at working scale; `auto`: of the polarity whose responses are skewed."""
    plain = work  # centres are measured where local normalisation has not bent the particles' flanks
    if settings.normalise == "local":
        flat = locally_normalised(work, settings.local_sigma * work.diameter_px, runtime.threads)
        work = WorkingImage(flat, work.mask, work.bin, work.diameter_px)
    sigma = settings.scale * work.diameter_px / (2 * math.sqrt(2))
    response = blob_response(work.image, work.mask, sigma, settings.filter, runtime.threads)
    mask = picking_mask(work, settings.border)
    sign = -1 if auto and _skewness(response[work.mask]) < 0 else 1
    response = sign * response
    x, y, score = local_maxima(response, mask, settings.min_distance * work.diameter_px)
    evidence = detail_evidence(plain, x, y, score, sigma)
    x, y = _recentred(plain, x, y, sigma, settings.filter, runtime.threads, sign)
    noise = white_noise_level(work) * noise_gain(sigma, settings.filter)
    spread, structure = robust_spread(response[work.mask]), skewness_significance(plain)
    found = Candidates(*work.to_full(x, y), score, noise, spread, structure, evidence)
    return found.best(settings.max_picks)


def blob_response(
    image: Image, mask: NDArray[np.bool_], sigma_px: float, kind: str, threads: int = 1
) -> Image:
    """Response (h, w) to bright blobs, the same noise everywhere; `kind` is log or dog.

    LoG: with m the mask, G the Gaussian, L = -sigma² ∇²G and mean = G*(mI) / G*m, the derivative of the local
    mean by scale is (L*(mI) - mean L*m) / G*m. DoG: the difference of the means at sigma/√1.6 and sigma √1.6.
    Both are multiplied by √(G*m): a window with half its pixels has √2 times the noise.
    """
    smooth = _smoother(image.shape, sigma_px, threads)
    part = mask.astype(np.float32)
    held = np.where(mask, image, np.float32(0))
    gauss = _gauss(sigma_px)
    cover = np.maximum(smooth(part, gauss), 1e-3)
    if kind == "log":
        laplace = _laplace(sigma_px)
        mean = smooth(held, gauss) / cover
        difference = (smooth(held, laplace) - mean * smooth(part, laplace)) / cover
    else:
        narrow, wide = (_gauss(sigma) for sigma in _dog_sigmas(sigma_px))
        means = [smooth(held, g) / np.maximum(smooth(part, g), 1e-3) for g in (narrow, wide)]
        difference = means[0] - means[1]
    return (difference * np.sqrt(cover)).astype(np.float32)


def _recentred(
    work: WorkingImage, x: Array, y: Array, sigma_px: float, kind: str, threads: int, sign: int
) -> tuple[Array, Array]:
    """Centres (n,) at the maxima of the map with continued background; those of cut particles stay."""
    rows, columns = np.flatnonzero(work.mask.any(axis=1)), np.flatnonzero(work.mask.any(axis=0))
    rim = np.min([x - columns[0], columns[-1] - x, y - rows[0], rows[-1] - y], axis=0)
    reach = math.ceil(4 * sigma_px)
    background = 2.5 * sigma_px  # about 0.7 D
    filled = _continued(work, reach, background, threads)
    smooth = _smoother(filled.shape, sigma_px, threads)
    if kind == "log":
        response = smooth(filled, _laplace(sigma_px))
    else:
        narrow, wide = (_gauss(sigma) for sigma in _dog_sigmas(sigma_px))
        response = smooth(filled, narrow) - smooth(filled, wide)
    whole = np.flatnonzero(rim >= 0.4 * work.diameter_px)
    near_x, near_y = climb(sign * response, x[whole] + reach, y[whole] + reach, 0.15 * work.diameter_px)
    x, y = x.copy(), y.copy()
    x[whole], y[whole] = near_x - reach, near_y - reach
    return x, y


def _continued(work: WorkingImage, reach: int, sigma_px: float, threads: int) -> Image:
    """The image with a frame of `reach` px, all outside the mask filled with the background nearby.

    The background is the local mean of the image cut at one standard deviation: particles weigh little in it.
    """
    part = np.pad(work.mask, reach).astype(np.float32)
    image = np.pad(work.image, reach)
    smooth, gauss = _smoother(image.shape, sigma_px, threads), _gauss(sigma_px)
    background = smooth(np.clip(image, -1, 1) * part, gauss) / np.maximum(smooth(part, gauss), 1e-3)
    return np.where(part > 0, image, background).astype(np.float32)


def noise_gain(sigma_px: float, kind: str) -> float:
    """Standard deviation of the response to white noise of standard deviation 1.

    LoG: ∫ (k²σ²)² exp(-k²σ²) d²k/(2π)² = 1/(2πσ²). DoG: (1/σ₁² + 1/σ₂² - 4/(σ₁² + σ₂²)) / 4π.
    """
    if kind == "log":
        return 1 / (sigma_px * math.sqrt(2 * math.pi))
    a, b = (sigma**2 for sigma in _dog_sigmas(sigma_px))
    return math.sqrt((1 / a + 1 / b - 4 / (a + b)) / (4 * math.pi))


def locally_normalised(work: WorkingImage, sigma_px: float, threads: int = 1) -> Image:
    """The image (h, w) less its local mean, over its local standard deviation (Gaussian neighbourhood).

    The deviation has a floor of half its median, so that empty corners are not blown up.
    """
    smooth = _smoother(work.image.shape, sigma_px, threads)
    part, gauss = work.mask.astype(np.float32), _gauss(sigma_px)
    cover = np.maximum(smooth(part, gauss), 1e-3)
    less = np.where(work.mask, work.image - smooth(work.image * part, gauss) / cover, np.float32(0))
    deviation = np.sqrt(np.maximum(smooth(less * less, gauss) / cover, 0))
    floor = 0.5 * float(np.median(deviation[work.mask]))
    flat: Image = (less / np.maximum(deviation, max(floor, 1e-6))).astype(np.float32)
    return flat


def smoothed(image: Image, mask: NDArray[np.bool_], sigma_px: float, threads: int = 1) -> Image:
    """Gaussian mean of each pixel's neighbourhood inside the mask (h, w)."""
    if sigma_px <= 0:
        return image
    smooth, gauss = _smoother(image.shape, sigma_px, threads), _gauss(sigma_px)
    held = np.where(mask, image, np.float32(0))
    mean = smooth(held, gauss) / np.maximum(smooth(mask.astype(np.float32), gauss), 1e-3)
    return mean.astype(np.float32)


def robust_spread(values: NDArray[np.floating]) -> float:
    """Standard deviation of values (n,) from their median absolute deviation (times 1.4826)."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def _skewness(values: NDArray[np.floating]) -> float:
    less = (values - values.mean()) / max(float(values.std()), 1e-12)
    return float((less**3).mean())


def _gauss(sigma_px: float) -> Callable[[Image], Image]:
    return lambda k2: np.exp(-0.5 * sigma_px**2 * k2)


def _laplace(sigma_px: float) -> Callable[[Image], Image]:
    return lambda k2: sigma_px**2 * k2 * np.exp(-0.5 * sigma_px**2 * k2)


def _dog_sigmas(sigma_px: float) -> tuple[float, float]:
    return sigma_px / math.sqrt(DOG_RATIO), sigma_px * math.sqrt(DOG_RATIO)


def _smoother(
    shape: tuple[int, ...], sigma_px: float, threads: int
) -> Callable[[Image, Callable[[Image], Image]], Image]:
    """A function that filters an image (h, w) by a transfer function of |k|² (rad²/px²), zeros outside."""
    h, w = shape
    reach = math.ceil(4 * sigma_px * math.sqrt(DOG_RATIO))
    size = tuple(fft.next_fast_len(side + reach, real=True) for side in shape)
    ky, kx = 2 * np.pi * fft.fftfreq(size[0]), 2 * np.pi * fft.rfftfreq(size[1])
    k2 = (ky[:, None] ** 2 + kx[None] ** 2).astype(np.float32)

    def smooth(image: Image, transfer: Callable[[Image], Image]) -> Image:
        spectrum = fft.rfft2(image, size, workers=threads)
        spectrum *= transfer(k2)
        filtered: Image = fft.irfft2(spectrum, size, workers=threads)[:h, :w]
        return filtered

    return smooth
