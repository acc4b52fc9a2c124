"""Where particles, aggregates and debris lie in a micrograph, and how they are turned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.physics.rotations import euler_to_matrix, matrix_to_euler, random_rotations
from vitreous.simulate.artefacts import AGGREGATE, CLEAN
from vitreous.simulate.settings import SimulateSettings
from vitreous.simulate.targets import Target

Float64 = NDArray[np.float64]
TRIES = 256  # places tried for a particle before the micrograph counts as full


@dataclass(frozen=True)
class Layout:
    """Things in a micrograph: number of the target `(n,)`, centre (x, y) in px `(n, 2)`, pose, height.

    `angles_deg` (n, 3) are rot, tilt, psi; `height_A` (n,) adds to the micrograph's defocus. The first
    pixel's centre is (0, 0).
    """

    target: NDArray[np.int64]
    xy_px: Float64
    angles_deg: Float64
    height_A: Float64

    def __len__(self) -> int:
        """Number of things."""
        return len(self.target)

    def matrices(self) -> Tensor:
        """Poses A `(n, 3, 3)` of the stored angles."""
        return euler_to_matrix(torch.from_numpy(self.angles_deg)).float()


def _layout(
    target: Sequence[int], xy: Sequence[Float64], heights: Float64, generator: torch.Generator
) -> Layout:
    """Things with uniformly random poses, which are rounded as a STAR file rounds them."""
    poses = random_rotations(len(target), generator, dtype=torch.float64)
    angles = matrix_to_euler(poses).numpy().round(4)
    places = np.array(xy, dtype=np.float64).reshape(-1, 2).round(3)
    return Layout(np.array(target, dtype=np.int64), places, angles, heights)


def place_particles(
    targets: Sequence[Target],
    settings: SimulateSettings,
    labels: NDArray[np.uint8],
    rng: np.random.Generator,
    generator: torch.Generator,
) -> Layout:
    """Particles at random, one after the other, apart from each other and from what `labels` (h, w) mark.

    Counts are Poisson. Neighbours keep (1 - overlap) times the mean of their diameters; where no place is
    found in 256 tries a particle is left out, so a crowded micrograph holds fewer than asked for.
    """
    wanted = [
        number for number, target in enumerate(settings.targets) for _ in range(rng.poisson(target.count))
    ]
    rng.shuffle(wanted)
    clear_px = _distance_from_marks(labels)
    placed: list[int] = []
    places: list[Float64] = []
    for number in wanted:
        spot = _find_place(number, placed, places, targets, settings, clear_px, rng)
        if spot is not None:
            placed.append(number)
            places.append(spot)
    return _layout(placed, places, _heights_A(len(placed), settings.defocus_height_A, rng), generator)


def _distance_from_marks(labels: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """Distance in px of each pixel from what is not clean; None where all is."""
    from scipy.ndimage import distance_transform_edt

    if not (labels != CLEAN).any():
        return None
    distance: NDArray[np.float64] = distance_transform_edt(labels == CLEAN)
    return distance


def _find_place(
    number: int,
    placed: Sequence[int],
    places: Sequence[Float64],
    targets: Sequence[Target],
    settings: SimulateSettings,
    clear_px: NDArray[np.float64] | None,
    rng: np.random.Generator,
) -> Float64 | None:
    """The first of 256 random places (x, y) where target `number` fits, or None."""
    h, w = settings.shape
    diameter = targets[number].diameter_A / settings.pixel_size_A
    edge = settings.edge_margin * diameter
    spots = rng.uniform([edge, edge], [w - 1 - edge, h - 1 - edge], (TRIES, 2))
    good = np.ones(TRIES, dtype=bool)
    if clear_px is not None:
        x, y = np.rint(spots).astype(int).T
        good &= clear_px[y, x] > diameter / 2
    if placed:
        others = np.array([targets[other].diameter_A / settings.pixel_size_A for other in placed])
        apart = (1 - settings.overlap) * (others + diameter) / 2
        distance = np.linalg.norm(spots[:, None] - np.array(places), axis=-1)
        good &= (distance >= apart).all(axis=1)
    return spots[int(np.argmax(good))] if good.any() else None


def _heights_A(count: int, spread_A: float, rng: np.random.Generator) -> Float64:
    """Heights in steps of half the spread, within three spreads, so that a dozen CTFs serve all particles."""
    if spread_A == 0:
        return np.zeros(count)
    step = spread_A / 2
    return np.clip(np.rint(rng.normal(0, spread_A, count) / step), -6, 6) * step


def place_aggregates(
    targets: Sequence[Target],
    settings: SimulateSettings,
    labels: NDArray[np.uint8],
    rng: np.random.Generator,
    generator: torch.Generator,
) -> Layout:
    """Clumps of 5 to 14 overlapping particles; their place is marked in `labels`, which is changed."""
    h, w = settings.shape
    low, high = settings.artefacts.aggregates
    members: list[int] = []
    places: list[Float64] = []
    for _ in range(rng.integers(low, high + 1)):
        number = int(rng.integers(len(targets)))
        diameter = targets[number].diameter_A / settings.pixel_size_A
        middle = rng.uniform([0, 0], [w - 1, h - 1])
        count = int(rng.integers(5, 15))
        # ASSUME: members lie half a diameter apart on average, as denatured protein clumps.
        spread = 0.28 * diameter * math.sqrt(count) * rng.uniform(0.5, 1, 2)
        spots = middle + rng.normal(0, 1, (count, 2)) * spread
        members += [number] * count
        places += list(spots)
        _mark_discs(labels, spots, diameter / 2)
    return _layout(members, places, np.zeros(len(members)), generator)


def _mark_discs(labels: NDArray[np.uint8], centres: Float64, radius_px: float) -> None:
    """Mark discs about `centres` (n, 2) (x, y) as aggregate."""
    y, x = np.arange(labels.shape[0])[:, None], np.arange(labels.shape[1])[None, :]
    for cx, cy in centres:
        labels[(x - cx) ** 2 + (y - cy) ** 2 < radius_px**2] = AGGREGATE


def place_debris(
    targets: Sequence[Target],
    settings: SimulateSettings,
    particles: Layout,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> Layout:
    """Pieces of particles, outside the particles' discs; of which piece, see `micrograph.fragments`."""
    low, high = settings.artefacts.debris
    members: list[int] = []
    places: list[Float64] = []
    sizes = np.array([target.diameter_A / settings.pixel_size_A for target in targets])
    for _ in range(rng.integers(low, high + 1)):
        number = int(rng.integers(len(targets)))
        spot = rng.uniform([0, 0], [settings.shape[1] - 1, settings.shape[0] - 1])
        apart = (sizes[particles.target] + sizes[number]) / 2
        if (np.linalg.norm(particles.xy_px - spot, axis=1) >= apart).all():
            members.append(number)
            places.append(spot)
    return _layout(members, places, np.zeros(len(members)), generator)
