from __future__ import annotations

from pathlib import Path

import pytest

from vitreous.cli.snakemake_log import SnakemakeLog, last_error, spoken_time

STATS = [
    "Job stats:",
    "job      count",
    "-----  -------",
    "a            4",
    "g            1",
    "all          1",
]
START = [*STATS, "total        6", "", "Select jobs to execute..."]
FAILURE = [
    "Error in rule g:",
    "    message: None",
    "    jobid: 5",
    "    output: out/gpu.txt",
    "    log: logs/g.log (check log file(s) for error details)",
    "    shell:",
    "        exit 3",
    "Logfile logs/g.log:",
]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def feed(log: SnakemakeLog, lines: list[str]) -> list[str]:
    return [said for line in lines if (said := log.feed(line)) is not None]


def finished(job: int, done: int, rule: str = "a") -> list[str]:
    return [f"Finished jobid: {job} (Rule: {rule})", f"{done} of 6 steps ({done * 100 // 6}%) done"]


def test_the_table_of_jobs_becomes_one_line() -> None:
    log = SnakemakeLog()
    assert feed(log, START) == ["5 jobs: a 4, g 1"]
    assert log.planned
    assert log.table[-1] == "total        6"


def test_each_finished_job_is_said_with_what_it_did_and_the_time_left() -> None:
    clock = Clock()
    log = SnakemakeLog(cores=1, clock=clock)
    feed(log, START)
    feed(log, ["Job 1: pick the first", "Reason: Missing output files: out/0.txt"])
    clock.now = 10.0
    # 3 of rule a at 10 s each, 1 of rule g not seen yet, so taken at the mean: 40 s.
    assert feed(log, finished(1, 1)) == ["[1 of 5,  20 %, about 40 s left] pick the first"]
    assert log.seconds_left() == pytest.approx(40.0)


def test_the_time_left_is_shared_by_the_cores() -> None:
    clock = Clock()
    log = SnakemakeLog(cores=2, clock=clock)
    feed(log, [*START, "Job 1: pick"])
    clock.now = 10.0
    feed(log, finished(1, 1))
    assert log.seconds_left() == pytest.approx(20.0)


def test_the_last_job_needs_no_time_left_and_the_rule_of_targets_is_no_job() -> None:
    log = SnakemakeLog()
    feed(log, [*START, "Job 4: write the report"])
    assert feed(log, finished(4, 5)) == ["[5 of 5, 100 %] write the report"]
    feed(log, ["localrule all:", "    input: x", "    jobid: 0"])
    assert feed(log, finished(0, 6, "all")) == []
    assert log.done == log.total == 5


def test_a_failed_job_is_known_by_rule_message_and_log() -> None:
    log = SnakemakeLog()
    feed(log, [*START, "Job 5: the gpu thing", *FAILURE])
    failure = log.failures["5"]
    assert (failure.rule, failure.what, failure.logs) == ("g", "the gpu thing", [Path("logs/g.log")])


def test_a_job_that_succeeds_when_tried_again_is_no_failure() -> None:
    log = SnakemakeLog()
    feed(log, [*START, "Job 5: the gpu thing", *FAILURE, *finished(5, 1, "g")])
    assert log.failures == {}


def test_nothing_to_be_done_is_noticed() -> None:
    log = SnakemakeLog()
    feed(log, ["Nothing to be done (all requested files are present and up to date)."])
    assert log.nothing_to_do
    assert not log.planned


def test_a_stop_before_any_job_is_explained_on_one_line() -> None:
    log = SnakemakeLog()
    feed(
        log, ["Assuming unrestricted shared filesystem usage.", 'WorkflowError in file "Snakefile", line 15:']
    )
    feed(log, ["configuration: x.yaml: seed: unknown key", ""])
    assert log.fault_line() == "configuration: x.yaml: seed: unknown key"


def test_a_wrong_option_of_snakemake_is_explained_by_its_last_line() -> None:
    log = SnakemakeLog()
    feed(log, ["usage: snakemake [-h] ...", "snakemake: error: unrecognized arguments: --bogus", ""])
    assert log.fault_line() == "snakemake: error: unrecognized arguments: --bogus"


def test_lines_of_jobs_between_snakemakes_own_do_no_harm() -> None:
    log = SnakemakeLog()
    said = feed(
        log, [*START, "2026-11-21 15:53:15,001 INFO device cpu, 1 threads", "\x1b[0m", "50 of 60 images"]
    )
    assert said == ["5 jobs: a 4, g 1"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.2, "4 s"), (200, "3 min"), (7800, "2 h 10 min"), (86399, "24 h 0 min")]
)
def test_durations_are_spoken_in_one_or_two_units(seconds: float, text: str) -> None:
    assert spoken_time(seconds) == text


def test_the_last_error_of_a_log_is_found_and_an_empty_log_has_none(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("2026-01-01 10:00:00,1 INFO begun\n2026-01-01 10:00:01,2 ERROR a.mrc: truncated\nexit\n")
    assert last_error(log) == "a.mrc: truncated"
    log.write_text("Killed\n\n")
    assert last_error(log) == "Killed"
    log.write_text("")
    assert last_error(log) is None
    assert last_error(tmp_path / "absent.log") is None
