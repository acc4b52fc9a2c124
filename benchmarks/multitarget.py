"""Multi-target detection: an E-step against the published loop, growth with the measurement, the MNIST grid.

Part a: one EM iteration at L = 28, N = 11 L, K = 4, beside a plain restatement of the public code's loop
(tests/multitarget_loop.py, within a tenth of the public code's own time), by turns in one process. The loop
is timed on a share of the patches and scaled; its set-up, which all patches share, is not. The results on
that share are compared. Part b: time and memory of an iteration at N = 11 to 88 L, each in its own process.
Part c: 10 targets, 3 SNRs, with and without the published prior, 100 iterations each, on two cores. With a
GPU, a and c are timed there as well. CPU seconds count, since the machine may be busy; wall beside them.

    OMP_NUM_THREADS=1 python benchmarks/multitarget.py [--part a|b|c] [--all] [--data FOLDER] [--prior MODEL]
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import multiprocessing
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from multitarget_chart import draw
from torch import Tensor

from vitreous.multitarget.image_settings import MnistImages
from vitreous.multitarget.images.registry import target_images
from vitreous.multitarget.maximise import gradient_steps, likelihood_gradient
from vitreous.multitarget.measurement import plant
from vitreous.multitarget.patches import patch_statistics, prepare_patches, uniform_shifts
from vitreous.multitarget.priors.base import Prior
from vitreous.multitarget.priors.registry import load_prior
from vitreous.multitarget.priors.vp import VpPrior, VpScore
from vitreous.multitarget.priors.vp_network import VpNetwork
from vitreous.multitarget.rotation import Rotations
from vitreous.multitarget.settings import EmSettings, MeasurementSettings
from vitreous.multitarget.statistics import Statistics
from vitreous.multitarget.trials import Trial, run_target
from vitreous.multitarget.whole import WholeStep
from vitreous.runtime.device import Runtime
from vitreous.runtime.memory import keep_freed_memory

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from multitarget_loop import loop_statistics  # noqa: E402

SIZE, ROTATIONS, ACROSS = 28, 4, 11
RESULTS = ROOT / "docs/results"
SIDES = (11, 22, 44, 88)
SNRS = (0.1, 0.5, 1.0)
# The paper: one step of 1e-3 (Table I).
RATE = 1e-3


def blob(seed: int) -> Tensor:
    """A picture like a digit: three strokes of random place in an empty margin, 0 to 1 (28, 28)."""
    rng = np.random.default_rng(seed)
    at = np.arange(SIZE)
    image = np.zeros((SIZE, SIZE))
    for _ in range(3):
        ends = rng.uniform(7, 20, (2, 2))
        for share in np.linspace(0, 1, 20):
            y, x = ends[0] + share * (ends[1] - ends[0])
            image = np.maximum(image, np.exp(-((at[:, None] - y) ** 2 + (at - x) ** 2) / 3))
    return torch.from_numpy(image).float()


class Step:
    """One EM iteration of one form at one precision: E-step and one step of ascent."""

    def __init__(self, form: str, dtype: torch.dtype, device: str, pixels: Tensor, sigma: float) -> None:
        """Prepare it on a measurement (H, W)."""
        self.name = f"{form}, {str(dtype).removeprefix('torch.')}, {device}"
        self.device = device
        self.image = (0.7 * blob(1)).to(device, dtype)[None]
        pixels = pixels.to(device, dtype)[None]
        self.sigma = torch.tensor([sigma], dtype=dtype, device=device)
        self.rotations = Rotations(ROTATIONS, SIZE, self.image)
        self.statistics: Callable[[], Statistics]
        if form == "patch":
            patches, shifts = prepare_patches(pixels, SIZE), uniform_shifts(SIZE, self.image)[None]
            self.statistics = lambda: patch_statistics(
                patches, self.image, self.rotations, self.sigma, shifts
            )
        else:
            whole, targets = WholeStep(pixels, SIZE, 2 * SIZE), torch.full_like(self.sigma, 12)
            self.statistics = lambda: whole.statistics(self.image, self.rotations, self.sigma, targets)

    def run(self) -> None:
        """Do it once."""
        gradient_steps(
            self.image, self.statistics(), self.rotations, self.sigma, rate=RATE, gamma=0, steps=1, prior=None
        )
        if self.device == "cuda":
            torch.cuda.synchronize()

    def gradient(self) -> np.ndarray:
        """Gradient of the log-likelihood (L, L)."""
        uphill = likelihood_gradient(self.image, self.statistics(), self.rotations, self.sigma)
        return uphill[0].double().cpu().numpy()


def timed(work: Callable[[], object], repeats: int = 1) -> tuple[float, float]:
    """CPU and wall seconds of one run."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.process_time() - cpu) / repeats, (time.perf_counter() - wall) / repeats


def measured(across: int) -> tuple[Tensor, float]:
    """A measurement of `across` images a side (N, N), at SNR 1."""
    one = plant(blob(0), MeasurementSettings(size_in_images=across), 1.0, np.random.default_rng(0))
    return one.pixels, one.sigma


def compare(devices: list[str], rows: int, rounds: int) -> None:
    """Part a: print the times of the loop and of every form here, by turns, and their ratio."""
    pixels, sigma = measured(ACROSS)
    image = (0.7 * blob(1)).double().numpy()
    part, patches = pixels[: rows * SIZE].numpy(), ACROSS**2
    steps = [
        Step(form, dtype, device, pixels, sigma)
        for device in devices
        for form in ("patch", "whole")
        for dtype in (torch.float32, torch.float64)
    ]
    loops, ours = [], {step.name: [] for step in steps}
    for step in steps:
        step.run()
    for _ in range(rounds):
        setup = timed(lambda: loop_statistics(part[:0], image, sigma, ROTATIONS))
        both = timed(lambda: loop_statistics(part, image, sigma, ROTATIONS))
        scale = ACROSS / rows
        loops.append(tuple(s + scale * (b - s) for s, b in zip(setup, both, strict=True)))
        for step in steps:
            ours[step.name] += [timed(step.run, 5) for _ in range(8)]
    slow = statistics.median(cpu for cpu, _ in loops)
    print(f"one EM iteration, L = {SIZE}, N = {ACROSS} L, K = {ROTATIONS}: medians of {rounds} rounds")
    print(f"the loop timed on {rows * ACROSS} of {patches} patches, its set-up apart")
    print("| form | CPU s | wall s | loop / this, CPU (wall) |\n| --- | --- | --- | --- |")
    walls = statistics.median(wall for _, wall in loops)
    print(f"| published loop | {slow:.1f} | {walls:.1f} | 1 |")
    for name, times in ours.items():
        cpu, wall = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"| {name} | {cpu:.4f} | {wall:.4f} | {slow / cpu:.0f} ({walls / wall:.0f}) |")
    loop = loop_statistics(part, image, sigma, ROTATIONS).gradient
    for dtype in (torch.float32, torch.float64):
        step = Step("patch", dtype, "cpu", torch.from_numpy(part), sigma)
        error = np.abs(step.gradient() - loop).max() / np.abs(loop).max()
        print(f"gradient of these patches, {step.name} against the loop: {error:.1e} of its largest value")


def child(form: str, across: int) -> None:
    """One point of part b, in a process of its own: seconds an iteration and peak memory as JSON."""
    keep_freed_memory()
    small, sigma = measured(2)
    Step(form, torch.float32, "cpu", small, sigma).run()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pixels, sigma = measured(across)
    pixels = pixels.float()
    step = Step(form, torch.float32, "cpu", pixels, sigma)
    step.run()
    times = [timed(step.run) for _ in range(max(8, 10_000 // across**2))]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({
        "cpu_s": statistics.median(cpu for cpu, _ in times), "wall_s": min(wall for _, wall in times),
        "peak_mb": peak / 1024, "excess_mb": (peak - before) / 1024,
        "measurement_mb": pixels.numel() * pixels.element_size() / 2**20,
    }))  # fmt: skip


def scaling() -> None:
    """Part b: a table, a CSV and a chart of time and memory against the measurement's side."""
    rows = []
    print("memory: peak, of it beyond the program itself, and the measurement; growth: D K (2L)^2 log2 2L")
    print("| form | N / L | CPU s | ns / growth | peak MB | beyond MB | measurement MB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for form in ("patch", "whole"):
        for across in SIDES:
            command = [sys.executable, __file__, "--child", form, str(across)]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            answer = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
            found = json.loads(answer.stdout.splitlines()[-1])
            work = across**2 * ROTATIONS * (2 * SIZE) ** 2 * math.log2(2 * SIZE)
            row = {"form": form, "side_in_images": across, "side_px": across * SIZE, **found}
            row["ns_per_unit"] = 1e9 * found["cpu_s"] / work
            rows.append(row)
            print(f"| {form} | {across} | {found['cpu_s']:.4f} | {row['ns_per_unit']:.2f} | "
                  f"{found['peak_mb']:.0f} | {found['excess_mb']:.0f} | {found['measurement_mb']:.1f} |",
                  flush=True)  # fmt: skip
    with (RESULTS / "multitarget-scaling.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: round(v, 6) if isinstance(v, float) else v for key, v in row.items()}
                         for row in rows)  # fmt: skip
    draw(rows, SIZE, ROTATIONS, RESULTS / "multitarget-scaling.png")
    print(f"written: {RESULTS / 'multitarget-scaling.csv'} and .png")


def stand_in_prior(device: str) -> Prior:
    """The published network with random weights: no good as a prior, but as dear as one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = VpScore(VpNetwork(), scaled=False).to(device).eval()
    mean = torch.stack([blob(seed) for seed in range(10)]).mean(0).to(device)
    return VpPrior(SIZE, mean, 0.3, torch.empty(0, dtype=torch.int64), model, 0.01)


def errors_at(
    snr: float, with_prior: bool, device: str, data: Path | None, model: Path | None
) -> list[float]:
    """Published errors of ten targets at one SNR."""
    runtime = Runtime(device=device, seed=1)
    runtime.torch_device()
    images, start = torch.stack([blob(seed) for seed in range(10, 20)]), torch.zeros(SIZE, SIZE)
    start += torch.stack([blob(seed) for seed in range(10)]).mean(0)
    if data is not None:
        targets = target_images(MnistImages(folder=data.name), data.parent, runtime)
        images, start = targets.images, targets.start
    prior = (stand_in_prior(device) if model is None else load_prior(model, runtime)) if with_prior else None
    settings = EmSettings(published=True, gamma_schedule="linear", stop_below=0)
    trial = Trial(settings, MeasurementSettings(count="published"), snr, 1, 0, prior)
    rows = [run_target(image, str(i), start, trial, runtime)[0][0] for i, image in enumerate(images)]
    return [row["error"] for row in rows]


def grid(device: str, data: Path | None, model: Path | None) -> None:
    """Part c: print the wall time of the published grid and its mean errors."""
    jobs = [(snr, with_prior) for with_prior in (True, False) for snr in SNRS]
    start = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    workers = 2 if device == "cpu" else 1
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        found = list(pool.map(errors_at, *zip(*jobs, strict=True), *([x] * 6 for x in (device, data, model))))
    wall = time.perf_counter() - start
    iterations = 100 * sum(map(len, found))
    print(f"published grid on {device}: {iterations} iterations, half of them with the network; "
          f"{wall:.1f} s wall with everything, {workers} at a time")  # fmt: skip
    print("| prior | " + " | ".join(f"SNR {snr}" for snr in SNRS) + " |\n| --- |" + " --- |" * len(SNRS))
    label = {True: model.name if model else "random weights", False: "none"}
    for with_prior in (False, True):
        errors = [np.mean(e) for (_, own), e in zip(jobs, found, strict=True) if own is with_prior]
        print(f"| {label[with_prior]} | " + " | ".join(f"{error:.3f}" for error in errors) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--part", choices=("a", "b", "c"), help="default: all three")
    parser.add_argument("--all", action="store_true", help="run the loop on all 121 patches (half a minute)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, help="folder of MNIST's IDX files (default: drawn strokes)")
    parser.add_argument("--prior", type=Path, help="model file (default: the published network, untrained)")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    if arguments.child:
        child(arguments.child[0], int(arguments.child[1]))
        return
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, "
          f"load {load}\n$ {' '.join(['python', *sys.argv])}\n")  # fmt: skip
    if arguments.part in ("a", None):
        compare(devices, ACROSS if arguments.all else 1, arguments.rounds)
    if arguments.part in ("b", None):
        scaling()
    if arguments.part in ("c", None):
        for device in devices:
            grid(device, arguments.data, arguments.prior)


if __name__ == "__main__":
    main()
