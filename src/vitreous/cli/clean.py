"""`vitreous clean`: remove partial work, or a run's results."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from vitreous.cli.examples import examples
from vitreous.errors import InputError, SettingsError

# As runtime.files.atomic_path and runtime.work name what is not finished.
PART = re.compile(r"^\..+\.\d+-[0-9a-f]{8}(\.\w+)?$")
OF_A_RUN = ("sets", "logs", "benchmarks", "models", "report.html")


def register(app: typer.Typer) -> None:
    """Add this family's commands to the command line."""
    app.command(
        rich_help_panel="The workflow",
        epilog=examples(
            "vitreous clean config/minimal.yaml --work",
            "vitreous clean results/minimal",
            "vitreous clean results/minimal --yes",
        ),
    )(clean)


def clean(
    place: Annotated[
        Path, typer.Argument(metavar="RUN|CONFIG", help="A run's folder, or its configuration.")
    ],
    work: Annotated[
        bool,
        typer.Option("--work", help="Only partial work (*.work folders, half-written files), no result."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a run's results, or only partial work.

    Says what and how large it is before, and asks. Data sets stay.
    """
    run_folder, others = _folders(place)
    found = list(partial_work([run_folder, *others])) if work else [run_folder] * run_folder.exists()
    if not found:
        print(f"nothing to remove in {run_folder}")
        return
    total = 0
    for path in found:
        size = size_of(path)
        total += size
        print(f"{spoken_size(size):>9}  {path}")
    _confirm(f"remove these {len(found)}, {spoken_size(total)}?", yes)
    for path in found:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    print(f"removed {spoken_size(total)}")


def _folders(place: Path) -> tuple[Path, list[Path]]:
    """The run's folder and those of its data sets; raises where `place` is neither run nor configuration."""
    if place.is_file():
        from vitreous.cli.workflow import open_run

        opened = open_run(place)
        return opened.folder, opened.datasets
    if not place.exists():
        raise InputError("no such run or configuration", file=place)
    if not any((place / name).exists() for name in OF_A_RUN):
        raise InputError(
            "not the folder of a run",
            file=place,
            expected=f"one that holds {', '.join(OF_A_RUN)}",
            todo="nothing was removed; give results/<run> or the configuration",
        )
    return place, []


def partial_work(folders: list[Path]) -> Iterator[Path]:
    """The `*.work` folders and the half-written files below `folders`; links are not followed."""
    for folder in folders:
        inside: list[Path] = []
        for path in sorted(folder.rglob("*")):
            if any(path.is_relative_to(parent) for parent in inside):
                continue
            if path.name.endswith(".work") and path.is_dir() and not path.is_symlink():
                inside.append(path)
                yield path
            elif PART.match(path.name) and path.is_file():
                yield path


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if path.is_dir() and not path.is_symlink():
        return sum(item.lstat().st_size for item in path.rglob("*") if not item.is_dir())
    return path.lstat().st_size


def spoken_size(count: float) -> str:
    """A number of bytes as people say it: `3.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _confirm(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise SettingsError("nothing was removed: nobody is there to ask", todo="give --yes")
    typer.confirm(question, abort=True)
