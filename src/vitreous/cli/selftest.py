"""`vitreous selftest`: known answers in seconds, the time beside this machine's own last run."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import typer

from vitreous.cli.examples import examples
from vitreous.cli.options import Device, Threads, stage_runtime
from vitreous.errors import MissingToolError, VitreousError
from vitreous.runtime.plural import plural


def register(app: typer.Typer) -> None:
    """Add this family's commands to the command line."""
    app.command(
        rich_help_panel="This machine", epilog=examples("vitreous selftest", "vitreous selftest --device cpu")
    )(selftest)


def selftest(device: Device = "auto", threads: Threads = None) -> None:
    """Ask questions whose answers are known, and show both.

    The seconds stand beside those of the last run on this machine.
    """
    from vitreous.cli.known_answers import QUESTIONS

    runtime = stage_runtime(device, threads, 0, False)
    key = f"{socket.gethostname()} {runtime.device} {runtime.threads}"
    before = _last_run(key)
    seconds: dict[str, float] = {}
    wrong = 0
    print(f"on {runtime.device}, {plural(runtime.threads, 'thread')}")
    for name, ask in QUESTIONS.items():
        began = time.perf_counter()
        try:
            answer = ask(runtime)
            found, expected, right = answer.found, answer.expected, answer.right
        except MissingToolError as error:
            print(f"skipped  {name}: {error}")
            continue
        except VitreousError as error:
            found, expected, right = str(error), "an answer", False
        seconds[name] = round(time.perf_counter() - began, 2)
        wrong += not right
        last = f", last time {before[name]:.1f} s" if name in before else ""
        mark = "right" if right else "WRONG"
        print(f"{mark}  {name}: {found} (expected {expected}); {seconds[name]:.1f} s{last}", flush=True)
    _remember(key, seconds)
    total, known = sum(seconds.values()), sum(before.values())
    beside = f", last time {known:.1f} s" if before else ""
    print(f"{len(seconds) - wrong} of {len(seconds)} right in {total:.1f} s{beside}")
    if wrong:
        raise typer.Exit(1)


def _file() -> Path:
    from vitreous.cli.machine import cache_folder

    return cache_folder() / "selftest.json"


def _all_runs() -> dict[str, Any]:
    from vitreous.runtime.files import read_json

    try:
        runs = read_json(_file())
    except VitreousError:
        return {}
    return runs if isinstance(runs, dict) else {}


def _last_run(key: str) -> dict[str, float]:
    run = _all_runs().get(key, {})
    return {name: float(value) for name, value in run.items()} if isinstance(run, dict) else {}


def _remember(key: str, seconds: dict[str, float]) -> None:
    """Keep the seconds for the next run; a cache that cannot be written is no fault of the test."""
    from vitreous.runtime.files import write_json

    try:
        write_json(_file(), {**_all_runs(), key: seconds})
    except OSError as error:
        print(f"these seconds are not kept: {error}")
