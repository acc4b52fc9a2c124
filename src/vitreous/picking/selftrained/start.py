"""The start picker: a template averaged from blob picks, its threshold and its typical pick."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vitreous.errors import StageError
from vitreous.picking.blob import blob_candidates
from vitreous.picking.candidates import Array, Candidates
from vitreous.picking.selftrained.labels import (
    PARTICLE,
    Typical,
    gaps_of,
    signs_of,
    sort_candidates,
)
from vitreous.picking.selftrained.scene import Scene
from vitreous.picking.selftrained.settings import SelfTrainedSettings
from vitreous.picking.settings import TemplateSettings
from vitreous.picking.structure import combined, median
from vitreous.picking.template import template_candidates
from vitreous.picking.template import train as train_template
from vitreous.picking.threshold import choose_threshold
from vitreous.picking.training import Source
from vitreous.picking.working import WorkingImage
from vitreous.runtime.device import Runtime

REJECTED = 1.0  # by how much at least a suspicious pick falls below the threshold


@dataclass(frozen=True)
class Start:
    """The start picker of a data set: profile (bins,) over r/D (None: blobs), threshold, typical pick."""

    profile: Array | None
    cut: float
    typical: Typical

    def plain(self) -> dict[str, Any]:
        """As tensors and plain values, for a model file."""
        profile = None if self.profile is None else torch.tensor(self.profile, dtype=torch.float32)
        return {"profile": profile, "cut": self.cut, "typical": asdict(self.typical)}


def start_from(plain: Mapping[str, Any]) -> Start:
    """The start picker that `Start.plain` wrote down."""
    profile = plain["profile"]
    as_array = None if profile is None else np.asarray(profile.numpy(), dtype=float)
    return Start(as_array, float(plain["cut"]), Typical(**plain["typical"]))


def start_profile(sources: Sequence[Source], settings: SelfTrainedSettings, runtime: Runtime) -> Array | None:
    """The template (bins,) of a data set; None where there is nothing to average or none is wanted."""
    if settings.template_rounds == 0:
        return None
    try:
        model = train_template(sources, _template(settings), runtime).model
    except StageError:
        return None
    return np.asarray(model["profile"].numpy(), dtype=float)


def start_candidates(
    work: WorkingImage, profile: Array | None, settings: SelfTrainedSettings, runtime: Runtime
) -> Candidates:
    """Candidates of an image (h, w) at working scale by the start picker, with its profile (bins,)."""
    if profile is None:
        return blob_candidates(work, settings.start, runtime)
    return template_candidates(work, profile, _template(settings), runtime)


def start_threshold(found: Sequence[Candidates]) -> float:
    """The automatic threshold of the start picker's candidates of a data set; infinite without any."""
    if not any(len(part.score) for part in found):
        return math.inf
    scores = np.concatenate([part.score for part in found])
    evidence = np.concatenate([part.evidence for part in found])
    noise, spread = (median([getattr(part, key) for part in found]) for key in ("noise", "spread"))
    return choose_threshold(
        scores, noise, spread, combined([part.structure for part in found]), evidence
    ).value


def labels_by(start: Start, scene: Scene, found: Candidates) -> NDArray[np.uint8]:
    """Labels (n,) of the start picker's candidates in a scene."""
    x, y = scene.from_full(found.x, found.y)
    picked = found.score >= start.cut
    return sort_candidates(picked, signs_of(scene, x, y), gaps_of(scene, x, y, picked), start.typical)


def without_network(start: Start, scene: Scene, found: Candidates) -> Candidates:
    """The start picker's candidates, scores less its threshold; what is suspicious lies below 0."""
    above = found.score - start.cut
    fine = labels_by(start, scene, found) == PARTICLE
    score = np.where(fine, above, np.minimum(above, 0) - REJECTED)
    return Candidates(found.x, found.y, score, decision=0.0)


def _template(settings: SelfTrainedSettings) -> TemplateSettings:
    """The template picker's settings; border and least distance are those of the whole."""
    shared = {"min_distance": settings.min_distance, "border": settings.border}
    return TemplateSettings(start=settings.start, rounds=max(1, settings.template_rounds), **shared)
