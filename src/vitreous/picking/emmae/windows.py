"""Drawing of training windows from 8-bit pictures, on the fly; never more than a batch in floats."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vitreous.errors import StageError
from vitreous.nets.masked_autoencoder import draw_kept
from vitreous.nets.training import Batches
from vitreous.picking.emmae.settings import MaeTrainingSettings
from vitreous.runtime.device import Runtime
from vitreous.runtime.plural import plural

WINDOW = 64
TOKENS = 256
LEAST_VALID = 0.5  # ASSUME: a window is learnt from where half of it is picture
CROP_AREA = (0.04, 0.25)  # methods/picking.md §1.1
CROP_ASPECT = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class Picture:
    """A prepared micrograph: levels (h, w) uint8, may be memory-mapped, and the part that is picture."""

    levels: NDArray[np.uint8]
    mask: NDArray[np.bool_] | None = None


class WindowDrawer:
    """Windows of pictures as they are trained on, standardised by the pictures' own `mean` and `std`.

    Windows lie on a grid that reaches all edges of each picture and are moved at random or not; or they are
    random crops, resized. Raises StageError without any usable window.
    """

    def __init__(self, pictures: Sequence[Picture], settings: MaeTrainingSettings, runtime: Runtime) -> None:
        """Lay the grids and take mean and deviation of all pixels."""
        self.pictures, self.settings, self.runtime = pictures, settings, runtime
        self.mean, self.std = pixel_statistics(pictures)
        cells = [_cells(picture) for picture in pictures]
        picture = np.repeat(np.arange(len(cells)), [len(found) for found in cells])
        self.cells = np.column_stack([picture, np.concatenate(cells)])
        if not len(self.cells):
            found = plural(len(pictures), "picture")
            raise StageError("no window of any micrograph is half picture", found=found)

    def batches(self) -> Batches:
        """The windows of an epoch in random order, in batches of nearly equal size, with kept patches."""
        return Batches(math.ceil(self.count / self.settings.batch), self._draw)

    @property
    def count(self) -> int:
        """Windows an epoch."""
        return self.settings.epoch_windows or len(self.cells)

    def _draw(self, epoch: int, rank: int, world: int) -> Iterator[tuple[Tensor, Tensor]]:
        steps = math.ceil(self.count / self.settings.batch)
        # Equal shares for all processes, a few windows more than asked for where need be.
        size = math.ceil(self.count / steps / world) * world
        rng = self.runtime.rng("windows", epoch)
        rounds = math.ceil(steps * size / len(self.cells))
        order = np.concatenate([rng.permutation(len(self.cells)) for _ in range(rounds)])
        shifts = rng.integers(-WINDOW // 2, WINDOW // 2, (len(order), 2))
        if not self.settings.jitter:
            shifts[:] = 0
        mine = slice(rank, None, world)
        for step in range(steps):
            generator = self.runtime.generator("kept", epoch, step)
            kept = draw_kept(size, TOKENS, self.settings.mask_share, generator)
            levels = [
                self._window(self.cells[order[i]], shifts[i], self.runtime.rng("crop", epoch, i))
                for i in range(step * size, (step + 1) * size)[mine]
            ]
            windows = torch.from_numpy(np.stack(levels)).float() / 255
            yield (windows - self.mean) / self.std, kept[mine]

    def _window(
        self, cell: NDArray[np.int64], shift: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.generic]:
        """Levels (64, 64) of one window."""
        picture = self.pictures[int(cell[0])]
        if self.settings.crops:
            return _crop(picture.levels, rng)
        corner = [
            min(max(int(at + by), 0), max(side - WINDOW, 0))
            for at, by, side in zip(cell[1:], shift, picture.levels.shape, strict=True)
        ]
        if _valid_share(picture, corner[0], corner[1]) < LEAST_VALID:
            corner = [int(at) for at in cell[1:]]
        return _cut(picture.levels, corner[0], corner[1])


def pixel_statistics(pictures: Sequence[Picture]) -> tuple[float, float]:
    """Mean and standard deviation of all pixels of the pictures, levels / 255; exact, one picture at a time.

    Raises StageError where there is one level only.
    """
    counts = np.zeros(256, dtype=np.int64)
    for picture in pictures:
        levels = picture.levels if picture.mask is None else picture.levels[picture.mask]
        counts += np.bincount(np.ravel(levels), minlength=256)
    if np.count_nonzero(counts) < 2:
        raise StageError("nothing to learn from", found=f"{plural(int(counts.sum()), 'pixel')} of one level")
    values = np.arange(256) / 255
    mean = float(np.average(values, weights=counts))
    return mean, math.sqrt(float(np.average((values - mean) ** 2, weights=counts)))


def _cells(picture: Picture) -> NDArray[np.int64]:
    """Corners (n, 2) of windows that cover the picture evenly and are at least half picture."""
    rows, columns = (
        np.round(np.linspace(0, max(side - WINDOW, 0), math.ceil(side / WINDOW))).astype(int)
        for side in picture.levels.shape
    )
    corners = [(row, column) for row in rows for column in columns]
    good = [corner for corner in corners if _valid_share(picture, *corner) >= LEAST_VALID]
    return np.array(good, dtype=np.int64).reshape(-1, 2)


def _valid_share(picture: Picture, row: int, column: int) -> float:
    if picture.mask is None:
        return 1.0
    return float(picture.mask[row : row + WINDOW, column : column + WINDOW].mean())


def _cut(levels: NDArray[np.uint8], row: int, column: int) -> NDArray[np.uint8]:
    """A window (64, 64); edges are repeated where the picture is smaller."""
    window = levels[row : row + WINDOW, column : column + WINDOW]
    missing = [WINDOW - side for side in window.shape]
    return np.pad(window, [(0, more) for more in missing], mode="edge") if any(missing) else window


def _crop(levels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """A random part of the picture, 4 to 25 % of its area, resized to (64, 64) with antialiasing.

    ASSUME: drawn apart for each window; the published one is shared by a batch of micrographs.
    """
    h, w = levels.shape
    area = rng.uniform(*CROP_AREA) * h * w
    aspect = math.exp(rng.uniform(*np.log(CROP_ASPECT)))
    tall, wide = (
        min(max(round(math.sqrt(area * ratio)), 1), side) for ratio, side in ((1 / aspect, h), (aspect, w))
    )
    row, column = int(rng.integers(0, h - tall + 1)), int(rng.integers(0, w - wide + 1))
    part = torch.from_numpy(np.array(levels[row : row + tall, column : column + wide], dtype=np.float32))
    size = (WINDOW, WINDOW)
    resized = functional.interpolate(part[None, None], size=size, mode="bilinear", antialias=True)
    held: NDArray[np.float32] = resized[0, 0].numpy()
    return held
