from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vitreous.errors import InputError, StageError
from vitreous.runtime.lock import Lock
from vitreous.runtime.work import Work, run_items

STAGE = "vitreous.runtime.work:run_items"


def _save(path: Path, value: int) -> None:
    path.write_text(json.dumps(value))


def _load(path: Path) -> int:
    return int(json.loads(path.read_text()))


def _run(
    output: Path, names: list[str], settings: dict[str, int], made: list[str], share: float = 0.5
) -> dict[str, int]:
    def compute(name: str) -> int:
        made.append(name)
        if name.startswith("bad"):
            raise InputError("broken", file=name)
        return len(name)

    with Work(output, settings=settings, stage=STAGE) as work:
        return run_items(names, compute, work, _save, _load, max_failed_share=share)[0]


def test_a_finished_item_is_not_computed_again_and_an_added_one_alone(tmp_path: Path) -> None:
    made: list[str] = []
    _run(tmp_path / "out.star", ["a", "bb"], {}, made)
    results = _run(tmp_path / "out.star", ["a", "bb", "ccc"], {}, made)
    assert made == ["a", "bb", "ccc"]
    assert results == {"a": 1, "bb": 2, "ccc": 3}


def test_other_settings_never_reuse_partial_work(tmp_path: Path) -> None:
    made: list[str] = []
    _run(tmp_path / "out.star", ["a"], {"x": 1}, made)
    _run(tmp_path / "out.star", ["a"], {"x": 2}, made)
    assert made == ["a", "a"]
    assert len([path for path in (tmp_path / "out.star.work").iterdir() if path.is_dir()]) == 1


def test_a_changed_input_is_computed_again(tmp_path: Path) -> None:
    source, made = tmp_path / "in.txt", []
    for text in ("one", "three"):
        source.write_text(text)
        with Work(tmp_path / "out", settings={}, stage=STAGE) as work:
            run_items(
                ["a"], lambda name: made.append(name) or 1, work, _save, _load,
                max_failed_share=0, inputs=lambda name: [source],
            )  # fmt: skip
    assert made == ["a", "a"]


def test_a_bad_member_is_left_out_and_too_many_fail_the_stage(tmp_path: Path) -> None:
    assert _run(tmp_path / "out", ["a", "b", "bad"], {}, []) == {"a": 1, "b": 1}
    with pytest.raises(StageError, match="2 of 3 items failed"):
        _run(tmp_path / "out", ["a", "bad1", "bad2"], {}, [])


def test_work_interrupted_half_way_goes_on_where_it_stopped(tmp_path: Path) -> None:
    done: list[str] = []

    def compute(name: str) -> int:
        if name == "c" and not done[2:]:
            done.append("stopped")
            raise KeyboardInterrupt
        done.append(name)
        return 1

    for _ in range(2):
        try:
            with Work(tmp_path / "out", settings={}, stage=STAGE) as work:
                run_items(["a", "b", "c"], compute, work, _save, _load, max_failed_share=0)
        except KeyboardInterrupt:
            pass
    assert done == ["a", "b", "stopped", "c"]


def test_a_living_process_keeps_a_second_one_out(tmp_path: Path) -> None:
    with (
        Lock(tmp_path / "lock"),
        pytest.raises(StageError, match=f"process {os.getpid()}"),
        Lock(tmp_path / "lock"),
    ):
        pass
    assert not (tmp_path / "lock").exists()


def test_a_killed_process_leaves_a_lock_that_does_not_hold(tmp_path: Path) -> None:
    lock = f"Lock(Path({str(tmp_path / 'lock')!r}))"
    imports = "import time; from pathlib import Path; from vitreous.runtime.lock import Lock"
    code = f"{imports}; {lock}.__enter__(); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code])
    while not (tmp_path / "lock").exists() or not (tmp_path / "lock").read_text():
        time.sleep(0.02)
    process.kill()
    process.wait()
    with Lock(tmp_path / "lock"):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


def test_a_lock_without_heartbeat_from_another_host_is_cleared(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "start": "0"}))
    with pytest.raises(StageError, match="elsewhere"), Lock(path):
        pass
    os.utime(path, (0, 0))
    with Lock(path):
        pass
