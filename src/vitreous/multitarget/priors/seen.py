"""Which images a prior was trained on, told by hashes, so that no target is one of them."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

LEVELS = 64
# No fraction with a small denominator lies near the golden section, so grey levels of bytes, whatever the
# largest is, stay away from where rounding turns: float32 and float64 of one image agree.
OFFSET = 0.6180339887498949


def image_hash(images: Tensor) -> Tensor:
    """A 64-bit hash (n,) int64 of each image (n, h, w), of its pixels in 64 steps between its own extremes.

    The same for other units of the image and other float types; not for turned or moved images.
    """
    pixels = images.detach().cpu().double().flatten(1)
    low, high = pixels.amin(1, keepdim=True), pixels.amax(1, keepdim=True)
    share = (pixels - low) / (high - low).clamp_min(torch.finfo(torch.float64).tiny)
    steps = (share * LEVELS + OFFSET).floor().to(torch.uint8).numpy()
    digests = (hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in steps)
    return torch.from_numpy(np.frombuffer(b"".join(digests), dtype="<i8").copy())


def was_seen(seen: Tensor, images: Tensor) -> Tensor:
    """Whether each of images (n, h, w) has one of the hashes `seen` (m,) of a prior, (n,) bool."""
    return torch.isin(image_hash(images), seen.cpu())
