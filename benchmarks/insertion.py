"""Fourier insertion here against `relion_reconstruct --skip_gridding`, one thread each, by turns.

Both read the same STAR file and stack, correct for the CTF and origins, insert to Nyquist on a lattice padded
by 2, transform back and write one map. The compiled loop is warmed up before. CPU seconds count, since the
machine may be busy; wall seconds stand beside them. Usage: python benchmarks/insertion.py [--particles 10000]
[--box 128] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from vitreous.io.mrc import StackWriter, write_volume
from vitreous.io.particles import ParticleSet, image_locations, read_particles, write_particles
from vitreous.physics.insertion import finish, new_grid
from vitreous.physics.symmetry import parse
from vitreous.reconstruction.halves import ImageReader
from vitreous.reconstruction.native import insert_particles
from vitreous.reconstruction.relion import find_program, relion_version, run_relion
from vitreous.reconstruction.settings import NativeEngine

PIXEL_A = 1.5


def make_particles(folder: Path, count: int, box: int) -> Path:
    rng = np.random.default_rng(0)
    with StackWriter(folder / "particles.mrcs", (box, box), PIXEL_A) as stack:
        for start in range(0, count, 500):
            stack.append(rng.standard_normal((min(500, count - start), box, box), dtype=np.float32))
    defocus = rng.uniform(8e3, 25e3, count)
    table = pd.DataFrame(
        {
            "rlnImageName": [f"{i + 1:06d}@particles.mrcs" for i in range(count)],
            "rlnDefocusU": defocus,
            "rlnDefocusV": defocus - rng.uniform(0, 500, count),
            "rlnDefocusAngle": rng.uniform(0, 180, count),
            "rlnAngleRot": rng.uniform(-180, 180, count),
            "rlnAngleTilt": np.degrees(np.arccos(rng.uniform(-1, 1, count))),
            "rlnAnglePsi": rng.uniform(-180, 180, count),
            "rlnOriginXAngst": rng.normal(0, 3, count),
            "rlnOriginYAngst": rng.normal(0, 3, count),
            "rlnOpticsGroup": 1,
        }
    )
    optics = pd.DataFrame(
        {
            "rlnOpticsGroupName": ["opticsGroup1"], "rlnOpticsGroup": [1], "rlnVoltage": [300.0],
            "rlnSphericalAberration": [2.7], "rlnAmplitudeContrast": [0.1], "rlnImagePixelSize": [PIXEL_A],
            "rlnImageSize": [box], "rlnImageDimensionality": [2],
        }
    )  # fmt: skip
    write_particles(folder / "particles.star", ParticleSet(optics, table))
    return folder / "particles.star"


def run_native(star: Path, out: Path, batch: int = 100) -> None:
    settings, group = NativeEngine(), parse("C1")
    particles = read_particles(star)
    images = image_locations(particles, star)
    reader = ImageReader(images)
    grid = new_grid(reader.box)
    for start in range(0, len(particles), batch):
        rows = range(start, min(start + batch, len(particles)))
        pixels = reader.read([images[row] for row in rows])
        insert_particles(grid, particles.subset(list(rows)), pixels, settings, group)
    write_volume(out, finish(grid, group, weight_floor=settings.weight_floor).numpy(), PIXEL_A)


def run_other(star: Path, out: Path) -> None:
    program = find_program("relion_reconstruct")
    run_relion([program, "--i", star.name, "--o", out.name, "--ctf", "--skip_gridding"], star.parent)


def cpu_and_wall(work: Callable[[], None]) -> tuple[float, float]:
    """CPU seconds of this process and its children, and wall seconds."""

    def cpu() -> float:
        both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(usage.ru_utime + usage.ru_stime for usage in both)

    before, start = cpu(), time.perf_counter()
    work()
    return cpu() - before, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--particles", type=int, default=10_000)
    parser.add_argument("--box", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--folder", type=Path, help="where the particles (655 MB by default) are put for the run"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        small = folder / "small"
        small.mkdir()
        run_native(make_particles(small, 10, arguments.box), small / "warm.mrc")
        star = make_particles(folder, arguments.particles, arguments.box)
        ratios = []
        print(
            f"{arguments.particles} particles of {arguments.box}^2, RELION {relion_version()}, "
            "one thread each"
        )
        print("round | vitreous CPU s (wall) | RELION CPU s (wall) | ratio of CPU (of wall)")
        for number in range(1, arguments.rounds + 1):
            ours = cpu_and_wall(lambda: run_native(star, folder / "native.mrc"))
            theirs = cpu_and_wall(lambda: run_other(star, folder / "relion.mrc"))
            ratios.append(theirs[0] / ours[0])
            print(f"{number:5d} | {ours[0]:8.2f} ({ours[1]:.2f}) | {theirs[0]:8.2f} ({theirs[1]:.2f}) | "
                  f"{ratios[-1]:.2f} ({theirs[1] / ours[1]:.2f})", flush=True)  # fmt: skip
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"median ratio {statistics.median(ratios):.2f}: above 1 vitreous is faster; "
            f"its peak memory {peak:.0f} MB"
        )


if __name__ == "__main__":
    main()
