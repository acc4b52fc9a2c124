"""What is clustered: one token for each patch of 4 x 4 working px of a prepared micrograph."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
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
# ASSUME: axes of less than a thousandth of the largest variance are noise, whitening leaves them small.
LEAST_VARIANCE = 1e-3


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


@dataclass(frozen=True)
class Whitening:
    """An affine map of tokens: (token - mean (d,)) @ matrix (d, d)."""

    mean: NDArray[np.float64]
    matrix: NDArray[np.float64]


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
    whitening: Whitening | None = None,
) -> Tokens:
    """Tokens (ceil(h/4), ceil(w/4), d) of an image (h, w) in [0, 1], smoothed; `diameter_px` in its px.

    With several scales the maps are resampled to the first grid and stand one after the other along d.
    Raises SettingsError where the source is a network and none is given.
    """
    if encoder is None and settings.source != "raw":
        raise SettingsError("tokens of a network need a model", place="tokens.source", found=settings.source)
    pixels = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32)).to(device)
    rows, columns = (math.ceil(side / PATCH) for side in image.shape)
    offsets, maps = settings.offsets, []
    with torch.inference_mode():
        for scale in settings.scales:
            scaled = _resized(pixels, scale)
            if encoder is None or settings.source == "raw":
                found = _raw(scaled)
            else:
                found = _encoded(
                    scaled, partial(encoder.latents, precision=settings.precision), offsets, batch
                )
            maps.append(_onto(found, scaled.shape, image.shape, (rows, columns)))
        tokens = maps[0] if len(maps) == 1 else torch.cat(maps, dim=0)
        tokens = smoothed(tokens, settings, diameter_px)
    held: Tokens = tokens.permute(1, 2, 0).contiguous().cpu().numpy()
    return held if whitening is None else whiten(held, whitening)


def smoothed(tokens: Tensor, settings: TokenSettings, diameter_px: float) -> Tensor:
    """Token map (d, rows, columns), averaged over a disc, a centred window, or the window as published."""
    if settings.pool > 0:
        return _pooled(tokens, settings.pool * diameter_px / PATCH / 2)
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


def fit_whitening(blocks: Iterable[NDArray[Any]]) -> Whitening:
    """The map that makes tokens of `blocks` (each (n, d) or (rows, columns, d)) uncorrelated, of variance 1.

    Streamed: sums alone are kept, in float64. The symmetric root is taken, so that the map is unique. Raises
    ValueError where there are no tokens.
    """
    count, total, products = 0, np.zeros(0), np.zeros((0, 0))
    shift = np.zeros(0)
    for block in blocks:
        tokens = np.asarray(block, dtype=np.float64).reshape(-1, block.shape[-1])
        if len(tokens) and not count:  # sums about a token, so that a large mean costs no digits
            shift = tokens.mean(axis=0)
            total, products = np.zeros_like(shift), np.zeros((len(shift), len(shift)))
        centred = tokens - shift
        count += len(tokens)
        total += centred.sum(axis=0)
        products += centred.T @ centred
    if not count:
        raise ValueError("no tokens to whiten")
    mean = total / count
    values, vectors = np.linalg.eigh(products / count - np.outer(mean, mean))
    values = np.maximum(values, max(LEAST_VARIANCE * values[-1], np.finfo(float).tiny))
    return Whitening(mean + shift, (vectors / np.sqrt(values)) @ vectors.T)


def whiten(tokens: NDArray[Any], whitening: Whitening) -> Tokens:
    """Tokens (…, d) after the affine map, float32."""
    matrix = whitening.matrix.astype(np.float32)
    held: Tokens = (tokens - whitening.mean.astype(np.float32)) @ matrix
    return held


def _resized(pixels: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return pixels
    size = [max(1, round(side * scale)) for side in pixels.shape]
    resized = functional.interpolate(pixels[None, None], size=size, mode="bilinear", antialias=True)
    return resized[0, 0]


def _edge_padded(pixels: Tensor, before: int, after: tuple[int, int]) -> Tensor:
    """Edges repeated: `before` px above and on the left, `after` px below and on the right."""
    rows, columns = (
        torch.arange(-before, side + more, device=pixels.device).clamp(0, side - 1)
        for side, more in zip(pixels.shape, after, strict=True)
    )
    return pixels[rows[:, None], columns]


def _raw(pixels: Tensor) -> Tensor:
    """The 16 pixels of each patch (16, rows, columns)."""
    h, w = pixels.shape
    padded = _edge_padded(pixels, 0, (-h % PATCH, -w % PATCH))
    return functional.pixel_unshuffle(padded[None], PATCH)


def _encoded(pixels: Tensor, encode: Encode, offsets: int, batch: int) -> Tensor:
    """Latents (width, rows, columns), averaged over `offsets`² tilings, of which the centres weigh most.

    A tiling starts up to one window above and left of the picture, whose edges are repeated.
    """
    h, w = pixels.shape
    rows, columns = math.ceil(h / PATCH), math.ceil(w / PATCH)
    starts = [SIDE * step // offsets for step in range(offsets)]  # in tokens
    if offsets == 1:
        return next(_tilings(pixels, encode, starts, batch))[1][:, :rows, :columns]
    tent = torch.minimum(torch.arange(SIDE) + 0.5, SIDE - 0.5 - torch.arange(SIDE)).to(pixels.device)
    total, weights = None, torch.zeros(rows, columns, device=pixels.device)
    for (top, left), latents in _tilings(pixels, encode, starts, batch):
        weight = tent.repeat(latents.shape[1] // SIDE)[:, None] * tent.repeat(latents.shape[2] // SIDE)
        part = slice(top, top + rows), slice(left, left + columns)
        total = torch.zeros(len(latents), rows, columns, device=pixels.device) if total is None else total
        total += (latents * weight)[:, part[0], part[1]]
        weights += weight[part]
    assert total is not None
    return total / weights


def _tilings(
    pixels: Tensor, encode: Encode, starts: list[int], batch: int
) -> Iterator[tuple[tuple[int, int], Tensor]]:
    """Of each pair of `starts`: how many tokens stand before the picture, and the latents of all windows."""
    h, w = pixels.shape
    for top in starts:
        for left in starts:
            above, before = top * PATCH, left * PATCH
            padded = _edge_padded(pixels, max(above, before), (-(h + above) % WINDOW, -(w + before) % WINDOW))
            cut = padded[max(above, before) - above :, max(above, before) - before :]
            tall, wide = (side // WINDOW for side in cut.shape)
            windows = cut.reshape(tall, WINDOW, wide, WINDOW).transpose(1, 2).reshape(-1, WINDOW, WINDOW)
            latents = torch.cat([encode(chunk) for chunk in windows.split(batch)])
            placed = latents.reshape(tall, wide, SIDE, SIDE, -1).permute(4, 0, 2, 1, 3)
            yield (top, left), placed.reshape(-1, tall * SIDE, wide * SIDE)


def _onto(found: Tensor, scaled: torch.Size, shape: tuple[int, ...], grid: tuple[int, int]) -> Tensor:
    """Tokens (d, rows, columns) of a resized image, linearly resampled to the `grid` of the image itself."""
    for axis, (small, full, count) in enumerate(zip(scaled, shape, grid, strict=True), start=1):
        if small == full:
            continue
        # Centres of the grid's patches in tokens of the resized image.
        centre = (torch.arange(count, device=found.device) * PATCH + PATCH / 2) * (small / full) / PATCH - 0.5
        centre = centre.clamp(0, found.shape[axis] - 1)
        low = centre.floor().long()
        high = (low + 1).clamp(max=found.shape[axis] - 1)
        share = (centre - low).reshape([-1 if a == axis else 1 for a in range(3)])
        found = found.index_select(axis, low) * (1 - share) + found.index_select(axis, high) * share
    return found


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


def _pooled(tokens: Tensor, radius: float) -> Tensor:
    """Mean over a disc of `radius` tokens with a rim one token wide, edges repeated."""
    reach = math.ceil(radius)
    axis = torch.arange(-reach, reach + 1, device=tokens.device, dtype=torch.float32)
    disc = (radius + 0.5 - torch.hypot(axis[:, None], axis)).clamp(0, 1)
    disc /= disc.sum()
    padded = functional.pad(tokens[None], [reach] * 4, mode="replicate").transpose(0, 1)
    return functional.conv2d(padded, disc[None, None])[:, 0]
