"""What a picker returns for one micrograph."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Image = NDArray[np.float32]
_ARRAYS = ("x", "y", "score", "evidence")
_NUMBERS = ("noise", "spread", "structure", "decision")


@dataclass(frozen=True)
class Candidates:
    """Centres (n,) in px of the image as given (x column, y row) and scores (n,), higher is surer.

    The rest tells the automatic threshold what noise alone would give; leave out what a picker cannot say.
    `noise` is the standard deviation that the image's white noise puts into the score map whose maxima the
    scores are, `spread` the map's whole robust standard deviation; NaN where the map's mean is not 0 or the
    filter not linear, or (`noise`) where noise was filtered out of the image before. `structure` says how far
    the image is from Gaussian noise (structure.py), `evidence` (n,) how far each candidate is (evidence.py).
    `decision` is the score from which on the picker itself takes a candidate for a particle; where it is
    given, it is the automatic threshold and nothing is fitted.
    """

    x: Array
    y: Array
    score: Array
    noise: float = float("nan")
    spread: float = float("nan")
    structure: float = float("nan")
    evidence: Array = field(default_factory=lambda: np.zeros(0))
    decision: float = float("nan")

    def __post_init__(self) -> None:
        """Fill in the evidence where none is given: NaN."""
        if len(self.evidence) == 0:
            object.__setattr__(self, "evidence", np.full(np.shape(self.x), np.nan))

    def best(self, count: int | None) -> Candidates:
        """The `count` best; ties keep their order. None keeps all."""
        order = np.argsort(-self.score, kind="stable")[:count]
        arrays = {name: getattr(self, name)[order] for name in _ARRAYS}
        return replace(self, **arrays)


def no_candidates() -> Candidates:
    """No candidate at all."""
    nothing = np.zeros(0)
    return Candidates(nothing, nothing, nothing)


def save_candidates(path: Path, candidates: Candidates) -> None:
    """Write candidates to one file (NumPy archive)."""
    fields: dict[str, Any] = {name: getattr(candidates, name) for name in (*_ARRAYS, *_NUMBERS)}
    with open(path, "wb") as handle:
        np.savez(handle, **fields)


def load_candidates(path: Path) -> Candidates:
    """Read what `save_candidates` wrote."""
    with np.load(path) as stored:
        x, y, score, evidence = (stored[name] for name in _ARRAYS)
        numbers = {name: float(stored[name]) for name in _NUMBERS}
        return Candidates(x, y, score, evidence=evidence, **numbers)
