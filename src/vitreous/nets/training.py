"""The one loop that trains the networks of all rooms, in one process or in several (torchrun).

The model returns its loss: `model(*batch)`. Every random number is drawn by the batches from the number of
the epoch and the step, so that a run that goes on from a checkpoint equals one that never stopped.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import (
    ReduceOp,
    all_reduce,
    barrier,
    destroy_process_group,
    init_process_group,
    is_initialized,
)
from torch.nn.parallel import DistributedDataParallel

from vitreous.errors import InputError, StageError
from vitreous.nets.precision import resolved
from vitreous.runtime.device import Runtime
from vitreous.runtime.files import atomic_path
from vitreous.runtime.progress import progress

log = logging.getLogger(__name__)
CHECKPOINT = "checkpoint.pt"
KIND = "vitreous training checkpoint 1"


@dataclass(frozen=True)
class Plan:
    """How long and how fast: the learning rate rises linearly, then falls as half a cosine."""

    epochs: int
    learning_rate: float
    least_rate: float = 0.0
    warmup_epochs: float = 0.0
    weight_decay: float = 0.0
    precision: str = "fp32"  # or bf16, or auto: bf16 where the device multiplies it itself
    clip: float | None = None  # largest norm of the gradient
    checkpoint_every: int = 50  # epochs

    def rate(self, epoch: float) -> float:
        """Learning rate when `epoch` epochs (a fraction within one) are done."""
        warmup = min(self.warmup_epochs, self.epochs / 2)
        if epoch < warmup:
            return self.learning_rate * epoch / warmup
        share = min(1.0, (epoch - warmup) / (self.epochs - warmup))
        low = min(self.least_rate, self.learning_rate)
        return low + (self.learning_rate - low) * 0.5 * (1 + math.cos(math.pi * share))


@dataclass(frozen=True)
class Batches:
    """What is learnt from: `steps` batches an epoch, the same on every machine.

    `draw(epoch, rank, world)` gives this process's equal share of each batch, a tuple of CPU tensors.
    """

    steps: int
    draw: Callable[[int, int, int], Iterable[tuple[Tensor, ...]]]


def train(
    model: nn.Module,
    batches: Batches,
    plan: Plan,
    runtime: Runtime,
    *,
    folder: Path | None = None,
    resume_from: Path | None = None,
    identity: str = "",
    label: str = "training",
) -> list[dict[str, float]]:
    """Train `model` in place and return a row an epoch: epoch, loss, learning_rate, windows, seconds.

    `windows` counts the examples of the epoch. With `folder` the first process writes `checkpoint.pt` there
    every `plan.checkpoint_every` epochs and at the end, with `identity` in it (see `is_of_run`). Raises
    StageError where the loss is not finite, InputError for a checkpoint that does not fit.
    """
    with world_of(runtime) as (rank, world, device):
        model.to(device).train()
        optimiser = _optimiser(model, plan)
        rows = [] if resume_from is None else _resume(resume_from, model, optimiser, device)
        wrapped = _distributed(model, device) if world > 1 else model
        log.info("%s, %d processes, %s", device, world, resolved(plan.precision, device))
        epochs = range(len(rows), plan.epochs)
        for epoch in progress(epochs, len(epochs), label) if rank == 0 else epochs:
            rows.append(_epoch(wrapped, optimiser, batches, plan, epoch, (rank, world, device)))
            done = epoch + 1
            due = done % plan.checkpoint_every == 0 or done == plan.epochs
            if folder is not None and rank == 0 and due:
                save_checkpoint(folder / CHECKPOINT, model, optimiser, rows, identity)
        if world > 1:
            barrier()
        model.eval()
    return rows


def _epoch(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    batches: Batches,
    plan: Plan,
    epoch: int,
    place: tuple[int, int, torch.device],
) -> dict[str, float]:
    rank, world, device = place
    half = resolved(plan.precision, device) == "bf16"
    start = time.monotonic()
    sums = torch.zeros(2, dtype=torch.float64, device=device)
    for step, batch in enumerate(batches.draw(epoch, rank, world)):
        # The rate of the end of the step, so that the first step learns and the last ends at the least rate.
        rate = plan.rate(epoch + (step + 1) / batches.steps)
        for group in optimiser.param_groups:
            group["lr"] = rate
        held = tuple(part.to(device, non_blocking=True) for part in batch)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            loss = model(*held)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if plan.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), plan.clip)
        optimiser.step()
        sums += torch.stack([loss.detach().double() * len(batch[0]), loss.new_tensor(len(batch[0])).double()])
    if world > 1:
        all_reduce(sums, ReduceOp.SUM)
    total, count = sums.tolist()
    if not math.isfinite(total) or count == 0:
        todo = "lower the learning rate, look at the images, or set precision fp32"
        raise StageError("training diverged", place=f"epoch {epoch + 1}", found=f"loss {total}", todo=todo)
    return {
        "epoch": epoch + 1, "loss": total / count, "learning_rate": rate, "windows": count,
        "seconds": round(time.monotonic() - start, 3),
    }  # fmt: skip


def _optimiser(model: nn.Module, plan: Plan) -> torch.optim.AdamW:
    """AdamW whose decay spares biases, norms and single tokens, i.e. all that has one axis."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    spared = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": plan.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=plan.learning_rate)


@contextlib.contextmanager
def world_of(runtime: Runtime) -> Iterator[tuple[int, int, torch.device]]:
    """This process's rank, the number of processes and its device, as torchrun's environment says.

    Processes meet over gloo on CPUs and over NCCL on GPUs; alone, rank 0 of 1. Raises StageError without the
    GPU that is asked for.
    """
    device = runtime.torch_device()
    world = int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1
    if world < 2:
        yield 0, 1, device
        return
    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    if device.type == "cuda":
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    started = not is_initialized()
    if started:
        init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield rank, world, device
    finally:
        if started:
            destroy_process_group()


def _distributed(model: nn.Module, device: torch.device) -> nn.Module:
    return DistributedDataParallel(model, device_ids=[device.index] if device.type == "cuda" else None)


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    rows: list[dict[str, float]],
    identity: str = "",
) -> None:
    """Write all that a run needs to go on, whole or not at all."""
    stored = {
        "kind": KIND, "identity": identity, "model": model.state_dict(),
        "optimiser": optimiser.state_dict(), "rows": rows,
    }  # fmt: skip
    with atomic_path(path) as part:
        torch.save(stored, part)


def is_of_run(path: Path, identity: str) -> bool:
    """Whether a checkpoint is there and was written by the run of this identity."""
    if not path.exists():
        return False
    try:
        return bool(_load(path, torch.device("cpu"))["identity"] == identity)
    except InputError:
        return False


def _resume(
    path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, device: torch.device
) -> list[dict[str, float]]:
    """Fill model and optimiser from a checkpoint; the rows of its epochs."""
    stored = _load(path, device)
    try:
        model.load_state_dict(stored["model"])
        optimiser.load_state_dict(stored["optimiser"])
    except (RuntimeError, ValueError) as error:
        found = str(error).splitlines()[0]
        todo = "go on with the settings of the network that the checkpoint has, or start anew"
        raise InputError("checkpoint of another network", file=path, found=found, todo=todo) from error
    rows: list[dict[str, float]] = stored["rows"]
    log.info("going on from %s after epoch %d", path, len(rows))
    return rows


def _load(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        stored = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises many kinds for files that are not its own
        raise InputError("not a checkpoint", file=path, found=type(error).__name__) from error
    if not isinstance(stored, dict) or stored.get("kind") != KIND:
        raise InputError("not a checkpoint", file=path, expected=f"a file of kind '{KIND}'")
    return stored
