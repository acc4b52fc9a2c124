"""A folder in which the real workflow is run by a test."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Run:
    """What a run of Snakemake did."""

    status: int
    text: str

    @property
    def jobs(self) -> Counter[str]:
        """Jobs by rule, from the table that Snakemake prints first; empty where none is due."""
        table = re.search(r"^job +count\n-+ +-+\n(.*?)\ntotal", self.text, flags=re.MULTILINE | re.DOTALL)
        rows = [line.split() for line in table.group(1).splitlines()] if table else []
        return Counter({name: int(count) for name, count in rows})


class Workspace:
    """A working directory with its own configuration, data and results."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.config = folder / "config.yaml"
        self.write(config)

    def write(self, config: dict[str, Any]) -> None:
        """Replace the configuration."""
        self.config.write_text(yaml.safe_dump(config, sort_keys=False))

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the configuration in place."""
        config = yaml.safe_load(self.config.read_text())
        change(config)
        self.write(config)

    def command(self, *args: str, profile: str = "local") -> list[str]:
        """The command line of a run."""
        place = ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(self.folder)]
        cores = ["--cores", "2"] if profile == "local" else []
        return [
            sys.executable, "-m", "snakemake", *place, "--profile", str(ROOT / "profiles" / profile), *cores,
            "--configfile", str(self.config), *args,
        ]  # fmt: skip

    def run(self, *args: str, profile: str = "local", env: dict[str, str] | None = None) -> Run:
        """Run the workflow to its end."""
        done = subprocess.run(
            self.command(*args, profile=profile),
            capture_output=True,
            text=True,
            timeout=600,
            env={**os.environ, **(env or {})},
        )
        return Run(done.returncode, done.stdout + done.stderr)


def smallest(name: str = "test.yaml") -> dict[str, Any]:
    """The configuration `config/test.yaml`, or another of its folder, with every path in the workspace."""
    config = yaml.safe_load((ROOT / "config" / name).read_text())
    return config | {"data_root": "data", "dataset_root": "datasets", "results_root": "results"}
