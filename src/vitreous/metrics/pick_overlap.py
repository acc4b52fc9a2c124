"""Overlap (IoU) of square boxes about picks and truth: one to one, and in the published form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from vitreous.errors import InputError
from vitreous.metrics.pick_matching import Edges, Matches, Points, assign, checked_points, edges_within
from vitreous.metrics.pick_scores import Scores, scores_of


@dataclass(frozen=True)
class OverlapScores:
    """Mean IoU over all true particles and the scores of the hits."""

    mean_iou: float
    scores: Scores
    truth: int
    picks: int
    hits: int


def box_overlap(a: Points, b: Points, half_side: float) -> Points:
    """IoU (k,) of axis-parallel squares of one half side about centres a, b (k, 2), row by row."""
    side = 2 * half_side
    overlap = np.clip(side - np.abs(np.asarray(a, float) - np.asarray(b, float)), 0, None).prod(axis=-1)
    return overlap / (2 * side**2 - overlap)


def match_boxes(truth: Points, picks: Points, half_side: float, min_iou: float = 0.6) -> Matches:
    """Most pairs with IoU ≥ `min_iou`, then the largest sum of IoU; `distance` holds 1 − IoU.

    Centres (n, 2) and (m, 2). The half side is in the unit of the coordinates, the square the published
    form uses.
    """
    truth, picks = checked_points(truth), checked_points(picks)
    # Boxes that overlap at all are nearer than a side in x and in y, so within √2 sides.
    near = edges_within(truth, picks, 2 * half_side * 2**0.5)
    overlap = box_overlap(truth[near.truth_index], picks[near.pick_index], half_side)
    kept = overlap >= min_iou
    edges = Edges(near.truth_index[kept], near.pick_index[kept], 1 - overlap[kept])
    chosen = assign(edges, len(truth), len(picks))
    return Matches(edges.truth_index[chosen], edges.pick_index[chosen], edges.cost[chosen])


def iou_one_to_one(
    truth: Mapping[str, Points], picks: Mapping[str, Points], half_side: float, *, min_iou: float = 0.6
) -> OverlapScores:
    """IoU scores with each pick serving one particle: hits are the pairs of `match_boxes`, pooled.

    Centres (n, 2) by micrograph. The mean IoU is over all true particles, 0 for the unmatched; picks of a
    micrograph are counted even where it has no truth, and truth where it has no picks.
    """
    _check_side(half_side)
    empty = np.empty((0, 2))
    total, hits = 0.0, 0
    for name, centres in truth.items():
        pairs = match_boxes(centres, picks.get(name, empty), half_side, min_iou)
        total, hits = total + float((1 - pairs.distance).sum()), hits + len(pairs)
    n_truth, n_picks = _count(truth), _count(picks)
    mean = total / n_truth if n_truth else float("nan")
    return OverlapScores(mean, scores_of(n_truth, n_picks, hits), n_truth, n_picks, hits)


def iou_published(
    truth: Mapping[str, Points], picks: Mapping[str, Points], half_side: float
) -> OverlapScores:
    """The published form of paper 002's code, with its quirks, to compare with published numbers only.

    Centres (n, 2) by micrograph. Each particle takes the IoU of the nearest pick, which may serve several;
    a hit is IoU > 0.6, strictly; a micrograph without picks is not counted at all; precision, recall are
    rounded to 3 digits and F1 is made from the rounded values, so precision can exceed 1. Source:
    methods/picking.md §1.7.
    """
    _check_side(half_side)
    overlaps = [np.empty(0)]
    for name in picks:
        centres = checked_points(truth[name])
        overlaps.append(_nearest_overlap(centres, checked_points(picks[name]), half_side))
    overlap = np.concatenate(overlaps)
    hits, n_picks = int((overlap > 0.6).sum()), _count(picks)
    recall = round(hits / len(overlap), 3) if len(overlap) else float("nan")
    precision = round(hits / n_picks, 3) if n_picks else float("nan")
    f1 = 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
    mean = float(overlap.mean()) if len(overlap) else float("nan")
    return OverlapScores(mean, Scores(precision, recall, f1), len(overlap), n_picks, hits)


def _nearest_overlap(truth: Points, picks: Points, half_side: float) -> Points:
    if not len(truth) or not len(picks):
        return np.zeros(len(truth))
    nearest = cKDTree(picks).query(truth)[1]
    return box_overlap(truth, picks[nearest], half_side)


def _count(points: Mapping[str, Points]) -> int:
    return sum(len(centres) for centres in points.values())


def _check_side(half_side: float) -> None:
    if not half_side > 0:
        raise InputError("the box has no side", found=half_side, expected="half a side above 0")
