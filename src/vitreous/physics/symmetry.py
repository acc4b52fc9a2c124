"""Point groups C, D, T, O and I with RELION's axes, and what they do to maps and poses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from vitreous.errors import InputError
from vitreous.physics.fourier import irdft3
from vitreous.physics.projection import is_quarter_turn, prepare_volume, rotate_volume, turned_spectrum
from vitreous.physics.rotations import geodesic_distance, rotation_vector_to_matrix

_GOLDEN = (1 + 5**0.5) / 2
_X, _Z = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)

# Generators as (fold, axis); the frames are RELION's, where I means I2.
_POLYHEDRAL: dict[str, tuple[tuple[int, tuple[float, float, float]], ...]] = {
    "T": ((3, _Z), (3, (0.0, 8**0.5, -1.0))),
    "O": ((4, _Z), (4, _X)),
    "I1": ((2, _Z), (5, (0.0, 1.0, _GOLDEN))),
    "I2": ((2, _Z), (5, (1.0, 0.0, _GOLDEN))),
    "I3": ((5, _Z), (5, (2.0, 0.0, -1.0))),
    "I4": ((5, _Z), (5, (2.0, 0.0, 1.0))),
}


@dataclass(frozen=True, eq=False)
class PointGroup:
    """A point group: its name and its rotations `(g, 3, 3)` in float64, the identity first."""

    name: str
    matrices: Tensor

    @property
    def order(self) -> int:
        """Number of rotations."""
        return len(self.matrices)


@lru_cache(maxsize=64)
def parse(name: str) -> PointGroup:
    """The group called `name`: C1, C2, ..., D1, ..., T, O, I (= I2), I1 to I4, in either case.

    Main axis along z, the second axis of D along x, O with its 4-folds along the axes; I1 to I4 as RELION.
    Raises InputError for anything else.
    """
    plain = name.strip().upper()
    plain = "I2" if plain == "I" else plain
    match = re.fullmatch(r"([CD])([1-9]\d{0,3})", plain)
    if match:
        turns = torch.stack([_rotation(_Z, 360 * step / int(match[2])) for step in range(int(match[2]))])
        return PointGroup(plain, turns if match[1] == "C" else torch.cat([turns, turns @ _rotation(_X, 180)]))
    if plain in _POLYHEDRAL:
        return PointGroup(plain, _closure([_rotation(axis, 360 / fold) for fold, axis in _POLYHEDRAL[plain]]))
    raise InputError("no such point group", found=repr(name), expected="C<n>, D<n>, T, O, I, I1 to I4")


def symmetrise(volume: Tensor, group: PointGroup) -> Tensor:
    """Mean of a volume `(d, d, d)` over the group's rotations about n//2 (see `rotate_volume`)."""
    total = torch.zeros_like(volume)
    for matrix in filter(is_quarter_turn, group.matrices):
        total = total + rotate_volume(volume, matrix)
    others = [matrix for matrix in group.matrices if not is_quarter_turn(matrix)]
    if others:
        transform = prepare_volume(volume)
        spectrum = turned_spectrum(transform, others[0])
        for matrix in others[1:]:
            spectrum = spectrum + turned_spectrum(transform, matrix)
        total = total + irdft3(spectrum, volume.shape)
    return total / group.order


def angular_distance(a: Tensor, b: Tensor, group: PointGroup) -> Tensor:
    """Smallest angle in degrees between poses `(..., 3, 3)` that the group cannot tell apart, broadcast.

    A map with the symmetry g looks the same at the poses A and A g.
    """
    best = geodesic_distance(a, b)
    for matrix in group.matrices[1:].to(b):
        best = torch.minimum(best, geodesic_distance(a, b @ matrix))
    return best


def in_asymmetric_unit(matrices: Tensor, group: PointGroup) -> Tensor:
    """Which poses `(..., 3, 3)` stand in the group's asymmetric unit of viewing directions, bool `(...)`.

    Of the equivalent directions d g the one nearest to a fixed generic direction is in; equivalents at the
    same distance (a direction on a symmetry axis) are all in.
    """
    generic = matrices.new_tensor([0.3137, 0.1931, 0.9297])
    views = matrices[..., 2, :]
    best = views @ generic
    for matrix in group.matrices[1:].to(matrices):
        best = torch.maximum(best, views @ (matrix @ generic))
    # Equivalents on an axis differ by rounding alone.
    return views @ generic >= best - 64 * torch.finfo(matrices.dtype).eps


def asymmetric_unit(matrices: Tensor, group: PointGroup) -> Tensor:
    """Those of the poses `(n, 3, 3)` that stand in the asymmetric unit, `(m, 3, 3)`, in their order."""
    return matrices[in_asymmetric_unit(matrices, group)]


def _rotation(axis: tuple[float, float, float], angle_deg: float) -> Tensor:
    """Rotation by `angle_deg` about an axis of any length, `(3, 3)` in float64."""
    vector = torch.tensor(axis, dtype=torch.float64)
    return rotation_vector_to_matrix(vector / vector.norm() * angle_deg)


def _closure(generators: list[Tensor]) -> Tensor:
    """All products of the generators `(3, 3)`, `(g, 3, 3)`; the identity first."""
    found = torch.eye(3, dtype=torch.float64)[None]
    reached = 0
    while reached < len(found):
        for step in generators:
            product = step @ found[reached]
            if (found - product).abs().amax((-2, -1)).min() > 1e-6:
                found = torch.cat([found, product[None]])
        reached += 1
    return found
