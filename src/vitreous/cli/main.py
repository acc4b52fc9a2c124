"""The command line `vitreous`: one thin command a stage, errors in one line, no traceback."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Annotated

import typer

from vitreous.cli import (
    clean,
    ctf,
    data,
    doctor,
    extract,
    files,
    init,
    maps,
    multitarget,
    pick,
    report,
    run,
    selftest,
    simulation,
)
from vitreous.cli.examples import COMMAND_SETTINGS, examples
from vitreous.errors import VitreousError
from vitreous.runtime.files import stage_error

# What typer makes of Ctrl-C inside a command.
INTERRUPTED = 130

app = typer.Typer(
    name="vitreous",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings=COMMAND_SETTINGS,
    epilog=examples(
        "vitreous run config/minimal.yaml",
        "vitreous init my_micrographs --pixel-size-A 1.5 --diameter-A 130",
        "vitreous pick my_micrographs --pixel-size-A 1.5 --diameter-A 130 --out picks.star",
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"vitreous {version('vitreous')}")
        raise typer.Exit()


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From cryo-EM micrographs to picks, maps and a report: the whole workflow, or one stage."""


for family in (
    run,
    init,
    data,
    report,
    clean,
    simulation,
    pick,
    ctf,
    extract,
    maps,
    multitarget,
    files,
    doctor,
    selftest,
):
    family.register(app)


def _terminated(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _say(line: str) -> None:
    """One line on standard error, whatever the message held."""
    print("error: " + " ".join(line.split()), file=sys.stderr)
    if os.environ.get("VITREOUS_DEBUG"):
        traceback.print_exc()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 1 bad input, 2 bad options, 70 a fault of ours.

    With VITREOUS_DEBUG=1 in the environment every error also shows where it arose.
    """
    if arguments is None:
        signal.signal(signal.SIGTERM, _terminated)
        arguments = sys.argv[1:]
    try:
        status = app(args=list(arguments), prog_name="vitreous", standalone_mode=False)
        sys.stdout.flush()
        if status == INTERRUPTED:
            raise KeyboardInterrupt
        return status if isinstance(status, int) else 0
    except VitreousError as error:
        _say(str(error))
        return 1
    except typer.TyperException as error:
        command = getattr(getattr(error, "ctx", None), "command_path", "vitreous")
        message = error.format_message()
        if message:
            _say(f"{message.rstrip('.')}; see `{command} --help`")
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted; run again to go on", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        _say(str(stage_error(error)))
        return 1
    except MemoryError:
        _say("out of memory; give fewer or smaller files at a time")
        return 137
    except Exception as error:
        kind = type(error).__name__
        _say(f"a fault of vitreous itself: {kind}: {error}; VITREOUS_DEBUG=1 shows where, please report it")
        return 70


if __name__ == "__main__":
    sys.exit(main())
