"""One function in several processes of this machine, one a GPU, that find each other as torchrun's do."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any


def run_in_processes(count: int, function: Callable[..., None], *arguments: Any) -> None:
    """Call `function(*arguments)` in `count` new processes with ranks 0 to count - 1 and wait for all.

    `training.train` in them shares its batches out. The function must be importable by name. What one of them
    raises ends the others and is raised here.
    """
    from torch.multiprocessing import spawn

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(_as_rank, (count, port, function, arguments), nprocs=count)


def _as_rank(rank: int, count: int, port: int, function: Callable[..., None], arguments: Any) -> None:
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in places.items()}, MASTER_ADDR="127.0.0.1")
    function(*arguments)
