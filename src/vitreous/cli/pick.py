"""`vitreous pick`: particles in micrographs of one's own, without a workflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vitreous.cli.examples import examples
from vitreous.cli.options import (
    MAX_FAILED_SHARE,
    PANEL,
    Device,
    Diameter,
    Force,
    MaxFailedShare,
    Micrographs,
    PixelSize,
    Seed,
    Threads,
    Trust,
    Verbose,
    refuse_overwriting,
    settings_of,
    stage_runtime,
)
from vitreous.errors import SettingsError, VitreousError
from vitreous.runtime.plural import plural

if TYPE_CHECKING:
    import pandas as pd

    from vitreous.cli.loose import Loose
    from vitreous.runtime.device import Runtime

Form = Literal["star", "csv", "topaz", "relion", "box", "cbox", "cs"]
FOLDERS = ("relion", "box", "cbox")


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command(
        rich_help_panel=PANEL,
        epilog=examples(
            "vitreous pick my_micrographs --pixel-size-A 1.5 --diameter-A 130 --overlay seen",
            "vitreous pick my_micrographs --pixel-size-A 1.5 --diameter-A 130 --train --save-model mine.pt",
            "vitreous pick 'data/*.mrc' --pixel-size-A 1.5 --diameter-A 130 --picker blob --out picks.csv",
        ),
    )(pick)


def pick(
    micrographs: Micrographs,
    pixel_size_A: PixelSize,
    diameter_A: Diameter,
    out: Annotated[
        Path, typer.Option(help="Picks to write; a folder for the forms with a file a micrograph.")
    ] = Path("picks.star"),
    form: Annotated[
        Form | None,
        typer.Option("--form", help="RELION and cryoSPARC read star; box is EMAN's; default by the ending."),
    ] = None,
    picker: Annotated[str, typer.Option(help="Picker, or a plugin as file.py:function.")] = "emmae",
    model: Annotated[
        Path | None, typer.Option(help="Trained model; default the one that comes along, if any.")
    ] = None,
    train: Annotated[bool, typer.Option("--train", help="Train on these micrographs first.")] = False,
    save_model: Annotated[Path | None, typer.Option(help="Where `--train` leaves its model.")] = None,
    threshold: Annotated[str, typer.Option(help="`auto`, or the lowest score to keep.")] = "auto",
    overlay: Annotated[Path | None, typer.Option(help="Folder for pictures with the picks.")] = None,
    contrast: Annotated[
        Literal["dark", "bright", "auto"],
        typer.Option(help="How particles look in the micrographs as stored; `auto`: found in each."),
    ] = "dark",
    trust: Trust = None,
    max_failed_share: MaxFailedShare = MAX_FAILED_SHARE,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = None,
    verbose: Verbose = False,
    force: Force = False,
) -> None:
    """Find particles in micrographs.

    Writes the centres with their scores, those above the threshold. No labels are needed; a model that comes
    along picks at once, `--train` learns from the micrographs given.
    """
    from vitreous.cli.loose import dataset_of
    from vitreous.cli.pick_model import model_for
    from vitreous.io.picks import read_picks

    kind = _form(out, form)
    refuse_overwriting(out, force)
    settings = picker_settings(picker, threshold, contrast)
    runtime = stage_runtime(device, threads, seed, verbose)
    with dataset_of(
        micrographs,
        scratch=out.parent,
        max_failed_share=max_failed_share,
        diameter_A=diameter_A,
        pixel_size_A=pixel_size_A,
        contrast="dark" if contrast == "auto" else contrast,
        trust=trust,
    ) as loose:
        chosen = model_for(settings, model, loose, runtime, train=train, save=save_model)
        details = run_picker(loose, settings, chosen, runtime, max_failed_share)
        picks = read_picks(details / "picks.star")
        _print_picks(picks, loose, details, settings.threshold)
        diameter_px = diameter_A / pixel_size_A
        if overlay is not None:
            _draw(overlay, picks, loose, diameter_px)
        _write(out, kind, picks, loose, diameter_px)
    print(f"written: {out}")


def _form(out: Path, form: Form | None) -> str:
    from vitreous.io.coordinates import coordinate_kind

    if form is not None:
        return form
    kind = coordinate_kind(out)
    if kind not in ("star", "csv", "topaz"):
        todo = "end --out in .star, .csv or .txt (Topaz), or give --form"
        raise SettingsError("the ending names no form of picks", file=out, todo=todo)
    return kind


def _write(out: Path, kind: str, picks: pd.DataFrame, loose: Loose, diameter_px: float) -> None:
    """Write picks under the names of the user's own files; boxes are one and a half diameters wide."""
    from vitreous.cli.loose import names_from
    from vitreous.io.coordinate_exports import write_coordinates
    from vitreous.io.micrograph import micrograph_shape

    names = names_from(out.parent, loose)
    shapes = None
    if kind in (*FOLDERS, "cs"):
        shapes = {names[name]: micrograph_shape(path) for name, path in loose.files.items()}
    box_px = 2 * round(0.75 * diameter_px)
    renamed = picks.assign(micrograph=picks["micrograph"].map(names))
    write_coordinates(out, renamed, kind, shapes=shapes, box_px=box_px)


def _draw(folder: Path, picks: pd.DataFrame, loose: Loose, diameter_px: float) -> None:
    """A picture of every micrograph with its picks."""
    from vitreous.io.micrograph import read_micrograph
    from vitreous.report.overlay_pictures import write_overlay

    folder.mkdir(parents=True, exist_ok=True)
    drawn = 0
    for name, path in loose.files.items():
        own = picks[picks["micrograph"] == name]
        try:
            image = read_micrograph(path)
        except VitreousError:
            continue  # said above, with the micrographs that failed
        write_overlay(folder / f"{path.stem}.png", image, own[["x", "y"]].to_numpy(float), diameter_px)
        drawn += 1
    print(f"{plural(drawn, 'picture')} in {folder}")


def picker_settings(picker: str, threshold: str, contrast: str = "dataset") -> Any:
    """The settings of a picker by its name, or of a plugin by `module:function`, at a threshold.

    `contrast` is auto where it shall be found in the micrographs; else the data set says it.

    Raises SettingsError naming the pickers there are, and for a threshold that is no number.
    """
    from typing import get_args

    from vitreous.picking.settings import PickerSettings, PluginSettings

    kinds = {kind.model_fields["variant"].default: kind for kind in get_args(get_args(PickerSettings)[0])}
    values: dict[str, Any] = {"threshold": threshold if threshold == "auto" else _number(threshold)}
    values["contrast"] = "auto" if contrast == "auto" else "dataset"
    if ":" in picker:
        return settings_of(PluginSettings, {**values, "entry": picker})
    if picker not in kinds:
        expected = f"{', '.join(sorted(kinds))}, or a plugin as file.py:function"
        raise SettingsError("no such picker", place="--picker", found=picker, expected=expected)
    return settings_of(kinds[picker], values)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        expected = "`auto` or a number"
        raise SettingsError("not a threshold", place="--threshold", found=text, expected=expected) from None


def run_picker(
    loose: Loose,
    settings: Any,
    model: Path | None,
    runtime: Runtime,
    max_failed_share: float = MAX_FAILED_SHARE,
) -> Path:
    """All candidates and the automatic threshold; returns the folder of picks, candidates, threshold."""
    from vitreous.picking.stages import collect_picks, pick_batch

    details = loose.folder.parent / "picks"
    candidates = details / "batch-01-of-01.star"
    pick_batch(
        loose.batch,
        loose.folder,
        candidates,
        settings=settings,
        max_failed_share=max_failed_share,
        model=model,
        provenance=details / "batch.provenance.json",
        runtime=runtime,
    )
    collect_picks(
        [candidates],
        loose.folder,
        details,
        settings=settings,
        provenance=details / "provenance.json",
        runtime=runtime,
    )
    return details


def _print_picks(picks: pd.DataFrame, loose: Loose, details: Path, threshold: str | float) -> None:
    """How many there are, above which threshold, and what failed."""
    import pandas as pd

    from vitreous.runtime.files import read_json

    failed = set(pd.read_csv(details / "failed.csv")["micrograph"])
    automatic = threshold == "auto"
    chosen = float(read_json(details / "threshold.json")["automatic"]) if automatic else float(threshold)
    counts = picks["micrograph"].value_counts()
    each = [int(counts.get(name, 0)) for name in loose.files if name not in failed]
    how = "automatic" if automatic else "given"
    spread = f" ({min(each)} to {max(each)} each)" if len(each) > 1 else ""
    found = f"{plural(len(picks), 'pick')} in {plural(len(each), 'micrograph')}{spread}"
    print(f"{found}, threshold {chosen:.4g} ({how})")
    if failed or loose.unread:
        given = plural(len(loose.files) + loose.unread, "micrograph")
        print(f"{len(failed) + loose.unread} of {given} left out, as said above")
