"""What many commands share: the same options with the same help, settings from options, a stage's runtime."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from vitreous.errors import InputError, SettingsError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from vitreous.runtime.device import Runtime

M = TypeVar("M", bound="BaseModel")

PANEL = "One stage on your own files"
# ASSUME: more than the workflow's, since one of two files given by hand may be bad and is named at once.
MAX_FAILED_SHARE = 0.5

Micrographs = Annotated[list[Path], typer.Argument(help="Micrographs: files, folders or quoted globs.")]
Device = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute; `auto` takes a GPU if there is one.")
]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads (default: all cores).")]
Seed = Annotated[int, typer.Option(min=0, help="Every random number derives from it.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show the stage's log.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Write over what is there.")]
PixelSize = Annotated[float, typer.Option("--pixel-size-A", min=0.01, max=100.0, help="Pixel size, Å.")]
Diameter = Annotated[float, typer.Option("--diameter-A", min=10.0, help="Longest extent of the particle, Å.")]
Trust = Annotated[
    Literal["settings", "header"] | None,
    typer.Option(help="Which pixel size is right where header and option differ."),
]
MaxFailedShare = Annotated[
    float,
    typer.Option(min=0.0, max=1.0, help="End with an error where more of the micrographs fail."),
]
# The optics: optional for most commands, the plain options for those that need them.
VOLTAGE = typer.Option("--voltage-kv", min=10.0, max=1000.0, help="Acceleration voltage, kV.")
CS = typer.Option("--cs-mm", min=0.0, max=20.0, help="Spherical aberration, mm.")
AMPLITUDE_CONTRAST = typer.Option(
    "--amplitude-contrast", min=0.0, max=1.0, help="Share of amplitude contrast, as 0.1."
)
Voltage = Annotated[float | None, VOLTAGE]
Cs = Annotated[float | None, CS]
AmplitudeContrast = Annotated[float | None, AMPLITUDE_CONTRAST]
Contrast = Annotated[
    Literal["dark", "bright"], typer.Option(help="How particles look in the micrographs as they are stored.")
]


def stage_runtime(device: str, threads: int | None, seed: int, verbose: bool) -> Runtime:
    """The runtime of a stage called from the command line; sets up its log on standard error."""
    from vitreous.cli.machine import available_cores, user_environment
    from vitreous.runtime.device import Runtime, choose_device

    for name, value in user_environment().items():
        os.environ.setdefault(name, value)
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr, force=True)
    logging.getLogger("vitreous").setLevel(level)
    logging.getLogger("vitreous.runtime.progress").setLevel(logging.INFO)
    runtime = Runtime(device=choose_device(device), threads=threads or available_cores(), seed=seed)
    runtime.torch_device()
    return runtime


def settings_of(kind: type[M], values: Mapping[str, Any]) -> M:
    """The typed settings that options ask for; None leaves a default. SettingsError names the option."""
    from pydantic import ValidationError

    given = {name: value for name, value in values.items() if value is not None}
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        words = [str(part) for part in first["loc"] if isinstance(part, str) and part != "[key]"]
        name = "--" + "-".join(words[:2]).replace("_", "-").replace("mirrors-", "mirror ")
        what = str((first.get("ctx") or {}).get("error", first["msg"]))
        found = None if first["type"] == "value_error" else repr(first.get("input"))
        raise SettingsError(what, place=name if first["loc"] else None, found=found) from error


def refuse_overwriting(path: Path, force: bool) -> None:
    """Raise SettingsError where `path` is there and `--force` was not given."""
    if path.exists() and not force:
        raise SettingsError(
            "is there already", file=path, todo="give --force to write over it, or another --out"
        )


def existing(path: Path) -> Path:
    """The path itself; raises InputError where nothing is there."""
    if not path.exists():
        raise InputError("file not found", file=path)
    return path
