"""From margins of tokens to picks with scores.

Maxima of the smoothed margins are where particles may be. What they have in common, the typical particle of
the micrograph, is found from them (likeness.py) and every place is scored by its likeness to it: carbon, ice
and clumps fall out, hollow particles get their true centres. Without `reject` the components of the margins
themselves are picked, at the level where most of them have the size of a particle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label, zoom

from vitreous.picking.candidates import Candidates
from vitreous.picking.emmae.component_level import likeness_level
from vitreous.picking.emmae.component_splitting import component_centroids
from vitreous.picking.emmae.micrograph_clusters import Segmentation
from vitreous.picking.emmae.particle_cluster import PATCH, Picture
from vitreous.picking.emmae.published_picks import area_rule_picks
from vitreous.picking.emmae.settings import EmmaeSettings
from vitreous.picking.likeness import (
    CLEARLY,
    LikenessField,
    Typical,
    confident_count,
    grown,
    typical_particle,
)
from vitreous.picking.peaks import local_maxima, suppress

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Array = NDArray[np.float64]

FINER = 2  # samples of the map a token along each axis
# Sigma of the margins / diameter: wide enough to fill a hollow particle, or to keep apart what touches.
FILLING, PARTING = 0.2, 0.15
PLAUSIBLE = (0.1, 1.5)  # area of a component / disc of a diameter
LEVELS = 40
DARK = -1  # particles of a prepared picture


class FramedPicture(Picture, Protocol):
    """A picture that knows its place in the micrograph (preprocess.Prepared)."""

    def to_full(self, row: Array, column: Array) -> tuple[Array, Array]:
        """x, y in px of the micrograph."""


@dataclass(frozen=True)
class MarginMap:
    """Smoothed margins (rows, columns), `px` working px a sample, `diameter` in samples."""

    values: Image
    inside: Mask
    px: float
    diameter: float

    def to_working(self, index: Array) -> Array:
        """Rows or columns of the picture."""
        return (index + 0.5) * self.px - 0.5


def picks_of(
    segmentation: Segmentation,
    picture: FramedPicture,
    settings: EmmaeSettings,
    contaminated: Mask | None = None,
    profiles: Array | None = None,
) -> Candidates:
    """Candidates of a micrograph, best first; scores above 0 are picks.

    `contaminated` (h, w) is where the picture shall not be picked, `profiles` (sets, rings) the typical
    particles of the sets trained on. The band `border` stays empty.
    """
    clean = picture.mask if contaminated is None else picture.mask & ~contaminated
    if settings.components.reject:
        row, column, score = _by_likeness(segmentation, picture, clean, settings.min_distance, profiles)
    else:
        row, column, score = _by_margin(segmentation, picture, settings)
    kept = _pickable(row, column, picture, clean, settings.border)
    x, y = picture.to_full(row[kept], column[kept])
    return Candidates(x, y, score[kept], decision=0.0).best(settings.max_picks)


def _by_likeness(
    segmentation: Segmentation,
    picture: FramedPicture,
    clean: Mask,
    min_distance: float,
    profiles: Array | None,
) -> tuple[Array, Array, Array]:
    _, typical = typical_of(segmentation, picture, clean, min_distance, profiles)
    if typical is None:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    return likely_picks(typical.likeness, picture, clean, min_distance)


def typical_of(
    segmentation: Segmentation,
    picture: FramedPicture,
    clean: Mask,
    min_distance: float,
    profiles: Array | None,
) -> tuple[LikenessField, Typical | None]:
    """The typical particle of a micrograph, begun at the maxima of the margins or at `profiles`.

    Of the `profiles` (sets, rings) the one whose places are most alike is taken.
    """
    fine = margin_map(segmentation.margin, picture, FILLING)
    column, row, _ = local_maxima(fine.values, fine.inside, min_distance * fine.diameter)
    row, column = fine.to_working(row), fine.to_working(column)
    kept = _pickable(row, column, picture, clean, 0.0)
    field = LikenessField(picture.image, picture.mask, picture.diameter_px)
    own = typical_particle(field, row[kept], column[kept], DARK)
    if profiles is None:
        return field, own
    confident = confident_count(int(kept.sum()))
    grew = [found for start in profiles if (found := grown(field, start, confident, turns=1)) is not None]
    common = max(grew, key=lambda found: found.alikeness, default=None)
    # a set of other particles than those trained on has averages of its own
    if own is None or (common is not None and own.alikeness <= CLEARLY * common.alikeness):
        return field, common
    return field, own


def likely_picks(
    likeness: Image, picture: FramedPicture, clean: Mask, min_distance: float
) -> tuple[Array, Array, Array]:
    """Row, column, score (n,) of the maxima of a likeness map (h, w), less the level of what is as unlike.

    Only the clean part of the picture decides the level.
    """
    distance = min_distance * picture.diameter_px
    x, y, score = local_maxima(likeness, picture.mask, distance)
    anti_x, anti_y, anti = local_maxima(-likeness, picture.mask, distance)
    usable = _pickable(y, x, picture, clean, 0.0)
    level = likeness_level(score[usable], anti[_pickable(anti_y, anti_x, picture, clean, 0.0)])
    return y[usable], x[usable], score[usable] - level


def _by_margin(
    segmentation: Segmentation, picture: FramedPicture, settings: EmmaeSettings
) -> tuple[Array, Array, Array]:
    """Components of the margins; the score is the highest margin of each less the level."""
    fine = margin_map(segmentation.margin, picture, PARTING)
    level = density_level(fine)
    distance = settings.min_distance * fine.diameter if settings.components.split else math.inf
    row, column, height, area = component_centroids(fine.values, fine.inside, level, distance)
    disc = math.pi / 4 * fine.diameter**2
    score = np.where((area >= PLAUSIBLE[0] * disc) & (area <= PLAUSIBLE[1] * disc), height - level, -1.0)
    order = np.argsort(-score, kind="stable")
    row, column, score = row[order], column[order], score[order]
    kept = suppress(column, row, settings.min_distance * fine.diameter)
    return fine.to_working(row[kept]), fine.to_working(column[kept]), score[kept]


def margin_map(margin: NDArray[np.floating], picture: Picture, sigma: float) -> MarginMap:
    """Margins (rows, columns) of tokens cut at ± 1, smoothed by `sigma` diameters, sampled more finely."""
    tokens = picture.diameter_px / PATCH
    smooth = gaussian_filter(np.clip(margin, -1, 1).astype(np.float32), sigma * tokens, mode="nearest")
    values = zoom(smooth, FINER, order=1, grid_mode=True, mode="nearest")
    px = PATCH / FINER
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * px).astype(int), side - 1)
        for n, side in zip(values.shape, picture.mask.shape, strict=True)
    )
    return MarginMap(values, picture.mask[rows[:, None], columns], px, tokens * FINER)


def density_level(fine: MarginMap) -> float:
    """The level above which the map has the most components of a particle's size."""
    disc = math.pi / 4 * fine.diameter**2
    held = fine.values[fine.inside]
    levels = np.linspace(np.median(held), np.quantile(held, 0.998), LEVELS)
    counts = []
    for level in levels:
        areas = np.bincount(label((fine.values > level) & fine.inside)[0].ravel())[1:]
        counts.append(((areas >= PLAUSIBLE[0] * disc) & (areas <= PLAUSIBLE[1] * disc)).sum())
    return float(levels[int(np.argmax(counts))])


def area_rule_candidates(
    segmentation: Segmentation, picture: FramedPicture, settings: EmmaeSettings
) -> Candidates:
    """Picks by the area rule, their areas (px of the grid of half tokens) as scores."""
    chosen, scale = settings.components, PATCH / 2
    centres, area = area_rule_picks(
        segmentation.member, picture.diameter_px / scale, chosen.area_share, greedy=chosen.greedy
    )
    row, column = np.rint(centres.T) if chosen.round else centres.T
    if settings.preprocess.centred:
        row, column = ((index + 0.5) * scale - 0.5 for index in (row, column))
    else:  # the published conversion has no half pixels
        row, column = row * scale, column * scale
    x, y = picture.to_full(row, column)
    return Candidates(x, y, area.astype(float), decision=0.0).best(settings.max_picks)


def _pickable(row: Array, column: Array, picture: FramedPicture, clean: Mask, border: float) -> Mask:
    """Which places (n,), px of the picture, lie on clean px and off the band of `border` diameters."""
    h, w = clean.shape
    rows, columns = np.flatnonzero(picture.mask.any(axis=1)), np.flatnonzero(picture.mask.any(axis=0))
    band = border * picture.diameter_px or -0.5  # a centre may lie on the outer half of the last px
    allowed = clean[
        np.clip(np.rint(row).astype(int), 0, h - 1), np.clip(np.rint(column).astype(int), 0, w - 1)
    ]
    for place, lines in ((row, rows), (column, columns)):
        allowed = allowed & (place >= lines[0] + band) & (place <= lines[-1] - band)
    return np.asarray(allowed, dtype=bool)
