"""What is clustered: one token for each patch of 4 x 4 working px of a prepared micrograph."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vitreous.errors import SettingsError
from vitreous.nets.masked_autoencoder import MaskedAutoencoder
from vitreous.nets.precision import resolved
from vitreous.picking.emmae.settings import NetworkSettings, TokenSettings

Image = NDArray[np.float32]
Tokens = NDArray[np.float32]
Encode = Callable[[Tensor], Tensor]
WINDOW, PATCH = 64, 4
SIDE = WINDOW // PATCH  # tokens along a window


@dataclass(frozen=True)
class Encoder:
    """A network and the pixels it knows: mean and deviation of its training pixels in [0, 1]."""

    network: MaskedAutoencoder
    mean: float
    std: float

    def latents(self, windows: Tensor, precision: str = "fp32") -> Tensor:
        """Latents (b, 256, width) float32 of windows (b, 64, 64) in [0, 1]."""
        half = resolved(precision, windows.device) == "bf16"
        with torch.autocast(windows.device.type, torch.bfloat16, enabled=half):
            return self.network.encode((windows - self.mean) / self.std).float()


def new_network(sizes: NetworkSettings, generator: torch.Generator) -> MaskedAutoencoder:
    """A network with fresh weights drawn from `generator`."""
    return MaskedAutoencoder(**sizes.model_dump(), side=WINDOW, patch=PATCH, generator=generator)


def load_encoder(
    sizes: NetworkSettings, state: Mapping[str, Any], mean: float, std: float, device: torch.device
) -> Encoder:
    """The encoder of a trained model on `device`; raises SettingsError where weights and sizes differ."""
    network = new_network(sizes, torch.Generator())
    try:
        network.load_state_dict(dict(state))
    except RuntimeError as error:
        found = str(error).splitlines()[0]
        raise SettingsError("the model has other sizes", place="network", found=found) from error
    return Encoder(network.to(device).eval(), mean, std)


def token_map(
    image: Image,
    encoder: Encoder | None,
    settings: TokenSettings,
    diameter_px: float,
    *,
    device: torch.device | str = "cpu",
    batch: int = 64,
) -> Tokens:
    """Tokens (ceil(h/4), ceil(w/4), d) of an image (h, w) in [0, 1], smoothed; `diameter_px` in its px.

    Raises SettingsError where the source is a network and none is given.
    """
    if encoder is None and settings.source != "raw":
        raise SettingsError("tokens of a network need a model", place="tokens.source", found=settings.source)
    pixels = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32)).to(device)
    with torch.inference_mode():
        if encoder is None or settings.source == "raw":
            tokens = _raw(pixels)
        else:
            tokens = _encoded(pixels, partial(encoder.latents, precision=settings.precision), batch)
        tokens = smoothed(tokens, settings, diameter_px)
    held: Tokens = tokens.permute(1, 2, 0).contiguous().cpu().numpy()
    return held


def smoothed(tokens: Tensor, settings: TokenSettings, diameter_px: float) -> Tensor:
    """Token map (d, rows, columns), averaged over a centred window, or over the window as published."""
    # methods/picking.md §1.5: 2 tokens, or 4 for diameters of 32 px and more in the 512 px picture.
    width = 2 if math.floor(diameter_px / 2 / 8) < 4 else 4
    if not settings.centred:
        return _even_window(tokens, width)
    # The mean of the two even windows about a token, which leaves it where it is.
    taps = torch.full((width + 1,), 1 / width, device=tokens.device)
    taps[[0, -1]] /= 2
    for axis in (1, 2):
        tokens = _convolved(tokens, taps, axis)
    return tokens


def _edge_padded(pixels: Tensor, multiple: int) -> Tensor:
    """Pixels (h, w), continued below and on the right by their edges to sides that are a `multiple`."""
    rows, columns = (
        torch.arange(side + -side % multiple, device=pixels.device).clamp(max=side - 1)
        for side in pixels.shape
    )
    return pixels[rows[:, None], columns]


def _raw(pixels: Tensor) -> Tensor:
    """The 16 pixels of each patch (16, rows, columns)."""
    return functional.pixel_unshuffle(_edge_padded(pixels, PATCH)[None], PATCH)


def _encoded(pixels: Tensor, encode: Encode, batch: int) -> Tensor:
    """Latents (width, rows, columns) of the windows that tile a picture (h, w) from its corner."""
    rows, columns = (math.ceil(side / PATCH) for side in pixels.shape)
    padded = _edge_padded(pixels, WINDOW)
    tall, wide = (side // WINDOW for side in padded.shape)
    windows = padded.reshape(tall, WINDOW, wide, WINDOW).transpose(1, 2).reshape(-1, WINDOW, WINDOW)
    latents = torch.cat([encode(chunk) for chunk in windows.split(batch)])
    placed = latents.reshape(tall, wide, SIDE, SIDE, -1).permute(4, 0, 2, 1, 3)
    return placed.reshape(-1, tall * SIDE, wide * SIDE)[:, :rows, :columns]


def _convolved(tokens: Tensor, taps: Tensor, axis: int) -> Tensor:
    """Correlation with `taps` (odd number) along one axis, edges repeated."""
    reach, side = len(taps) // 2, tokens.shape[axis]
    index = torch.arange(-reach, side + reach, device=tokens.device).clamp(0, side - 1)
    padded = tokens.index_select(axis, index)
    held = torch.zeros_like(tokens)
    for step, tap in enumerate(taps.tolist()):
        held += tap * padded.narrow(axis, step, side)
    return held


def _even_window(tokens: Tensor, width: int) -> Tensor:
    """Mean from i - width/2 to i + width/2 - 1, as published; width/2 tokens at every edge are zero."""
    half = width // 2
    means = functional.avg_pool2d(tokens[None], width, stride=1)[0]
    held = torch.zeros_like(tokens)
    rows, columns = (side - width for side in tokens.shape[1:])
    if rows > 0 and columns > 0:
        held[:, half : half + rows, half : half + columns] = means[:, :rows, :columns]
    return held
