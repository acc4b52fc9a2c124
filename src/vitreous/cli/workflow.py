"""The workflow behind `vitreous run`: where its Snakefile is, how Snakemake is called, how it is ended."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import vitreous
from vitreous.cli.machine import gpu_count, user_environment
from vitreous.config.load import load_file
from vitreous.config.models import Config
from vitreous.errors import MissingToolError, SettingsError, StageError, VitreousError
from vitreous.runtime.files import write_json

# How long a run waits for the last jobs of one that was killed before it.
PATIENCE_S = 60.0
SIGNAL_AGAIN_S = 5.0


def repository() -> Path:
    """The folder that holds the Snakefile; MissingToolError where vitreous was installed without it."""
    root = Path(str(vitreous.__file__)).resolve().parents[2]
    if not (root / "Snakefile").is_file() or not (root / "workflow" / "rules").is_dir():
        raise MissingToolError(
            "the workflow (Snakefile, workflow/rules) is not beside this installation of vitreous",
            place=str(root),
            todo="clone the repository and run `make setup` (or `pip install -e .`) in it",
        )
    return root


@dataclass(frozen=True)
class Run:
    """A validated configuration and where its run lies."""

    config: Config
    file: Path
    directory: Path

    @property
    def folder(self) -> Path:
        """The folder of results of this run, absolute."""
        return self.directory / self.config.results_root / self.config.run

    @property
    def report(self) -> Path:
        """The report, absolute."""
        return self.folder / "report.html"

    @property
    def datasets(self) -> list[Path]:
        """The folders of this run's datasets in standard form, absolute."""
        return [self.directory / self.config.dataset_root / name for name in self.config.datasets]


def open_run(file: Path | None) -> Run:
    """Validate a configuration and say where its run lies.

    Without one it is ./vitreous.yaml, else config/minimal.yaml of the repository.

    Configurations inside the repository run in its root, others in their own folder, so that what Snakemake
    remembers (.snakemake) and the default paths lie with the data they belong to.
    """
    root = repository()
    here = Path("vitreous.yaml")
    file = (file or (here if here.is_file() else root / "config" / "minimal.yaml")).resolve()
    if file.is_dir():
        raise SettingsError("a folder, not a configuration", file=file, todo="`vitreous init` writes one")
    directory = root if file.is_relative_to(root) else file.parent
    try:
        with contextlib.chdir(directory if directory.is_dir() else root):
            config = load_file(file)
    except VitreousError as error:
        if error.file == file:
            error.file = shown(file)
            error.args = (error.line(),)
        raise
    return Run(config, file, directory)


def shown(path: Path) -> str:
    """A path relative to the working directory where it lies inside it, else absolute."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def profile_folder(name: str) -> Path:
    """The folder of a profile: `local`, `cluster` or a path; raises SettingsError where there is none."""
    own = repository() / "profiles" / name
    folder = own if name in ("local", "cluster") else Path(name).resolve()
    if not folder.is_dir() and not folder.is_file():
        known = sorted(path.name for path in own.parent.iterdir())
        raise SettingsError("no such profile", found=name, expected=f"{', '.join(known)} or a path")
    return folder


def snakemake_command(
    run: Run, profile: str, cores: int, device: str | None, extra: Sequence[str]
) -> list[str]:
    """The command line of Snakemake for a run; no shell ever reads it."""
    command = [sys.executable, "-m", "snakemake", "--configfile", str(run.file)]
    if device is not None:
        command += ["--config", f"compute={{device: {device}}}"]
    if profile != "cluster":
        gpus = 0 if (device or run.config.compute.device) == "cpu" else gpu_count()
        command += ["--resources", f"gpu={gpus}", "downloads=1"]
    command += ["--snakefile", str(repository() / "Snakefile"), "--directory", str(run.directory)]
    # Last an option with one value, so that targets may follow.
    command += ["--profile", str(profile_folder(profile))]
    command += ["--local-cores" if profile == "cluster" else "--cores", str(cores)]
    return [*command, *extra]


def refuse_missing_gpu(run: Run, profile: str, device: str | None) -> None:
    """Raise StageError where this machine is to use a GPU and has none; never a silent fall-back."""
    wanted = device or run.config.compute.device
    if wanted == "cuda" and profile != "cluster" and gpu_count() == 0:
        raise StageError(
            "a GPU was asked for and none is there",
            file=run.file,
            place="compute.device",
            todo="set `compute.device: auto` or give `--device cpu`; `vitreous doctor` shows what is found",
        )


def _die_with_parent() -> None:
    """Have the kernel send TERM to Snakemake when `vitreous run` is killed (PR_SET_PDEATHSIG).

    INT is heard again where `vitreous run` was begun in a script's background, which ignores it.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _record(run: Run) -> Path:
    return run.directory / ".snakemake" / "vitreous-run.json"


def _began(pid: int) -> str:
    """When a process of this host began, in kernel ticks; empty where it has ended (or on no Linux)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def clear_stale_lock(run: Run, patience_s: float = PATIENCE_S) -> None:
    """Remove Snakemake's lock where the run that took it was killed, after its last jobs have ended.

    Raises StageError where that run is alive. Known only for runs that `vitreous run` started on this host;
    any other lock is left to Snakemake.
    """
    owner = _owner(run)
    if owner is None or owner.get("host") != socket.gethostname():
        return
    if _alive(owner["run"]):
        raise StageError(
            "another run is at work in this folder",
            file=run.directory,
            found=f"process {owner['run'][0]}",
            todo="wait for it, or end it, and run again",
        )
    began = time.monotonic()
    while _alive(owner["snakemake"]):
        if time.monotonic() - began > patience_s:
            raise StageError(
                "jobs of a killed run are still at work",
                file=run.directory,
                found=f"process {owner['snakemake'][0]}",
                todo="wait for it, or end it, and run again",
            )
        time.sleep(0.2)
    for lock in (run.directory / ".snakemake" / "locks").glob("*.lock"):
        lock.unlink(missing_ok=True)
    _record(run).unlink(missing_ok=True)


def _owner(run: Run) -> dict[str, Any] | None:
    try:
        owner = json.loads(_record(run).read_text())
        return {**owner, "run": tuple(owner["run"]), "snakemake": tuple(owner["snakemake"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _alive(process: tuple[int, str]) -> bool:
    """Whether a process of this host, (pid, when it began), is still the same and at work."""
    pid, began = process
    return bool(began) and _began(pid) == began


def _has_children(pid: int) -> bool:
    """Whether a process of this host has children; True where that cannot be told."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return any((task / "children").read_text().strip() for task in tasks)
    except OSError:
        return True


@contextlib.contextmanager
def _forwarded(process: subprocess.Popen[str]) -> Iterator[list[int]]:
    """Hand TERM on to Snakemake, INT to it and its jobs, while the block runs; yields the signals that came.

    INT is repeated until Snakemake ends, since a job that was just being started misses the first. Snakemake
    (9.27) takes a lock inside its handler of TERM and stands still for ever where it held it already: once it
    has had no job for a while after TERM, it is killed; the next run removes its lock.
    """
    came: list[int] = []
    idle = 0

    def hand_on(number: int, frame: FrameType | None) -> None:
        nonlocal idle
        came.append(came[-1] if number == signal.SIGALRM else number)
        with contextlib.suppress(ProcessLookupError):
            signal.setitimer(signal.ITIMER_REAL, SIGNAL_AGAIN_S)
            if came[-1] == signal.SIGINT:
                os.killpg(process.pid, signal.SIGINT)
            elif number == signal.SIGTERM:
                process.send_signal(signal.SIGTERM)
            else:
                idle = 0 if _has_children(process.pid) else idle + 1
                if idle >= 2:
                    process.kill()

    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    before = {number: signal.signal(number, hand_on) for number in signals}
    try:
        yield came
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def call_snakemake(
    run: Run, command: Sequence[str], take: Callable[[str], None], *, record: bool = True
) -> int:
    """Run Snakemake, give every line of its output to `take`; returns its exit status.

    Snakemake has a process group of its own, so that Ctrl-C reaches it once. `record` notes who holds its
    lock.
    Raises KeyboardInterrupt or SystemExit after INT or TERM, when Snakemake has ended.
    """
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        env={**user_environment(), **os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
        preexec_fn=_die_with_parent,
    )
    assert process.stdout is not None
    with _forwarded(process) as signals:
        if record:
            ours, theirs = ((pid, _began(pid)) for pid in (os.getpid(), process.pid))
            write_json(_record(run), {"host": socket.gethostname(), "run": ours, "snakemake": theirs})
        for line in process.stdout:
            take(line.rstrip("\n"))
        status = process.wait()
    if record and status != -signal.SIGKILL:
        _record(run).unlink(missing_ok=True)
    if signal.SIGINT in signals:
        raise KeyboardInterrupt
    if signals:
        raise SystemExit(128 + signals[-1])
    return status
