"""The pre-processing of cryo-EMMAE here against a plain restatement of the published chain, by turns.

The plain one follows methods/picking.md §1.2 step by step at full size, in double precision and with complex
transforms as published, but with scikit-image's adaptive equalisation where the published code has OpenCV's,
which is some 6 times faster; so the ratio without that step is printed too. Both run in one process and on
one thread (set OMP_NUM_THREADS=1). Prints CPU seconds a micrograph, the ratios, the correlation of our chain
with the published settings to the plain one, and the peak memory of a process of its own for each.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from scipy import fft, ndimage
from skimage.exposure import equalize_adapthist

from vitreous.picking.emmae.preprocess import prepare
from vitreous.picking.emmae.settings import EmmaeSettings, PreprocessSettings

Image = NDArray[np.float32]
Double = NDArray[np.float64]
TITLES = {"vitreous": "vitreous", "published": "vitreous, published settings", "plain": "plain restatement"}
K, BLUR_PX, TAPS, BOX_PX, EPSILON, SIDE = 30, 3.0, 9, 20, 0.1, 1024


def make_micrograph(side: int, diameter: int) -> Image:
    """Dark soft discs on a jittered grid in white noise, on a level that changes across the picture."""
    rng = np.random.default_rng(0)
    places = np.arange(diameter, side - diameter, 1.7 * diameter)
    grid = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)
    rows, columns = np.rint(grid + rng.uniform(-0.2, 0.2, grid.shape) * diameter).astype(int).T
    points = np.zeros((side, side), np.float32)
    points[rows, columns] = -1
    sigma = diameter / 4
    image: Image = ndimage.gaussian_filter(points, sigma) * np.float32(0.5 * 2 * np.pi * sigma**2)
    image += np.linspace(0, 1, side, dtype=np.float32) + rng.standard_normal((side, side), dtype=np.float32)
    return image


def plain(image: Image, diameter: int) -> tuple[NDArray[np.uint8], float]:
    """The published chain on an image (H, W) of even sides: a picture (1024, 1024), and seconds of step 5."""
    unit = to_unit(image[::-1].astype(np.float64))
    unit = to_unit(standardised(unit, diameter + diameter % 2))
    blurred = deconvolved(unit)
    start = time.process_time()
    tiles = [side // 16 for side in image.shape]
    equal = equalize_adapthist(to_bytes(blurred) / 255, kernel_size=tiles, clip_limit=0.01, nbins=256)
    seconds = time.process_time() - start
    smooth = guided(equal.astype(np.float32), (blurred / 255).astype(np.float32))
    picture = Picture.fromarray(to_bytes(smooth)).resize((SIDE, SIDE), Picture.Resampling.BICUBIC)
    return np.asarray(picture), seconds


def to_unit(image: NDArray[Any]) -> NDArray[Any]:
    low, high = image.min(), image.max()
    return (image - low) / (high - low)


def to_bytes(image: NDArray[Any]) -> NDArray[np.uint8]:
    return (to_unit(image) * 255).astype(np.uint8)


def standardised(image: Double, diameter: int) -> Double:
    """Step 3: the corners of a square in the micrograph's middle, correlated over periodic boundaries."""
    axis = np.arange(diameter) - (diameter - 1) / 2
    corners = np.hypot(axis[:, None], axis) >= diameter / 2
    region = np.zeros_like(image)
    rows, columns = ((side - diameter) // 2 for side in image.shape)
    region[rows : rows + diameter, columns : columns + diameter] = corners
    conjugate, count = np.conj(fft.fft2(region)), region.sum()

    def average(values: Double) -> Double:
        return np.abs(fft.fftshift(fft.ifft2(fft.fft2(values) * conjugate))) / count

    mean = average(image)
    variance = average(image**2) - mean**2
    return (image - mean) / np.sqrt(variance)


def deconvolved(image: Double) -> Double:
    """Step 4: the so-called Wiener filter, its kernel's first tap at the origin."""
    line = np.exp(-0.5 * ((np.arange(TAPS) - TAPS // 2) / BLUR_PX) ** 2)
    kernel = np.outer(line, line)
    transform = fft.fft2(kernel / kernel.sum(), image.shape)
    return np.abs(fft.ifft2(fft.fft2(image) * np.conj(transform) / (np.abs(transform) ** 2 + K)))


def guided(image: Image, guide: Image) -> Image:
    """Step 6: the guided filter with a guide so faint that it only averages twice."""

    def box(values: Image) -> Image:
        return ndimage.uniform_filter(values, BOX_PX, mode="mirror")

    mean_guide, mean_image = box(guide), box(image)
    covariance = box(guide * image) - mean_guide * mean_image
    slope = covariance / (box(guide * guide) - mean_guide * mean_guide + np.float32(EPSILON))
    level = mean_image - slope * mean_guide
    return box(slope) * guide + box(level)


def ours(image: Image, diameter: int, settings: PreprocessSettings | None = None) -> Image:
    """Our picture of the same micrograph."""
    return prepare(image, float(diameter), "dark", settings or PreprocessSettings()).image


def memory_mb(only: str, options: argparse.Namespace) -> float:
    """Peak memory of a fresh process that pre-processes one micrograph, MB."""
    sizes = ["--side", str(options.side), "--diameter", str(options.diameter)]
    command = [sys.executable, __file__, "--only", only, *sizes]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--diameter", type=int, default=200, help="px")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=list(TITLES), help="one run, prints its MB")
    options = parser.parse_args()
    # first, since a new process is said to have used at least what its parent had in use
    peak = {} if options.only else {name: memory_mb(name, options) for name in TITLES}
    image = make_micrograph(options.side, options.diameter)
    published = EmmaeSettings(published=True).preprocess
    chains: dict[str, Callable[[], Any]] = {
        "vitreous": lambda: ours(image, options.diameter),
        "published": lambda: ours(image, options.diameter, published),
        "plain": lambda: plain(image, options.diameter),
    }
    if options.only:
        chains[options.only]()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    ours(make_micrograph(512, 60), 60)  # imports
    times: dict[str, list[float]] = {name: [] for name in chains}
    results: dict[str, Any] = {}
    equalising = []
    for _ in range(options.repeats):
        for name, chain in chains.items():
            start = time.process_time()
            results[name] = chain()
            times[name].append(time.process_time() - start)
        equalising.append(results["plain"][1])
    median = {name: statistics.median(values) for name, values in times.items()}
    print(f"{options.side}² px, diameter {options.diameter} px, one thread")
    for name, title in TITLES.items():
        each = [round(value, 2) for value in times[name]]
        print(f"{title}: {median[name]:.2f} s CPU (median of {each}), peak {peak[name]:.0f} MB")
    without = median["plain"] - statistics.median(equalising)
    print(f"plain / vitreous = {median['plain'] / median['vitreous']:.1f}", end="")
    print(f" (plain without its equalisation {without / median['vitreous']:.1f})")
    agreement = np.corrcoef(results["published"].ravel(), results["plain"][0].ravel())[0, 1]
    print(f"published settings against the plain restatement: correlation {agreement:.4f}")


if __name__ == "__main__":
    main()
