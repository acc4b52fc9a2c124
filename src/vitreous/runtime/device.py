"""Where and how a stage computes: device, threads, seed, precision."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vitreous.errors import StageError

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class Runtime:
    """What a stage may use; every random number derives from `seed` and names given to `rng`."""

    device: str = "cpu"
    threads: int = 1
    seed: int = 0
    precision: str = "fp32"
    processes: int = 1  # that a training may use, one a GPU

    def torch_device(self) -> torch.device:
        """The torch device; raises StageError where a GPU is asked for and none is there."""
        import torch

        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise StageError(
                "a GPU was asked for and none is there",
                found="no CUDA device",
                todo="set `compute.device: cpu` in the configuration, or give `--device cpu`",
            )
        torch.set_num_threads(self.threads)
        return torch.device(self.device)

    def key(self, *names: object) -> int:
        """A 63-bit number that depends on the seed and the names alone, on any machine."""
        text = "\x1f".join([str(self.seed), *map(str, names)])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    def rng(self, *names: object) -> np.random.Generator:
        """A NumPy generator for the purpose that `names` say."""
        import numpy as np

        return np.random.default_rng(self.key(*names))

    def generator(self, *names: object) -> torch.Generator:
        """A torch generator (CPU) for the purpose that `names` say."""
        import torch

        return torch.Generator().manual_seed(self.key(*names))


def choose_device(wanted: str) -> str:
    """Resolve `auto` to `cuda` where a GPU is, else `cpu`; other names are kept."""
    if wanted != "auto":
        return wanted
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
