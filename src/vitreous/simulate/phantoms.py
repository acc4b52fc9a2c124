"""Built-in molecules made of atoms: packed helices in a lumpy body, exactly symmetric, without any file.

A body is cut to one cell of the point group, filled with rods of helix and, where no rod fits, with loose
residues, and copied by the group. So a phantom has density and contrast of protein, secondary structure that
shows at 8 Å, and no symmetry but its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from vitreous.physics.symmetry import parse
from vitreous.runtime.device import Runtime
from vitreous.simulate.atoms import Atoms, centred
from vitreous.simulate.settings import PHANTOM_SYMMETRY

Float64 = NDArray[np.float64]
CELL_A = 4.0  # of the grid that says which space is taken
ROD_RADIUS_A = 5.0  # a helix with its side chains
ROD_DISTANCE_A = 9.5  # of the axes of neighbours, as helices pack
CAVITIES = 10  # clefts and hollows of a unit: what tells views apart at 20 to 40 Å
SEEDS = 5  # of a unit's border
LOOSE_ATOMS = 3  # in a cell between the rods
RISE_A, TURN_DEG = 1.5, 100.0  # alpha helix, a residue
ROD_LENGTHS_A = (12.0, 18.0, 27.0, 39.0)
# Heavy atoms of a residue, distance from the helix axis in Å: four of the backbone, four of a side chain.
ATOM_RADII_A = np.array([1.6, 2.3, 1.8, 2.1, 3.3, 4.2, 5.0, 5.6])
ELEMENTS, SHARES = ["C", "N", "O"], [0.635, 0.175, 0.19]


@dataclass(frozen=True)
class Body:
    """Outline: semi-axes x, y, z over the longest; radii of a hollow core and a bore along z over these."""

    axes: tuple[float, float, float]
    core: float
    bore: float
    lumps: float


# Shapes as those molecules have them: ribosome, channel, beta-galactosidase, ferritin.
BODIES = {
    "c1": Body((0.9, 0.8, 1.0), 0.0, 0.0, 0.55),
    "c4": Body((0.9, 0.9, 1.0), 0.0, 0.1, 0.5),
    "d2": Body((0.75, 0.55, 1.0), 0.0, 0.06, 0.45),
    "o": Body((1.0, 1.0, 1.0), 0.55, 0.0, 0.2),
}


def phantom_atoms(kind: str, diameter_A: float, *, elongation: float = 1.0, shape_seed: int = 0) -> Atoms:
    """Atoms of phantom `kind` (c1, c4, d2, o) whose longest extent is about `diameter_A`, centre at 0.

    `elongation` e makes it e times as long along z as wide across. The same arguments give the same atoms on
    any machine. The group's frame is that of `physics.symmetry`.
    """
    runtime = Runtime(seed=shape_seed)
    body = BODIES[kind]
    group = parse(PHANTOM_SYMMETRY[kind]).matrices.double().numpy()
    shares = np.array([1 / elongation, 1 / elongation, 1.0]) if elongation > 1 else np.array(body.axes)
    radius_A = diameter_A / 2 - ROD_RADIUS_A
    # The dents may have taken the longest axis: draw the same outline again, so much larger.
    centres, free, _ = _free_cells(body, shares * radius_A, group, runtime.rng("outline", kind))
    longest_A = float(np.linalg.norm(centres[free], axis=1).max())
    shares = shares * radius_A / longest_A
    centres, free, axis_free = _free_cells(body, shares * radius_A, group, runtime.rng("outline", kind))
    rng = runtime.rng("chain", kind)
    unit = _fill(centres, free, axis_free, rng)
    positions = np.einsum("gij,nj->gni", group, unit).reshape(-1, 3)
    elements = np.tile(rng.choice(ELEMENTS, size=len(unit), p=SHARES), len(group))
    return centred(Atoms(positions, elements))


def _free_cells(
    body: Body, axes_A: Float64, group: Float64, rng: np.random.Generator
) -> tuple[Float64, NDArray[np.bool_], NDArray[np.bool_]]:
    """A grid's centres `(n, n, n, 3)` in Å, which lie in the body's one unit, which may hold an axis."""
    half = int(np.ceil(axes_A.max() / CELL_A)) + 2
    line = np.arange(-half, half + 1) * CELL_A
    centres = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1)
    scaled = centres / axes_A
    radius = np.linalg.norm(scaled, axis=-1)
    direction = scaled / np.maximum(radius, 1e-9)[..., None]
    border_A = _distance_from_border(centres, group, axes_A, rng)
    inside = (radius < _outline(direction, body.lumps, rng)) & (radius > body.core)
    inside &= np.hypot(scaled[..., 0], scaled[..., 1]) > body.bore
    for middle, size in zip(_directions(CAVITIES, rng), rng.uniform(0.1, 0.28, CAVITIES), strict=True):
        inside &= np.linalg.norm(scaled - middle * rng.uniform(0.3, 1.0), axis=-1) > size
    return centres, inside & (border_A > CELL_A / 8), inside & (border_A > ROD_DISTANCE_A / 2)


def _distance_from_border(
    centres: Float64, group: Float64, axes_A: Float64, rng: np.random.Generator
) -> Float64:
    """Distance in Å of points `(..., 3)` from the border of one unit, a fundamental domain; negative outside.

    The unit holds what is nearer to its own seeds than to their copies by the group. With several seeds
    neighbouring units interlock; with one they would meet in planes, which show in projections.
    """
    if len(group) == 1:
        return np.full(centres.shape[:-1], np.inf)
    seeds = _directions(SEEDS, rng) * np.cbrt(rng.uniform(0.1, 1, (SEEDS, 1))) * axes_A
    copies = np.einsum("gij,sj->gsi", group, seeds)
    # Each seed in the copy that is nearest to the first seed, so that the unit is of one piece.
    nearest = np.argmin(((copies - seeds[0]) ** 2).sum(-1), axis=0)
    own = copies[nearest, np.arange(SEEDS)]
    others = np.einsum("gij,sj->gsi", group, own)
    others = others[((others - own) ** 2).sum((1, 2)) > 1e-6].reshape(-1, 3)
    to_own, which_own = cKDTree(own).query(centres)
    to_other, which_other = cKDTree(others).query(centres)
    between = np.linalg.norm(own[which_own] - others[which_other], axis=-1)
    return (to_other**2 - to_own**2) / (2 * between)


def _outline(direction: Float64, lumps: float, rng: np.random.Generator) -> Float64:
    """Radius of the body, 1 at its longest and 1 - `lumps` in its dents, over unit vectors `(..., 3)`."""
    poles, heights = _directions(24, rng), rng.uniform(-1, 1, 24)
    bumps = sum(h * np.exp(9 * (direction @ pole - 1)) for h, pole in zip(heights, poles, strict=True))
    low, high = float(np.min(bumps)), float(np.max(bumps))
    return 1 - lumps * (high - bumps) / (high - low)


def _directions(count: int, rng: np.random.Generator) -> Float64:
    vectors = rng.standard_normal((count, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _fill(
    centres: Float64, free: NDArray[np.bool_], axis_free: NDArray[np.bool_], rng: np.random.Generator
) -> Float64:
    """Atoms `(n, 3)` that fill the free cells: rods of helix as long as they fit, loose atoms in the gaps."""
    cells, places = np.argwhere(axis_free), centres[axis_free]
    parts: list[Float64] = []
    end = np.zeros(3)
    while (waiting := axis_free[tuple(cells.T)]).any():
        cells, places = cells[waiting], places[waiting]
        # The chain goes on in the nearest free cell, so that neighbours in sequence are neighbours in space.
        nearest = int(np.argmin(((places - end) ** 2).sum(1)))
        start = places[nearest]
        direction, length = _best_rod(start, centres, axis_free, rng)
        axis_free[tuple(cells[nearest])] = False
        if length:
            parts.append(_helix(start, direction, length, rng))
            _take(start, direction, length, ROD_RADIUS_A, centres, free)
            _take(start, direction, length, ROD_DISTANCE_A, centres, axis_free)
            end = start + direction * length
    gaps = np.repeat(centres[free], LOOSE_ATOMS, axis=0)
    return np.concatenate([*parts, gaps + rng.uniform(-CELL_A / 2, CELL_A / 2, gaps.shape)])


def _cell(points: Float64, centres: Float64) -> tuple[NDArray[np.int64], ...]:
    """Grid indices of the cells that hold `points` (n, 3)."""
    index = np.rint((points - centres[0, 0, 0]) / CELL_A).astype(np.int64)
    index = np.clip(index, 0, len(centres) - 1)
    return tuple(index.T)


def _best_rod(
    start: Float64, centres: Float64, free: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[Float64, float]:
    """Direction and length of the longest of 16 rods from `start` through free cells; 0 where none fits."""
    directions = _directions(16, rng)
    steps = np.arange(0.0, ROD_LENGTHS_A[-1] + 0.1, 3.0)
    points = start + directions[:, None, :] * steps[:, None]
    open_run = np.cumprod(free[_cell(points.reshape(-1, 3), centres)].reshape(len(directions), -1), axis=1)
    run = (open_run.sum(axis=1) - 1) * 3.0
    best = int(np.argmax(run))
    fitting = [length for length in ROD_LENGTHS_A if length <= run[best]]
    return directions[best], fitting[-1] if fitting else 0.0


def _helix(start: Float64, direction: Float64, length: float, rng: np.random.Generator) -> Float64:
    """Atoms of a helix along `direction` from `start`, side chains jittered by half an Å."""
    across = np.cross(direction, [0.0, 0.0, 1.0] if abs(direction[2]) < 0.9 else [1.0, 0.0, 0.0])
    across /= np.linalg.norm(across)
    third = np.cross(direction, across)
    count = int(length / RISE_A)
    atom = np.arange(len(ATOM_RADII_A))
    residue = np.arange(count)[:, None]
    # The backbone winds within a residue; a side chain points away from the axis.
    turn = np.deg2rad(TURN_DEG * (residue + np.minimum(atom, 4) / 4)) + rng.uniform(0, 2 * np.pi)
    rise = RISE_A * (residue + np.minimum(atom, 4) / 4)
    ring = np.cos(turn)[..., None] * across + np.sin(turn)[..., None] * third
    points = start + ring * ATOM_RADII_A[:, None] + rise[..., None] * direction
    return (points + rng.normal(0, 0.5, points.shape)).reshape(-1, 3)


def _take(
    start: Float64,
    direction: Float64,
    length: float,
    radius_A: float,
    centres: Float64,
    free: NDArray[np.bool_],
) -> None:
    """Mark the cells within `radius_A` of a rod's axis as taken."""
    middle = start + direction * length / 2
    low = np.array(_cell((middle - length / 2 - radius_A - CELL_A)[None], centres))[:, 0]
    high = np.array(_cell((middle + length / 2 + radius_A + CELL_A)[None], centres))[:, 0] + 1
    block = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    offset = centres[block] - start
    along = np.clip(offset @ direction, 0, length)
    distance = np.linalg.norm(offset - along[..., None] * direction, axis=-1)
    free[block] &= distance > radius_A
