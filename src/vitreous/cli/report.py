"""`vitreous report`: the page of a run from what is there, nothing recomputed."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitreous.cli.examples import examples
from vitreous.errors import InputError
from vitreous.runtime.plural import plural

if TYPE_CHECKING:
    from vitreous.cli.workflow import Run


def register(app: typer.Typer) -> None:
    """Add this family's commands to the command line."""
    app.command(
        rich_help_panel="The workflow",
        epilog=examples(
            "vitreous report config/minimal.yaml", "vitreous report vitreous.yaml --out today.html"
        ),
    )(report)


def report(
    config: Annotated[
        Path | None,
        typer.Argument(help="YAML file of the run (default: config/minimal.yaml of the repository)."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write here (default: report.html of the run).")] = None,
) -> None:
    """Write the report again from the results that are there.

    Starts no job; what is missing is shown as missing.
    """
    from vitreous.cli.workflow import open_run, repository, shown
    from vitreous.report.stages import write_report

    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr, force=True)
    run = open_run(config)
    if not run.folder.is_dir():
        raise InputError(
            "this run has no results yet", file=run.folder, todo=f"vitreous run {shown(run.file)}"
        )
    target = out or run.report
    write_report(
        run.folder,
        {folder.name: folder for folder in run.datasets},
        target,
        settings=run.config.report,
        published=repository() / "config" / "published.yaml",
        run_info={"name": run.config.run, "seed": run.config.seed, "configfile": str(run.file)},
    )
    print(f"report: {shown(target.resolve())}")
    missing = _missing(run)
    if missing and out is None:
        # older than everything that it is made from, so that the next run makes what is missing
        os.utime(target, (1, 1))
        print(f"{plural(missing, 'result')} not there yet: `vitreous run {shown(run.file)}`")


def _missing(run: Run) -> int:
    """How many results that the configuration asks for are not there."""
    from vitreous.config.plan import Plan

    return sum(not (run.directory / path).exists() for path in Plan(run.config).results())
