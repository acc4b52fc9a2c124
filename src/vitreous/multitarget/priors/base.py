"""What a method asks of a prior, and what every trained prior knows of its images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from vitreous.multitarget.priors.seen import image_hash

CHUNK_PIXELS = 200_000  # that go through a network at once


class Prior(Protocol):
    """A distribution of images (L, L), in their own unit."""

    @property
    def size(self) -> int:
        """Side L of an image, px."""

    @property
    def mean(self) -> Tensor:
        """Mean image (L, L)."""

    @property
    def scale(self) -> float:
        """Standard deviation over the pixels of all images."""

    @property
    def seen(self) -> Tensor:
        """Hashes (n,) of the images that it was trained on, see `seen.image_hash`; empty for none."""

    def score(self, images: Tensor) -> Tensor:
        """Gradient of log p, (b, L, L), at images (b, L, L), in their type and on their device."""

    def denoise(self, images: Tensor, noise: Tensor | float) -> Tensor:
        """Expected clean images (b, L, L) of images (b, L, L) with noise of standard deviation (b,).

        Raises SettingsError for a prior that knows no noise levels.
        """


@dataclass(frozen=True)
class Known:
    """What a prior knows of the images behind it: side, mean (L, L), deviation of all pixels, hashes (n,)."""

    size: int
    mean: Tensor
    scale: float
    seen: Tensor

    def plain(self) -> dict[str, Any]:
        """The same for a model file."""
        return {"size": self.size, "mean": self.mean.cpu(), "scale": self.scale, "seen": self.seen.cpu()}


def known_of(images: Tensor) -> Known:
    """What training images (n, L, L) show."""
    return Known(
        size=images.shape[-1],
        mean=images.mean(0, dtype=torch.float64).float(),
        scale=float(images.double().std(correction=0)),
        seen=image_hash(images),
    )


def stored_known(stored: Mapping[str, Any], device: torch.device) -> tuple[int, Tensor, float, Tensor]:
    """The fields of `Known` that a model file holds, in their order; tensors on `device`."""
    mean, seen = stored["mean"].to(device), stored["seen"].to(device)
    return int(stored["size"]), mean, float(stored["scale"]), seen


@torch.no_grad()
def in_chunks(
    function: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    levels: Tensor | float,
    device: torch.device,
) -> Tensor:
    """`function(images (c, L, L), levels (c,))` of float32 on `device`, chunk by chunk, over (b, L, L).

    `levels` is one number or (b,). The result has the type and the device of `images`.
    """
    numbers = torch.as_tensor(levels, dtype=torch.float32, device=device).expand(len(images))
    chunk = max(1, CHUNK_PIXELS // (images.shape[-2] * images.shape[-1]))
    parts = zip(images.split(chunk), numbers.split(chunk), strict=True)
    found = [function(part.to(device, torch.float32), number).to(images) for part, number in parts]
    return torch.cat(found) if found else images
