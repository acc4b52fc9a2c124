"""Training of the masked autoencoder on prepared micrographs."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from vitreous.nets.training import CHECKPOINT, Plan, is_of_run, train
from vitreous.picking.emmae.settings import EmmaeSettings, MaeTrainingSettings
from vitreous.picking.emmae.tokens import Encoder, new_network
from vitreous.picking.emmae.windows import Picture, WindowDrawer
from vitreous.runtime.device import Runtime
from vitreous.runtime.files import atomic_path

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
    pictures: Sequence[Callable[[], Picture]],
    settings: EmmaeSettings,
    runtime: Runtime,
    folder: Path | None = None,
) -> TrainedAutoencoder:
    """Train on pictures, each of which is asked for once and kept in 8 bits.

    With `folder` the pictures lie there as files, mapped into memory, and checkpoints are written, from which
    the same run goes on. A row of the log has epoch, loss, learning_rate, windows and seconds. Raises
    StageError without a usable window and where the loss is not finite, InputError for a checkpoint of
    another network.
    """
    held = [_held(read(), folder, number) for number, read in enumerate(pictures)]
    drawer = WindowDrawer(held, settings.training, runtime)
    log.info("%d windows an epoch, mean %.6f, deviation %.6f", drawer.count, drawer.mean, drawer.std)
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


def _held(picture: Picture, folder: Path | None, number: int) -> Picture:
    """The same picture; with `folder`, as files there that are mapped into memory."""
    if folder is None:
        return picture
    parts = {"levels": picture.levels, "mask": picture.mask}
    mapped = {}
    for name, pixels in parts.items():
        if pixels is None:
            continue
        path = folder / f"picture-{number:05d}-{name}.npy"
        with atomic_path(path) as part:
            np.save(part, pixels)
        mapped[name] = np.load(path, mmap_mode="r")
    return Picture(mapped["levels"], mapped.get("mask"))
