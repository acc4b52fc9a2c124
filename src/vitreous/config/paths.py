"""Where everything lies: the folders of datasets and results as patterns of Snakemake wildcards."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SET = "sets/{dataset}"
PICKS = f"{SET}/picks/{{denoiser}}/{{picker}}"
PARTICLES = f"{SET}/particles/{{denoiser}}/{{picker}}"
SELECTED = f"{SET}/selected/{{denoiser}}/{{picker}}/{{selection}}"
MAPS = f"{SET}/maps/{{denoiser}}/{{picker}}/{{selection}}/{{target}}/{{engine}}"
CTF = f"{SET}/ctf/{{ctf}}"
MODEL = "models/{room}/{{model}}/all/seed-{{seed}}"


def batch_name(index: int, count: int) -> str:
    """Name of batch `index` (from 0) of `count`, as it stands in file names: `01-of-08`."""
    return f"{index + 1:02d}-of-{count:02d}"


def alternatives(names: Iterable[str]) -> str:
    """A regular expression that matches exactly `names`; one that matches nothing where there are none."""
    return "|".join(re.escape(name) for name in sorted(names)) or "(?!)"


@dataclass(frozen=True)
class Layout:
    """The folders of one run."""

    dataset_root: Path
    run_folder: Path

    def dataset(self, name: str) -> str:
        """A file of a dataset in the standard form."""
        return f"{self.dataset_root}/{{dataset}}/{name}"

    def result(self, folder: str, name: str) -> str:
        """A file of a folder of results, for instance `PICKS`."""
        return f"{self.run_folder}/{folder}/{name}"

    def log(self, name: str) -> str:
        """A job's log."""
        return f"{self.run_folder}/logs/{name}"

    def benchmark(self, name: str) -> str:
        """A job's run time and memory as Snakemake measures them."""
        return f"{self.run_folder}/benchmarks/{name}"
