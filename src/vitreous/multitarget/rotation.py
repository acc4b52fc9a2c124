"""Rotations of square images about the centre of their box, as matrices with an exact transpose."""

from __future__ import annotations

import math
import warnings
from functools import lru_cache

import torch
from torch import Tensor

# Keys 1981, "Cubic convolution interpolation for digital image processing": a = -1/2 is exact for parabolas.
KEYS = -0.5
TAPS = 4


class Rotations:
    """The K rotations by 2 pi k / K, counter-clockwise with row 0 on top (as `numpy.rot90`).

    They turn about the centre of the box, (L - 1) / 2 in both axes. Quarter turns move pixels and are exact;
    others interpolate by cubic convolution, and what leaves the box is lost.
    """

    def __init__(self, count: int, size: int, like: Tensor) -> None:
        """`count` rotations of images of `size` px, with the type and on the device of `like`."""
        self.count, self.size = count, size
        self.exact = 4 % count == 0
        matrix = _matrix(count, size, like.dtype).to(like.device)
        self._forward, self._transpose = _compressed(matrix), _compressed(matrix.transpose(0, 1).coalesce())

    def turn(self, images: Tensor) -> Tensor:
        """Images (b, L, L) in every rotation, (b, K, L, L)."""
        turned = self._forward @ images.reshape(len(images), -1).T
        return turned.T.reshape(len(images), self.count, self.size, self.size).contiguous()

    def back(self, turned: Tensor) -> Tensor:
        """The transpose of `turn`: images (b, K, L, L) turned back and summed, (b, L, L)."""
        images = self._transpose @ turned.reshape(len(turned), -1).T
        return images.T.reshape(len(turned), self.size, self.size).contiguous()

    def normal(self, images: Tensor, weight: Tensor) -> Tensor:
        """Sum over k of R_k^T (weight_k R_k F) for images (b, L, L), weight (b, K, L, L) or (b, K, 1, 1)."""
        return self.back(weight * self.turn(images))


def _compressed(matrix: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return matrix.to_sparse_csr()


@lru_cache(maxsize=8)
def _matrix(count: int, size: int, dtype: torch.dtype) -> Tensor:
    """All rotations as one sparse matrix (K L^2, L^2)."""
    parts = [_taps(2 * math.pi * k / count, size) for k in range(count)]
    rows = torch.cat([row + k * size**2 for k, (row, _, _) in enumerate(parts)])
    columns = torch.cat([column for _, column, _ in parts])
    values = torch.cat([value for _, _, value in parts]).to(dtype)
    shape = (count * size**2, size**2)
    places = torch.stack([rows, columns])
    return torch.sparse_coo_tensor(places, values, shape, check_invariants=False).coalesce()


def _taps(angle: float, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels turned, pixels they are read from, and weights, one entry a tap."""
    pixels = torch.arange(size**2)
    quarters = angle / (math.pi / 2)
    if abs(quarters - round(quarters)) < 1e-9:
        source = torch.rot90(pixels.reshape(size, size), round(quarters)).reshape(-1)
        return pixels, source, torch.ones(size**2, dtype=torch.float64)
    centre = (size - 1) / 2
    y, x = torch.meshgrid(*[torch.arange(size, dtype=torch.float64) - centre] * 2, indexing="ij")
    # Counter-clockwise as seen with y downwards: the pixel at (x, y) shows what was at the angle less.
    from_x = math.cos(angle) * x - math.sin(angle) * y + centre
    from_y = math.sin(angle) * x + math.cos(angle) * y + centre
    first_y, first_x = torch.floor(from_y).long() - 1, torch.floor(from_x).long() - 1
    rows, columns, values = [], [], []
    for step_y in range(TAPS):
        for step_x in range(TAPS):
            at_y, at_x = first_y + step_y, first_x + step_x
            weight = _cubic(from_y - at_y) * _cubic(from_x - at_x)
            inside = (at_y >= 0) & (at_y < size) & (at_x >= 0) & (at_x < size) & (weight != 0)
            rows.append(pixels[inside.reshape(-1)])
            columns.append((at_y * size + at_x)[inside])
            values.append(weight[inside])
    return torch.cat(rows), torch.cat(columns), torch.cat(values)


def _cubic(distance: Tensor) -> Tensor:
    """The kernel of cubic convolution."""
    d = distance.abs()
    near = ((KEYS + 2) * d - (KEYS + 3)) * d**2 + 1
    far = KEYS * (((d - 5) * d + 8) * d - 4)
    return torch.where(d <= 1, near, torch.where(d < 2, far, torch.zeros_like(d)))
