"""Detect picks that are written in another frame than the truth: flipped, or x and y exchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vitreous.metrics.pick_matching import Points, checked_points, match
from vitreous.metrics.pick_scores import check_known, scores_of

AS_GIVEN = "as given"
# Each frame: are x and y exchanged (before the flips), is x flipped, is y flipped.
FRAMES = {
    AS_GIVEN: (False, False, False),
    "y flipped": (False, False, True),
    "x flipped": (False, True, False),
    "x and y flipped": (False, True, True),
    "x and y exchanged": (True, False, False),
    "x and y exchanged, then y flipped": (True, False, True),
    "x and y exchanged, then x flipped": (True, True, False),
    "x and y exchanged, then both flipped": (True, True, True),
}
MARGIN = 0.2
# ASSUME: a handful of chance hits on a small set is no evidence of a wrong frame, so ask for this many more.
MIN_GAIN = 5


@dataclass(frozen=True)
class FrameVerdict:
    """The frame in which the picks fit the truth best; `warning` is text where that is not the given one."""

    best: str
    f1: dict[str, float]
    warning: str | None


def frame_check(
    truth: Mapping[str, Points],
    picks: Mapping[str, Points],
    shapes: Mapping[str, tuple[int, int]],
    radius_px: float,
) -> FrameVerdict:
    """Score the picks in the eight frames of a rectangle (micro F1) and warn where another one fits better.

    `shapes` gives (h, w) of each micrograph in px. A warning needs an F1 better by more than 0.2 and at least
    five hits more. Nothing is repaired. Source: methods/picking.md §5.
    """
    check_known(truth, picks)
    n_truth, n_picks = (sum(len(points) for points in side.values()) for side in (truth, picks))
    hits = {frame: _hits(truth, picks, shapes, radius_px, frame) for frame in FRAMES}
    f1 = {frame: scores_of(n_truth, n_picks, count).f1 for frame, count in hits.items()}
    best = max(FRAMES, key=lambda frame: hits[frame])
    gain = hits[best] - hits[AS_GIVEN]
    if gain < MIN_GAIN or not f1[best] > f1[AS_GIVEN] + MARGIN:
        return FrameVerdict(AS_GIVEN, f1, None)
    warning = (
        f"the coordinates fit the truth better {best}: F1 {f1[best]:.3f} against {f1[AS_GIVEN]:.3f} "
        "as given; check in which frame the picks and the truth are written"
    )
    return FrameVerdict(best, f1, warning)


def change_frame(picks: Points, shape: tuple[int, int], frame: str) -> Points:
    """Picks (n, 2) as x, y of the named frame, brought into that of a micrograph (h, w): y → h − 1 − y."""
    exchanged, flip_x, flip_y = FRAMES[frame]
    x, y = checked_points(picks)[:, :: -1 if exchanged else 1].T
    height, width = shape
    return np.stack([width - 1 - x if flip_x else x, height - 1 - y if flip_y else y], axis=1)


def _hits(
    truth: Mapping[str, Points],
    picks: Mapping[str, Points],
    shapes: Mapping[str, tuple[int, int]],
    radius_px: float,
    frame: str,
) -> int:
    return sum(
        len(match(truth[name], change_frame(points, shapes[name], frame), radius_px))
        for name, points in picks.items()
    )
