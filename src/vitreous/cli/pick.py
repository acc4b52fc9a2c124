"""`vitreous pick`: particles in micrographs of one's own, without a workflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitreous.cli.examples import examples
from vitreous.cli.options import (
    MAX_FAILED_SHARE,
    PANEL,
    Contrast,
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
    existing,
    refuse_overwriting,
    settings_of,
    stage_runtime,
)
from vitreous.errors import SettingsError

if TYPE_CHECKING:
    import pandas as pd

    from vitreous.cli.loose import Loose
    from vitreous.runtime.device import Runtime


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command(
        rich_help_panel=PANEL,
        epilog=examples(
            "vitreous pick my_micrographs --pixel-size-A 1.5 --diameter-A 130 --out picks.star",
            "vitreous pick 'data/*.mrc' --pixel-size-A 1.5 --diameter-A 130 --threshold 4.5 --out picks.csv",
        ),
    )(pick)


def pick(
    micrographs: Micrographs,
    pixel_size_A: PixelSize,
    diameter_A: Diameter,
    out: Annotated[Path, typer.Option(help="Picks to write: .star, .csv or .txt (Topaz).")] = Path(
        "picks.star"
    ),
    picker: Annotated[str, typer.Option(help="Picker; `blob` needs no training.")] = "blob",
    model: Annotated[Path | None, typer.Option(help="Trained model, for pickers that need one.")] = None,
    threshold: Annotated[str, typer.Option(help="`auto`, or the lowest score to keep.")] = "auto",
    contrast: Contrast = "dark",
    trust: Trust = None,
    max_failed_share: MaxFailedShare = MAX_FAILED_SHARE,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = None,
    verbose: Verbose = False,
    force: Force = False,
) -> None:
    """Find particles in micrographs.

    Writes the centres with their scores, those above the threshold.
    """
    from vitreous.cli.loose import dataset_of, names_from
    from vitreous.io.coordinate_exports import write_coordinates
    from vitreous.io.coordinates import coordinate_kind
    from vitreous.io.picks import read_picks

    kind = coordinate_kind(out)
    if kind not in ("star", "csv", "topaz"):
        todo = "write .star, then `vitreous convert`"
        raise SettingsError("picks are not written in this form", file=out, todo=todo)
    refuse_overwriting(out, force)
    settings = picker_settings(picker, threshold)
    if settings.NEEDS_MODEL and model is None:
        raise SettingsError(
            "this picker needs a trained model", place="--picker", found=picker, todo="give --model"
        )
    runtime = stage_runtime(device, threads, seed, verbose)
    known: dict[str, Any] = {
        "pixel_size_A": pixel_size_A,
        "contrast": contrast,
        "targets": [{"name": "particle", "diameter_A": diameter_A}],
        "trust": trust,
        "max_failed_share": max_failed_share,
    }
    with dataset_of(micrographs, scratch=out.parent, **known) as loose:
        details = run_picker(loose, settings, model, runtime, max_failed_share)
        picks = read_picks(details / "picks.star")
        _print_picks(picks, loose, details, settings.threshold)
        picks["micrograph"] = picks["micrograph"].map(names_from(out.parent, loose))
        write_coordinates(out, picks, kind)
    print(f"written: {out}")


def picker_settings(picker: str, threshold: str) -> Any:
    """The settings of a picker by its name, or of a plugin by `module:function`, at a threshold.

    Raises SettingsError naming the pickers there are, and for a threshold that is no number.
    """
    from typing import get_args

    from vitreous.picking.settings import PickerSettings, PluginSettings

    kinds = {kind.model_fields["variant"].default: kind for kind in get_args(get_args(PickerSettings)[0])}
    values: dict[str, Any] = {"threshold": threshold if threshold == "auto" else _number(threshold)}
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
        model=None if model is None else existing(model),
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
    spread = f" ({min(each)} to {max(each)} each)" if each else ""
    print(f"{len(picks)} picks in {len(each)} micrographs{spread}, threshold {chosen:.4g} ({how})")
    if failed or loose.unread:
        count = len(failed) + loose.unread
        print(f"{count} of {len(loose.files) + loose.unread} micrographs left out, as said above")
