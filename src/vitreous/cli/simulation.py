"""`vitreous simulate`: micrographs with known truth, from a few options or from a configuration's block."""

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
    from vitreous.simulate.settings import SimulateSettings

# What is simulated where nothing else is said: a few micrographs that are easy to pick by eye.
DEFAULTS = {
    "phantom": "d2",
    "diameter_A": 150.0,
    "count": 50.0,
    "size_px": 1024,
    "pixel_size_A": 2.5,
    "micrographs": 4,
}


def register(app: typer.Typer) -> None:
    """Add this family's commands to the command line."""
    app.command(
        rich_help_panel=PANEL,
        epilog=examples(
            "vitreous simulate --out simulated",
            "vitreous simulate --phantom o --diameter-A 130 --micrographs 2 --snr 0.05 --out simulated",
            "vitreous simulate config/minimal.yaml --dataset simulated --micrographs 1 --out simulated",
        ),
    )(simulate)


def simulate(
    settings: Annotated[
        Path | None,
        typer.Argument(metavar="YAML", help="A configuration, or the block of one simulated data set."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the data set (standard form, with truth/).")] = Path(
        "simulated"
    ),
    dataset: Annotated[str | None, typer.Option(help="Which data set of the configuration.")] = None,
    micrographs: Annotated[
        int | None, typer.Option(min=0, help="How many (default: 4, or as the YAML says).")
    ] = None,
    phantom: Annotated[
        Literal["c1", "c4", "d2", "o"] | None,
        typer.Option(help="Built-in molecule, by its symmetry (default: d2)."),
    ] = None,
    diameter_A: Annotated[
        float | None, typer.Option("--diameter-A", min=10.0, help="Its longest extent, Å (default: 150).")
    ] = None,
    count: Annotated[
        float | None, typer.Option(min=0.0, help="Mean number of particles a micrograph (default: 50).")
    ] = None,
    size_px: Annotated[
        int | None, typer.Option(min=64, max=16384, help="Side of the micrographs (default: 1024).")
    ] = None,
    pixel_size_A: Annotated[
        float | None, typer.Option("--pixel-size-A", min=0.1, help="Pixel size, Å (default: 2.5).")
    ] = None,
    snr: Annotated[
        float | None, typer.Option(min=1e-6, help="Signal to noise (default: what the dose gives).")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = None,
    verbose: Verbose = False,
    force: Force = False,
) -> None:
    """Simulate micrographs whose particles, poses, CTFs and maps are known.

    From options, or from a YAML file, which then says all but the number of micrographs.
    """
    from vitreous.io.batches import batch_name
    from vitreous.simulate.stages import collect_dataset, simulate_batch

    refuse_overwriting(out / "dataset.json", force)
    options = {
        "phantom": phantom,
        "diameter_A": diameter_A,
        "count": count,
        "size_px": size_px,
        "pixel_size_A": pixel_size_A,
        "snr": snr,
    }
    given = {name: value for name, value in options.items() if value is not None}
    wanted = from_options(given) if settings is None else _from_file(existing(settings), dataset, given)
    if micrographs is not None:
        wanted = wanted.model_copy(update={"micrographs": micrographs})
    runtime = stage_runtime(device, threads, seed, verbose)
    batch = out / batch_name(0, 1)
    simulate_batch(batch, range(wanted.micrographs), out, wanted, runtime)
    collect_dataset([batch], out, wanted, runtime, name=_label(out))
    _say(out, wanted)


def _label(out: Path) -> str:
    from vitreous.cli.init import label

    return label(out.resolve().name)


def from_options(given: dict[str, Any]) -> SimulateSettings:
    """One phantom in square micrographs."""
    from vitreous.simulate.settings import SimulateSettings

    values = DEFAULTS | given
    side = values.pop("size_px")
    target = {
        "name": values["phantom"],
        **{key: values.pop(key) for key in ("phantom", "diameter_A", "count")},
    }
    return settings_of(SimulateSettings, {**values, "shape": (side, side), "targets": [target]})


def _from_file(file: Path, dataset: str | None, given: dict[str, Any]) -> SimulateSettings:
    """The settings of a simulated data set: in a whole configuration, or in a file of its own."""
    if given:
        name = "--" + next(iter(given)).replace("_", "-")
        raise SettingsError(
            "the YAML file says this", place=name, file=file, todo="leave the option out, or the file"
        )
    from vitreous.cli.workflow import open_run
    from vitreous.config.load import read_yaml
    from vitreous.simulate.settings import SimulateSettings

    data = read_yaml(file)
    if "datasets" not in data:
        return settings_of(SimulateSettings, data)
    blocks = open_run(file).config.datasets
    simulated = {name: block for name, block in blocks.items() if isinstance(block, SimulateSettings)}
    name = dataset or (next(iter(simulated)) if len(simulated) == 1 else "")
    if name not in simulated:
        known = ", ".join(simulated) or "none"
        raise SettingsError(
            "which data set?", file=file, found=name or None, expected=known, todo="give --dataset"
        )
    return simulated[name]


def _say(out: Path, wanted: SimulateSettings) -> None:
    from vitreous.io.dataset import Dataset

    known = Dataset(out)
    picks = known.truth_picks()
    particles = plural(0 if picks is None else len(picks), "particle")
    print(f"{plural(wanted.micrographs, 'micrograph')} with {particles}: {out}")
    target = known.info.targets[0]
    print(
        f"next: vitreous pick {out / 'micrographs'} --pixel-size-A {known.info.pixel_size_A:g} "
        f"--diameter-A {target.diameter_A:g} --out picks.star"
    )
