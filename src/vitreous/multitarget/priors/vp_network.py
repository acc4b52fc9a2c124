"""The published score network for digits: a U-Net without normalisation (methods/multitarget.md §2)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class VpNetwork(nn.Module):
    """Images (b, h, w) and times (b,) to images (b, h, w); the time is a second, constant channel.

    At 28 px the resolutions are 28, 14, 7, 4 and 2 px. Skips join at all but the first and the last. Any size
    of 2^4 px or more will do.
    """

    def __init__(self, widths: Sequence[int] = (32, 64, 128, 256, 256)) -> None:
        """Channels from full resolution down; weights are drawn from torch's global generator."""
        super().__init__()
        self.first = nn.Conv2d(2, widths[0], 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(low, high, 3, padding=1) for low, high in pairwise(widths))
        *inner, deepest = widths
        entering = [deepest, *(2 * width for width in inner[:0:-1])]
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(many, few, 3, stride=2, padding=1)
            for many, few in zip(entering, inner[::-1], strict=True)
        )
        self.last = nn.Conv2d(widths[0], 1, 3, padding=1)

    def forward(self, images: Tensor, times: Tensor) -> Tensor:
        """One image (b, h, w) for each of images (b, h, w) at times (b,)."""
        time = times[:, None, None].expand_as(images)
        features = self.first(torch.stack([images, time], dim=1))
        levels: list[Tensor] = []
        for convolution in self.down:
            levels.append(features)
            features = functional.logsigmoid(convolution(_halved(features)))
        for step, convolution in enumerate(self.up):
            target = levels[-1 - step]
            size = list(target.shape[-2:])
            features = functional.logsigmoid(convolution(features, output_size=size))
            if step < len(self.up) - 1:
                features = torch.cat([features, target], dim=1)
        out: Tensor = self.last(features)
        return out[:, 0]


def _halved(features: Tensor) -> Tensor:
    """Maxima of 2 x 2 px; an odd side is begun by a row of its own (7 px become 4, as published)."""
    odd = [side % 2 for side in features.shape[-2:]]
    return functional.max_pool2d(features, 2, stride=2, padding=odd)
