"""What the downloader needs of the runtime: a lock that is waited for, and progress in bytes."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vitreous.errors import StageError
from vitreous.runtime import lock as lock_module
from vitreous.runtime import progress as progress_module
from vitreous.runtime.lock import Lock
from vitreous.runtime.progress import ByteProgress

HOLD = """
import sys, time
from pathlib import Path
from vitreous.runtime.lock import Lock
with Lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def most_at_once(path: Path, count: int) -> int:
    """How many of `count` threads that all want the lock hold it at a time, at most."""
    holding, most = 0, 0

    def take() -> None:
        nonlocal holding, most
        with Lock(path, wait=True):
            holding += 1
            most = max(most, holding)
            time.sleep(0.005)
            holding -= 1

    threads = [threading.Thread(target=take) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return most


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "WAIT_S", 0.02)


def test_a_lock_is_waited_for_and_that_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, order = tmp_path / "lock", []

    def second() -> None:
        with Lock(path, wait=True):
            order.append("second")

    with caplog.at_level(logging.WARNING):
        with Lock(path):
            thread = threading.Thread(target=second)
            thread.start()
            time.sleep(0.2)
            order.append("first")
        thread.join()
    assert order == ["first", "second"] and not path.exists()
    assert [record.message.startswith("waiting: ") for record in caplog.records] == [True]


def test_without_waiting_a_lock_of_a_living_process_is_an_error(tmp_path: Path) -> None:
    with (
        Lock(tmp_path / "lock"),
        pytest.raises(StageError, match="another process is making this result"),
        Lock(tmp_path / "lock"),
    ):
        pass


def test_many_who_wait_hold_it_one_at_a_time(tmp_path: Path) -> None:
    assert most_at_once(tmp_path / "lock", 10) == 1 and not (tmp_path / "lock").exists()


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == "held\n"
        assert json.loads(path.read_text())["pid"] == owner.pid
        threading.Timer(0.2, lambda: (owner.send_signal(signal.SIGKILL), owner.wait())).start()
        began = time.monotonic()
        with Lock(path, wait=True):
            assert json.loads(path.read_text())["pid"] == os.getpid()
    assert 0.1 < time.monotonic() - began < 10


def test_the_lock_of_a_killed_process_that_nobody_has_reaped_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    owner = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None and owner.stdout.readline() == "held\n"
    owner.kill()
    while Path(f"/proc/{owner.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
        time.sleep(0.01)
    with Lock(path):
        pass
    owner.wait()


def test_of_many_who_find_a_stale_lock_one_at_a_time_takes_it(tmp_path: Path) -> None:
    for _ in range(10):
        (tmp_path / "lock").write_text(json.dumps({"host": "elsewhere", "pid": 1, "start": "1"}))
        os.utime(tmp_path / "lock", (0, 0))
        assert most_at_once(tmp_path / "lock", 6) == 1
    assert os.listdir(tmp_path) == []


# progress


def test_progress_counts_bytes_and_files_and_tells_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: clock[0])
    with ByteProgress(5_000_000_000, 3) as progress:
        progress.add(1_000_000_000, before=True)
        progress.add(1_000_000_000)
        progress.file_done()
        clock[0] += 10
    assert progress.text() == "1 of 3 files, 2.00 of 5.00 GB, 100.0 MB/s, about 30 s left"
    progress.add(-500_000_000)  # proved wrong: to come again
    assert progress.text() == "1 of 3 files, 1.50 of 5.00 GB, 100.0 MB/s, about 35 s left"


def test_progress_of_an_unknown_size_tells_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: 1.0)
    progress = ByteProgress(0, 1)
    progress.add(20_000_000)
    assert progress.text().startswith("0 of 1 files, 0.02 GB, ") and "left" not in progress.text()


def test_a_log_gets_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: clock[0])
    with caplog.at_level(logging.INFO), ByteProgress(100, 1) as progress:
        for _ in range(50):
            clock[0] += 1
            progress.add(1)
    assert len(caplog.records) == 2


def test_a_terminal_gets_a_bar_that_is_taken_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with ByteProgress(100, 2) as progress:
        progress.add(50)
        progress.file_done()
        assert progress._bar is not None and progress._bar.tasks[0].completed == 50
        assert progress._bar.tasks[0].description == "1 of 2 files"
    assert progress._bar.finished or progress._bar.live.is_started is False


def test_bytes_of_many_threads_are_all_counted() -> None:
    progress = ByteProgress(10**9, 1)
    threads = [threading.Thread(target=lambda: [progress.add(1) for _ in range(2000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert progress.bytes == 16_000
