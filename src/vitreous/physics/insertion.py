"""Direct Fourier reconstruction: slices spread onto a padded half lattice, divided by their weights.

A grid gathers the numerator sum(C F) and the weight sum(C^2) with the trilinear weights of `projection`; sums
of grids are grids, so halves, batches and processes can be joined. On the CPU a compiled loop does the
spreading (plain torch is slower than RELION there), on a GPU torch's index_add_. Memory is the grid's, 12
bytes a point.

Symmetry costs little: rotations of the group that only permute and negate the axes map the lattice onto
itself, so they are applied once to the finished grid, exactly; only representatives of the rest are inserted
as copies.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vitreous.physics.masks import radius_grid
from vitreous.physics.symmetry import PointGroup, parse

# Points spread at once on a GPU: about 1 GB of indices and values.
_GPU_POINTS = 2**22


@dataclass
class Grid:
    """Numerator and weight of a volume of `size` at `pad` times the sampling, kx >= 0 only.

    `table` is float32 `(2r+1, 2r+1, r+1, 3)`: kz and ky from -r to r, kx from 0 to r in steps of 1/pad; last
    axis real part, imaginary part, weight. r = pad * radius, and slices are read up to `radius` shells.
    `count` images are in it.
    """

    table: Tensor
    size: int
    pad: int
    count: int = 0

    @property
    def radius(self) -> int:
        """Highest shell that is kept."""
        return (self.table.shape[2] - 1) // self.pad

    def __iadd__(self, other: Grid) -> Grid:
        """Take the sums of `other` into this grid."""
        self.table += other.table
        self.count += other.count
        return self


def new_grid(
    size: int, pad: int = 2, *, radius: int | None = None, device: torch.device | str | None = None
) -> Grid:
    """An empty grid for a volume `(size, size, size)`; `radius` in shells is size//2 unless smaller."""
    reach = pad * min(size // 2 if radius is None else radius, size // 2)
    table = torch.zeros(2 * reach + 1, 2 * reach + 1, reach + 1, 3, dtype=torch.float32, device=device)
    return Grid(table, size, pad)


def insert(
    grid: Grid, slices: Tensor, matrices: Tensor, weights: Tensor, group: PointGroup | None = None
) -> None:
    """Add slices to a grid, in place.

    `slices` `(b, n, n//2+1)` complex: half spectra of `rdft2`, brought to the centre and times their CTF (and
    whatever weight); `weights` the same shape, real: CTF^2 (times the same weight); `matrices` `(b, 3, 3)`
    poses A. With `group` the representatives are inserted that `finish` with the same group completes.
    """
    copies = representatives(group.name) if group is not None else torch.eye(3)[None]
    spread = _insert_compiled if grid.table.device.type == "cpu" else _insert_torch
    for copy in copies.to(matrices):
        spread(grid, slices, matrices @ copy, weights)
    grid.count += len(slices)


def insert_images(
    grid: Grid,
    images: Tensor,
    matrices: Tensor,
    ctf: Tensor | None,
    origins_px: Tensor | None = None,
    group: PointGroup | None = None,
) -> None:
    """Add particle images `(b, n, n)` at poses `(b, 3, 3)` to a grid, in place.

    `ctf` is `(b, n, n//2+1)`, None for images without; the image shows the particle at centre - origin,
    `origins_px` `(b, 2)` = x, y.
    """
    spectra = torch.fft.rfft2(torch.fft.ifftshift(images, dim=(-2, -1)))
    if origins_px is not None:
        spectra = spectra * _separable_ramp(images.shape[-1], origins_px)
    weights = torch.ones_like(spectra.real) if ctf is None else ctf * ctf
    insert(grid, spectra if ctf is None else spectra * ctf, matrices, weights, group)


def _separable_ramp(n: int, shift_px: Tensor) -> Tensor:
    """`phase_ramp_2d` of square images as a product along x and y, far cheaper: `(b, n, n//2+1)`."""
    kx = torch.fft.rfftfreq(n, dtype=shift_px.dtype, device=shift_px.device)
    ky = torch.fft.fftfreq(n, dtype=shift_px.dtype, device=shift_px.device)
    along_x, along_y = -2 * torch.pi * kx * shift_px[:, :1], -2 * torch.pi * ky * shift_px[:, 1:]
    unit = torch.polar(torch.ones_like(along_x), along_x)
    return torch.polar(torch.ones_like(along_y), along_y)[:, :, None] * unit[:, None, :]


def finish(grid: Grid, group: PointGroup | None = None, *, weight_floor: float = 1e-3) -> Tensor:
    """The volume `(size, size, size)`: numerator over weight, to real space, over sinc^2 of the radius.

    The weight is kept above `weight_floor` times its mean in the shell (RELION's 1/1000). `group` must be the
    one that the slices were inserted with. An empty grid gives zeros.
    """
    table = complete(grid, group)
    weight = table[..., 2]
    shells = _lattice_shells(grid)
    mean = _shell_mean(weight, shells)
    floor = (weight_floor * mean)[shells].clamp(min=torch.finfo(torch.float32).tiny)
    weight = torch.maximum(weight, floor)
    spectrum = torch.complex(table[..., 0] / weight, table[..., 1] / weight)
    return to_volume(spectrum, grid.size, grid.pad)


def complete(grid: Grid, group: PointGroup | None = None) -> Tensor:
    """A copy of the grid's table in which the plane kx = 0 has its Friedel mates and the symmetry is applied.

    Before, a point of that plane holds only what came from one side.
    """
    table = grid.table.clone()
    plane = grid.table[:, :, 0]
    table[:, :, 0] += plane.flip(0, 1) * plane.new_tensor([1.0, -1.0, 1.0])
    if group is None:
        return table
    for steps in _symmetry_steps(group.name):
        whole = _whole_lattice(table)
        table = table.clone()
        for matrix in steps:
            table += _permuted(whole, matrix)
    return table


def to_volume(spectrum: Tensor, size: int, pad: int) -> Tensor:
    """Real volume `(size, size, size)` of a half table complex `(2r+1, 2r+1, r+1)` sampled at steps of 1/pad.

    Inverse of `projection.prepare_volume` for what lies inside the radius.
    """
    reach, padded = spectrum.shape[2] - 1, pad * size
    # The faces at +-Nyquist are one and the same frequency; they hold single points of the border only.
    last = min(reach, (padded - 1) // 2)
    inner = spectrum[reach - last : reach + last + 1, reach - last : reach + last + 1, : last + 1]
    rows = torch.arange(-last, last + 1, device=spectrum.device) % padded
    whole = spectrum.new_zeros(padded, padded, padded // 2 + 1)
    whole[rows[:, None], rows[None, :], : last + 1] = inner
    volume = torch.fft.irfftn(whole, s=(padded,) * 3)
    del whole
    # What fftshift and a crop about the centre would keep, without moving the rest.
    near = torch.arange(-(size // 2), size - size // 2, device=spectrum.device) % padded
    volume = volume[near[:, None, None], near[None, :, None], near[None, None, :]]
    radius = radius_grid((size, size, size), dtype=volume.dtype, device=volume.device)
    return volume / torch.sinc(radius / padded) ** 2


@lru_cache(maxsize=16)
def lattice_rotations(name: str) -> Tensor:
    """The group's rotations that permute and negate axes, identity first, `(h, 3, 3)`."""
    matrices = parse(name).matrices
    whole = (matrices - matrices.round()).abs().amax((-2, -1)) < 1e-6
    return matrices[whole].round()


@lru_cache(maxsize=16)
def representatives(name: str) -> Tensor:
    """Rotations c (n, 3, 3), identity first: every element of the group is one c h, h of `lattice_rotations`.

    A slice inserted at A c and completed by all h stands at A c h, so the group is covered once.
    """
    found: list[Tensor] = []
    covered: list[Tensor] = []
    for matrix in parse(name).matrices:
        if _among(matrix, covered):
            continue
        found.append(matrix)
        covered.extend(matrix @ rotation for rotation in lattice_rotations(name))
    return torch.stack(found)


@lru_cache(maxsize=16)
def _symmetry_steps(name: str) -> list[list[Tensor]]:
    """How to sum over all lattice rotations in few permutations, e.g. 5 instead of 23 for O.

    A chain of subgroups S < S' < ...: after the step to S' = S t_0 + S t_1 + ..., t_0 = 1, the sum over S has
    become that over S'. Each step lists t_1, t_2, ...
    """
    steps: list[list[Tensor]] = []
    inside = [torch.eye(3, dtype=torch.float64)]
    while len(inside) < len(lattice_rotations(name)):
        larger = [_generated([*inside, h]) for h in lattice_rotations(name) if not _among(h, inside)]
        group = min(larger, key=len)
        covered, step = list(inside), []
        for matrix in group:
            if not _among(matrix, covered):
                step.append(matrix)
                covered += [element @ matrix for element in inside]
        inside = group
        steps.append(step)
    return steps


def _among(matrix: Tensor, others: list[Tensor]) -> bool:
    return any(bool((matrix - other).abs().max() < 1e-6) for other in others)


def _generated(generators: list[Tensor]) -> list[Tensor]:
    """The group that these rotations generate."""
    found = list(generators)
    for element in found:
        for generator in generators:
            if not _among(generator @ element, found):
                found.append(generator @ element)
    return found


def _permuted(whole: Tensor, matrix: Tensor) -> Tensor:
    """The half table of V(h x), h a signed permutation, from the whole lattice of V(x)."""
    # T(h k) at k: along axis i of x, y, z, h k is the sign times k of axis `source`; array axes run z, y, x.
    source = matrix.abs().argmax(1).tolist()
    order = [2 - source.index(2 - axis) for axis in range(3)]
    flips = [axis for axis in range(3) if matrix[source.index(2 - axis), 2 - axis] < 0]
    half = whole.shape[2] // 2
    moved = whole.permute(*order, 3)
    # Half of the last axis first, so that the flip copies half.
    return (moved[:, :, : half + 1] if 2 in flips else moved[:, :, half:]).flip(flips)


def _whole_lattice(table: Tensor) -> Tensor:
    """Both halves of a completed table: `(2r+1, 2r+1, 2r+1, 3)`."""
    mates = table[:, :, 1:].flip(0, 1, 2) * table.new_tensor([1.0, -1.0, 1.0])
    return torch.cat([mates, table], dim=2)


def _lattice_shells(grid: Grid) -> Tensor:
    """Shell of each point of the table in steps of the lattice; beyond the radius one last shell."""
    reach = grid.table.shape[2] - 1
    full = torch.arange(-reach, reach + 1, device=grid.table.device, dtype=torch.float32) ** 2
    square = full[:, None, None] + full[None, :, None] + full[None, None, reach:]
    return square.sqrt_().round_().long().clamp_(max=reach + 1)


def _shell_mean(weight: Tensor, shells: Tensor) -> Tensor:
    """Mean weight of each shell."""
    index = shells.flatten()
    total = torch.bincount(index, weight.flatten())
    return (total / torch.bincount(index).clamp(min=1)).to(weight.dtype)


def _insert_torch(grid: Grid, slices: Tensor, matrices: Tensor, weights: Tensor) -> None:
    """Spread by index_add_ over the eight corners; the order of additions on a GPU is not fixed."""
    n, reach = slices.shape[1], grid.table.shape[2] - 1
    ky = torch.fft.fftfreq(n, 1 / n, device=slices.device)[:, None]
    kx = torch.arange(n // 2 + 1, device=slices.device, dtype=ky.dtype)[None]
    keep = (kx**2 + ky**2 <= grid.radius**2) & ((kx > 0) | (ky >= 0))
    points = torch.stack([kx.expand_as(keep)[keep], ky.expand_as(keep)[keep]], -1) * grid.pad
    origin = torch.where((points == 0).all(-1), 0.5, 1.0)
    values = torch.stack([slices.real[:, keep], slices.imag[:, keep], weights[:, keep]], -1) * origin[:, None]
    flat = grid.table.view(-1, 3)
    for part in torch.arange(len(slices), device=slices.device).split(max(1, _GPU_POINTS // len(points))):
        place = torch.einsum("bji,mj->bmi", matrices[part, :2].to(points), points)
        mirrored = place[..., 0] < 0
        place = torch.where(mirrored[..., None], -place, place)
        value = values[part].clone()
        value[..., 1] = torch.where(mirrored, -value[..., 1], value[..., 1])
        # Rounding may carry a point of the border over it.
        lower = place.floor().clamp(-reach, reach - 1)
        share = place - lower
        corner = lower.long() + torch.tensor([0, reach, reach], device=slices.device)
        for step in range(8):
            bits = torch.tensor([step & 1, step >> 1 & 1, step >> 2], device=slices.device)
            x, y, z = (corner + bits).unbind(-1)
            weight = torch.where(bits.bool(), share, 1 - share).prod(-1)
            index = (z * (2 * reach + 1) + y) * (reach + 1) + x
            flat.index_add_(0, index.flatten(), (value * weight[..., None]).reshape(-1, 3))


def _insert_compiled(grid: Grid, slices: Tensor, matrices: Tensor, weights: Tensor) -> None:
    """Spread by the compiled loop, one thread; releases the interpreter's lock."""
    _kernel()(
        grid.table.numpy(),
        slices.to(torch.complex64).contiguous().numpy(),
        weights.to(torch.float32).contiguous().numpy(),
        matrices.to(torch.float32).contiguous().numpy(),
        grid.pad,
        grid.radius,
    )


@lru_cache(maxsize=1)
def _kernel() -> Any:
    """The compiled loop; numba is imported at the first call."""
    import numba

    return numba.njit(_spread_slices, nogil=True, cache=True, fastmath=True, boundscheck=False)


def _spread_slices(table: Any, slices: Any, weights: Any, matrices: Any, pad: int, radius: int) -> None:
    """Add slices `(b, n, n//2+1)` to a table: each point to eight corners by its trilinear shares."""
    images, n, half = slices.shape
    reach = table.shape[2] - 1
    for image in range(images):
        m = matrices[image]
        for row in range(n):
            ky = row if row < (n + 1) // 2 else row - n
            if ky > radius or ky < -radius:
                continue
            # column kx = 0 holds each frequency twice; it is spread once
            first = 0 if ky >= 0 else 1
            last = int(np.sqrt(np.float64(radius * radius - ky * ky)))
            for kx in range(first, min(last, half - 1) + 1):
                a, b = np.float32(kx * pad), np.float32(ky * pad)
                x = a * m[0, 0] + b * m[1, 0]
                y = a * m[0, 1] + b * m[1, 1]
                z = a * m[0, 2] + b * m[1, 2]
                value = slices[image, row, kx]
                re, im, w = value.real, value.imag, weights[image, row, kx]
                if x < 0:
                    x, y, z, im = -x, -y, -z, -im
                if kx == 0 and ky == 0:  # its own mate
                    re, im, w = np.float32(0.5) * re, np.float32(0.5) * im, np.float32(0.5) * w
                y, z = y + np.float32(reach), z + np.float32(reach)  # positive, so that int() rounds down
                i, j, k = min(int(x), reach - 1), min(int(y), 2 * reach - 1), min(int(z), 2 * reach - 1)
                fx, fy, fz = x - np.float32(i), y - np.float32(j), z - np.float32(k)
                gx = np.float32(1) - fx
                for dz in range(2):
                    sz = fz if dz else np.float32(1) - fz
                    for dy in range(2):
                        share = sz * (fy if dy else np.float32(1) - fy)
                        line = table[k + dz, j + dy]
                        s0, s1 = share * gx, share * fx
                        line[i, 0] += s0 * re
                        line[i, 1] += s0 * im
                        line[i, 2] += s0 * w
                        line[i + 1, 0] += s1 * re
                        line[i + 1, 1] += s1 * im
                        line[i + 1, 2] += s1 * w
