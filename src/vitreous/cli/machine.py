"""What this machine has, and where vitreous keeps what belongs to the user and not to a run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path


def available_cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpu_count() -> int:
    """GPUs that jobs of this machine may use: CUDA_VISIBLE_DEVICES, else what nvidia-smi lists."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() and name.strip() != "-1"])
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    try:
        listed = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=20, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listed.splitlines())


def cache_folder() -> Path:
    """Where vitreous keeps what belongs to the user and the machine, not to a run."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vitreous"


def user_environment() -> dict[str, str]:
    """Environment variables for jobs: compiled loops are kept between runs, outside the repository."""
    return {"NUMBA_CACHE_DIR": str(cache_folder() / "numba")}
