"""Defocus and astigmatism of a micrograph from the Thon rings in its power spectrum, with a computed quality.

The squared CTF is 1/2 - 1/2 cos 2(chi + w), so the flattened spectrum is compared by correlation with -cos
2(chi + w): first along the rotational average over a grid of defocus, then over direction and frequency with
dz = d + a cos 2 theta + b sin 2 theta. The quality is the correlation along the average over rings of equal
phase: near 0 where there are no rings, so that nothing has to crash. Signs and units as in `physics.ctf`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitreous.errors import InputError
from vitreous.physics.ctf import wavelength_A

Array = NDArray[np.float64]

SECTORS = 36  # over half a turn: 5 degrees, 0.02 of the largest astigmatism that is looked for
GRID_STEP_A = 50.0
ASTIGMATISM_STARTS_A = (250.0, 500.0, 1000.0, 1800.0)


@dataclass(frozen=True)
class CtfFit:
    """What a fit found; the curves are the mean over rings of equal phase, at mean defocus.

    Defocus U >= V in Å (underfocus positive), U at `defocus_angle_deg` (0..180, from x towards y); `quality`
    is the correlation of `measured` and `model` over the band, -1..1; `max_resolution_A` is where it last
    stays above 0.5 in a sliding window (inf: nowhere). `frequency_per_A`, `measured`, `model`: `(m,)`.
    """

    defocus_u_A: float
    defocus_v_A: float
    defocus_angle_deg: float
    quality: float
    max_resolution_A: float
    frequency_per_A: Array
    measured: Array
    model: Array

    @property
    def mean_defocus_A(self) -> float:
        """(U + V) / 2."""
        return (self.defocus_u_A + self.defocus_v_A) / 2

    @property
    def astigmatism_A(self) -> float:
        """U - V, never negative."""
        return self.defocus_u_A - self.defocus_v_A


@dataclass(frozen=True)
class Optics:
    """What turns defocus and frequency into a phase: wavelength and Cs in Å, constant phase in radians."""

    wavelength_A: float
    cs_A: float
    offset: float

    def rings(self, defocus_A: float | Array, k2: Array) -> Array:
        """-cos 2(chi + w) at squared frequencies `k2` (1/Å^2): what the flattened spectrum looks like."""
        chi = math.pi * self.wavelength_A * k2 * (defocus_A - 0.5 * self.cs_A * self.wavelength_A**2 * k2)
        return np.asarray(-np.cos(2 * (chi + self.offset)))


def fit_ctf(
    image: ArrayLike,
    pixel_size_A: float,
    voltage_kv: float,
    cs_mm: float,
    amplitude_contrast: float,
    *,
    phase_shift_deg: float = 0.0,
    window_px: int = 512,
    defocus_range_A: tuple[float, float] = (5000.0, 40000.0),
    resolution_range_A: tuple[float, float] = (20.0, 5.0),
) -> CtfFit:
    """Fit U, V and angle to a micrograph `(h, w)` at a known phase shift.

    The band is cut at 0.9 of Nyquist. Raises InputError where the image is smaller than half a window, not
    finite or constant, or where no band is left; an image without rings is no error but has a low quality.
    """
    power = power_spectrum(image, window_px)
    size = power.shape[0]
    low, high = 1 / resolution_range_A[0], min(1 / resolution_range_A[1], 0.9 / (2 * pixel_size_A))
    step = 1 / (size * pixel_size_A)
    if high - low < 16 * step:
        raise InputError(
            "no frequencies are left for the CTF fit",
            found=f"{1 / low:.1f} to {1 / high:.1f} Å",
            todo="use smaller pixels or another `resolution_range_A`",
        )
    optics = Optics(
        float(wavelength_A(voltage_kv)),
        cs_mm * 1e7,
        math.radians(phase_shift_deg) + math.asin(amplitude_contrast),
    )
    k2, angle, value = _flattened_band(power, step, low, high)
    start = _scan_defocus(k2, value, step, optics, defocus_range_A)
    d, a, b = _fit_astigmatism(k2, angle, value, step, optics, start)
    frequency, measured = _equal_phase_average(k2, angle, value, step, optics, (d, a, b))
    model = optics.rings(d, frequency**2)
    half = math.hypot(a, b)
    return CtfFit(
        defocus_u_A=d + half,
        defocus_v_A=d - half,
        defocus_angle_deg=math.degrees(0.5 * math.atan2(b, a)) % 180,
        quality=_correlation(measured, model),
        max_resolution_A=_reach(frequency, measured, model, d, optics),
        frequency_per_A=frequency,
        measured=measured,
        model=model,
    )


def power_spectrum(image: ArrayLike, window_px: int = 512) -> Array:
    """Mean power of Hann windows that overlap by half, `(s, s//2+1)` in FFT order, s <= `window_px`.

    The tenth of the windows whose variance is farthest from the median (edges, ice) is left out. Raises
    InputError for an image that is not finite, constant, or smaller than half a window.
    """
    from scipy import fft

    image = np.asarray(image, dtype=np.float32)
    if not np.isfinite(image).all() or float(np.ptp(image)) == 0:
        raise InputError("the image is constant or has values that are not finite")
    size = min(window_px, min(image.shape) // 2 * 2)
    if size < window_px // 2:
        raise InputError(
            "the image is too small for the CTF fit",
            found=f"{image.shape}",
            expected=f"at least {window_px // 2} px",
        )
    corners = [_window_starts(side, size) for side in image.shape]
    hann = np.hanning(size + 1)[:-1].astype(np.float32)
    taper = hann[:, None] * hann[None, :]
    windows = [image[y : y + size, x : x + size] for y in corners[0] for x in corners[1]]
    spread = np.log([float(window.var()) + 1e-30 for window in windows])
    worst = np.abs(spread - np.median(spread))
    total = np.zeros((size, size // 2 + 1))
    for index in np.argsort(worst)[: math.ceil(0.9 * len(windows))]:
        window = windows[index]
        transform = fft.rfft2((window - window.mean()) * taper)
        total += transform.real**2 + transform.imag**2
    return total


def _window_starts(side: int, size: int) -> list[int]:
    """First pixels of windows that cover `side`, at most half a window apart."""
    count = 1 + math.ceil((side - size) / (size // 2))
    return [round(start) for start in np.linspace(0, side - size, count)]


def _flattened_band(power: Array, step: float, low: float, high: float) -> tuple[Array, Array, Array]:
    """k^2, direction and power over its background less 1 of the pixels of the band, `(m,)` each."""
    size = power.shape[0]
    ky = np.fft.fftfreq(size, 1 / size)[:, None] * step
    kx = np.arange(size // 2 + 1)[None, :] * step
    k2 = kx**2 + ky**2
    # The axes carry what the edges of the image and of the detector leave there.
    keep = (k2 >= low**2) & (k2 <= high**2) & (kx > step / 2) & (np.abs(ky) > step / 2)
    k2, angle, value = k2[keep], np.arctan2(ky, kx)[keep], power[keep]
    if not (value > 0).any():
        raise InputError("the image has no power in the band of the CTF fit")
    return k2, angle, value / _background(k2, angle, value, step) - 1


def _background(k2: Array, angle: Array, value: Array, step: float) -> Array:
    """Smooth power: exp of a polynomial in k of degree 5, plus degree 2 times cos and sin 2 theta.

    The directional part takes up what drift does to the spectrum, which would else be fitted as astigmatism.
    Fitted to the logarithms of the averages over cells of direction and frequency.
    """
    k = np.sqrt(k2)
    place = (k - k.mean()) / (np.ptp(k) / 2)
    powers = place[:, None] ** np.arange(6)
    turned = [np.cos(2 * angle)[:, None] * powers[:, :3], np.sin(2 * angle)[:, None] * powers[:, :3]]
    basis = np.hstack([powers, *turned])
    cell = _cells(k2, angle, step)
    weight = np.bincount(cell).astype(float)
    mean = np.bincount(cell, value) / weight
    mean_basis = np.stack([np.bincount(cell, column) / weight for column in basis.T], axis=1)
    root = np.sqrt(weight)
    floor = 1e-12 * mean.max()
    found = np.linalg.lstsq(mean_basis * root[:, None], np.log(np.maximum(mean, floor)) * root, rcond=None)[0]
    return np.asarray(np.exp(basis @ found))


def _cells(k2: Array, angle: Array, step: float) -> NDArray[np.int64]:
    """Number of the cell, 5 degrees by one `step`, in which each pixel lies; no number is left out."""
    ring = np.rint(np.sqrt(k2) / step).astype(int)
    sector = np.minimum(((angle / math.pi + 0.5) * SECTORS).astype(int), SECTORS - 1)
    return np.asarray(np.unique(ring * SECTORS + sector, return_inverse=True)[1])


def _mean_by(index: NDArray[np.int64], value: Array) -> Array:
    """Mean of `value` in each bin; 0 in an empty one."""
    return np.asarray(np.bincount(index, value) / np.maximum(np.bincount(index), 1))


def _correlation(a: Array, b: Array) -> float:
    """Pearson's correlation; 0 where one of them is constant."""
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale > 0 else 0.0


def _scan_defocus(
    k2: Array, value: Array, step: float, optics: Optics, defocus_range_A: tuple[float, float]
) -> float:
    """Mean defocus whose rings correlate best with the rotational average."""
    frequency, profile = _ring_average(np.sqrt(k2), value, step)
    grid = np.arange(defocus_range_A[0], defocus_range_A[1] + GRID_STEP_A, GRID_STEP_A)
    models = optics.rings(grid[:, None], frequency[None, :] ** 2)
    models = models - models.mean(1, keepdims=True)
    score = models @ (profile - profile.mean()) / np.maximum(np.linalg.norm(models, axis=1), 1e-12)
    return float(grid[int(score.argmax())])


def _ring_average(k: Array, value: Array, step: float) -> tuple[Array, Array]:
    """Mean frequency and mean value in rings one `step` wide, empty rings left out."""
    ring = np.rint(k / step).astype(int)
    full = np.bincount(ring) > 0
    return _mean_by(ring, k)[full], _mean_by(ring, value)[full]


def _fit_astigmatism(
    k2: Array, angle: Array, value: Array, step: float, optics: Optics, start_A: float
) -> tuple[float, float, float]:
    """(d, a, b) in Å whose rings correlate best over frequency and direction.

    The pixels are first averaged in sectors of 5 degrees and rings one step wide, by which the fit takes
    milliseconds; starts over amplitude and direction keep it out of side maxima.
    """
    from scipy.optimize import minimize

    cell = _cells(k2, angle, step)
    weight = np.bincount(cell).astype(float)
    polar_k2, polar_value = _mean_by(cell, k2), _mean_by(cell, value)
    cosine, sine = _mean_by(cell, np.cos(2 * angle)), _mean_by(cell, np.sin(2 * angle))
    polar_value = polar_value - np.average(polar_value, weights=weight)

    def mismatch(parameters: ArrayLike) -> float:
        d, a, b = np.asarray(parameters)
        model = optics.rings(d + a * cosine + b * sine, polar_k2)
        model = model - float(weight @ model) / weight.sum()
        return -float((weight * polar_value) @ model) / math.sqrt(float(weight @ model**2) + 1e-12)

    starts = [(start_A, 0.0, 0.0)]
    for difference in ASTIGMATISM_STARTS_A:
        for turn in np.arange(8) * math.pi / 4:
            starts.append((start_A, difference / 2 * math.cos(turn), difference / 2 * math.sin(turn)))
    best = min(starts, key=mismatch)
    simplex = np.array(best) + np.vstack([np.zeros(3), 100 * np.eye(3)])
    found = minimize(
        mismatch,
        best,
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "xatol": 1.0, "fatol": 1e-7, "maxiter": 300},
    )
    d, a, b = (float(number) for number in found.x)
    return d, a, b


def _equal_phase_average(
    k2: Array, angle: Array, value: Array, step: float, optics: Optics, fitted: tuple[float, float, float]
) -> tuple[Array, Array]:
    """Frequency at mean defocus and mean flattened power over pixels of equal phase chi."""
    d, a, b = fitted
    deviation = a * np.cos(2 * angle) + b * np.sin(2 * angle)
    # d chi / d k^2 = pi lambda (dz - Cs lambda^2 k^2): first order in the deviation from the mean defocus.
    slope = d - optics.cs_A * optics.wavelength_A**2 * k2
    slope = np.where(np.abs(slope) < 0.2 * abs(d), 0.2 * d, slope)
    moved = np.clip(k2 * (1 + deviation / slope), k2.min(), k2.max())
    return _ring_average(np.sqrt(moved), value, step)


def _reach(frequency: Array, measured: Array, model: Array, defocus_A: float, optics: Optics) -> float:
    """Å up to which the correlation in a window of one and a half rings stays above 0.5, or inf.

    It may begin anywhere in the lowest third of the band, where the background is hardest to tell from a
    ring.
    """
    width = 1.5 / (2 * optics.wavelength_A * max(defocus_A, 1.0) * frequency)
    latest_start = frequency[0] + (frequency[-1] - frequency[0]) / 3
    reached = math.inf
    for centre, span in zip(frequency, width, strict=True):
        distance = np.abs(frequency - centre)
        near = distance <= max(span / 2, np.partition(distance, 6)[6])
        if _correlation(measured[near], model[near]) >= 0.5:
            reached = 1 / centre
        elif math.isfinite(reached) or centre > latest_start:
            break
    return float(reached)
