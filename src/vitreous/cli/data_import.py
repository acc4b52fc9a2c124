"""`vitreous data import`: a folder of one's own, or what was fetched, into the standard form of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vitreous.cli.examples import examples
from vitreous.cli.options import AmplitudeContrast, Contrast, Cs, Trust, Voltage
from vitreous.errors import SettingsError


def register(app: typer.Typer) -> None:
    """Add this command to `vitreous data`."""
    app.command(
        "import",
        epilog=examples(
            "vitreous data import my_micrographs --out datasets/mine --pixel-size-A 1.5",
            "vitreous data import my_folder --micrographs 'mics/*.mrc' --coordinates 'picks/*.star' "
            "--pixel-size-A 1.06 --diameter-A 180 --symmetry D2 --out datasets/mine",
            "vitreous data import my_job --particles particles.star --pixel-size-A 1.5 --out datasets/mine",
            "vitreous data import --config config/shared-data.yaml",
        ),
    )(import_)


def import_(
    folder: Annotated[Path | None, typer.Argument(help="Folder of micrographs or particles.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the dataset is laid down.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Import the datasets of this configuration instead.")
    ] = None,
    name: Annotated[list[str] | None, typer.Option(help="With --config: only this dataset.")] = None,
    micrographs: Annotated[
        list[str] | None, typer.Option(help="Globs of micrographs, from the folder (default *.mrc).")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Globs of micrographs to leave out.")] = None,
    coordinates: Annotated[
        list[str] | None, typer.Option(help="Globs of coordinate files of any kind, from the folder.")
    ] = None,
    particles: Annotated[str | None, typer.Option(help="A particle STAR or .cs file in the folder.")] = None,
    pixel_size_A: Annotated[
        float | None, typer.Option("--pixel-size-A", min=0.01, max=100.0, help="Pixel size, Å.")
    ] = None,
    diameter_A: Annotated[
        float | None, typer.Option("--diameter-A", min=10.0, help="Longest extent of the particle, Å.")
    ] = None,
    symmetry: Annotated[str, typer.Option(help="Point group of the particle, as C1, D2, O.")] = "C1",
    voltage_kv: Voltage = None,
    cs_mm: Cs = None,
    amplitude_contrast: AmplitudeContrast = None,
    contrast: Contrast = "dark",
    flip_y: Annotated[bool, typer.Option("--flip-y", help="Rows of coordinates count from below.")] = False,
    trust: Trust = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the images instead of linking them.")] = False,
) -> None:
    """Lay micrographs or particles down in the standard form, with every check, and say what was found."""
    if config is not None:
        _from_configuration(config, name)
        return
    if folder is None or out is None or pixel_size_A is None:
        todo = "give them, or --config FILE"
        raise SettingsError("a folder, --out and --pixel-size-A are needed", todo=todo)
    from vitreous.cli.options import settings_of
    from vitreous.data.settings import LocalSettings

    target = {"name": "particle", "diameter_A": diameter_A, "symmetry": symmetry}
    values: dict[str, Any] = {
        "folder": str(folder.absolute()), "micrographs": micrographs or ([] if particles else ["*.mrc"]),
        "exclude": exclude, "coordinates": coordinates, "particles": particles, "pixel_size_A": pixel_size_A,
        "voltage_kv": voltage_kv, "cs_mm": cs_mm, "amplitude_contrast": amplitude_contrast,
        "contrast": contrast, "flip_y": flip_y, "trust": trust, "link": not copy,
        "targets": [target] if diameter_A else None,
    }  # fmt: skip
    _import(out, settings_of(LocalSettings, values), None)


def _from_configuration(config: Path, names: list[str] | None) -> None:
    from vitreous.config.canonical import restore
    from vitreous.config.load import load_file
    from vitreous.config.plan import Plan
    from vitreous.data.settings import ParticleSettings

    plan = Plan(load_file(config), str(config))
    files = [one for one in plan.config.datasets if plan.fetched.kind(one) != "simulate"]
    unknown = [one for one in names or [] if one not in files]
    if unknown:
        raise SettingsError("no dataset of files is called so", file=config, found=unknown[0],
                            expected=", ".join(files) or "none")  # fmt: skip
    for one in names or files:
        settings = restore(ParticleSettings, plan.dataset_settings(one))
        record = plan.fetched.record(one) if one in plan.fetched.blocks else None
        _import(Path(plan.layout.dataset_root) / one, settings, record)


def _import(out: Path, settings: Any, record: str | None) -> None:
    from vitreous.data.settings import LocalSettings
    from vitreous.data.stages import import_dataset, import_particle_set
    from vitreous.io.dataset import Dataset
    from vitreous.runtime.device import Runtime

    micrographs = isinstance(settings, LocalSettings) and settings.micrographs
    stage = import_dataset if micrographs else import_particle_set
    runtime = Runtime(device="cpu", threads=1, seed=0)
    stage(out, settings=settings, provenance=out / "provenance.json", runtime=runtime, fetched=record)
    dataset = Dataset(out)
    print(f"{out}: {dataset.info.source}")
    for what, said in dataset.info.verified.items():
        print(f"  {what}: {said}")
