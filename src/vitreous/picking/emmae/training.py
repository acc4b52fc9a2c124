"""Training of the masked autoencoder on prepared micrographs."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vitreous.nets.processes import run_in_processes
from vitreous.nets.training import CHECKPOINT, Plan, is_of_run, train
from vitreous.picking.emmae.settings import EmmaeSettings, MaeTrainingSettings
from vitreous.picking.emmae.tokens import Encoder, new_network
from vitreous.picking.emmae.windows import Picture, WindowDrawer
from vitreous.runtime.device import Runtime
from vitreous.runtime.plural import plural

log = logging.getLogger(__name__)
REFERENCE_BATCH = 256  # windows a step that the learning rate of the settings is meant for


@dataclass(frozen=True)
class TrainedAutoencoder:
    """Weights (on the CPU), mean and deviation of the training pixels in [0, 1], and a row an epoch."""

    state: dict[str, Tensor]
    mean: float
    std: float
    log: list[dict[str, float]]


def train_autoencoder(
    pictures: Sequence[Picture], settings: EmmaeSettings, runtime: Runtime, folder: Path | None = None
) -> TrainedAutoencoder:
    """Train on pictures, in as many processes as `runtime` has.

    With `folder` checkpoints are written there, from which the same run goes on. A row of the log has epoch,
    loss, learning_rate, windows and seconds. Raises StageError without a usable window and where the loss is
    not finite, InputError for a checkpoint of another network.
    """
    if runtime.processes > 1 and "RANK" not in os.environ:
        return _in_processes(pictures, settings, runtime, folder)
    drawer = WindowDrawer(pictures, settings.training, runtime)
    windows = plural(drawer.count, "window")
    log.info("%s an epoch, mean %.6f, deviation %.6f", windows, drawer.mean, drawer.std)
    network = new_network(settings.network, runtime.generator("network"))
    identity = _identity(drawer, settings, runtime)
    resume = settings.training.resume_from
    if resume is None and folder is not None and is_of_run(folder / CHECKPOINT, identity):
        resume = folder / CHECKPOINT
    rows = train(
        network,
        drawer.batches(),
        plan_of(settings.training),
        runtime,
        folder=folder,
        resume_from=resume,
        identity=identity,
        label="autoencoder",
    )
    state = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
    return TrainedAutoencoder(state, drawer.mean, drawer.std, rows)


def _in_processes(
    pictures: Sequence[Picture], settings: EmmaeSettings, runtime: Runtime, folder: Path | None
) -> TrainedAutoencoder:
    """The same, a process a GPU; pictures go to them as files that are mapped into memory."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        place = Path(scratch)
        for number, picture in enumerate(pictures):
            np.save(place / f"{number}-levels.npy", picture.levels)
            if picture.mask is not None:
                np.save(place / f"{number}-mask.npy", picture.mask)
        run_in_processes(runtime.processes, _train_of_files, place, len(pictures), settings, runtime, folder)
        trained = torch.load(place / "trained.pt", weights_only=True)
    return TrainedAutoencoder(**trained)


def _train_of_files(
    place: Path, count: int, settings: EmmaeSettings, runtime: Runtime, folder: Path | None
) -> None:
    """What each process does; the first leaves the result in `place`."""
    pictures = [
        Picture(*(_mapped(place / f"{number}-{part}.npy") for part in ("levels", "mask")))
        for number in range(count)
    ]
    trained = train_autoencoder(pictures, settings, runtime, folder)
    if os.environ["RANK"] == "0":
        torch.save(asdict(trained), place / "trained.pt")


def _mapped(path: Path) -> Any:
    return np.load(path, mmap_mode="r") if path.exists() else None


def untrained_encoder(pictures: Sequence[Picture], settings: EmmaeSettings, runtime: Runtime) -> Encoder:
    """The control: fresh weights, and the pixel statistics of the pictures."""
    drawer = WindowDrawer(pictures, settings.training, runtime)
    network = new_network(settings.network, runtime.generator("network"))
    return Encoder(network.to(runtime.torch_device()).eval(), drawer.mean, drawer.std)


def plan_of(settings: MaeTrainingSettings) -> Plan:
    """The plan of the training loop; the learning rate is scaled with the batch."""
    return Plan(
        epochs=settings.epochs,
        learning_rate=settings.learning_rate * settings.batch / REFERENCE_BATCH,
        least_rate=settings.least_rate,
        warmup_epochs=settings.warmup_epochs,
        weight_decay=settings.weight_decay,
        precision=settings.precision,
        checkpoint_every=settings.checkpoint_every,
    )


def _identity(drawer: WindowDrawer, settings: EmmaeSettings, runtime: Runtime) -> str:
    """What makes two runs the same: settings, seed and pictures."""
    training = settings.training.model_dump(mode="json", exclude={"resume_from", "checkpoint_every"})
    parts = [
        training,
        settings.network.model_dump(),
        runtime.seed,
        drawer.mean,
        drawer.std,
        len(drawer.cells),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
