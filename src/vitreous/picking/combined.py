"""Two label-free pickers added: the log-odds of a network and the likeness to the typical particle.

Their mistakes differ: the network overlooks what its few sure examples do not show, the likeness takes single
molecules of a clump for particles.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from vitreous.nets.model_files import read_model
from vitreous.picking.candidates import Candidates, Image
from vitreous.picking.combined_settings import CombinedSettings
from vitreous.picking.emmae import picker as emmae
from vitreous.picking.model_files import required_model
from vitreous.picking.peaks import suppress
from vitreous.picking.selftrained import picker as selftrained
from vitreous.picking.selftrained import training as selftraining
from vitreous.picking.training import Source, Training
from vitreous.runtime.device import Runtime

log = logging.getLogger(__name__)
KIND = "vitreous combined 1"
SAME = 0.3  # candidates of the two that are nearer than this / diameter are one
LIMIT = 8.0  # log-odds beyond which a network knows no more
# Measured on the tune-* sets: the median of a network's log-odds at the likeness's picks is 0.3 to 1.6 where
# it was trained on the same particles.
STRANGE, MIN_PICKS = -1.0, 10


def find_candidates(
    image: Image,
    pixel_size_A: float,
    diameter_A: float,
    contrast: str,
    settings: CombinedSettings,
    runtime: Runtime,
    model: Any = None,
) -> Candidates:
    """Candidates of a micrograph (h, w) by both models; scores above 0 are particles.

    Raises SettingsError without a model and for contrast auto.
    """
    network, likeness = required_model(model, "the combined picker")
    rest = (image, pixel_size_A, diameter_A, contrast)
    first = selftrained.find_candidates(*rest, settings.network, runtime, network)
    second = emmae.find_candidates(*rest, settings.likeness, runtime, likeness)
    if not knows(first, second, diameter_A / pixel_size_A):
        log.warning("the network does not know these particles: picked by their likeness alone")
        return second.best(settings.max_picks)
    return added(first, second, diameter_A / pixel_size_A, settings).best(settings.max_picks)


def knows(network: Candidates, likeness: Candidates, diameter_px: float) -> bool:
    """Whether the network takes most of the other's picks for particles: else it learnt another molecule."""
    picks = likeness.score > 0
    if np.count_nonzero(picks) < MIN_PICKS:
        return True
    if len(network.score) == 0:
        return False
    places = [np.stack([part.x, part.y], axis=1) for part in (network, likeness)]
    gap, partner = cKDTree(places[0]).query(places[1][picks])
    odds = np.where(gap < SAME * diameter_px, network.score[partner], -LIMIT)
    return bool(np.median(odds) > STRANGE)


def added(
    network: Candidates, likeness: Candidates, diameter_px: float, settings: CombinedSettings
) -> Candidates:
    """The candidates of both with the sums of their scores; of one thing the network's centre is kept."""
    x, y = (np.concatenate([getattr(part, axis) for part in (network, likeness)]) for axis in ("x", "y"))
    own = np.clip(network.score, -LIMIT, LIMIT)
    other = settings.weight * likeness.score
    places = [np.stack([part.x, part.y], axis=1) for part in (network, likeness)]
    sums = np.concatenate([own, other]) + settings.absent
    if len(own) and len(other):
        gap, partner = cKDTree(places[1]).query(places[0])
        same = np.flatnonzero(gap < SAME * diameter_px)
        sums[same] = own[same] + other[partner[same]]
        sums[len(own) + partner[same]] = -np.inf
    order = np.argsort(-sums, kind="stable")
    order = order[np.isfinite(sums[order])]
    order = order[suppress(x[order], y[order], settings.min_distance * diameter_px)]
    return Candidates(x[order], y[order], sums[order] - settings.decision, decision=0.0)


def load_model(path: Path, runtime: Runtime) -> tuple[Any, Any]:
    """Both models of a file; raises InputError for what is none."""
    stored = read_model(path, KIND)
    return selftrained.restored(stored["network"], runtime), emmae.restored(stored["likeness"], runtime)


def train(
    sources: Sequence[Source], settings: CombinedSettings, runtime: Runtime, folder: Path | None = None
) -> Training:
    """Train both on the same micrographs, without labels; the log has the rows of both."""
    network = selftraining.train(sources, settings.network, runtime, folder)
    likeness = emmae.train(sources, settings.likeness, runtime, folder)
    model = {"kind": KIND, "network": dict(network.model), "likeness": dict(likeness.model)}
    return Training(model, [*network.log, *likeness.log])
