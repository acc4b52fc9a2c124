"""A disk that is full: one line with the file and what to do, nothing under a final name, no work lost.

The system refuses for real: a limit on the size of files (EFBIG), or the device that is always full (ENOSPC).
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vitreous.data.local import import_local
from vitreous.data.settings import LocalSettings
from vitreous.errors import StageError
from vitreous.io.coordinate_exports import write_coordinates
from vitreous.io.cryosparc import write_picks_cs
from vitreous.io.mrc import StackWriter, write_image, write_stack, write_volume
from vitreous.io.picks import write_picks
from vitreous.io.tidy import write_tidy
from vitreous.runtime.files import atomic_path, write_json, write_text
from vitreous.runtime.lock import Lock
from vitreous.runtime.work import Work, run_items

LIMIT = 20_000
NOISE = np.random.default_rng(0).normal(size=(30, 30, 30)).astype(np.float32)
PICKS = pd.DataFrame({"micrograph": "micrographs/m1.mrc", "x": np.arange(2000) / 3, "y": 1.0, "score": 0.5})


@contextmanager
def small_disk(limit: int = LIMIT) -> Iterator[None]:
    """No file may grow beyond `limit` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def stack_by_parts(path: Path, count: int) -> None:
    with StackWriter(path, (30, 30), 1.0) as writer:
        for image in NOISE[:count]:
            writer.append(image)


def picture(path: Path) -> None:
    with atomic_path(path) as part:
        Image.fromarray((NOISE * 50).astype(np.uint8).reshape(150, 180)).save(part)


WRITERS: dict[str, Callable[[Path], None]] = {
    "volume.mrc": lambda path: write_volume(path, NOISE, 1.0),
    "stack.mrcs": lambda path: write_stack(path, NOISE, 1.0),
    "parts.mrcs": lambda path: stack_by_parts(path, 30),
    # five images of 3600 bytes fit, the sixth waits in the buffer until the file is closed
    "last.mrcs": lambda path: stack_by_parts(path, 6),
    "picks.star": lambda path: write_picks(path, PICKS),
    "picks.csv": lambda path: write_coordinates(path, PICKS, "csv"),
    "picks.cs": lambda path: write_picks_cs(path, PICKS, {"micrographs/m1.mrc": (1000, 1000)}),
    "scores.csv": lambda path: write_tidy(path, [{"metric": "f1", "value": 0.5}] * 1000),
    "facts.json": lambda path: write_json(path, list(range(5000))),
    "report.html": lambda path: write_text(path, "x" * 2 * LIMIT),
    "mask.png": picture,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_writer_on_a_full_disk_names_its_file_and_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("before")
    with (
        small_disk(),
        # NumPy says how much of an array it wrote, not why it stopped
        pytest.raises(StageError, match=rf"{name}: disk full .found (File too large|.* written).; free some"),
    ):
        WRITERS[name](path)
    assert path.read_text() == "before"
    assert [found.name for found in tmp_path.iterdir()] == [name]
    WRITERS[name](path)
    assert path.stat().st_size > LIMIT


def test_no_space_left_on_the_device_is_the_same_error(tmp_path: Path) -> None:
    path = tmp_path / "map.mrc"
    with pytest.raises(StageError) as caught, atomic_path(path) as part:
        part.symlink_to("/dev/full")
        part.write_bytes(NOISE.tobytes())
    assert str(caught.value) == (
        f"{path}: disk full (found No space left on device); "
        "free some space and run again, finished work is kept"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_ends_a_stage_at_once_and_finished_items_are_kept(tmp_path: Path) -> None:
    """It is no fault of a micrograph: nothing is left out, however large the share that may be."""
    done = []

    def compute(name: str) -> int:
        done.append(name)
        if name == "b":
            with small_disk():
                write_volume(tmp_path / "b.mrc", NOISE, 1.0)
        return 1

    def run(names: list[str]) -> dict[str, int]:
        with Work(tmp_path / "out", settings={}, stage="vitreous.runtime.work:run_items") as work:
            return run_items(names, compute, work, write_json, json_value, max_failed_share=1.0)[0]

    def json_value(path: Path) -> int:
        return int(json.loads(path.read_text()))

    with pytest.raises(StageError, match=r"b\.mrc: disk full"):
        run(["a", "b", "c"])
    assert done == ["a", "b"]
    assert run(["a", "c"]) == {"a": 1, "c": 1} and done == ["a", "b", "c"]


def test_a_copy_of_a_local_folder_on_a_full_disk_leaves_no_half_image(tmp_path: Path) -> None:
    write_image(tmp_path / "mine" / "a.mrc", NOISE.reshape(150, 180), 2.0)
    settings = LocalSettings(folder="mine", micrographs=["*.mrc"], pixel_size_A=2.0, link=False)
    with small_disk(), pytest.raises(StageError, match=r"micrographs/a\.mrc: disk full"):
        import_local(tmp_path / "out", settings, root=tmp_path)
    assert not list((tmp_path / "out").rglob("*.mrc"))
    import_local(tmp_path / "out", settings, root=tmp_path)
    assert (tmp_path / "out" / "micrographs" / "a.mrc").stat().st_size > LIMIT


def test_a_lock_that_could_not_be_written_does_not_keep_the_next_run_out(tmp_path: Path) -> None:
    with small_disk(0), pytest.raises(OSError), Lock(tmp_path / "lock"):
        pass
    with Lock(tmp_path / "lock"):
        assert (tmp_path / "lock").read_text()


# a rule's job, as Snakemake runs it: what stands in its log, how it ends

JOBS = """
import os, resource, sys
from pathlib import Path
from types import SimpleNamespace
from vitreous.runtime.job import job
from vitreous.simulate.settings import SimulateSettings

TARGETS = [{"name": "protein", "phantom": "c1", "diameter_A": 100, "count": 2}]
SETTINGS = SimulateSettings(micrographs=1, shape=(128, 128), pixel_size_A=5.0, targets=TARGETS)

def simulate(runtime, limit):
    from vitreous.simulate.stages import simulate_batch
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        simulate_batch(Path("ds/batch.star"), [0], Path("ds"), SETTINGS, runtime)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

def out_of_memory(runtime):
    import torch
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

CASES = {
    "full": ("cpu", lambda runtime: simulate(runtime, 30_000)),
    "again": ("cpu", lambda runtime: simulate(runtime, resource.RLIM_INFINITY)),
    "gpu": ("cuda", lambda runtime: runtime.torch_device()),
    "memory": ("cpu", lambda runtime: bytearray(1 << 60)),
    "gpu-memory": ("cpu", out_of_memory),
    "folder": ("cpu", lambda runtime: open("no/such/file", "w")),
}
for name, (device, work) in CASES.items():
    snakemake = SimpleNamespace(
        log=[f"{name}.log"], config={"compute": {"device": device}}, resources={"gpu": 1}, threads=1,
        params={}, rule="simulate_batch",
    )
    try:
        with job(snakemake) as runtime:
            work(runtime)
        print(name, 0)
    except SystemExit as end:
        print(name, end.code)
    if name == "full":
        print("left:", *sorted(str(path) for path in Path("ds").rglob("*") if path.is_file()))
"""


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder in which all these jobs ran, one process, and what it printed."""
    folder = tmp_path_factory.mktemp("jobs")
    done = subprocess.run(
        [sys.executable, "-c", JOBS],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    return folder, done.stdout.splitlines()


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        (
            "full",
            1,
            "ERROR ds/micrographs/m00001.mrc: disk full (found File too large); "
            "free some space and run again, finished work is kept",
        ),
        (
            "gpu",
            1,
            "ERROR a GPU was asked for and none is there (found no CUDA device); "
            "set `compute.device: cpu` in the configuration, or give `--device cpu`",
        ),
        ("memory", 137, "ERROR out of memory; raise `mem_mb` of rule simulate_batch or make batches smaller"),
        ("gpu-memory", 137, "ERROR out of memory on the GPU; set `compute.device: cpu` or smaller batches"),
        ("folder", 1, "ERROR no/such/file: No such file or directory; mend it and run again"),
    ],
)
def test_a_job_says_in_one_line_what_the_system_refused(
    jobs: tuple[Path, list[str]], name: str, status: int, said: str
) -> None:
    folder, printed = jobs
    assert f"{name} {status}" in printed
    lines = (folder / f"{name}.log").read_text().splitlines()
    assert said in lines[-1]
    assert f"INFO device {'cuda' if name == 'gpu' else 'cpu'}, " in lines[0]
    assert not [line for line in lines if "Traceback" in line]


def test_a_job_on_a_full_disk_leaves_no_image_and_the_next_one_finishes(
    jobs: tuple[Path, list[str]],
) -> None:
    folder, printed = jobs
    assert "left:" in printed  # no image, no mask, no batch, no lock, no hidden part of a file
    assert "again 0" in printed
    assert (folder / "ds" / "micrographs" / "m00001.mrc").stat().st_size == 1024 + 4 * 128**2
