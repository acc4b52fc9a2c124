"""Carbon film and balls of ice: what is wider than a particle and ends abruptly.

The smoothed image is opened by a disc wider than a particle: single particles, shells, rods and crowded
layers with gaps vanish, whatever their strength. Of what is left every level set's components are looked at:
those whose rim is a step all along, large against the steps elsewhere in the picture, are wide bodies.
Gradients of ice, clouds of noise and slowly varying backgrounds have no such rim.

Arrays here are coarse: about 12 px a diameter.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vitreous.picking.candidates import Image

Mask = NDArray[np.bool_]

# All lengths are diameters, all areas squares of the diameter.
SMOOTHING, WIDTH, REACH = 0.2, 0.6, 0.35  # sigma, radius of the opening, radius of a step
STEP = 3.3  # a step of a rim / median step of the picture
SHARP_SHARE, GAP = 0.85, 0.8  # share of a rim that must be a step; longest stretch that is none
LEVELS = 48
# A hole fills that share of a square of that side, a fringe does not; least hole / image.
HOLE_DENSITY, HOLE_SIDE, LEAST_HOLE = 0.65, 4.0, 0.4
LARGE, SMALL = 25.0, 6.0  # a body from there on must border a hole; one from there on may be a layer
# Least height of the wide part / of the peak (0.26 for the ideal disc of one diameter); less area is dropped.
HALF, CRUMB = 0.35, 0.5
FINE, GRAIN = (0.1, 0.4), 0.2  # sigmas of the grain, least grain / step of a layer of particles


def wide_bodies(image: Image, part: Image, diameter_px: float) -> Mask:
    """Where (h, w) `image` (h, w), bodies bright, shows carbon or a ball of ice.

    `part` (h, w) is the usable share of each pixel; `image` is multiplied by it.
    """
    inside = part >= 0.5
    smooth = _mean(image, part, SMOOTHING * diameter_px)
    opened = dilated(_eroded(smooth, inside, WIDTH * diameter_px), inside, WIDTH * diameter_px)
    reach = REACH * diameter_px
    step = dilated(opened, inside, reach) - _eroded(opened, inside, reach)
    bodies = _abrupt(opened, step, inside, diameter_px, np.inf)
    layers = _layers(bodies, image, part, diameter_px)
    if layers.any():  # there may be ice among the particles of a layer
        layer = LARGE * diameter_px**2
        bodies = (bodies & ~layers) | _abrupt(opened, step, inside, diameter_px, layer)
        bodies &= ~_layers(bodies, image, part, diameter_px)
    return _without_skirts(bodies, smooth, opened, inside, diameter_px)


def _layers(bodies: Mask, image: Image, part: Image, diameter: float) -> Mask:
    """Bodies (h, w) that are dense layers of particles: their grain is coarse against their step.

    Grain is the spread of details smaller than a particle, less that outside, which is mostly noise.
    """
    labels, count = ndimage.label(bodies)
    layers = np.zeros(count + 1, dtype=bool)
    reach = 0.5 * diameter
    usable = part >= 0.5
    apart = ~grown(bodies, reach) & usable
    if count == 0 or np.count_nonzero(apart) < SMALL * diameter**2:
        return np.zeros_like(bodies)
    core = np.where(grown(~bodies & usable, reach), 0, labels)
    details = _mean(image, part, FINE[0] * diameter) - _mean(image, part, FINE[1] * diameter)
    plain = _mean(image, part, SMOOTHING * diameter)
    outside, ground = _variance(details[apart]), float(np.median(plain[apart]))
    area = np.bincount(labels.ravel(), minlength=count + 1)
    for number in np.flatnonzero(area >= SMALL * diameter**2):
        inner = core == number
        if number and np.count_nonzero(inner) >= diameter**2:
            height = float(np.median(plain[inner])) - ground
            layers[number] = _variance(details[inner]) - outside > (GRAIN * height) ** 2
    found: Mask = layers[labels]
    return found


def _variance(values: NDArray[np.floating]) -> float:
    """Variance from the median absolute deviation: a few strong spots do not count."""
    return float(1.4826 * np.median(np.abs(values - np.median(values)))) ** 2


def _without_skirts(bodies: Mask, smooth: Image, opened: Image, inside: Mask, diameter: float) -> Mask:
    """Bodies (h, w) less what is wide at its foot only: the blurred feet of very strong particles.

    There the opened image is low against the peaks nearby. A body for the most part as high as its peaks
    stays whole: carbon may have ice or particles on it.
    """
    labels, count = ndimage.label(bodies)
    if count == 0:
        return bodies
    ground = _eroded(opened, inside, diameter)
    base = np.zeros(count + 1)
    base[1:] = ndimage.minimum(ground, labels, np.arange(1, count + 1))
    foot = base[labels]
    peaks = dilated(smooth, inside, WIDTH * diameter) - foot
    low = bodies & (opened - foot < HALF * peaks)
    area = np.bincount(labels.ravel(), minlength=count + 1)
    mostly = np.bincount(labels[low], minlength=count + 1) > 0.5 * area
    left = bodies & ~(low & mostly[labels])
    parts, _ = ndimage.label(left)
    keep = np.bincount(parts.ravel()) >= CRUMB * diameter**2
    keep[0] = False
    whole: Mask = keep[parts]
    return whole


def _mean(image: Image, part: Image, sigma: float) -> Image:
    weight = np.maximum(ndimage.gaussian_filter(part, sigma), 1e-3)
    mean: Image = ndimage.gaussian_filter(image, sigma) / weight
    return mean


def _abrupt(opened: Image, step: Image, inside: Mask, diameter: float, largest: float) -> Mask:
    """All components of level sets of `opened` (h, w) whose rims are steps of height `step` (h, w)."""
    usual = float(np.median(step[inside]))
    sharp = step >= STEP * usual
    # Where the picture's edge cuts a body it has no rim.
    open_rim = ndimage.binary_erosion(inside, iterations=2)
    found = np.zeros(inside.shape, dtype=bool)
    if usual <= 0:
        return found  # no noise at all: nothing to measure a step against
    for level in _levels(opened[inside], usual):
        above = (opened > level) & inside
        rim = above & ~_inner(above) & open_rim
        if np.count_nonzero(rim & sharp) < diameter:
            continue
        found |= _stepped(above, rim, sharp, inside, diameter, largest)
    return found


def _stepped(above: Mask, rim: Mask, sharp: Mask, inside: Mask, diameter: float, largest: float) -> Mask:
    """The components of `above` (h, w) whose rim is a step all along."""
    labels, count = ndimage.label(above)
    length = np.bincount(labels[rim], minlength=count + 1)
    steep = np.bincount(labels[rim & sharp], minlength=count + 1)
    good = (steep >= SHARP_SHARE * length) & (length >= diameter)
    good[0] = False
    if good.any():
        good &= ~_leaks(labels, rim & ~sharp, count, GAP * diameter)
    if good.any():
        area = np.bincount(labels.ravel(), minlength=count + 1)
        good &= area <= largest
        large = good & (area >= LARGE * diameter**2)
        if large.any() and not _is_hole(inside & ~above, inside, diameter):
            good &= ~large
    stepped: Mask = good[labels]
    return stepped


def _is_hole(below: Mask, inside: Mask, diameter: float) -> bool:
    """Whether what lies below a level can be the hole beyond carbon, and not the fringe along its edge.

    ASSUME: less hole than LEAST_HOLE is not worth the risk: ice around a broken place looks the same, and
    masking it would lose all particles, where little is lost with a picture that is nearly all carbon.
    """
    below, inside = below[::2, ::2], inside[::2, ::2]  # the square is many pixels wide
    side = max(3, round(HOLE_SIDE * diameter / 2))
    dense = ndimage.uniform_filter(below.astype(np.float32), side, mode="constant")
    dense -= HOLE_DENSITY * ndimage.uniform_filter(inside.astype(np.float32), side, mode="constant")
    return bool(np.count_nonzero(below & (dense > 0)) >= LEAST_HOLE * np.count_nonzero(inside))


def _leaks(labels: NDArray[np.int32], soft: Mask, count: int, longest: float) -> Mask:
    """Which labels (count + 1,) have a longer stretch of soft rim: there the level set runs out."""
    runs, number = ndimage.label(soft, structure=np.ones((3, 3)))
    leaks = np.zeros(count + 1, dtype=bool)
    long = np.bincount(runs.ravel(), minlength=number + 1) > longest
    long[0] = False
    leaks[labels[long[runs]]] = True
    return leaks


def _levels(values: NDArray[np.floating], usual: float) -> NDArray[np.float64]:
    """Levels from the darkest to the brightest, finest where most of the picture is.

    A ball of ice may be a hundred times stronger than the film beside it: hence no even spacing.
    """
    low, high = np.quantile(values, [0.02, 1.0])
    unit = 5 * usual
    return low + unit * np.sinh(np.linspace(0, math.asinh((high - low) / unit), LEVELS, endpoint=False))


def _inner(mask: Mask) -> Mask:
    """Pixels of the mask whose four neighbours are in it; beyond the picture all is."""
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    return inner


def _eroded(image: Image, inside: Mask, radius: float) -> Image:
    """Least value (h, w) in a disc about each pixel; what is outside the mask does not count."""
    return -dilated(-image, inside, radius)


def grown(mask: Mask, distance: float) -> Mask:
    """The mask (h, w) and all within `distance` px of it."""
    grown: Mask = dilated(mask.astype(np.float32), np.ones_like(mask), distance) > 0
    return grown


def dilated(image: Image, inside: Mask, radius: float) -> Image:
    """Largest value (h, w) in a disc about each pixel, row by row of the disc: fast for wide discs."""
    held = np.where(inside, image, -np.inf).astype(np.float32)
    result = held.copy()
    for dy in range(min(int(radius), len(held) - 1) + 1):
        half = int(math.sqrt(radius**2 - dy**2))
        rows = ndimage.maximum_filter1d(held, 2 * half + 1, axis=1, mode="constant", cval=-np.inf)
        np.maximum(result[dy:], rows[: len(rows) - dy], out=result[dy:])
        np.maximum(result[: len(rows) - dy], rows[dy:], out=result[: len(rows) - dy])
    return np.where(inside, result, image).astype(np.float32)
