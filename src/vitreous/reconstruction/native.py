"""The native engine: particles streamed in batches into one Fourier grid a half-set."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vitreous.errors import StageError
from vitreous.io.particles import ParticleSet, ctf_columns, euler_angles, origins_A, pixel_sizes_A
from vitreous.metrics.fsc import expected_truth_correlation, fourier_shell_correlation
from vitreous.physics.ctf import Ctf, ctf_2d
from vitreous.physics.fourier import irdft3, rdft3, shell_indices
from vitreous.physics.insertion import Grid, finish, insert_images, new_grid
from vitreous.physics.rotations import euler_to_matrix
from vitreous.physics.symmetry import PointGroup
from vitreous.reconstruction.halves import SUBSET, HalfMaps, Image, ImageReader
from vitreous.reconstruction.settings import NativeEngine
from vitreous.runtime.device import Runtime
from vitreous.runtime.plural import plural
from vitreous.runtime.progress import progress

log = logging.getLogger(__name__)


def reconstruct_halves(
    particles: ParticleSet,
    images: Sequence[Image],
    *,
    settings: NativeEngine,
    group: PointGroup,
    runtime: Runtime,
    folder: Path,
) -> HalfMaps:
    """Half-maps and map of particles that `halves.check_ready` has passed; `images` are their (stack, index).

    The halves are filled by one thread each where `runtime.threads` allows. Memory: two grids and a batch,
    which becomes smaller where a GPU has no room for it.
    """
    device = runtime.torch_device()
    reader = ImageReader(images)
    pixel_A = float(pixel_sizes_A(particles)[0])
    radius = _radius(reader.box, pixel_A, settings.max_resolution_A)
    subset = particles.particles[SUBSET].to_numpy(int)
    threads = 2 if runtime.threads > 1 and device.type == "cpu" else 1

    def fill(batch: int) -> list[Grid]:
        grids = [new_grid(reader.box, settings.pad, radius=radius, device=device) for _ in (1, 2)]

        def insert(half: int, rows: list[int]) -> None:
            chosen = [images[row] for row in rows]
            insert_particles(grids[half], particles.subset(rows), reader.read(chosen), settings, group)

        jobs = list(zip_longest(*(_batches(subset, half, images, batch) for half in (1, 2))))
        with ThreadPoolExecutor(threads) as pool:
            for both in progress(jobs, len(jobs), "pairs of batches"):
                futures = [
                    pool.submit(insert, half, rows) for half, rows in enumerate(both) if rows is not None
                ]
                for future in futures:
                    future.result()
        return grids

    grids = _with_room(fill, settings.batch)
    halves = [finish(grid, group, weight_floor=settings.weight_floor).cpu() for grid in grids]
    grids[0] += grids[1]
    full = finish(grids[0], group, weight_floor=settings.weight_floor).cpu()
    if settings.fsc_weighting:
        full = _weighted(full, fourier_shell_correlation(*halves))
    half1, half2 = (half.numpy() for half in halves)
    return HalfMaps(half1, half2, full.numpy(), {"device": str(device), "radius_shells": radius})


def _with_room(fill: Callable[[int], list[Grid]], batch: int) -> list[Grid]:
    """What `fill` gives with `batch` or, from empty grids again, half of it as often as memory asks for.

    A batch that failed half-way has left a part of itself in the grids, so none of them is gone on with.
    """
    while True:
        try:
            return fill(batch)
        except torch.OutOfMemoryError as error:
            if batch == 1:
                raise StageError(
                    "the GPU has too little memory for the grids and one particle",
                    found=str(error).splitlines()[0] if str(error) else "out of memory",
                    todo="state a coarser `max_resolution_A`, a smaller `pad`, or `compute.device: cpu`",
                ) from error
        batch //= 2
        log.warning("out of memory on the GPU: starting again with batches of %s", plural(batch, "particle"))
        # The error's traceback and its futures hold one another, and with them the grids.
        gc.collect()
        torch.cuda.empty_cache()


def _radius(box: int, pixel_size_A: float, max_resolution_A: float | None) -> int:
    """Highest shell that is inserted."""
    nyquist = box // 2
    return (
        nyquist
        if max_resolution_A is None
        else max(1, min(nyquist, round(box * pixel_size_A / max_resolution_A)))
    )


def _batches(subset: NDArray[np.int64], half: int, images: Sequence[Image], size: int) -> Iterator[list[int]]:
    """Rows of a half-set, `size` at a time, in the order in which they lie on the disk."""
    rows = sorted(
        np.flatnonzero(subset == half).tolist(), key=lambda row: (str(images[row][0]), images[row][1])
    )
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def insert_particles(
    grid: Grid,
    particles: ParticleSet,
    images: NDArray[np.float32],
    settings: NativeEngine,
    group: PointGroup,
) -> None:
    """Add particles, whose images `(b, n, n)` these are, to a grid, with their poses, origins and CTF."""
    device = grid.table.device
    columns = (
        {name: _column(values) for name, values in ctf_columns(particles).items()} if settings.ctf else {}
    )
    pixel_A = _column(pixel_sizes_A(particles))
    origins_px = _column(origins_A(particles)) / pixel_A[:, None]
    # Matrices in float64 first: float32 angles of hundreds of degrees would cost three digits.
    poses = euler_to_matrix(torch.tensor(euler_angles(particles))).float()
    columns.pop("pixel_size_A", None)
    box = images.shape[-1]
    ctf = ctf_2d(Ctf(**columns), (box, box), pixel_A, device=device) if settings.ctf else None
    pixels = torch.from_numpy(images).to(device)
    insert_images(grid, pixels, poses.to(device), ctf, origins_px.to(device), group)


def _column(values: NDArray[np.float64]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


def _weighted(volume: torch.Tensor, fsc: torch.Tensor) -> torch.Tensor:
    """The map times sqrt(2 FSC / (1 + FSC)) by shells; nothing beyond Nyquist."""
    shape = tuple(volume.shape)
    weight = torch.cat([expected_truth_correlation(fsc), torch.zeros(1, dtype=fsc.dtype)]).to(volume.dtype)
    shells = shell_indices(shape).clamp(max=len(fsc))
    return irdft3(rdft3(volume) * weight[shells], shape)
