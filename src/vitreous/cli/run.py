"""`vitreous run`: the workflow from a configuration to its report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vitreous.cli.examples import examples
from vitreous.runtime.plural import plural

if TYPE_CHECKING:
    from vitreous.cli.workflow import Run

REFRESH = "--refresh-stale"
DEFAULT = "./vitreous.yaml where there is one, else config/minimal.yaml of the repository"


def register(app: typer.Typer) -> None:
    """Add this family's commands to the command line."""
    app.command(
        rich_help_panel="The workflow",
        epilog=examples(
            "vitreous run",
            "vitreous run config/small.yaml --cores 2",
            "vitreous run my-data/vitreous.yaml --dry-run",
            "vitreous run config/full.yaml --profile cluster",
            "vitreous run config/minimal.yaml -- --forcerun evaluate_picks",
        ),
    )(run)


def run(
    config: Annotated[
        str | None, typer.Argument(metavar="CONFIG", help=f"YAML file (default: {DEFAULT}).")
    ] = None,
    snakemake: Annotated[
        list[str] | None, typer.Argument(metavar="-- SNAKEMAKE", help="Passed on to Snakemake.")
    ] = None,
    cores: Annotated[int | None, typer.Option(min=1, help="CPU cores to use (default: all).")] = None,
    profile: Annotated[
        str, typer.Option(help="`local`, `cluster` (Slurm), or a Snakemake profile's folder.")
    ] = "local",
    device: Annotated[
        Literal["auto", "cpu", "cuda"] | None,
        typer.Option(help="Overrides compute.device of the configuration."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Show what would be done.")] = False,
    refresh_stale: Annotated[
        bool,
        typer.Option("--refresh-stale", help="Remake results that are older than the code that made them."),
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show all of Snakemake's output.")] = False,
) -> None:
    """Run the workflow: make what is missing or out of date, up to the report.

    Killed? Run it again: it goes on where it stopped.
    """
    from vitreous.cli import workflow
    from vitreous.cli.machine import available_cores
    from vitreous.cli.screen import DryScreen, Screen

    extra = list(snakemake or [])
    if config is not None and config.startswith("-"):  # no CONFIG before `--`
        extra.insert(0, config)
        config = None
    opened = workflow.open_run(Path(config) if config else None)
    workflow.refuse_missing_gpu(opened, profile, device)
    cores = cores or available_cores()
    data, results = _stale(opened) if refresh_stale else ([], [])
    extra += ["--forcerun", *results] if results else []
    command = workflow.snakemake_command(opened, profile, cores, device, extra + ["--dry-run"] * dry_run)
    if not dry_run:
        workflow.clear_stale_lock(opened)
        if data:
            first = workflow.snakemake_command(opened, profile, cores, device, [*data, "--force"])
            if status := workflow.call_snakemake(opened, first, lambda line: None):
                print(f"the data sets could not be made again; `vitreous run` without {REFRESH} says why")
                raise typer.Exit(status)
    place = plural(cores, "core") if profile != "cluster" else "Slurm"
    print(f"{workflow.shown(opened.file)}: results in {workflow.shown(opened.folder)}, {place}", flush=True)
    screen = (
        DryScreen(verbose) if dry_run else Screen(opened.folder / "logs" / "snakemake.log", cores, verbose)
    )
    try:
        status = workflow.call_snakemake(opened, command, screen.take, record=not dry_run)
    except SystemExit:
        print("ended after the jobs that were running; run again to go on", flush=True)
        raise
    screen.end(opened, status)
    if status == 0 and not refresh_stale:
        _warn_of_stale(opened)
    raise typer.Exit(status)


def _stale(opened: Run) -> tuple[list[str], list[str]]:
    """Provenance files of data sets and of results that are older than their code.

    Data sets are made again first and alone: Snakemake (9.27) does not run a job that is forced when what it
    reads as `ancient` is forced as well.
    """
    from vitreous.cli import stale
    from vitreous.cli.workflow import shown

    files = stale.stale_files(opened)
    for name in files:
        print(f"older than the code that made it: {shown(opened.directory / name)}")
    if not files:
        print("no result is older than the code that made it")
    root = str(opened.config.dataset_root)
    data = [name for name in files if name.startswith(f"{root}/")]
    return data, [name for name in files if name not in data]


def _warn_of_stale(opened: Run) -> None:
    from vitreous.cli import stale
    from vitreous.cli.workflow import shown

    count = len(stale.stale_files(opened))
    if count:
        again = f"vitreous run {shown(opened.file)} --refresh-stale"
        print(f"OLDER THAN THE CODE that made them: {plural(count, 'result')}; `{again}` remakes them")
