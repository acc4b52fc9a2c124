"""`vitreous ctf`: defocus of micrographs of one's own, without a workflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitreous.cli.examples import examples
from vitreous.cli.options import (
    AMPLITUDE_CONTRAST,
    CS,
    MAX_FAILED_SHARE,
    PANEL,
    VOLTAGE,
    Device,
    Force,
    MaxFailedShare,
    Micrographs,
    PixelSize,
    Threads,
    Trust,
    Verbose,
    refuse_overwriting,
    settings_of,
    stage_runtime,
)

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 20


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command(
        rich_help_panel=PANEL,
        epilog=examples(
            "vitreous ctf my_micrographs --pixel-size-A 1.5 --voltage-kv 300 --cs-mm 2.7 "
            "--amplitude-contrast 0.1 --out ctf.star"
        ),
    )(ctf)


def ctf(
    micrographs: Micrographs,
    pixel_size_A: PixelSize,
    voltage_kv: Annotated[float, VOLTAGE],
    cs_mm: Annotated[float, CS],
    amplitude_contrast: Annotated[float, AMPLITUDE_CONTRAST],
    out: Annotated[Path, typer.Option(help="STAR file to write.")] = Path("ctf.star"),
    min_quality: Annotated[
        float | None, typer.Option(min=0.0, max=0.99, help="A fit below counts as failed.")
    ] = None,
    phase_shift_deg: Annotated[
        float | None, typer.Option(help="Of a phase plate; known, not fitted.")
    ] = None,
    trust: Trust = None,
    max_failed_share: MaxFailedShare = MAX_FAILED_SHARE,
    device: Device = "auto",
    threads: Threads = None,
    verbose: Verbose = False,
    force: Force = False,
) -> None:
    """Fit defocus and astigmatism of every micrograph.

    One that cannot be fitted is named, the others go on.
    """
    from vitreous.cli.loose import dataset_of, name_as_given, names_from
    from vitreous.reconstruction.settings import CtfSettings
    from vitreous.reconstruction.stages import estimate_ctf_batch

    refuse_overwriting(out, force)
    settings = settings_of(CtfSettings, {"min_quality": min_quality, "phase_shift_deg": phase_shift_deg})
    runtime = stage_runtime(device, threads, 0, verbose)
    with dataset_of(
        micrographs,
        scratch=out.parent,
        max_failed_share=max_failed_share,
        pixel_size_A=pixel_size_A,
        trust=trust,
        voltage_kv=voltage_kv,
        cs_mm=cs_mm,
        amplitude_contrast=amplitude_contrast,
    ) as loose:
        estimate_ctf_batch(
            loose.batch,
            loose.folder,
            out,
            settings=settings,
            max_failed_share=max_failed_share,
            provenance=out.with_suffix(".provenance.json"),
            runtime=runtime,
        )
        table = name_as_given(out, "micrographs", names_from(out.parent, loose))
    _print_ctf(table)
    print(f"written: {out}")


def _print_ctf(table: pd.DataFrame) -> None:
    """The first fits as a table, and how many failed."""
    print(f"{'defocus U':>10} {'V, Å':>8} {'angle':>6} {'quality':>7} {'to, Å':>6}  micrograph")
    for row in table.head(MOST_ROWS).to_dict("records"):
        numbers = (
            f"{row['rlnDefocusU']:10.0f} {row['rlnDefocusV']:8.0f} {row['rlnDefocusAngle']:6.1f} "
            f"{row['rlnCtfFigureOfMerit']:7.2f} {row['rlnCtfMaxResolution']:6.1f}"
        )
        print(f"{numbers}  {row['rlnMicrographName']}{'  FAILED' * int(row['vitreousCtfFailed'])}")
    if len(table) > MOST_ROWS:
        print(f"and {len(table) - MOST_ROWS} more")
    print(f"{int(table['vitreousCtfFailed'].sum())} of {len(table)} failed")
