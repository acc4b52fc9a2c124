"""The network: a few dilated convolutions that see about two diameters, one score a pixel."""

from __future__ import annotations

import torch
from torch import nn

PLANES = 2
DILATIONS = (1, 2, 4, 4, 2)
SLOPE = 0.1
REACH_PX = 2 + sum(DILATIONS)  # how far from a pixel it sees


class ScoreNetwork(nn.Module):
    """Planes (b, 2, h, w) to the log-odds (b, h, w) of a particle's centre, shift-equivariant."""

    def __init__(self, width: int) -> None:
        """Weights drawn from torch's generator; the last layer's bias says that centres are rare."""
        super().__init__()
        layers: list[nn.Module] = []
        convolutions = [nn.Conv2d(PLANES, width, 5, padding=2, bias=False)]
        convolutions += [nn.Conv2d(width, width, 3, padding=d, dilation=d, bias=False) for d in DILATIONS]
        for convolution in convolutions:
            layers += [convolution, nn.BatchNorm2d(width), nn.LeakyReLU(SLOPE)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(width, 1, 1)
        for layer in self.body:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, a=SLOPE)
        nn.init.zeros_(self.head.weight)
        if self.head.bias is not None:
            nn.init.constant_(self.head.bias, -2.0)

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """Log-odds (b, h, w)."""
        scores: torch.Tensor = self.head(self.body(planes))[:, 0]
        return scores
