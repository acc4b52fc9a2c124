"""The self-trained picker: a network's score map, its maxima, the log-odds above the decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vitreous.nets.model_files import read_model
from vitreous.picking.candidates import Array, Candidates, Image
from vitreous.picking.model_files import required_model
from vitreous.picking.peaks import local_maxima
from vitreous.picking.polarity import refuse_auto
from vitreous.picking.selftrained.network import ScoreNetwork
from vitreous.picking.selftrained.scene import Scene, scene_of
from vitreous.picking.selftrained.settings import SelfTrainedSettings
from vitreous.picking.selftrained.start import Start, start_candidates, start_from, without_network
from vitreous.picking.working import WorkingImage, picking_mask, working_image
from vitreous.runtime.device import Runtime

KIND = "vitreous self-trained network 1"


@dataclass(frozen=True)
class Model:
    """A network and the log-odds of its decision, or only a start picker; the px of a diameter they want."""

    diameter_px: float
    network: ScoreNetwork | None = None
    decision: float = 0.0
    start: Start | None = None


def find_candidates(
    image: Image,
    pixel_size_A: float,
    diameter_A: float,
    contrast: str,
    settings: SelfTrainedSettings,
    runtime: Runtime,
    model: Any = None,
) -> Candidates:
    """Candidates of a micrograph (h, w) by a trained model; scores are log-odds above the decision.

    Raises SettingsError without a model and for contrast auto.
    """
    model = required_model(model, "the self-trained picker")
    refuse_auto(contrast, "a network")
    work = working_image(image, diameter_A / pixel_size_A, contrast)
    return network_candidates(work, model, settings, runtime)


def network_candidates(
    work: WorkingImage, model: Model, settings: SelfTrainedSettings, runtime: Runtime
) -> Candidates:
    """Candidates of an image (h, w) at working scale, in px of the micrograph."""
    scene = scene_of(work, model.diameter_px)
    if model.network is None:
        assert model.start is not None  # load_model gives one or the other
        begun = start_candidates(work, model.start.profile, settings, runtime)
        return without_network(model.start, scene, begun).best(settings.max_picks)
    scores = score_map(model.network, scene, runtime.torch_device())
    x, y, score = scene_maxima(scores, scene, settings)
    found = Candidates(*scene.to_full(x, y), score - model.decision, decision=0.0)
    return found.best(settings.max_picks)


def score_map(network: ScoreNetwork, scene: Scene, device: torch.device) -> Image:
    """Log-odds (h, w) of a particle's centre, the mean over the eight turns and mirrors of the picture.

    So a picture and its mirror image have the same picks, and no direction is preferred.
    """
    planes = scene.planes()[None].to(device)
    total = torch.zeros(planes.shape[2:], device=device)
    with torch.inference_mode():
        for turns in range(4):
            for mirrored in (False, True):
                turned = torch.rot90(planes, turns, (2, 3))
                turned = (turned.flip(3) if mirrored else turned).contiguous(
                    memory_format=torch.channels_last
                )
                scores = network(turned)[0].float()
                total += torch.rot90(scores.flip(1) if mirrored else scores, -turns, (0, 1))
    mean: Image = (total / 8).cpu().numpy()
    return mean


def scene_maxima(scores: Image, scene: Scene, settings: SelfTrainedSettings) -> tuple[Array, Array, Array]:
    """Maxima x, y (px of the scene), value (n,) of a score map, where picking is allowed."""
    mask = picking_mask(WorkingImage(scores, scene.cover > 0.5, 1, scene.diameter_px), settings.border)
    mask &= ~scene.contaminated
    return local_maxima(scores, mask, settings.min_distance * scene.diameter_px)


def load_model(path: Path, runtime: Runtime) -> Model:
    """The model of a file; raises InputError for what is none."""
    return restored(read_model(path, KIND), runtime)


def restored(stored: Mapping[str, Any], runtime: Runtime) -> Model:
    """The model that a model file holds."""
    if "start" in stored:
        return Model(float(stored["diameter_px"]), start=start_from(stored["start"]))
    network = ScoreNetwork(int(stored["width"]))
    network.load_state_dict(stored["state"])
    network = network.to(runtime.torch_device()).eval()
    return Model(float(stored["diameter_px"]), network, float(stored["decision"]))
