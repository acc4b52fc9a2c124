"""Where Snakemake's output goes: calm lines to the terminal, every line to the log of the run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TextIO

from vitreous.cli.snakemake_log import SnakemakeLog, last_error, spoken_time
from vitreous.cli.summary import summary
from vitreous.cli.workflow import Run, shown
from vitreous.runtime.plural import plural

MOST_FAILURES = 8


class Screen:
    """Takes Snakemake's lines; `log` is written from the first job on, or where the run fails."""

    def __init__(self, log: Path, cores: int, verbose: bool) -> None:
        """`verbose` shows Snakemake's own lines instead of one a finished job."""
        self.log, self.verbose = log, verbose
        self.reader = SnakemakeLog(cores)
        self._began = time.monotonic()
        self._early: list[str] = []
        self._file: TextIO | None = None

    def take(self, line: str) -> None:
        """Take in one line of Snakemake's output."""
        said = self.reader.feed(line)
        if self._file is None:
            self._early.append(line)
            if self.reader.planned:
                self.open()
        else:
            print(line, file=self._file, flush=True)
        if self.verbose:
            print(line, flush=True)
        elif said is not None:
            print(said, flush=True)

    def open(self) -> None:
        """Begin the log anew; not before there is a job, so that an idle run leaves the last log alone."""
        if self._file is None:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.log.open("w", encoding="utf-8")
            self._file.writelines(line + "\n" for line in self._early)

    def close(self) -> None:
        """Close the log."""
        if self._file is not None:
            self._file.close()

    def end(self, run: Run, status: int) -> None:
        """Say how the run ended: its scores and the report, or what failed, why, and where its log is."""
        reader = self.reader
        took = spoken_time(time.monotonic() - self._began)
        if status == 0:
            print("".join(f"{line}\n" for line in summary(run)), end="")
        if status == 0 and reader.nothing_to_do:
            print(f"nothing to do: {shown(run.report)} is up to date")
        elif status == 0:
            print(f"{plural(reader.done, 'job')} done in {took}")
            if run.report.exists():
                print(f"report: {shown(run.report)}")
        else:
            self.open()
            self._failures(run)
            jobs = f"{reader.done} of {plural(reader.total, 'job')}"
            print(f"failed after {took}, {jobs} done; what is done is kept")

    def _failures(self, run: Run) -> None:
        failures = list(self.reader.failures.values())
        for failure in failures[:MOST_FAILURES]:
            print(f"failed: {failure.what or failure.rule} (rule {failure.rule})")
            for log in failure.logs:
                path = run.directory / log
                reason = last_error(path)
                print(f"  why: {reason}" if reason else "  why: not said in its log")
                print(f"  log: {shown(path)}")
        if len(failures) > MOST_FAILURES:
            print(f"  and {len(failures) - MOST_FAILURES} more")
        if not failures:
            print(f"Snakemake stopped: {self.reader.fault_line() or 'no reason given'}")
        print(f"all of Snakemake's output: {shown(self.log)}")


class DryScreen:
    """Takes the lines of a dry run and shows the table of jobs and the estimate."""

    def __init__(self, verbose: bool) -> None:
        """`verbose` shows all lines."""
        self.reader, self.verbose = SnakemakeLog(), verbose
        self.estimate: list[str] = []

    def take(self, line: str) -> None:
        """Take in one line of Snakemake's output."""
        self.reader.feed(line)
        if line.startswith(("plan from nothing:", "expected:")):
            self.estimate.append(line)
        if self.verbose:
            print(line, flush=True)

    def end(self, run: Run, status: int) -> None:
        """Print what would be done."""
        if status != 0:
            print(f"Snakemake stopped: {self.reader.fault_line() or 'no reason given'}")
        elif self.reader.nothing_to_do:
            print(f"nothing to do: {shown(run.report)} is up to date")
        elif not self.verbose:
            print("\n".join(["would run:", *self.reader.table]))
        print("\n".join(self.estimate), end="\n" if self.estimate else "")
