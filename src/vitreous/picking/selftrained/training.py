"""Self-training: pick with a template, sort the picks, train the network on what is beyond doubt."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from vitreous.errors import StageError, VitreousError
from vitreous.picking.candidates import Array, Candidates
from vitreous.picking.selftrained.fitting import Example, fit_network
from vitreous.picking.selftrained.labels import (
    CONTAMINATION,
    OPEN,
    PARTICLE,
    gaps_of,
    label_plane,
    signs_of,
    typical_of,
)
from vitreous.picking.selftrained.network import ScoreNetwork
from vitreous.picking.selftrained.picker import KIND, scene_maxima, score_map
from vitreous.picking.selftrained.scene import Scene, scene_of
from vitreous.picking.selftrained.settings import SelfTrainedSettings
from vitreous.picking.selftrained.start import (
    Start,
    labels_by,
    start_candidates,
    start_profile,
    start_threshold,
)
from vitreous.picking.training import Source, Training
from vitreous.picking.working import working_image
from vitreous.runtime.device import Runtime
from vitreous.runtime.plural import plural

log = logging.getLogger(__name__)
DECISIONS = np.linspace(-6, 6, 241)  # log-odds that are tried
SAME = 0.3  # a pick and a particle nearer than this / diameter are one thing


@dataclass(frozen=True)
class Field:
    """A micrograph in training: its scene, what the start picker found and how that is labelled (n,)."""

    dataset: str
    scene: Scene
    found: Candidates
    picked: NDArray[np.bool_]
    labels: NDArray[np.uint8]

    def particles(self) -> Array:
        """Centres x, y (n, 2), px of the scene, of what is taken for particles."""
        x, y = self.scene.from_full(self.found.x, self.found.y)
        centres: Array = np.stack([x, y], axis=1)[self.labels == PARTICLE]
        return centres

    def expected(self) -> int:
        """How many particles there should be: the picks that are no contamination."""
        return int(np.count_nonzero(self.picked & (self.labels != CONTAMINATION)))

    def count(self, label: int) -> int:
        """How many candidates have a label."""
        return int(np.count_nonzero(self.labels == label))


def train(
    sources: Sequence[Source], settings: SelfTrainedSettings, runtime: Runtime, folder: Path | None = None
) -> Training:
    """Train the network on the micrographs of one or more data sets, without labels.

    It takes minutes: `folder` is left empty.

    With too few unsuspicious picks nothing is trained: the model then is the start picker with contamination
    rejected, and the log says so. Returns the model and a row of the log. Micrographs that cannot be used
    are left out. Raises StageError where none can.
    """
    fields: list[Field] = []
    starts: dict[str, Start] = {}
    for name in sorted({source.dataset for source in sources}):
        members = [source for source in sources if source.dataset == name]
        usable = _scenes(members, settings, runtime)
        if usable:
            starts[name], labelled = _labelled(name, usable)
            fields += labelled
    if not fields:
        raise StageError("no micrograph can be used", found=f"{len(sources)} failed")
    row = _counts(fields, failed=len(sources) - len(fields))
    model: dict[str, Any] = {"kind": KIND, "diameter_px": settings.diameter_px}
    if row["particles"] < settings.min_particles:
        log.warning(
            "NO NETWORK: %s, %d needed; the model is the start picker cleaned",
            plural(int(row["particles"]), "unsuspicious pick"), settings.min_particles,
        )  # fmt: skip
        most = max(starts, key=lambda name: sum(f.count(PARTICLE) for f in fields if f.dataset == name))
        return Training({**model, "start": starts[most].plain()}, [{**row, "network": 0.0}])
    network, loss = fit_network(_examples(fields), settings, runtime)
    decision = _decision(network, fields, settings, runtime)
    state = {key: value.cpu() for key, value in network.state_dict().items()}
    model |= {"width": settings.width, "decision": decision, "state": state}
    return Training(model, [{**row, "network": 1.0, "loss": loss, "decision": decision}])


def _counts(fields: Sequence[Field], failed: int) -> dict[str, float]:
    """How many micrographs there are, and candidates of each kind in them: what the log's row begins with."""
    return {
        "micrographs": float(len(fields)),
        "failed": float(failed),
        "particles": float(sum(field.count(PARTICLE) for field in fields)),
        "open": float(sum(field.count(OPEN) for field in fields)),
        "contamination": float(sum(field.count(CONTAMINATION) for field in fields)),
    }


def _scenes(
    sources: Sequence[Source], settings: SelfTrainedSettings, runtime: Runtime
) -> tuple[Array | None, list[tuple[Scene, Candidates]]] | None:
    """The template of a data set, scenes and candidates of its micrographs; None where none can be used."""
    profile = start_profile(sources, settings, runtime)
    usable = []
    for source in sources:
        try:
            work = working_image(source.read(), source.diameter_px, source.contrast)
        except VitreousError:
            continue
        found = start_candidates(work, profile, settings, runtime)
        usable.append((scene_of(work, settings.diameter_px), found))
    return (profile, usable) if usable else None


def _labelled(
    dataset: str, usable: tuple[Array | None, list[tuple[Scene, Candidates]]]
) -> tuple[Start, list[Field]]:
    """The start picker of a data set and its micrographs, labelled."""
    profile, pairs = usable
    cut = start_threshold([found for _, found in pairs])
    picked = [found.score >= cut for _, found in pairs]
    places = [scene.from_full(found.x, found.y) for scene, found in pairs]
    signs = [signs_of(scene, *place) for (scene, _), place in zip(pairs, places, strict=True)]
    gaps = [gaps_of(scene, *place, p) for (scene, _), place, p in zip(pairs, places, picked, strict=True)]
    start = Start(profile, cut, typical_of(picked, signs, gaps))
    return start, [
        Field(dataset, scene, found, p, labels_by(start, scene, found))
        for (scene, found), p in zip(pairs, picked, strict=True)
    ]


def _examples(fields: Sequence[Field]) -> list[Example]:
    examples = []
    for field in fields:
        members = [other for other in fields if other.dataset == field.dataset]
        clean = sum(other.count(PARTICLE) + other.count(OPEN) for other in members)
        prior = sum(other.expected() for other in members) / max(clean, 1)
        x, y = field.scene.from_full(field.found.x, field.found.y)
        plane = label_plane(field.scene, x, y, field.labels)
        examples.append(Example(field.dataset, field.scene.planes(), plane, field.particles(), prior))
    return examples


def _decision(
    network: ScoreNetwork, fields: Sequence[Field], settings: SelfTrainedSettings, runtime: Runtime
) -> float:
    """The log-odds of the highest expected F1, the mean over the data sets.

    The recall is that of the particles learnt from, the number of all particles that of the start picker's
    picks which are no contamination: F1 = 2 recall number / (picks + number).
    """
    total = np.zeros(len(DECISIONS))
    for name in sorted({field.dataset for field in fields}):
        members = [field for field in fields if field.dataset == name]
        picks, hits, particles = np.zeros(len(DECISIONS)), np.zeros(len(DECISIONS)), 0
        for field in members:
            scores = score_map(network, field.scene, runtime.torch_device())
            x, y, score = scene_maxima(scores, field.scene, settings)
            known = field.particles()
            picks += (score[None] >= DECISIONS[:, None]).sum(axis=1)
            particles += len(known)
            if len(known) and len(x):
                distance, nearest = cKDTree(np.stack([x, y], axis=1)).query(known)
                same = np.unique(nearest[distance < SAME * field.scene.diameter_px])
                hits += (score[same][None] >= DECISIONS[:, None]).sum(axis=1)
        number = sum(field.expected() for field in members)
        total += 2 * hits / max(particles, 1) * number / np.maximum(picks + number, 1)
    best = np.flatnonzero(total >= total.max() - 1e-9)
    return float(DECISIONS[best[len(best) // 2]])
