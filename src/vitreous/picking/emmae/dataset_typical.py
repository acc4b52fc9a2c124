"""The typical particle of a training set, from those of its micrographs.

One micrograph's own average can settle beside the particles, as where most of them overlap, or on the gaps
between them. So the average is taken that the places of all micrographs are most alike, with those that
agree with it, and each micrograph starts from what this leads to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vitreous.picking.candidates import Array
from vitreous.picking.emmae.components import FramedPicture, likely_picks, typical_of
from vitreous.picking.emmae.micrograph_clusters import Segmentation
from vitreous.picking.likeness import MIN_DISTANCE, LikenessField, ring_radii
from vitreous.picking.peaks import local_maxima

Mask = NDArray[np.bool_]
T = TypeVar("T")
SURE = 40  # picks of a set from which on their average is believed, if another set's is
AGREEMENT = 0.8  # correlation from which on two averages show the same
ROUNDS = 3
# ASSUME: eight averages compared on eight pictures are enough; each costs a correlation of a picture.
WITNESSES = 8
# ASSUME: a tenth of the places that fit are particles in most micrographs; the best of the map are compared.
FILLED = 0.1


def typical_profiles(pictures: Iterable[tuple[Segmentation, FramedPicture, Mask]]) -> list[Array]:
    """The rotational average (rings,) of each picture that has one, from its segmentation.

    The mask (h, w) is where a picture may be picked.
    """
    typical = (typical_of(segmentation, picture, clean, MIN_DISTANCE, None)[1]
               for segmentation, picture, clean in pictures)  # fmt: skip
    return [one.profile for one in typical if one is not None]


def typical_of_all(
    profiles: Sequence[Array],
    pictures: Sequence[Callable[[], tuple[FramedPicture, Mask]]],
    min_distance: float,
) -> tuple[Array, int] | None:
    """The rotational average (rings,) of all pictures' particles, and their number; None without `profiles`.

    The one of the pictures' own averages which the places of all are most alike, and those that agree with
    it, are taken together; then the picks which that leads to are averaged, in turns. A picture is asked for
    when it is needed, with the mask (h, w) of where it may be picked; `min_distance` of two picks is in
    diameters.
    """
    if not profiles:
        return None
    profile, count = consensus(profiles, _alikeness(profiles, pictures)), 0
    for _ in range(ROUNDS):
        total, count = np.zeros_like(profile), 0
        for read in pictures:
            picture, clean = read()
            field = LikenessField(picture.image, picture.mask, picture.diameter_px)
            row, column, score = likely_picks(field.likeness(profile), picture, clean, min_distance)
            taken = score >= 0
            total += field.profiles(row[taken], column[taken]).sum(axis=0)
            count += int(taken.sum())
        if count == 0:
            break
        profile = total / count
    return profile, count


def believed(averages: Sequence[tuple[Array, int]]) -> Array | None:
    """Those of several averages (sets, rings) that are of enough particles; else the one of the most."""
    if not averages:
        return None
    enough = [profile for profile, count in averages if count >= SURE]
    return np.stack(enough or [max(averages, key=lambda one: one[1])[0]])


def _alikeness(
    profiles: Sequence[Array], pictures: Sequence[Callable[[], tuple[FramedPicture, Mask]]]
) -> Array:
    """How alike the places of some pictures are to some of the profiles (rings,): sums (n,), else −∞."""
    candidates = _some(range(len(profiles)))
    sums = np.full(len(profiles), -np.inf)
    sums[candidates] = 0
    for read in _some(pictures):
        picture, clean = read()
        field = LikenessField(picture.image, clean, picture.diameter_px)
        most = max(2, int(FILLED * clean.sum() / picture.diameter_px**2))
        for index in candidates:
            likeness = field.likeness(profiles[index])
            sums[index] += local_maxima(likeness, clean, MIN_DISTANCE * picture.diameter_px)[2][:most].sum()
    return sums


def _some(things: Sequence[T]) -> list[T]:
    """Up to `WITNESSES` of them, evenly spaced."""
    return [things[index] for index in np.unique(np.linspace(0, len(things) - 1, WITNESSES).astype(int))]


def consensus(profiles: Sequence[Array], alikeness: Array) -> Array:
    """The mean of those profiles (rings,) that agree with the one of the greatest alikeness (n,)."""
    weight = ring_radii()
    unit = np.stack([_standardised(profile, weight) for profile in profiles])
    correlation = (unit * weight) @ unit[int(np.argmax(alikeness))] / weight.sum()
    mean: Array = unit[correlation >= AGREEMENT].mean(axis=0)
    return mean


def _standardised(profile: Array, weight: Array) -> Array:
    less = profile - np.average(profile, weights=weight)
    return np.asarray(less / max(float(np.sqrt(np.average(less**2, weights=weight))), 1e-12))
