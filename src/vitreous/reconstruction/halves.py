"""Half-sets of particles, what a reconstruction must find before it starts, and what it gives back."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitreous.errors import InputError, StageError
from vitreous.io.mrc import Stack, open_stack
from vitreous.io.particles import ANGLES, DEFOCUS, ParticleSet, pixel_sizes_A
from vitreous.io.star import require_columns
from vitreous.runtime.plural import plural

MICROGRAPH = "rlnMicrographName"
SUBSET = "rlnRandomSubset"
HAS_POSE = "vitreousHasPose"
TARGET = "vitreousTarget"
Image = tuple[Path, int]


@dataclass(frozen=True)
class HalfMaps:
    """Two unregularised half-maps and the map of all particles, `(n, n, n)` float32, and facts."""

    half1: NDArray[np.float32]
    half2: NDArray[np.float32]
    full: NDArray[np.float32]
    facts: dict[str, Any] = field(default_factory=dict)


def half_sets(names: Sequence[str], seed: int) -> dict[str, int]:
    """Half-set 1 or 2 of each micrograph: by turns, in the order of a hash of name and seed.

    So the halves of a data set are equal in size and the same for every denoiser, picker and engine.
    """

    def order(name: str) -> bytes:
        return hashlib.sha256(f"{seed}\x1f{name}".encode()).digest()

    return {name: 1 + rank % 2 for rank, name in enumerate(sorted(set(names), key=order))}


def subsets(micrographs: Sequence[str], all_names: Sequence[str], seed: int) -> NDArray[np.int64]:
    """Half-set of each particle `(n,)` by its micrograph, or by turns where there is only one.

    `all_names` are the micrographs of the whole data set, so that a batch agrees with the others.
    """
    if len(set(all_names)) < 2:
        return np.arange(len(micrographs), dtype=np.int64) % 2 + 1
    half = half_sets(all_names, seed)
    return np.array([half[name] for name in micrographs], dtype=np.int64)


def with_poses(particles: ParticleSet) -> ParticleSet:
    """The particles that have a 3D pose (vitreousHasPose = 1, or all where the column is absent)."""
    if HAS_POSE not in particles.particles:
        return particles
    return particles.subset(particles.particles[HAS_POSE].to_numpy(int) == 1)


def check_ready(particles: ParticleSet, *, file: Path, ctf: bool) -> None:
    """Raise InputError unless these particles have poses, CTF, optics, one size and half-sets 1 and 2."""
    table = particles.particles
    require_columns(table, ("rlnImageName", *ANGLES), file=file, block="particles (no 3D poses)")
    require_columns(particles.optics, ("rlnImagePixelSize",), file=file, block="optics")
    if ctf:
        require_columns(table, DEFOCUS, file=file, block="particles (no CTF)")
        optics = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")
        require_columns(particles.optics, optics, file=file, block="optics")
    sizes = sorted(set(pixel_sizes_A(particles).tolist()))
    if sizes and sizes[-1] > 1.001 * sizes[0]:
        found = ", ".join(f"{size:g} Å" for size in sizes)
        raise InputError(
            "particles of several pixel sizes",
            file=file,
            found=found,
            expected="one",
            todo="extract with one `pixel_size_A`",
        )
    half_counts(table, file=file)


def half_counts(table: pd.DataFrame, *, file: Path) -> dict[int, int]:
    """Particles in half-sets 1 and 2; raises InputError where one is in neither."""
    counts = Counter(table[SUBSET].astype(int).tolist())
    if set(counts) - {1, 2}:
        raise InputError("a half-set is 1 or 2", file=file, place=SUBSET, found=sorted(counts))
    return {half: counts[half] for half in (1, 2)}


def check_subsets(table: pd.DataFrame, *, file: Path) -> None:
    """Raise InputError unless every particle is in half-set 1 or 2 and both have particles."""
    counts = half_counts(table, file=file)
    if not all(counts.values()):
        found = ", ".join(f"{plural(counts[half], 'particle')} in half {half}" for half in (1, 2))
        raise InputError(
            "a half-set is empty", file=file, found=found, todo="give more micrographs, or another `seed`"
        )


class ImageReader:
    """Square images by (stack, index), each stack opened once; one box size for all."""

    def __init__(self, images: Sequence[Image]) -> None:
        """Open the stacks; raises InputError where the images are not square, odd or of several sizes."""
        self._stacks: dict[Path, Stack] = {
            path: open_stack(path) for path in dict.fromkeys(p for p, _ in images)
        }
        shapes = {stack.shape[1:]: path for path, stack in self._stacks.items()}
        if len(shapes) > 1:
            found = ", ".join(f"{path.name}: {shape}" for shape, path in shapes.items())
            raise InputError("images of several sizes", found=found, expected="one box size")
        (h, w), path = next(iter(shapes.items()))
        if h != w or h % 2:
            raise InputError("images are not square with an even side", file=path, found=f"{h} x {w}")
        self.box = h

    def read(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """The images `(b, n, n)`; raises InputError with stack and index for NaN or infinite pixels."""
        batch = np.empty((len(images), self.box, self.box), np.float32)
        for place, (path, index) in enumerate(images):
            batch[place] = self._stacks[path][index]
        return batch


def check_images(images: Sequence[Image]) -> None:
    """Read every image; raises InputError as `ImageReader` does."""
    reader = ImageReader(images)
    for image in images:
        reader.read([image])


def of_target(particles: ParticleSet, target: str | None) -> ParticleSet:
    """The particles known to be of `target`, or all where nothing is known of them."""
    if target is None or TARGET not in particles.particles:
        return particles
    known = particles.particles[TARGET]
    return particles if (known == "none").all() else particles.subset((known == target).to_numpy())


def with_subsets(particles: ParticleSet, seed: int) -> ParticleSet:
    """Particles with half-sets: their own, or by micrograph where the table has none."""
    table = particles.particles
    if SUBSET in table:
        return particles
    names = table[MICROGRAPH].tolist() if MICROGRAPH in table else ["one"] * len(table)
    return ParticleSet(particles.optics, table.assign(**{SUBSET: subsets(names, names, seed)}))


def no_maps(particles: ParticleSet, path: Path) -> tuple[HalfMaps, float]:
    """Maps of zeros of the particles' box; InputError where there are particles but no poses at all."""
    if len(particles) and ANGLES[0] not in particles.particles:
        raise InputError("the particles have no 3D poses", file=path, todo="extract with `poses: truth`")
    optics = particles.optics
    if not {"rlnImageSize", "rlnImagePixelSize"} <= set(optics) or not len(optics):
        raise InputError("no particles, and no box size", file=path, expected="rlnImageSize in data_optics")
    zeros = np.zeros((int(optics["rlnImageSize"].iloc[0]),) * 3, np.float32)
    return HalfMaps(zeros, zeros, zeros), float(optics["rlnImagePixelSize"].iloc[0])


def check_maps(maps: HalfMaps, particles: ParticleSet, out: Path) -> float:
    """Pixel size in Å of the maps; StageError where an engine gave back what is not finite or empty."""
    for name, volume in (("half1", maps.half1), ("half2", maps.half2), ("map", maps.full)):
        if not np.isfinite(volume).all() or not volume.any():
            raise StageError("the engine gave no usable map", file=out / f"{name}.mrc", found="zeros or NaN")
    return float(particles.optics["rlnImagePixelSize"].iloc[0])
