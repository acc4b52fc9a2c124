"""STAR files against starfile: 300,000 rows of 11 columns written and read, alternating in one process.

Prints seconds of CPU and the ratios; the claim: written in at most half of starfile's time, read in twice.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import starfile

from vitreous.io.star import read_star, write_star


def make_table(rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    micrographs = [f"MotionCorr/job002/mic_{row // 300:05d}.mrc" for row in range(rows)]
    table = pd.DataFrame(
        {
            "rlnImageName": [
                f"{row % 300 + 1:06d}@Extract/job007/mic_{row // 300:05d}.mrcs" for row in range(rows)
            ],
            "rlnMicrographName": micrographs,
            "rlnOpticsGroup": np.ones(rows, int),
            "rlnRandomSubset": rng.integers(1, 3, rows),
        }
    )
    for label in ("CoordinateX", "CoordinateY", "DefocusU", "DefocusV", "AngleRot", "AngleTilt", "AnglePsi"):
        table[f"rln{label}"] = np.round(rng.uniform(0, 4000, rows), 6)
    return table


def seconds(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    table = make_table(options.rows)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "ours.star", Path(folder) / "theirs.star"
        actions: dict[str, Callable[[], object]] = {
            "write vitreous": lambda: write_star(ours, {"particles": table}),
            "write starfile": lambda: starfile.write({"particles": table}, theirs, overwrite=True),
            # each reads the file the other wrote, and both are compared with the table
            "read vitreous": lambda: read_star(theirs),
            "read starfile": lambda: starfile.read(ours, always_dict=True),
        }
        times: dict[str, list[float]] = {name: [] for name in actions}
        for _ in range(options.repeats):
            for name, action in actions.items():
                times[name].append(seconds(action))
        pd.testing.assert_frame_equal(read_star(ours)["particles"], table, check_exact=True)
        pd.testing.assert_frame_equal(read_star(theirs)["particles"], table, check_exact=True)
    median = {name: statistics.median(values) for name, values in times.items()}
    for name, values in times.items():
        print(f"{name}: {median[name]:.2f} s CPU (median of {[round(value, 2) for value in values]})")
    for verb, bar in (("write", 0.5), ("read", 2.0)):
        ratio = median[f"{verb} vitreous"] / median[f"{verb} starfile"]
        verdict = "held" if ratio <= bar else "MISSED"
        print(f"{verb}: vitreous / starfile = {ratio:.2f} (claim: at most {bar}: {verdict})")


if __name__ == "__main__":
    main()
