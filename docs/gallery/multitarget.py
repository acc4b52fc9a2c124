"""Multi-target detection in one picture: measurement, estimate by iteration, truth; strip and animation.

    .venv/bin/python docs/gallery/multitarget.py --images digits.mrcs --index 3 --snr 0.1 --prior digits.pt

Without --images a ring with a gap is planted. Writes multitarget-strip.png and multitarget.gif to --out.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import matplotlib
import torch
from PIL import Image
from torch import Tensor

from vitreous.io.mrc import open_stack
from vitreous.metrics.image_errors import aligned_error, apply_alignment
from vitreous.multitarget.detection import Problem, detect
from vitreous.multitarget.measurement import plant
from vitreous.multitarget.priors.registry import load_prior
from vitreous.multitarget.rotation import Rotations
from vitreous.multitarget.settings import EmSettings, MeasurementSettings
from vitreous.runtime.device import Runtime

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

SHOWN = 8


def ring(size: int = 28) -> Tensor:
    """A ring with a gap, which shows its orientation."""
    at = torch.arange(size) - (size - 1) / 2
    radius = (at[:, None] ** 2 + at[None, :] ** 2).sqrt()
    image = torch.exp(-((radius - size / 4.5) ** 2) / 4)
    image[:, size // 2 :] *= (at.abs() > 3).float()[:, None]
    return image


def main() -> None:
    """Plant, estimate, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="MRC stack of images to plant")
    parser.add_argument("--index", type=int, default=0, help="which of them")
    parser.add_argument("--snr", type=float, default=0.5)
    parser.add_argument("--prior", type=Path, help="a model file of `vitreous train-prior`")
    parser.add_argument("--rotations", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    runtime = Runtime(seed=options.seed)
    image = torch.tensor(open_stack(options.images)[options.index]) if options.images else ring()
    layout = MeasurementSettings(rotations=options.rotations)
    planted = plant(image, layout, options.snr, runtime.rng("gallery"))
    prior = load_prior(options.prior, runtime) if options.prior else None
    size = image.shape[-1]
    problem = Problem(
        planted.pixels.float()[None], torch.tensor([planted.sigma]), layout.rotations,
        layout.separation_px(size), "EM",
    )  # fmt: skip
    at = torch.arange(size) - (size - 1) / 2
    blob = torch.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / (size / 2) ** 2)
    start = (prior.mean.cpu() if prior else blob * image.square().mean().sqrt())[None]
    frames: list[Tensor] = []
    detect(
        problem, start, EmSettings(iterations=40), prior=prior, generator=runtime.generator("starts"),
        watch=lambda _, images: frames.append(images[0]),
    )  # fmt: skip
    turned = Rotations(layout.rotations, size, image.double()).turn
    reach = min(6, size // 4)
    found = aligned_error(
        frames[-1][None].double(), image, layout.rotations, max_shift_px=reach, turned=turned
    )
    count = len(frames)
    stack = torch.stack(frames).double()
    shown = apply_alignment(
        stack, found.rotation.expand(count), found.shift_px.expand(count, -1), layout.rotations, turned
    )
    errors = (shown - image).flatten(1).norm(dim=1) / image.norm()
    options.out.mkdir(parents=True, exist_ok=True)
    draw_strip(options.out / "multitarget-strip.png", planted.pixels, shown, errors, image, options.snr)
    animate(options.out / "multitarget.gif", planted.pixels, shown, image)
    print(f"error {float(found.error[0]):.3f}: {options.out / 'multitarget-strip.png'}, multitarget.gif")


def draw_strip(
    path: Path, measurement: Tensor, frames: Tensor, errors: Tensor, truth: Tensor, snr: float
) -> None:
    """The measurement, estimates at evenly spaced logarithms of the iteration, and the truth."""
    last = len(frames) - 1
    steps = sorted({round(math.expm1(math.log1p(last) * i / (SHOWN - 1))) for i in range(SHOWN)})
    figure = plt.figure(figsize=(3.0 + 1.25 * (len(steps) + 1), 3.3), layout="constrained")
    grid = figure.add_gridspec(1, len(steps) + 2, width_ratios=[2.2, *[1] * (len(steps) + 1)])
    axis = figure.add_subplot(grid[0])
    axis.imshow(measurement, cmap="gray")
    axis.set_title(f"measurement\nSNR {snr:g}", fontsize=9)
    low, high = min(0.0, float(truth.min())), float(truth.max())
    pictures = [(frames[step], f"iteration {step}\nerror {errors[step]:.2f}") for step in steps]
    for index, (picture, title) in enumerate([*pictures, (truth, "truth\n")]):
        axis = figure.add_subplot(grid[index + 1])
        axis.imshow(picture, cmap="gray", vmin=low, vmax=high)
        axis.set_title(title, fontsize=9)
    for axis in figure.axes:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.savefig(path, dpi=130)
    plt.close(figure)


def animate(path: Path, measurement: Tensor, frames: Tensor, truth: Tensor) -> None:
    """One picture an iteration: measurement, estimate, truth side by side."""
    side = 280
    whole = _grey(measurement, float(measurement.min()), float(measurement.max()), side)
    low, high = min(0.0, float(truth.min())), float(truth.max())
    right = _grey(truth, low, high, side)
    pictures = []
    for frame in frames:
        canvas = Image.new("L", (3 * side + 20, side), 255)
        for index, part in enumerate((whole, _grey(frame, low, high, side), right)):
            canvas.paste(part, (index * (side + 10), 0))
        pictures.append(canvas)
    # The end stays a while.
    durations = [120] * (len(pictures) - 1) + [2000]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0)


def _grey(image: Tensor, low: float, high: float, side: int) -> Image.Image:
    levels = ((image.double() - low) / (high - low) * 255).clamp(0, 255).to(torch.uint8).numpy()
    return Image.fromarray(levels).resize((side, side), Image.Resampling.NEAREST)


if __name__ == "__main__":
    main()
