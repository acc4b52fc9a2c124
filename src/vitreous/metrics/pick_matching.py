"""Optimal one-to-one matching of picks with the true particle centres of one micrograph."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching
from scipy.spatial import cKDTree

from vitreous.errors import InputError

Points = NDArray[np.float64]
Indices = NDArray[np.intp]

# Above this many cells a component goes to the sparse solver: a dense matrix would cost time and memory.
DENSE_CELLS = 10_000


@dataclass(frozen=True)
class Matches:
    """Pairs (k,) in order of the truth's index; `distance` in the unit of the coordinates."""

    truth_index: Indices
    pick_index: Indices
    distance: Points

    def __len__(self) -> int:
        """The count of pairs."""
        return len(self.truth_index)


@dataclass(frozen=True)
class Edges:
    """The allowed pairs (e,) of a truth and a pick and what each costs (≥ 0)."""

    truth_index: Indices
    pick_index: Indices
    cost: Points


@dataclass(frozen=True)
class Pairs:
    """A matching that grows: the pick of each matched truth and the truth of each matched pick."""

    pick_of: dict[int, int]
    truth_of: dict[int, int]


def match(truth: Points, picks: Points, radius_px: float) -> Matches:
    """Match centres (n, 2) and (m, 2) one to one within `radius_px`, the radius itself included.

    The number of pairs is the largest possible and, among those, the sum of distances the least. Both sets
    may be empty. Raises InputError on points that are not finite (x, y) rows or a radius not above 0.
    Source: methods/picking.md §5 (Hungarian with cost d − big).
    """
    truth, picks = checked_points(truth), checked_points(picks)
    edges = edges_within(truth, picks, radius_px)
    chosen = assign(edges, len(truth), len(picks))
    return Matches(edges.truth_index[chosen], edges.pick_index[chosen], edges.cost[chosen])


def edges_within(truth: Points, picks: Points, radius_px: float) -> Edges:
    """All pairs of (n, 2) and (m, 2) not farther apart than `radius_px`, with their distances."""
    if not radius_px > 0:
        raise InputError("the matching radius is not above 0", found=radius_px)
    if not len(truth) or not len(picks):
        return Edges(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0))
    near = cKDTree(truth).query_ball_point(picks, radius_px * (1 + 1e-12))
    counts = np.fromiter(map(len, near), dtype=np.intp, count=len(near))
    truth_index = np.concatenate([np.asarray(indices, dtype=np.intp) for indices in near])
    pick_index = np.repeat(np.arange(len(picks)), counts)
    return Edges(truth_index, pick_index, np.linalg.norm(truth[truth_index] - picks[pick_index], axis=1))


def assign(edges: Edges, n_truth: int, n_picks: int) -> Indices:
    """Indices (k,) of the chosen edges, in order of the truth: as many as possible, then of least total cost.

    The graph falls apart into components that are solved one by one, which makes crowded micrographs cheap.
    """
    if not len(edges.cost):
        return np.empty(0, np.intp)
    graph = csr_array(
        (np.ones(len(edges.cost)), (edges.truth_index, edges.pick_index + n_truth)),
        shape=(n_truth + n_picks,) * 2,
    )
    label = connected_components(graph, directed=False)[1][edges.truth_index]
    order = np.argsort(label, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(label[order])) + 1)
    chosen = np.concatenate([_assign_component(edges, group) for group in groups])
    return chosen[np.argsort(edges.truth_index[chosen], kind="stable")]


def hit_labels(truth: Points, picks: Points, scores: Points, radius_px: float) -> NDArray[np.bool_]:
    """Whether each pick (m,) enlarges the matching when the picks come in order of falling score.

    The running sum of the labels in that order is the size of the best matching of the picks above each
    threshold, so one pass gives the re-matched hits at every threshold: a pick that finds an augmenting path
    adds one pair, one that finds none never will (the matched sets of picks form a matroid).
    """
    truth, picks = checked_points(truth), checked_points(picks)
    edges = edges_within(truth, picks, radius_px)
    neighbours: list[list[int]] = [[] for _ in range(len(picks))]
    for truth_index, pick_index in zip(edges.truth_index.tolist(), edges.pick_index.tolist(), strict=True):
        neighbours[pick_index].append(truth_index)
    pairs, closed = Pairs({}, {}), set[int]()
    labels = np.zeros(len(picks), dtype=bool)
    for pick in np.argsort(-np.asarray(scores, dtype=float), kind="stable").tolist():
        labels[pick] = _augment(pick, neighbours, pairs, closed)
    return labels


def checked_points(points: Points) -> Points:
    """Points as float64 (n, 2); raises InputError where they are not finite rows of x and y."""
    array = np.asarray(points, dtype=np.float64)
    array = array.reshape(0, 2) if array.size == 0 else array
    if array.ndim != 2 or array.shape[1] != 2:
        raise InputError("not a list of centres", found=array.shape, expected="(n, 2): x, y")
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise InputError("a centre is not a number", place=f"row {row + 1}", found=array[row].tolist())
    return array


def _assign_component(edges: Edges, group: Indices) -> Indices:
    """The chosen edges among the edges `group` of one connected component."""
    if len(group) == 1:
        return group
    truths, row = np.unique(edges.truth_index[group], return_inverse=True)
    picks, column = np.unique(edges.pick_index[group], return_inverse=True)
    cost = edges.cost[group]
    if min(len(truths), len(picks)) == 1:
        return group[[int(np.argmin(cost))]]
    # One more pair can move every other pair, each by no more than the largest cost.
    big = (min(len(truths), len(picks)) + 1) * (float(cost.max()) + 1.0)
    if len(truths) * len(picks) <= DENSE_CELLS:
        return group[_solve_dense(row, column, cost - big, (len(truths), len(picks)))]
    return group[_solve_sparse(row, column, cost, big, (len(truths), len(picks)))]


def _solve_dense(row: Indices, column: Indices, gain: Points, shape: tuple[int, int]) -> Indices:
    matrix = np.zeros(shape)
    matrix[row, column] = gain
    number = np.full(shape, -1)
    number[row, column] = np.arange(len(row))
    chosen = number[linear_sum_assignment(matrix)]
    return chosen[chosen >= 0]


def _solve_sparse(row: Indices, column: Indices, cost: Points, big: float, shape: tuple[int, int]) -> Indices:
    """As `_solve_dense`, each row with a dummy column of cost `big`, so that a full matching exists."""
    rows, columns = shape
    # The solver drops zeros as missing edges: all costs are raised by one.
    weights = np.concatenate([cost + 1.0, np.full(rows, big + 1.0)])
    own_row = np.concatenate([row, np.arange(rows)])
    own_column = np.concatenate([column, columns + np.arange(rows)])
    graph = csr_array((weights, (own_row, own_column)), shape=(rows, columns + rows))
    partner = min_weight_full_bipartite_matching(graph)[1]
    return np.flatnonzero(partner[row] == column)


def _augment(pick: int, neighbours: list[list[int]], pairs: Pairs, closed: set[int]) -> bool:
    """Search an augmenting path from `pick`; flip it and return True, or close what was seen for good."""
    reached_from: dict[int, int] = {}
    queue = deque([pick])
    while queue:
        current = queue.popleft()
        for truth in neighbours[current]:
            if truth in reached_from or truth in closed:
                continue
            reached_from[truth] = current
            if truth not in pairs.pick_of:
                _flip(truth, pick, reached_from, pairs)
                return True
            queue.append(pairs.pick_of[truth])
    # Nothing free can be reached from these any more, since no truth is ever added.
    closed.update(reached_from)
    return False


def _flip(truth: int, start: int, reached_from: dict[int, int], pairs: Pairs) -> None:
    """Give each truth of the path back to `start` the pick that reached it."""
    while True:
        pick = reached_from[truth]
        given_up = pairs.truth_of.get(pick)
        pairs.pick_of[truth], pairs.truth_of[pick] = pick, truth
        if pick == start or given_up is None:
            return
        truth = given_up
