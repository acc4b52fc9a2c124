"""`vitreous multitarget`, `plant`, `train-prior`: one image, many times in a noisy measurement."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vitreous.cli.examples import examples
from vitreous.cli.options import (
    PANEL,
    Device,
    Force,
    Seed,
    Threads,
    Verbose,
    existing,
    refuse_overwriting,
    settings_of,
    stage_runtime,
)
from vitreous.errors import SettingsError
from vitreous.runtime.plural import plural

if TYPE_CHECKING:
    from vitreous.multitarget.own_measurement import Outcome

# Without a prior several starts are tried: one alone may end in a local optimum.
RESTARTS_WITHOUT_PRIOR = 6
ALARM_RATE = 0.01

Rotations = Annotated[int, typer.Option(min=1, max=720, help="Number of rotations that targets have.")]
Separation = Annotated[
    float, typer.Option(min=1.0, help="Least distance of two targets' corners / side of an image.")
]
Snr = Annotated[
    float | None,
    typer.Option(help="Mean square of the image over its box / variance of the noise."),
]


def register(app: typer.Typer) -> None:
    """Add this family's commands to the command line."""
    app.command(
        rich_help_panel=PANEL,
        epilog=examples(
            "vitreous multitarget measurement.mrc --size 28 --snr 0.5 --prior digits.pt --out estimate.mrc",
            "vitreous multitarget measurement.mrc --size 32 --rotations 36 --poses found.star",
        ),
    )(multitarget)
    app.command(
        rich_help_panel=PANEL,
        epilog=examples("vitreous plant image.mrc --snr 0.5 --out measurement.mrc"),
    )(plant)
    app.command(
        "train-prior",
        rich_help_panel=PANEL,
        epilog=examples(
            "vitreous train-prior class_averages.mrcs --out prior.pt",
            "vitreous train-prior data/mnist --out digits.pt",
        ),
    )(train_prior)


def multitarget(
    measurement: Annotated[Path, typer.Argument(help="The measurement, an MRC image of any size.")],
    size: Annotated[int, typer.Option(min=2, max=1024, help="Side of one image, px.")],
    out: Annotated[Path, typer.Option(help="The image found, MRC.")] = Path("estimate.mrc"),
    snr: Snr = None,
    sigma: Annotated[
        float | None,
        typer.Option(help="Standard deviation of the noise (default: from --snr)."),
    ] = None,
    prior: Annotated[
        Path | None, typer.Option(help="A prior of such images, from `vitreous train-prior` or a run.")
    ] = None,
    rotations: Rotations = 4,
    separation: Separation = 2.0,
    density: Annotated[
        float, typer.Option(min=1e-6, max=1.0, help="Share of pixels that targets cover, for --snr alone.")
    ] = 0.1,
    iterations: Annotated[int, typer.Option(min=1, help="EM iterations.")] = 40,
    restarts: Annotated[
        int | None, typer.Option(min=1, max=64, help="Starts (default: 6, with a prior 1).")
    ] = None,
    e_step: Annotated[
        Literal["whole", "patch"], typer.Option(help="Judge places in the whole, or patches as published.")
    ] = "whole",
    start: Annotated[Path | None, typer.Option(help="Image to start from, MRC.")] = None,
    poses: Annotated[Path | None, typer.Option(help="Where to write the targets' centres, STAR.")] = None,
    history: Annotated[
        Path | None, typer.Option(help="Where to write the image after each iteration, an MRC stack.")
    ] = None,
    test: Annotated[
        bool, typer.Option(help="Claim an image only where two halves of the measurement agree.")
    ] = True,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = None,
    verbose: Verbose = False,
    force: Force = False,
) -> None:
    """Find the image that a noisy measurement holds many times, at unknown places and rotations.

    Without picking, by expectation-maximisation over all places; a prior of such images helps where noise is
    strong. What is written is empty where nothing is told from noise (false alarms: 1 in 100 at most).
    """
    from vitreous.multitarget.own_measurement import Wanted, detect_in_file
    from vitreous.multitarget.settings import EmSettings, MeasurementSettings

    refuse_overwriting(out, force)
    runtime = stage_runtime(device, threads, seed, verbose)
    starts = restarts or (1 if prior is not None else RESTARTS_WITHOUT_PRIOR)
    values: dict[str, Any] = {
        "e_step": e_step, "iterations": iterations, "restarts": starts, "orient": prior is not None,
        "alarm_rate": ALARM_RATE if test else None,
        "sigma": "estimated" if snr is None and sigma is None else "given",
    }  # fmt: skip
    layout = {"rotations": rotations, "separation": separation, "density": density}
    outcome = detect_in_file(
        existing(measurement), out,
        wanted=Wanted(size, snr, sigma),
        settings=settings_of(EmSettings, values),
        layout=settings_of(MeasurementSettings, layout),
        prior=None if prior is None else existing(prior), start=start, poses=poses, history=history,
        runtime=runtime,
    )  # fmt: skip
    _say(outcome, out)


def _say(outcome: Outcome, out: Path) -> None:
    count = len(outcome.poses.turns)
    print(f"noise {outcome.sigma:.4g}, {outcome.targets:.1f} targets expected, {count} told with certainty")
    if outcome.log_evidence == outcome.log_evidence:
        print(f"evidence of one half on the other: {outcome.log_evidence:.1f} nats against noise alone")
    if not outcome.claimed:
        print("nothing is claimed: the image written is empty; --no-test writes what EM ends with")
    print(f"written: {out}")


def plant(
    image: Annotated[Path, typer.Argument(help="The image, square: MRC, or a stack with --index.")],
    snr: Annotated[float, typer.Option(help="Mean square of the image over its box / noise variance.")],
    out: Annotated[Path, typer.Option(help="The measurement, MRC.")] = Path("measurement.mrc"),
    index: Annotated[int, typer.Option(min=0, help="Which image of a stack, from 0.")] = 0,
    side_in_images: Annotated[
        float, typer.Option(min=2.0, max=500.0, help="Side of the measurement / side of the image.")
    ] = 11,
    density: Annotated[float, typer.Option(help="Share of pixels that the targets cover.")] = 0.1,
    rotations: Rotations = 4,
    separation: Separation = 2.0,
    truth: Annotated[Path | None, typer.Option(help="Where to write the planted centres, STAR.")] = None,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Plant turned copies of an image in noise: a measurement with known truth for `vitreous multitarget`."""
    from vitreous.multitarget.planting import plant_file
    from vitreous.multitarget.settings import MeasurementSettings

    refuse_overwriting(out, force)
    values = {
        "size_in_images": side_in_images, "density": density, "rotations": rotations,
        "separation": separation,
    }  # fmt: skip
    runtime = stage_runtime("cpu", 1, seed, False)
    settings = settings_of(MeasurementSettings, values)
    planted = plant_file(existing(image), out, index=index, settings=settings, snr=snr, truth=truth,
                         runtime=runtime)  # fmt: skip
    print(f"{plural(len(planted.turns), 'target')} in noise of {planted.sigma:.4g}: {out}")


def train_prior(
    images: Annotated[
        Path, typer.Argument(help="Images to learn from: an MRC stack, or a folder of MNIST's IDX files.")
    ],
    out: Annotated[Path, typer.Option(help="The prior's model file.")] = Path("prior.pt"),
    variant: Annotated[
        Literal["edm", "vp", "implicit"],
        typer.Option(help="Denoiser, or a published score network."),
    ] = "edm",
    preset: Annotated[
        Literal["minimal", "small", "paper"],
        typer.Option(help="Seconds, minutes, or as published."),
    ] = "small",
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = None,
    verbose: Verbose = False,
    force: Force = False,
) -> None:
    """Train a prior of images for `vitreous multitarget --prior`."""
    from pydantic import TypeAdapter, ValidationError

    from vitreous.multitarget.image_settings import MnistImages, StackImages
    from vitreous.multitarget.prior_settings import PriorSettings
    from vitreous.multitarget.prior_training import train_prior as stage

    refuse_overwriting(out, force)
    runtime = stage_runtime(device, threads, seed, verbose)
    place = existing(images).resolve()
    source: MnistImages | StackImages = (
        MnistImages(folder=place.name)
        if place.is_dir()
        else StackImages(targets=place.name, training=place.name)
    )
    try:
        settings = TypeAdapter(PriorSettings).validate_python({"variant": variant, "preset": preset})
    except ValidationError as error:
        raise SettingsError("no such preset of this variant", place="--preset", found=preset) from error
    stage(
        out, out.with_suffix(".csv"), settings=settings, images=source, root=place.parent,
        provenance=out.with_suffix(".provenance.json"), runtime=runtime,
    )  # fmt: skip
    print(f"written: {out}, its training: {out.with_suffix('.csv')}")
