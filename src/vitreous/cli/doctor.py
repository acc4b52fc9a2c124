"""`vitreous doctor`: what this machine offers, and what is missing, why that matters, how to get it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from vitreous.cli.clean import spoken_size
from vitreous.cli.examples import examples

LEAST_FREE_BYTES = 5e9


@dataclass(frozen=True)
class Finding:
    """One line of the table; `advice` says what is missing, why it matters and how to get it."""

    what: str
    found: str
    advice: str | None = None


def register(app: typer.Typer) -> None:
    """Add this family's commands to the command line."""
    app.command(
        rich_help_panel="This machine",
        epilog=examples("vitreous doctor", "vitreous doctor --results /scratch"),
    )(doctor)


def doctor(
    results: Annotated[Path, typer.Option(help="Where results will lie: its free disk is shown.")] = Path(
        "results"
    ),
) -> None:
    """Show what this machine offers (GPU, RELION, Slurm, disk) and what is missing.

    Each missing thing has a line: why it matters and how to get it.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    advice = []
    for finding in findings(results):
        mark = (
            ""
            if finding.advice is None
            else "[yellow]missing[/yellow] "
            if not finding.found
            else "[yellow]![/yellow] "
        )
        table.add_row(finding.what, mark + finding.found.replace("[", r"\["))
        if finding.advice:
            advice.append(f"{finding.what}: {finding.advice}")
    Console(soft_wrap=True).print(table)
    print("\nnothing is missing" if not advice else "\n" + "\n".join(advice))


def findings(results: Path) -> Iterator[Finding]:
    """Look at everything, one after another; nothing is changed and nothing is asked over the network."""
    yield Finding("vitreous", _version("vitreous") or "", None)
    yield _python()
    yield from _torch()
    yield from _machine(results)
    yield _relion()
    yield _slurm()
    yield _topaz()


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _python() -> Finding:
    version = platform.python_version()
    good = version.startswith("3.11.")
    return Finding(
        "Python", version, None if good else "tested with 3.11 only; `make PYTHON=python3.11` uses it"
    )


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except ImportError as error:
        yield Finding(
            "torch", "", f"cannot be imported ({error}); everything that computes needs it: `make setup`"
        )
        return
    yield Finding("torch", str(torch.__version__))
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        yield Finding("GPU", ", ".join(f"{one.name} {spoken_size(one.total_memory)}" for one in names))
    elif shutil.which("nvidia-smi"):
        yield Finding(
            "GPU", "", f"nvidia-smi is there but torch {torch.__version__} sees no GPU: install a CUDA build"
        )
    else:
        yield Finding(
            "GPU", "", "none; all runs on CPU, training and large data sets take much longer; nothing to do"
        )


def _machine(results: Path) -> Iterator[Finding]:
    import psutil

    from vitreous.cli.machine import available_cores

    memory = psutil.virtual_memory()
    yield Finding("cores", str(available_cores()))
    yield Finding("memory", f"{spoken_size(memory.available)} free of {spoken_size(memory.total)}")
    for name, folder in {"disk, here": Path.cwd(), "disk, results": results}.items():
        there = folder.absolute()
        while not there.exists():
            there = there.parent
        free = shutil.disk_usage(there).free
        advice = None
        if free < LEAST_FREE_BYTES:
            advice = f"below {spoken_size(LEAST_FREE_BYTES)}; set `results_root` and `dataset_root` elsewhere"
        elif not os.access(there, os.W_OK):
            advice = f"cannot write to {there}; set `results_root` and `dataset_root` elsewhere"
        yield Finding(name, f"{spoken_size(free)} free at {there}", advice)


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr if done.returncode == 0 else ""


def _relion() -> Finding:
    program = shutil.which("relion_refine")
    if program is None:
        return Finding(
            "RELION",
            "",
            "the engine `relion` needs relion_refine on the PATH; `apt-get install relion`, "
            "`module load relion`, or use the engine `native`",
        )
    match = re.search(r"version:?\s*v?(\d[\w.\-]*)", _output([program, "--version"]))
    return Finding("RELION", f"{match[1] if match else 'version unknown'}, {program}")


def _slurm() -> Finding:
    if shutil.which("sbatch") is None:
        return Finding(
            "Slurm", "", "needed only for `--profile cluster`; run on a machine that can submit jobs"
        )
    listed = _output(["sinfo", "--noheader", "--format=%P %a %D nodes"])
    if not listed.strip():
        return Finding(
            "Slurm", "sbatch is there", "no partition answers (`sinfo`); needed only for `--profile cluster`"
        )
    partitions = [" ".join(line.split()) for line in listed.splitlines() if line.strip()]
    return Finding("Slurm", "; ".join(partitions[:4]) + (" …" if len(partitions) > 4 else ""))


def _topaz() -> Finding:
    version = _version("topaz-em")
    return Finding(
        "Topaz",
        version or "",
        None if version else "needed only for the picker `topaz`; `make topaz` installs it",
    )
