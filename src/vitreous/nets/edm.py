"""EDM: a denoiser for all noise levels at once (Karras et al. 2022, arXiv 2206.00364, Table 1 and §5).

The network knows nothing of the preconditioning here, which keeps its input, target and loss at unit size
whatever the noise.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def c_skip(noise: Tensor, data: float) -> Tensor:
    """Share of the noisy image that is passed on: data^2 / (noise^2 + data^2); any shape."""
    return data**2 / (noise**2 + data**2)


def c_out(noise: Tensor, data: float) -> Tensor:
    """Factor on the network's output: noise data / sqrt(noise^2 + data^2); any shape."""
    return noise * data / (noise**2 + data**2).sqrt()


def c_in(noise: Tensor, data: float) -> Tensor:
    """Factor on the network's input: 1 / sqrt(noise^2 + data^2); any shape."""
    return 1 / (noise**2 + data**2).sqrt()


def c_noise(noise: Tensor) -> Tensor:
    """What the network is told of the noise: ln(noise) / 4; any shape."""
    return noise.log() / 4


def loss_weight(noise: Tensor, data: float) -> Tensor:
    """Weight of the squared error: (noise^2 + data^2) / (noise data)^2 = 1 / c_out^2; any shape."""
    return (noise**2 + data**2) / (noise * data) ** 2


def draw_noise_levels(count: int, mean: float, spread: float, generator: torch.Generator) -> Tensor:
    """Noise levels (count,) of training: ln noise ~ N(mean, spread^2), Table 1."""
    return (mean + spread * torch.randn(count, generator=generator)).exp()


class EdmDenoiser(nn.Module):
    """D(x; noise) = c_skip x + c_out F(c_in x; c_noise), for images less their mean.

    `network` maps images (b, 1, h, w) and numbers (b,) to images (b, 1, h, w). `data_std` is the standard
    deviation of the clean pixels (sigma_data) and `data_mean` their mean, in the images' own unit, as is the
    noise.
    """

    def __init__(self, network: nn.Module, data_std: float, data_mean: float = 0.0) -> None:
        """Wrap `network`, called F in the paper."""
        super().__init__()
        self.network, self.data_std, self.data_mean = network, data_std, data_mean

    def denoise(self, images: Tensor, noise: Tensor | float) -> Tensor:
        """Expected clean images (b, h, w) of images (b, h, w) with noise of deviation (b,), eq. 7."""
        levels = torch.as_tensor(noise, dtype=images.dtype, device=images.device).expand(len(images))
        level, data = levels[:, None, None], self.data_std
        centred = images - self.data_mean
        inputs = (c_in(level, data) * centred)[:, None].contiguous(memory_format=torch.channels_last)
        output = self.network(inputs, c_noise(levels))[:, 0].to(images.dtype)
        denoised: Tensor = c_skip(level, data) * centred + c_out(level, data) * output + self.data_mean
        return denoised

    def forward(self, clean: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        """The loss, eq. 8: clean images (b, h, w), noise levels (b,), noise (b, h, w) of unit deviation."""
        spread = level[:, None, None]
        error = self.denoise(clean + spread * noise, level) - clean
        return (loss_weight(spread, self.data_std) * error.square()).mean()
