"""Encoding of a prepared micrograph: bf16 against fp32, and preset `small` against `paper`, by turns.

Both number formats encode the same picture; the share of tokens that get the same of 4 clusters is printed,
the clusters being those of the fp32 tokens. The networks are trained for a few steps on the picture, so that
their latents mean something. CPU seconds count, since the machine may be busy. Where the processor has no
bf16 instructions (printed), the ratio is below 1 and `precision: auto` takes fp32.
Usage: python benchmarks/encoder.py [--side 512] [--rounds 3] [--steps 24] [--threads 1]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from vitreous.nets.precision import native_bf16
from vitreous.picking.emmae.kmeans import fit
from vitreous.picking.emmae.preprocess import prepare
from vitreous.picking.emmae.settings import EmmaeSettings
from vitreous.picking.emmae.tokens import Encoder, load_encoder, token_map
from vitreous.picking.emmae.training import train_autoencoder
from vitreous.picking.emmae.windows import Picture
from vitreous.runtime.device import Runtime

CPU = torch.device("cpu")
Image = NDArray[np.float32]


def make_picture(side: int) -> tuple[Image, float]:
    """A prepared micrograph (side, side) of dark discs in noise, and the diameter in its px."""
    rng, diameter = np.random.default_rng(0), 64.0
    full = rng.standard_normal((2 * side, 2 * side), dtype=np.float32)
    rows, columns = np.indices(full.shape, dtype=np.float32)
    for _ in range(round((2 * side / diameter) ** 2 / 4)):
        y, x = rng.uniform(0, 2 * side, 2)
        full[np.hypot(rows - y, columns - x) < diameter / 2] -= 0.3
    prepared = prepare(full, diameter, "dark", EmmaeSettings().preprocess)
    return prepared.image[:side, :side], prepared.diameter_px


def trained(preset: str, image: Image, steps: int, runtime: Runtime) -> Encoder:
    """The encoder of a preset after a few steps on the picture."""
    wide = EmmaeSettings(preset=preset)
    few = {"epochs": 1, "epoch_windows": 16 * steps, "batch": 16, "learning_rate": 8e-3, "warmup_epochs": 0.2}
    training = wide.training.model_copy(update=few)
    network = wide.network.model_copy(update={"start": "quick", "position_base": 32.0})
    settings = wide.model_copy(update={"training": training, "network": network})
    levels = np.round(image * 255).astype(np.uint8)
    found = train_autoencoder([Picture(levels)], settings, runtime)
    print(f"{preset}: {steps} steps, loss {found.log[-1]['loss']:.3f}")
    return load_encoder(network, found.state, found.mean, found.std, CPU)


def by_turns(ways: dict[str, Callable[[], Image]], rounds: int) -> tuple[dict[str, float], dict[str, Image]]:
    """Median CPU seconds and the result of each way."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    results = {name: way() for name, way in ways.items()}  # first calls warm up
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.process_time()
            way()
            seconds[name].append(time.process_time() - start)
    return {name: statistics.median(taken) for name, taken in seconds.items()}, results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--side", type=int, default=512, help="px of the prepared picture")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=24, help="of training before")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    runtime = Runtime(threads=arguments.threads)
    image, diameter = make_picture(arguments.side)
    encoders = {name: trained(name, image, arguments.steps, runtime) for name in ("paper", "small")}
    tokens = EmmaeSettings().tokens

    def way(preset: str, precision: str) -> Callable[[], Image]:
        chosen = tokens.model_copy(update={"precision": precision})
        return lambda: token_map(image, encoders[preset], chosen, diameter)

    ways = {(name, kind): way(name, kind) for name in encoders for kind in ("fp32", "bf16")}
    seconds, maps = by_turns({" ".join(key): call for key, call in ways.items()}, arguments.rounds)
    print(f"picture {image.shape}, bf16 instructions: {native_bf16(CPU)}, threads {arguments.threads}")
    for name, taken in seconds.items():
        print(f"{name}: {taken:.2f} CPU s a picture")
    for name in encoders:
        exact, rounded = (
            maps[f"{name} {kind}"].reshape(-1, maps[f"{name} fp32"].shape[-1]) for kind in ("fp32", "bf16")
        )
        clusters = fit(exact, 4)
        equal = float((clusters.labels(exact) == clusters.labels(rounded)).mean())
        error = float(np.linalg.norm(rounded - exact) / np.linalg.norm(exact))
        ratio = seconds[f"{name} fp32"] / seconds[f"{name} bf16"]
        print(f"{name}: bf16 {ratio:.2f} times as fast, error {error:.4f}, equal labels {equal:.4f}")
    for kind in ("fp32", "bf16"):
        ratio = seconds[f"paper {kind}"] / seconds[f"small {kind}"]
        print(f"small against paper, {kind}: {ratio:.1f} times as fast")


if __name__ == "__main__":
    main()
