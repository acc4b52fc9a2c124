"""What Snakemake says while it runs, read line by line: progress, time left, failed jobs."""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vitreous.runtime.plural import plural

STARTED = re.compile(r"^Job (\d+): (.*)$")
RULE = re.compile(r"^(?:local)?(?:rule|checkpoint) (\S+):$")
JOB_ID = re.compile(r"^    jobid: (\d+)$")
FINISHED = re.compile(r"^Finished jobid: (\d+) \(Rule: (\S+)\)$")
STEPS = re.compile(r"^(\d+) of (\d+) steps \(\d+%\) done$")
FAILED = re.compile(r"^Error in (?:local)?rule (\S+):$")
LOG = re.compile(r"^    log: (.*?)(?: \(check log file\(s\) for error details\))?$")
STATS_ROW = re.compile(r"^(\S+) +(\d+)$")
EXCEPTION = re.compile(r"^(\w*(?:Error|Exception))(?: in .*)?:$")
NOTHING = "Nothing to be done"
# The rule that only names what is wanted, and the last line of the table.
TARGET = "all"
NOT_JOBS = (TARGET, "total")


@dataclass
class Failure:
    """A job that failed: its rule, what it was to do, its log files."""

    rule: str
    what: str = ""
    logs: list[Path] = field(default_factory=list)


def spoken_time(seconds: float) -> str:
    """A duration as people say it: `40 s`, `3 min`, `2 h 10 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min"


class SnakemakeLog:
    """Reads Snakemake's output; `feed` returns the line to show, if any."""

    def __init__(self, cores: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        """`cores` jobs are taken to run at once when the time left is estimated."""
        self.cores, self.clock = max(cores, 1), clock
        self.nothing_to_do = self.planned = False
        self.done = self.total = 0
        self.failures: dict[str, Failure] = {}
        self.table: list[str] = []
        self.fault: list[str] = []
        self._what: dict[str, str] = {}
        self._began: dict[str, float] = {}
        self._counts: Counter[str] = Counter()
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)
        self._section = self._last = ""
        self._rule = ""
        self._failure: Failure | None = None
        self._finished = ""

    def feed(self, line: str) -> str | None:
        """Take in one line of output (without its end)."""
        self._last = line.strip() or self._last
        if self._section:
            section = self._section
            if self._in_section(line):
                return None
            if section == "stats":
                self.planned = True
                return self._plan()
        if line.startswith("Job stats:"):
            self._section, self.table = "stats", []
            self._counts.clear()
        elif line.startswith(NOTHING):
            self.nothing_to_do = True
        elif match := STARTED.match(line):
            self._start(match[1], match[2])
        elif match := RULE.match(line):
            self._rule = match[1]
        elif (match := JOB_ID.match(line)) and self._rule:
            self._start(match[1], self._rule)
            self._rule = ""
        elif match := FINISHED.match(line):
            self._finish(match[1], match[2])
        elif match := STEPS.match(line):
            self.done = min(int(match[1]), self.total)
            return self._progress() if self._finished != TARGET else None
        elif match := FAILED.match(line):
            self._section, self._failure = "failure", Failure(match[1])
        elif EXCEPTION.match(line):
            self._section, self.fault = "fault", [line]
        return None

    def _plan(self) -> str:
        rules = [f"{name} {count}" for name, count in self._counts.items() if name not in NOT_JOBS]
        return f"{plural(self.total, 'job')}: {', '.join(rules)}"

    def _in_section(self, line: str) -> bool:
        """Take in a line of the jobs' table, a failed job's block or an exception; False after its end."""
        if self._section == "stats" and line.strip():
            self.table.append(line)
            if match := STATS_ROW.match(line):
                self._counts[match[1]] = int(match[2])
                self.total = sum(count for name, count in self._counts.items() if name not in NOT_JOBS)
            return True
        if self._section == "failure" and line.startswith("    "):
            self._describe_failure(line)
            return True
        if self._section == "fault" and line.strip() and len(self.fault) < 6 and not FAILED.match(line):
            self.fault.append(line.strip())
            return not line.startswith("[")
        self._section = ""
        return False

    def _describe_failure(self, line: str) -> None:
        assert self._failure is not None
        if match := JOB_ID.match(line):
            self._failure.what = self._what.get(match[1], "")
            self.failures[match[1]] = self._failure
        elif match := LOG.match(line):
            self._failure.logs = [Path(name) for name in match[1].split(", ")]

    def _start(self, job: str, what: str) -> None:
        self._what[job] = what
        self._began[job] = self.clock()

    def _finish(self, job: str, rule: str) -> None:
        self._seconds[rule].append(self.clock() - self._began.get(job, self.clock()))
        self._counts[rule] -= 1
        self._finished = rule if rule == TARGET else job
        self.failures.pop(job, None)

    def seconds_left(self) -> float:
        """Jobs left of each rule times what such a job took (unknown: the mean), over the cores."""
        every = [seconds for known in self._seconds.values() for seconds in known]
        if not every:
            return 0.0
        mean = sum(every) / len(every)
        left = 0.0
        for rule, count in self._counts.items():
            known = self._seconds.get(rule)
            if rule not in NOT_JOBS:
                left += max(count, 0) * (sum(known) / len(known) if known else mean)
        return left / min(self.cores, max(self.total - self.done, 1))

    def _progress(self) -> str:
        job = self._finished
        what = self._what.get(job, "job " + job)
        share = f"{100 * self.done / max(self.total, 1):3.0f} %"
        width = len(str(self.total))
        if self.done >= self.total:
            return f"[{self.done:{width}d} of {self.total}, {share}] {what}"
        left = spoken_time(self.seconds_left())
        return f"[{self.done:{width}d} of {self.total}, {share}, about {left} left] {what}"

    def fault_line(self) -> str:
        """Why Snakemake gave up where no job failed, on one line."""
        lines = [line for line in self.fault[1:] if not line.startswith("File ")]
        text = " ".join(lines or self.fault or [self._last])
        return " ".join(text.split())


def last_error(log: Path) -> str | None:
    """The last line of a log that says ERROR, without its date; else its last line; None if it is empty."""
    try:
        lines = [
            line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
        ]
    except OSError:
        return None
    for line in reversed(lines):
        if " ERROR " in line:
            return line.split(" ERROR ", 1)[1]
    return lines[-1] if lines else None
