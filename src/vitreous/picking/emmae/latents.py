"""What the encoder knows, to look at: tokens of a micrograph on their principal components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitreous.picking.emmae.picker import EmmaeModel, segment_micrograph, tokens_of
from vitreous.picking.emmae.preprocess import prepare
from vitreous.picking.emmae.settings import EmmaeSettings
from vitreous.picking.emmae.tokens import Tokens
from vitreous.picking.training import Source
from vitreous.runtime.device import Runtime

COMPONENTS = 3


@dataclass(frozen=True)
class Projection:
    """Coordinates (n, 3) of tokens on the first principal components; shares (d,) of all components."""

    coordinates: NDArray[np.float64]
    shares: NDArray[np.float64]


def principal_components(tokens: Tokens) -> Projection:
    """Tokens (n, d) less their mean on the eigenvectors of their covariance, largest variance first.

    An eigenvector's sign is such that its largest entry is positive; fewer than three dimensions leave zeros.
    """
    less = tokens.astype(np.float64) - tokens.mean(axis=0, dtype=np.float64)
    values, vectors = np.linalg.eigh(less.T @ less / max(len(less), 1))
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
    vectors = vectors * np.where(largest < 0, -1.0, 1.0)
    coordinates = np.zeros((len(less), COMPONENTS))
    first = less @ vectors[:, :COMPONENTS]
    coordinates[:, : first.shape[1]] = first
    return Projection(coordinates, values / max(float(values.sum()), 1e-30))


def latent_tables(
    source: Source, model: EmmaeModel, settings: EmmaeSettings, runtime: Runtime
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tokens of a micrograph (row, column, component1-3, cluster, particle) and each component's share."""
    prepared = prepare(source.read(), source.diameter_px, source.contrast, settings.preprocess)
    tokens = tokens_of(prepared, model.encoder, settings, runtime)
    segmentation = segment_micrograph(tokens, prepared.mask, model, settings)
    projection = principal_components(tokens.reshape(-1, tokens.shape[-1]))
    row, column = np.indices(tokens.shape[:2]).reshape(2, -1)
    table = pd.DataFrame({"row": row, "column": column})
    for number, values in enumerate(projection.coordinates.T, start=1):
        table[f"component{number}"] = values
    table["cluster"] = segmentation.labels.ravel()
    table["particle"] = segmentation.member.ravel().astype(int)
    numbers = np.arange(1, len(projection.shares) + 1)
    return table, pd.DataFrame({"component": numbers, "share": projection.shares})
