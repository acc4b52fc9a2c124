"""Where a micrograph must not be picked: carbon film, balls of ice and clumps, found without any label.

Carbon and ice are wide bodies with an abrupt rim (carbon.py). Clumps are blobs that are both stronger and
wider than the particles of their picture; whether these are junk is a matter of opinion (experts' picks are
now and then among them), so one has to ask for them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vitreous.picking.blob import blob_response, locally_normalised
from vitreous.picking.candidates import Image
from vitreous.picking.carbon import Mask, grown, wide_bodies
from vitreous.picking.peaks import local_maxima
from vitreous.picking.working import WorkingImage, binned

COARSE_PX = 12.0  # masks are made where a diameter has this many pixels
MARGIN = 0.1  # around all that is found, diameters
CARBON_AREA = 50.0  # what is larger, in squares of the diameter, is counted as carbon
ISLAND_AREA = 4.0  # what is left free and smaller is masked too

# Clumps: width of the filter / that matched to a disc; range of the local normalisation, diameters; response
# against that of a typical particle; area at half height in squares of the diameter, and against the typical.
CLUMP_SCALE, CLUMP_RANGE, CLUMP_STRENGTH, CLUMP_AREA, CLUMP_EXCESS = 0.8, 1.5, 1.4, 0.42, 1.5
CLUMP_MARGIN, LADDER = 0.2, 1.2


@dataclass(frozen=True)
class Contamination:
    """`mask` (h, w): True where not to pick; shares of the usable image that are masked, and as carbon."""

    mask: Mask
    share: float
    carbon_share: float


def contamination_mask(work: WorkingImage, *, clumps: bool = False) -> Contamination:
    """Carbon, balls of ice from 1.2 diameters on and, if wanted, `clumps` in an image (h, w), working scale.

    What has no edge is not masked: a picture all of carbon stays free, as does one whose carbon leaves less
    than 40 % of it (brightness alone does not tell it from ice around a broken place). Only what has the sign
    of the particles' contrast is found; bright spots in a picture of dark particles stay free.
    """
    factor = max(1, int(work.diameter_px / COARSE_PX))
    diameter = work.diameter_px / factor
    part = binned(work.mask.astype(np.float32), factor)
    image = binned(np.where(work.mask, work.image, np.float32(0)), factor)
    inside = part >= 0.5
    bodies = wide_bodies(image, part, diameter) if inside.any() else inside
    if bodies.any():
        bodies |= inside & ~_large(inside & ~bodies, ISLAND_AREA * diameter**2)
    carbon = _large(bodies, CARBON_AREA * diameter**2)
    mask = grown(bodies, MARGIN * diameter)
    if clumps:
        rest = inside & ~grown(mask, MARGIN * diameter)
        held = np.where(rest, image / np.maximum(part, 0.5), np.float32(0))
        mask |= grown(_clumps(WorkingImage(held, rest, 1, diameter)), CLUMP_MARGIN * diameter)
    full, film = (_enlarged(m, factor, work.mask) for m in (mask, grown(carbon, MARGIN * diameter)))
    usable = max(int(work.mask.sum()), 1)
    return Contamination(full, float(full.sum() / usable), float(film.sum() / usable))


def _clumps(work: WorkingImage) -> Mask:
    """Blobs (h, w) that are stronger than typical particles and wider at half their height."""
    diameter = work.diameter_px
    none = np.zeros(work.mask.shape, dtype=bool)
    if np.count_nonzero(work.mask) < 10 * diameter**2:
        return none  # too little to say what is typical
    sigma = CLUMP_SCALE * diameter / (2 * math.sqrt(2))
    flat = locally_normalised(work, CLUMP_RANGE * diameter)
    response = np.where(work.mask, blob_response(flat, work.mask, sigma, "log"), np.float32(0))
    peaks = local_maxima(response, work.mask, 0.6 * diameter)[2]
    if np.count_nonzero(peaks > 0) < 3:
        return none
    typical = _typical(peaks[peaks > 0])
    _, areas, _ = _blobs(response, 0.5 * typical)
    least = max(CLUMP_AREA * diameter**2, CLUMP_EXCESS * float(np.median(areas[1:])))
    # Every blob is measured near half its own height: a strong particle is then no wider than a weak one.
    level, found = CLUMP_STRENGTH * typical, none
    while level <= response.max():
        labels, areas, tops = _blobs(response, 0.5 * level)
        wide = (areas > least) & (tops >= level) & (tops < LADDER * level)
        wide[0] = False
        found |= wide[labels]
        level *= LADDER
    return found


def _blobs(response: Image, level: float) -> tuple[NDArray[np.int32], NDArray[np.int64], Image]:
    """Labels (h, w) of what is above a level, their areas and largest values (n + 1,)."""
    labels, count = ndimage.label(response > level)
    tops = np.zeros(count + 1, dtype=np.float32)
    np.maximum.at(tops, labels.ravel(), response.ravel())
    return labels, np.bincount(labels.ravel(), minlength=count + 1), tops


def _typical(peaks: NDArray[np.floating]) -> float:
    """Median of the upper of two classes of values (n,), parted where they differ most (Otsu 1979)."""
    values = np.sort(peaks)
    lower = np.arange(1, len(values))
    sums = np.cumsum(values)
    means = sums[:-1] / lower, (sums[-1] - sums[:-1]) / (len(values) - lower)
    between = lower * (len(values) - lower) * (means[1] - means[0]) ** 2
    return float(np.median(values[between.argmax() + 1 :]))


def _large(mask: Mask, area: float) -> Mask:
    """The components of a mask (h, w) of at least that many pixels."""
    labels, _ = ndimage.label(mask)
    keep = np.bincount(labels.ravel()) >= area
    keep[0] = False
    large: Mask = keep[labels]
    return large


def _enlarged(mask: Mask, factor: int, usable: Mask) -> Mask:
    h, w = usable.shape
    full: Mask = np.repeat(np.repeat(mask, factor, axis=0), factor, axis=1)[:h, :w] & usable
    return full
