"""`vitreous fsc` and `vitreous reconstruct`: half-maps judged, maps made, without a workflow."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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
from vitreous.errors import InputError
from vitreous.runtime.plural import plural

if TYPE_CHECKING:
    import torch

    from vitreous.metrics.postprocess import FscCurves


def register(app: typer.Typer) -> None:
    """Add this family's commands to the command line."""
    app.command(
        rich_help_panel=PANEL,
        epilog=examples(
            "vitreous fsc half1.mrc half2.mrc",
            "vitreous fsc half1.mrc half2.mrc --mask mask.mrc --out fsc.csv",
        ),
    )(fsc)
    app.command(
        rich_help_panel=PANEL,
        epilog=examples(
            "vitreous reconstruct particles.star --symmetry C4 --out maps",
            "vitreous reconstruct particles.star --engine relion --max-resolution-A 8 --out maps",
        ),
    )(reconstruct)


def reconstruct(
    particles: Annotated[Path, typer.Argument(help="Particles with 3D poses (RELION STAR).")],
    out: Annotated[
        Path, typer.Option(help="Folder for half1.mrc, half2.mrc, map.mrc, reconstruct.json.")
    ] = Path("maps"),
    symmetry: Annotated[str, typer.Option(help="Point group, as C1, C4, D2, T, O, I.")] = "C1",
    engine: Annotated[
        Literal["native", "relion"], typer.Option(help="`relion` needs RELION on the PATH.")
    ] = "native",
    max_resolution_A: Annotated[
        float | None,
        typer.Option("--max-resolution-A", min=0.1, help="Finest resolution kept, Å (default: Nyquist)."),
    ] = None,
    ctf: Annotated[bool, typer.Option("--ctf/--no-ctf", help="Correct for the CTF.")] = True,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = None,
    verbose: Verbose = False,
    force: Force = False,
) -> None:
    """Make half-maps and a map of particles whose poses are known.

    Half-sets are kept, or made where there are none.
    """
    from vitreous.reconstruction.settings import NativeEngine, RelionEngine
    from vitreous.reconstruction.stages import reconstruct as reconstruct_stage
    from vitreous.runtime.files import read_json

    refuse_overwriting(out / "map.mrc", force)
    options = {"max_resolution_A": max_resolution_A, "ctf": ctf}
    settings = (
        settings_of(NativeEngine, options) if engine == "native" else settings_of(RelionEngine, options)
    )
    reconstruct_stage(
        existing(particles),
        out,
        settings=settings,
        symmetry=symmetry,
        provenance=out / "provenance.json",
        runtime=stage_runtime(device, threads, seed, verbose),
    )
    facts = read_json(out / "reconstruct.json")
    print(
        f"map of {facts['used']} of {plural(facts['particles'], 'particle')}, symmetry {facts['symmetry']}, "
        f"{facts['box_px']} px of {facts['pixel_size_A']:.4g} Å: {out / 'map.mrc'}"
    )
    if facts["status"] != "ok":
        print("NO PARTICLE HAS A POSE: the maps are empty")
    else:
        print(f"next: vitreous fsc {out / 'half1.mrc'} {out / 'half2.mrc'}")


def fsc(
    half1: Annotated[Path, typer.Argument(help="First half-map (MRC).")],
    half2: Annotated[Path, typer.Argument(help="Second half-map (MRC), same box and pixel size.")],
    mask: Annotated[Path | None, typer.Option(help="Soft mask (MRC, 0 to 1); default: a soft ball.")] = None,
    diameter_A: Annotated[
        float | None,
        typer.Option(
            "--diameter-A", min=10.0, help="Diameter of the soft ball, Å (default: 0.7 of the box)."
        ),
    ] = None,
    pixel_size_A: Annotated[
        float | None, typer.Option("--pixel-size-A", min=0.01, help="For maps whose header does not say it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the curves to this CSV.")] = None,
    device: Device = "auto",
    threads: Threads = None,
    verbose: Verbose = False,
) -> None:
    """Fourier shell correlation of two half-maps, and the resolution read from it.

    Unmasked, masked, and corrected by randomised phases.
    """
    from vitreous.metrics.map_evaluation import fsc_table, half_map_curves
    from vitreous.metrics.postprocess import default_mask
    from vitreous.metrics.settings import EvaluationSettings
    from vitreous.runtime.files import atomic_path

    runtime = stage_runtime(device, threads, 0, verbose)
    (first, pixel_A), (second, other_A) = _read(half1, pixel_size_A), _read(half2, pixel_size_A)
    if first.shape != second.shape or abs(pixel_A / other_A - 1) > 0.01:
        found = f"{tuple(second.shape)} at {other_A:g} Å"
        raise InputError(
            "half-maps differ", file=half2, found=found, expected=f"{tuple(first.shape)} at {pixel_A:g} Å"
        )
    if mask is None:
        window = default_mask(len(first), None if diameter_A is None else diameter_A / pixel_A)
    else:
        window = _read(mask, pixel_A)[0]
        if window.shape != first.shape:
            raise InputError(
                "mask of another box", file=mask, found=tuple(window.shape), expected=tuple(first.shape)
            )
    where = runtime.torch_device()
    settings = EvaluationSettings()
    curves = half_map_curves(first.to(where), second.to(where), window.to(where), pixel_A, settings)
    _print_resolutions(curves, settings.thresholds)
    if out is not None:
        with atomic_path(out) as part:
            fsc_table(curves, None).to_csv(part, index=False)
        print(f"curves: {out}")


def _read(path: Path, pixel_size_A: float | None) -> tuple[torch.Tensor, float]:
    import torch

    from vitreous.io.mrc import read_volume

    volume, pixel_A = read_volume(path, pixel_size_A)
    return torch.from_numpy(volume.copy()), pixel_A  # a memory map is read-only


def _print_resolutions(curves: FscCurves, thresholds: list[float]) -> None:
    nyquist = 2 * curves.pixel_size_A
    print(f"box {curves.box} px of {curves.pixel_size_A:g} Å, Nyquist {nyquist:.2f} Å")
    print(f"{'':12}" + "".join(f"{f'FSC {level:g}':>12}" for level in thresholds))
    for curve in ("unmasked", "masked", "corrected"):
        cells = [_spoken(curves.resolution(level, curve), nyquist) for level in thresholds]
        print(f"{curve:12}" + "".join(f"{cell:>12}" for cell in cells))
    if curves.mask_too_tight:
        print(
            f"the mask correlates by itself (randomised FSC {curves.randomised_at():.2f}): take a softer one"
        )


def _spoken(resolution_A: float, nyquist_A: float) -> str:
    if math.isnan(resolution_A):
        return f"≤ {nyquist_A:.2f} Å"
    return "none" if math.isinf(resolution_A) else f"{resolution_A:.2f} Å"
