"""Speed of the simulator: a data set of 20 micrographs, and one micrograph against the plain way, in turns.

The plain way is what a script does first: turn the volume for each particle in real space, sum it up, apply
the CTF to each particle's own padded image, add it in. Both sides make the same micrograph; their correlation
is printed (it is below 1 because turning in real space by trilinear interpolation smooths).
Run: python benchmarks/simulate.py [--threads 1]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy.fft import fft2, ifft2
from scipy.ndimage import affine_transform

from vitreous.physics.ctf import Ctf, ctf_2d
from vitreous.runtime.device import Runtime
from vitreous.simulate.artefacts import Scenery
from vitreous.simulate.micrograph import Scene, compose, padded_field, simulate_micrograph
from vitreous.simulate.placement import Layout
from vitreous.simulate.settings import SimulateSettings
from vitreous.simulate.stages import collect_dataset, make_scene, simulate_batch

SETTINGS = SimulateSettings(
    micrographs=20,
    pixel_size_A=2.0,
    targets=[{"name": "a", "phantom": "d2", "diameter_A": 160, "count": 60}],
    artefacts={"carbon_probability": 0.3, "ice_balls": [0, 4], "aggregates": [0, 2], "debris": [0, 6]},
    half_doses=True,
)


def plain_micrograph(scene: Scene, layout: Layout, ctf: Ctf, settings: SimulateSettings) -> np.ndarray:
    """Relative mean of the electrons `(h, w)`, one particle at a time, in NumPy and SciPy."""
    volume = scene.targets[0].volume.numpy()
    n = volume.shape[0]
    wide = 2 * n
    margin, field = padded_field(settings.shape, scene)
    total = np.zeros(field, np.float32)
    transfer = ctf_2d(ctf, (wide, wide), settings.pixel_size_A, rfft=False).numpy()
    flip = np.eye(3)[::-1]  # (x, y, z) to the array's (z, y, x)
    for (x, y), pose in zip(layout.xy_px, layout.matrices().double().numpy(), strict=True):
        column, row = round(x), round(y)
        # output point q shows the volume at A^T (q - shift)
        back = flip @ pose.T @ flip
        shift = np.array([0.0, y - row, x - column])
        middle = np.full(3, n // 2)
        turned = affine_transform(volume, back, middle - back @ (middle + shift), order=1)
        image = np.zeros((wide, wide), np.float32)
        image[n // 2 : n // 2 + n, n // 2 : n // 2 + n] = turned.sum(0)
        seen = ifft2(fft2(image) * transfer).real
        top, left = row + margin[0] - n, column + margin[1] - n
        y0, x0 = max(top, 0), max(left, 0)
        y1, x1 = min(top + wide, field[0]), min(left + wide, field[1])
        total[y0:y1, x0:x1] += seen[y0 - top : y1 - top, x0 - left : x1 - left]
    total *= scene.interaction * settings.pixel_size_A
    h, w = settings.shape
    return 1 - 2 * total[margin[0] : margin[0] + h, margin[1] : margin[1] + w]


def compare(runtime: Runtime, rounds: int) -> None:
    """Print the times of both ways for the particles of one micrograph, in turns, and their ratio."""
    scene = make_scene(SETTINGS, runtime)
    micrograph = simulate_micrograph(0, scene, SETTINGS, runtime)
    _, field = padded_field(SETTINGS.shape, scene)
    nothing = Scenery(np.zeros(field, np.float32), np.ones(field, np.float32), np.zeros(field, np.uint8))
    ours: list[float] = []
    plain: list[float] = []
    for _ in range(rounds):
        start = time.perf_counter()
        fast = compose(scene, micrograph.particles, nothing, micrograph.ctf, SETTINGS, runtime)
        middle = time.perf_counter()
        slow = plain_micrograph(scene, micrograph.particles, micrograph.ctf, SETTINGS)
        ours.append(middle - start)
        plain.append(time.perf_counter() - middle)
    agreement = np.corrcoef(fast.ravel(), slow.ravel())[0, 1]
    count, box = len(micrograph.particles), scene.targets[0].volume.shape[0]
    us, them = statistics.median(ours), statistics.median(plain)
    print(f"one micrograph, {count} particles, box {box}: ours {us:.3f} s, plain {them:.2f} s, "
          f"ratio {them / us:.1f}, correlation of the two {agreement:.4f}")  # fmt: skip


def whole_data_set(runtime: Runtime) -> None:
    """Print the time for the data set, files and truth included."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        start, cpu = time.perf_counter(), time.process_time()
        batch = root / "batch-01-of-01.star"
        simulate_batch(batch, range(SETTINGS.micrographs), root, SETTINGS, runtime)
        made = time.perf_counter() - start
        collect_dataset([batch], root, SETTINGS, runtime, name="benchmark")
        wall = time.perf_counter() - start
        h, w = SETTINGS.shape
        print(f"{SETTINGS.micrographs} micrographs of {h} x {w} with half-doses, artefacts, masks and truth: "
              f"{wall:.1f} s wall ({made:.1f} s without collecting), "
              f"{time.process_time() - cpu:.1f} s CPU, {runtime.threads} threads")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    runtime = Runtime(threads=arguments.threads, seed=1)
    whole_data_set(runtime)
    compare(runtime, arguments.rounds)


if __name__ == "__main__":
    main()
