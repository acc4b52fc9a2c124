"""How like the typical particle each place of a picture is: correlation with the rotational average.

The typical particle is not known beforehand: it is the average of the places that are most like each other,
found by turns from the places where a picker thinks particles are. Ice, carbon and clumps are strong but
each of another shape, so they neither shape the average nor resemble it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter, map_coordinates

from vitreous.picking.peaks import local_maxima

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Array = NDArray[np.float64]

REACH = 0.75  # radius of the average, diameters: the particle and its bright rim
RINGS = 16
ANGLES = 24
SMOOTHING = 0.06  # sigma, diameters: what is finer than that is mostly noise
FLOOR = 0.9  # least deviation of a window against the median one: empty places are not blown up
LEAST_COVER = 0.3  # share of a window that must lie in the mask
MIN_DISTANCE = 0.6  # of two places, diameters
SHELL = (0.25, 0.5)  # radii of the walls of a hollow particle, diameters
CONFIDENT = 0.4  # share of the places that are averaged
CLEARLY = 1.1  # ratio of alikeness from which on particles are taken for hollow
ROUNDS = 8
GAIN = 1.005  # rounds end where the confident places grow less alike than this factor


@dataclass(frozen=True)
class Typical:
    """The rotational average (rings,), how alike the best places are to it, and the likeness map (h, w)."""

    profile: Array
    alikeness: float
    likeness: Image


class LikenessField:
    """A picture (h, w), its mask and its local sums, ready to be compared with any rotational average."""

    def __init__(self, image: Image, mask: Mask, diameter_px: float, threads: int = 1) -> None:
        """Smooth the picture and take the sums over discs."""
        self.diameter_px, self.mask = diameter_px, mask
        values = image[mask]
        less = np.where(mask, (image - values.mean()) / max(float(values.std()), 1e-12), 0)
        part = mask.astype(np.float32)
        sigma = SMOOTHING * diameter_px
        weight = np.maximum(gaussian_filter(part, sigma), 1e-3)
        self.image = np.where(mask, gaussian_filter(less.astype(np.float32), sigma) / weight, 0)
        self._reach = math.ceil(REACH * diameter_px)
        self._size = [fft.next_fast_len(side + 2 * self._reach, real=True) for side in mask.shape]
        self._threads = threads
        offset = np.arange(-self._reach, self._reach + 1)
        self._radius = np.hypot(offset[:, None], offset) / diameter_px
        self._disc = (self._radius <= REACH).astype(np.float32)
        self._part, self._held = self._spectrum(part), self._spectrum(self.image)
        disc = self._kernel(self._disc)
        self._pixels = np.maximum(self._convolved(self._part, disc), 1)
        self._mean = self._convolved(self._held, disc) / self._pixels
        energy = self._convolved(self._spectrum(self.image**2), disc) - self._pixels * self._mean**2
        floor = FLOOR**2 * float(np.median(energy[mask]))
        self._energy = np.maximum(energy, max(floor, 1e-12))
        self._cover = self._pixels / self._disc.sum()

    def likeness(self, profile: Array) -> Image:
        """Correlation (h, w), -1 to 1, of each place with a rotational average (rings,) inside the mask.

        A window that is cut by the mask counts less, as its noise is larger.
        """
        template = np.interp(self._radius, ring_radii(), profile).astype(np.float32) * self._disc
        template -= template.sum() / self._disc.sum() * self._disc
        kernel = self._kernel(template)
        sums = self._convolved(self._part, kernel)
        numerator = self._convolved(self._held, kernel) - self._mean * sums
        squares = self._convolved(self._part, self._kernel(template**2)) - sums**2 / self._pixels
        found = numerator / np.sqrt(np.maximum(squares, 1e-12) * self._energy) * np.sqrt(self._cover)
        return np.where(self.mask & (self._cover >= LEAST_COVER), found, 0).astype(np.float32)

    def profiles(self, row: Array, column: Array) -> Array:
        """Rotational averages (n, rings) about the places row, column (n,)."""
        angle = np.arange(ANGLES) * 2 * np.pi / ANGLES
        radius = ring_radii()[:, None] * self.diameter_px
        rows = row[:, None, None] + radius * np.sin(angle)
        columns = column[:, None, None] + radius * np.cos(angle)
        values = map_coordinates(self.image, [rows, columns], order=1, mode="nearest")
        means: Array = values.mean(axis=2, dtype=np.float64)
        return means

    def whole(self, row: Array, column: Array) -> NDArray[np.bool_]:
        """Which places (n,) have nearly all of their window inside the mask."""
        rows, columns = (
            np.clip(np.rint(v).astype(int), 0, n - 1)
            for v, n in zip((row, column), self.mask.shape, strict=True)
        )
        return self._cover[rows, columns] > 0.95

    def _spectrum(self, image: NDArray[np.floating]) -> NDArray[np.complexfloating]:
        spectrum: NDArray[np.complexfloating] = fft.rfft2(
            image.astype(np.float32), self._size, workers=self._threads
        )
        return spectrum

    _kernel = _spectrum

    def _convolved(
        self, spectrum: NDArray[np.complexfloating], kernel: NDArray[np.complexfloating]
    ) -> NDArray[np.float32]:
        whole = fft.irfft2(spectrum * kernel, self._size, workers=self._threads)
        h, w = self.mask.shape
        part: NDArray[np.float32] = whole[self._reach : self._reach + h, self._reach : self._reach + w]
        return part


def ring_radii() -> Array:
    """Radii (rings,) of the rotational averages, diameters."""
    radii: Array = (np.arange(RINGS) + 0.5) / RINGS * REACH
    return radii


def typical_particle(field: LikenessField, row: Array, column: Array, sign: int = 0) -> Typical | None:
    """The average that the places row, column (n,), most confident first, lead to; None where there are none.

    First the median of the confident places and of those the half that is nearest to it. A picker may have
    put its places on the walls of hollow particles, so a shell of the same sign is tried too, and
    taken where its places are clearly more alike. With a `sign` (−1: dark particles) places that are of the
    other one, as the gaps of a crowd, lead nowhere: a plain disc is begun with instead.
    """
    whole = field.whole(row, column)
    row, column = row[whole], column[whole]
    if len(row) < 2:
        return None
    confident = confident_count(len(row))
    profiles = field.profiles(row[:confident], column[:confident])
    far = ((profiles - np.median(profiles, axis=0)) ** 2).mean(axis=1)
    profile = profiles[far <= np.median(far)].mean(axis=0)
    seen, radii = float(np.sign(disc_contrast(profile))), ring_radii()
    wanted = sign or seen
    start = profile if seen == wanted else wanted * (radii < SHELL[1]).astype(float)
    shell = wanted * ((radii > SHELL[0]) & (radii < SHELL[1])).astype(float)
    solid, hollow = (
        found if found is not None and np.sign(disc_contrast(found.profile)) == wanted else None
        for found in (grown(field, start, confident), grown(field, shell, confident))
    )
    if solid is None or hollow is None:
        return solid or hollow
    return hollow if hollow.alikeness > CLEARLY * solid.alikeness else solid


def disc_contrast(profile: Array) -> float:
    """Mean of a rotational average (rings,) within half a diameter less that of the rings beyond."""
    radii = ring_radii()
    inner = radii < 0.5
    means = [float(np.average(profile[part], weights=radii[part])) for part in (inner, ~inner)]
    return means[0] - means[1]


def confident_count(places: int) -> int:
    """How many of so many places are averaged."""
    return max(2, int(CONFIDENT * places))


def grown(field: LikenessField, profile: Array, confident: int, turns: int = ROUNDS) -> Typical | None:
    """By turns the places most like the average, which may be others, and their average (rings,).

    None where no place has any likeness.
    """
    best: Typical | None = None
    for _ in range(turns + 1):
        likeness = field.likeness(profile)
        x, y, value = local_maxima(likeness, field.mask, MIN_DISTANCE * field.diameter_px)
        if len(value) == 0:
            return best
        alikeness = float(value[:confident].mean())
        if best is not None and alikeness < GAIN * best.alikeness:
            return best
        best = Typical(profile, alikeness, likeness)
        profile = field.profiles(y[:confident], x[:confident]).mean(axis=0)
    return best
