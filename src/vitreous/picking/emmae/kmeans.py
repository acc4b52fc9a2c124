"""k-means of tokens, at once or streamed: never all tokens of a dataset in memory, always the same result.

Lloyd's passes only need the sum and the count of each cluster, which blocks of tokens add up to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import InputError

Tokens = NDArray[np.floating]
Labels = NDArray[np.intp]
Blocks = Callable[[], Iterator[Tokens]]

CHUNK = 8192  # tokens at a time: their distances stay in the cache, their sums in float64
MAX_PASSES = 200
TOLERANCE = 1e-4  # passes end where no centre moves more than this share of the tokens' deviation
FULL_PASSES = 2  # passes over all tokens after those over the sample


@dataclass(frozen=True)
class KMeans:
    """Centres (k, d) float64 and the tokens that each has (k,)."""

    centres: NDArray[np.float64]
    counts: NDArray[np.int64]

    def labels(self, tokens: Tokens) -> Labels:
        """The nearest centre of each token (..., d) as its index (...); of equally near ones the first."""
        flat = tokens.reshape(-1, tokens.shape[-1])
        parts = [self.distances(chunk).argmin(axis=1) for chunk in _chunks(flat)]
        return np.concatenate(parts).reshape(tokens.shape[:-1])

    def distances(self, tokens: Tokens) -> NDArray[np.floating]:
        """Squared distances (..., k) of tokens (..., d) to the centres."""
        return _squared_distances(tokens, self.centres)


def fit(tokens: Tokens, clusters: int, seed: int = 0) -> KMeans:
    """k-means of tokens (n, d) from a k-means++ start until the centres stand still; deterministic.

    Raises InputError where there are fewer tokens than clusters.
    """
    if len(tokens) < clusters:
        raise InputError("fewer tokens than clusters", found=len(tokens), expected=f"{clusters} or more")
    return lloyd([tokens], plus_plus_start(tokens, clusters, np.random.default_rng(seed)), MAX_PASSES)


def cluster_stream(blocks: Blocks, clusters: int, *, sample: int, seed: int = 0) -> KMeans:
    """k-means of a stream of token blocks (n, d), which `blocks` starts anew at each call.

    A random sample of at most `sample` tokens, the same however the stream is cut into blocks, is clustered
    until its centres stand still; if there are more tokens, passes over all of them follow. The counts are
    those of all tokens. Raises InputError where there are fewer tokens than clusters.
    """
    drawn, total = draw_sample(blocks, sample, seed)
    model = fit(drawn, clusters, seed)
    if total <= sample:
        return model
    return lloyd_stream(blocks, model.centres, FULL_PASSES)


def lloyd_stream(blocks: Blocks, start: NDArray[np.floating], passes: int) -> KMeans:
    """Lloyd's passes over a stream from centres (k, d): means of the tokens that were nearest to each.

    A centre that has lost all its tokens stays where it is. The counts belong to the last pass.
    """
    centres, counts = np.array(start, dtype=np.float64), np.zeros(len(start), dtype=np.int64)
    for _ in range(passes):
        sums, counts = np.zeros_like(centres), np.zeros(len(centres), dtype=np.int64)
        for block in blocks():
            for chunk in _chunks(block):
                _accumulate(chunk, centres, sums, counts)
        centres = _means(sums, counts, centres)
    return KMeans(centres, counts)


def lloyd(blocks: Iterable[Tokens], start: NDArray[np.floating], passes: int) -> KMeans:
    """Lloyd's passes over token blocks (n, d) in memory from centres (k, d) until these stand still.

    At most `passes`.
    """
    held = list(blocks)
    scale = float(np.mean([block.var(axis=0).sum(dtype=np.float64) for block in held]))
    model = KMeans(np.array(start, dtype=np.float64), np.zeros(len(start), dtype=np.int64))
    for _ in range(passes):
        before = model.centres
        model = lloyd_stream(lambda: iter(held), before, 1)
        if ((model.centres - before) ** 2).sum(axis=1).max() <= TOLERANCE**2 * max(scale, 1e-30):
            break
    return model


def plus_plus_start(tokens: Tokens, clusters: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Tokens (clusters, d) far from each other: each drawn in proportion to its squared distance.

    Of 2 + ln k draws the one that leaves the least sum of distances is taken.
    Source: Arthur & Vassilvitskii 2007, greedy form.
    """
    chosen = [int(random.integers(len(tokens)))]
    nearest = _squared_distances(tokens, tokens[chosen]).min(axis=1).astype(np.float64)
    trials = 2 + int(math.log(clusters))
    while len(chosen) < clusters:
        cumulated = np.cumsum(nearest)
        draws = np.searchsorted(cumulated, random.random(trials) * cumulated[-1])
        draws = np.minimum(draws, len(tokens) - 1)
        left = np.minimum(_squared_distances(tokens, tokens[draws]).T, nearest)
        best = int(left.sum(axis=1, dtype=np.float64).argmin())
        chosen.append(int(draws[best]))
        nearest = left[best].astype(np.float64)
    return tokens[chosen].astype(np.float64)


def draw_sample(blocks: Blocks, size: int, seed: int) -> tuple[Tokens, int]:
    """At most `size` tokens (n, d) of the stream, each as likely, in its order; and the count of all.

    Every token draws a number and those with the least are kept, so that the cut into blocks plays no part.
    """
    random = np.random.default_rng(seed)
    kept: list[Tokens] = []
    keys = np.zeros(0)
    total = 0
    for block in blocks():
        total += len(block)
        kept.append(block)
        keys = np.concatenate([keys, random.random(len(block))])
        if len(keys) > 2 * size:
            kept, keys = _least(kept, keys, size)
    if total == 0:
        raise InputError("no tokens to cluster")
    kept, _ = _least(kept, keys, size)
    return kept[0], total


def _least(
    kept: list[Tokens], keys: NDArray[np.float64], size: int
) -> tuple[list[Tokens], NDArray[np.float64]]:
    tokens = np.concatenate(kept)
    if len(keys) <= size:
        return [tokens], keys
    order = np.sort(np.argpartition(keys, size - 1)[:size])
    return [tokens[order]], keys[order]


def _accumulate(
    chunk: Tokens, centres: NDArray[np.float64], sums: NDArray[np.float64], counts: NDArray[np.int64]
) -> None:
    labels = _squared_distances(chunk, centres).argmin(axis=1)
    member = (labels[:, None] == np.arange(len(centres))).astype(np.float64)
    sums += member.T @ chunk.astype(np.float64)
    counts += np.bincount(labels, minlength=len(centres))


def _means(
    sums: NDArray[np.float64], counts: NDArray[np.int64], before: NDArray[np.float64]
) -> NDArray[np.float64]:
    means: NDArray[np.float64] = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], before)
    return means


def _squared_distances(tokens: Tokens, centres: NDArray[np.floating]) -> NDArray[np.floating]:
    """|x - c|² (..., k) by one matrix product, about the centres' mean so that little is lost by rounding."""
    middle = centres.mean(axis=0)
    shifted, less = (centres - middle).astype(tokens.dtype), tokens - middle.astype(tokens.dtype)
    squares = (less**2).sum(axis=-1, keepdims=True) + (shifted**2).sum(axis=1) - 2 * less @ shifted.T
    distances: NDArray[np.floating] = np.maximum(squares, 0)
    return distances


def _chunks(tokens: Tokens) -> Iterator[Tokens]:
    for begin in range(0, len(tokens), CHUNK):
        yield tokens[begin : begin + CHUNK]
