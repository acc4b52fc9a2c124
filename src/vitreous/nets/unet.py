"""A small U-Net for images of any size, told a number (a noise level) that shifts and scales its features.

The parts are those of Ho et al. 2020 (arXiv 2006.11239, appendix B) and Dhariwal & Nichol 2021 (arXiv
2105.05233, §3: scale and shift after the second normalisation), without attention.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

GROUP = 8  # channels that are normalised together
FREQUENCIES = 16  # waves that a condition is written in
LOWEST, HIGHEST = 0.25, 16.0  # their angular frequencies; conditions lie within about -2 ... 2


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions after GroupNorm and SiLU, added to the input; told the condition in between."""

    def __init__(self, width_in: int, width_out: int, width_condition: int) -> None:
        """From `width_in` to `width_out` channels; the last convolution starts at zero."""
        super().__init__()
        self.norm1 = nn.GroupNorm(width_in // GROUP, width_in)
        self.conv1 = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.modulation = nn.Linear(width_condition, 2 * width_out)
        self.norm2 = nn.GroupNorm(width_out // GROUP, width_out)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, padding=1)
        self.shortcut = nn.Conv2d(width_in, width_out, 1) if width_in != width_out else nn.Identity()
        for layer in (self.conv2, self.modulation):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Features (b, width_out, h, w) of (b, width_in, h, w) and condition (b, width_condition)."""
        inner = self.conv1(functional.silu(self.norm1(features)))
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)
        inner = self.norm2(inner) * (1 + scale) + shift
        total: Tensor = self.shortcut(features) + self.conv2(functional.silu(inner))
        return total


class Condition(nn.Module):
    """A number an image (b,) as a vector (b, width): waves of several lengths through two dense layers."""

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        """Frequencies spaced evenly in their logarithm."""
        super().__init__()
        rise = torch.linspace(0, 1, FREQUENCIES)
        self.register_buffer("frequencies", LOWEST * (HIGHEST / LOWEST) ** rise, persistent=False)
        self.dense1 = nn.Linear(2 * FREQUENCIES, width)
        self.dense2 = nn.Linear(width, width)

    def forward(self, value: Tensor) -> Tensor:
        """The vector (b, width) of values (b,)."""
        phase = value[:, None] * self.frequencies
        waves = torch.cat([phase.cos(), phase.sin()], dim=1)
        vector: Tensor = functional.silu(self.dense2(functional.silu(self.dense1(waves))))
        return vector


class UNet(nn.Module):
    """Images (b, channels, h, w) and a number each (b,) to images (b, channels_out, h, w).

    `widths` are the channels at full, half, quarter ... resolution, `blocks` the residual blocks on each side
    of a resolution. Raises ValueError where a width is no multiple of 8.
    """

    def __init__(
        self,
        widths: Sequence[int] = (32, 64, 96),
        *,
        blocks: int = 1,
        channels: int = 1,
        channels_out: int = 1,
        width_condition: int = 64,
    ) -> None:
        """Weights are drawn from torch's global generator; the output starts at zero."""
        super().__init__()
        if any(width % GROUP for width in widths):
            raise ValueError(f"widths {list(widths)} are no multiples of {GROUP}")
        self.stride = 2 ** (len(widths) - 1)
        self.condition = Condition(width_condition)
        self.first = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.shrink = nn.ModuleList(nn.Conv2d(low, high, 2, stride=2) for low, high in pairwise(widths))
        self.grow = nn.ModuleList(nn.Conv2d(high, low, 1) for low, high in pairwise(widths))
        for level, width in enumerate(widths):
            self.down.append(_stack(width, width, blocks, width_condition))
            entering = width if level == len(widths) - 1 else 2 * width
            self.up.append(_stack(entering, width, blocks, width_condition))
        self.norm = nn.GroupNorm(widths[0] // GROUP, widths[0])
        self.last = nn.Conv2d(widths[0], channels_out, 3, padding=1)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, images: Tensor, value: Tensor) -> Tensor:
        """Images (b, channels_out, h, w) of images (b, channels, h, w) and the number of each, (b,)."""
        h, w = images.shape[-2:]
        condition = self.condition(value)
        features = self.first(_padded(images, self.stride))
        skips: list[Tensor] = []
        for level, stack in enumerate(self.down):
            features = _through(stack, features, condition)
            if level < len(self.shrink):
                skips.append(features)
                features = self.shrink[level](features)
        for level in reversed(range(len(self.up))):
            if level < len(self.grow):
                # The 1 x 1 convolution before the enlargement costs a quarter of one after it.
                grown = functional.interpolate(self.grow[level](features), scale_factor=2.0)
                features = torch.cat([grown, skips[level]], dim=1)
            features = _through(self.up[level], features, condition)
        out: Tensor = self.last(functional.silu(self.norm(features)))
        return out[..., :h, :w]


def _stack(width_in: int, width_out: int, blocks: int, width_condition: int) -> nn.ModuleList:
    widths = [width_in] + [width_out] * blocks
    return nn.ModuleList(ResidualBlock(low, high, width_condition) for low, high in pairwise(widths))


def _through(stack: nn.Module, features: Tensor, condition: Tensor) -> Tensor:
    for block in stack.children():
        features = block(features, condition)
    return features


def _padded(images: Tensor, stride: int) -> Tensor:
    """Images whose sides are multiples of `stride`: the last row and column are repeated below and right."""
    h, w = images.shape[-2:]
    missing = (0, math.ceil(w / stride) * stride - w, 0, math.ceil(h / stride) * stride - h)
    return functional.pad(images, missing, mode="replicate") if any(missing) else images
