"""The blob picker against a plain LoG at full resolution, alternating in one process.

The plain one is what a first script does: scipy's gaussian_laplace of the micrograph and a maximum_filter.
Prints seconds of CPU a micrograph, the ratio, and the F1 of both at their best threshold on the same discs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_laplace, maximum_filter

from vitreous.metrics.pick_curve import best_threshold, threshold_curve
from vitreous.picking.blob import find_candidates
from vitreous.picking.blob_settings import BlobSettings
from vitreous.runtime.device import Runtime

Image = NDArray[np.float32]
Array = NDArray[np.float64]
SETTINGS = BlobSettings()


def make_micrograph(side: int, diameter: float, snr: float) -> tuple[Image, Array]:
    """Dark discs on a jittered grid of 1.6 diameters in white noise, and their centres (n, 2)."""
    rng = np.random.default_rng(0)
    image = rng.standard_normal((side, side), dtype=np.float32)
    places = np.arange(diameter, side - diameter, 1.6 * diameter)
    centres = np.array([(x, y) for y in places for x in places])
    centres += rng.uniform(-0.2, 0.2, centres.shape) * diameter
    reach = int(diameter / 2) + 2
    for x, y in centres:
        rows, columns = (slice(round(c) - reach, round(c) + reach + 1) for c in (y, x))
        row, column = np.ogrid[rows, columns]
        image[rows, columns] -= np.sqrt(snr) * (np.hypot(row - y, column - x) <= diameter / 2)
    return image, centres


def plain(image: Image, diameter: float) -> tuple[Array, Array]:
    """Centres (n, 2) and scores (n,) of a LoG at full resolution."""
    response = gaussian_laplace(image, SETTINGS.scale * diameter / (2 * np.sqrt(2)))
    window = int(SETTINGS.min_distance * diameter) // 2 * 2 + 1
    y, x = np.nonzero(response == maximum_filter(response, window))
    return np.stack([x, y], axis=1).astype(float), response[y, x].astype(float)


def ours(image: Image, diameter: float) -> tuple[Array, Array]:
    """The same of the blob picker."""
    found = find_candidates(image, 1.0, diameter, "dark", SETTINGS, Runtime())
    return np.stack([found.x, found.y], axis=1), found.score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--diameter", type=float, default=150.0, help="px")
    parser.add_argument("--snr", type=float, default=0.01, help="variance of a disc over that of the noise")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    image, centres = make_micrograph(options.side, options.diameter, options.snr)
    pickers: dict[str, Callable[[Image, float], tuple[Array, Array]]] = {"vitreous": ours, "plain": plain}
    times: dict[str, list[float]] = {name: [] for name in pickers}
    f1: dict[str, float] = {}
    for _ in range(options.repeats):
        for name, picker in pickers.items():
            start = time.process_time()
            found, score = picker(image, options.diameter)
            times[name].append(time.process_time() - start)
            curve = threshold_curve({"m": centres}, {"m": found}, {"m": score}, options.diameter / 2)
            f1[name] = best_threshold(curve).f1
    median = {name: statistics.median(values) for name, values in times.items()}
    print(f"{options.side}² px, {len(centres)} discs of {options.diameter:.0f} px")
    for name, values in times.items():
        each = [round(value, 2) for value in values]
        print(f"{name}: {median[name]:.2f} s CPU (median of {each}), best F1 {f1[name]:.3f}")
    print(f"vitreous / plain = {median['vitreous'] / median['plain']:.3f}")


if __name__ == "__main__":
    main()
