"""The chart of `benchmarks/multitarget.py`, part b: time and memory against the measurement's side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402


def draw(rows: list[dict[str, Any]], size: int, rotations: int, path: Path) -> None:
    """Draw `rows` of the CSV, of images of `size` px in so many rotations."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    sides = sorted({row["side_px"] for row in rows})
    labels = {"patch": "E-step on patches", "whole": "E-step on the whole measurement"}
    for (form, label), colour, marker in zip(labels.items(), ("#0072B2", "#D55E00"), "os", strict=True):
        own = [row for row in rows if row["form"] == form]
        style = {"color": colour, "marker": marker, "label": label}
        left.loglog(sides, [1e3 * row["cpu_s"] for row in own], **style)
        right.loglog(sides, [row["excess_mb"] for row in own], **style)
    dotted = {"color": "0.5", "linestyle": ":"}
    guide = [1e3 * rows[0]["cpu_s"] * (side / sides[0]) ** 2 for side in sides]
    left.loglog(sides, guide, **dotted, label="growth as the number of pixels")
    right.loglog(sides, [row["measurement_mb"] for row in own], **dotted, label="the measurement itself")
    left.set_ylabel("one EM iteration, ms (CPU, one thread)")
    right.set_ylabel("memory beyond the program itself, MB")
    ticks = [number * 10**power for power in range(-1, 4) for number in (1, 3)]
    for axis in (left, right):
        axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        heights = [height for line in axis.lines for height in line.get_ydata()]
        axis.set_ylim(0.8 * min(heights), 1.3 * max(heights))
        axis.set_xticks(sides, [f"{side}\n{side // size} L" for side in sides])
        axis.minorticks_off()
        axis.set_xlabel("side of the measurement, px")
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=9)
    figure.suptitle(f"L = {size} px, K = {rotations} rotations, float32", fontsize=11)
    figure.savefig(path, dpi=150)
