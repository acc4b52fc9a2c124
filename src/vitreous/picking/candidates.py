"""What a picker returns for one micrograph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Image = NDArray[np.float32]
_ARRAYS = ("x", "y", "score")


@dataclass(frozen=True)
class Candidates:
    """Centres (n,) in px of the image as given (x column, y row) and scores (n,), higher is surer.

    `noise` and `spread` describe the score map whose maxima the scores are, so that the automatic threshold
    knows what noise alone would give: `noise` is the standard deviation that the image's white noise puts
    into it, `spread` its whole robust standard deviation. NaN where a picker cannot say: `spread` where the
    map's mean is not 0 or the filter not linear, `noise` where noise was filtered out of the image before.
    """

    x: Array
    y: Array
    score: Array
    noise: float = float("nan")
    spread: float = float("nan")

    def best(self, count: int | None) -> Candidates:
        """The `count` best; ties keep their order. None keeps all."""
        order = np.argsort(-self.score, kind="stable")[:count]
        return Candidates(self.x[order], self.y[order], self.score[order], self.noise, self.spread)


def no_candidates() -> Candidates:
    """No candidate at all."""
    nothing = np.zeros(0)
    return Candidates(nothing, nothing, nothing)


def save_candidates(path: Path, candidates: Candidates) -> None:
    """Write candidates to one file (NumPy archive)."""
    fields: dict[str, Any] = {name: getattr(candidates, name) for name in (*_ARRAYS, "noise", "spread")}
    with open(path, "wb") as handle:
        np.savez(handle, **fields)


def load_candidates(path: Path) -> Candidates:
    """Read what `save_candidates` wrote."""
    with np.load(path) as stored:
        x, y, score = (stored[name] for name in _ARRAYS)
        return Candidates(x, y, score, float(stored["noise"]), float(stored["spread"]))
