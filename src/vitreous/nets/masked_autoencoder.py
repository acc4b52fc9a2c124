"""A masked autoencoder of small windows: a vision transformer that learns to draw the patches it cannot see.

Sizes, initialisation and loss as in cryo-EMMAE (methods/picking.md §1.1): a fixed position code that is
multiplied by a small factor in the encoder, the loss over hidden patches only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-6  # of LayerNorm, methods/picking.md §1.1
PUBLISHED_BASE = 10_000.0  # of the position code
# The quick start, chosen by the loss after 2,000 windows at 32 px a diameter: sharpness of the decoder's
# first attention, and factors that keep what has no meaning yet from hiding what passes through.
SHARPNESS = 4.0
MLP_SHARE, CONTENT_SHARE, OUTPUT_SHARE = 0.1, 0.3, 0.1


class MaskedAutoencoder(nn.Module):
    """Windows (b, side, side), standardised, to the loss of hidden patches, or to latents of all patches.

    Random numbers of the initialisation come from `generator` alone; `start` is `published`, or `quick`: the
    decoder's attention begins at the nearest patches. Raises ValueError where a width is no multiple of 4 or
    of its heads.
    """

    def __init__(
        self,
        *,
        width: int = 192,
        depth: int = 14,
        heads: int = 1,
        decoder_width: int = 128,
        decoder_depth: int = 7,
        decoder_heads: int = 8,
        mlp_ratio: float = 2.0,
        position_scale: float = 0.08,
        position_base: float = PUBLISHED_BASE,
        start: str = "published",
        side: int = 64,
        patch: int = 4,
        generator: torch.Generator | None = None,
    ) -> None:
        """Build with the published sizes by default."""
        super().__init__()
        self.side, self.patch, self.position_scale = side, patch, position_scale
        self.embed = nn.Linear(patch * patch, width)
        self.class_token = nn.Parameter(torch.empty(width))
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(width, EPSILON)
        self.to_decoder = nn.Linear(width, decoder_width)
        self.mask_token = nn.Parameter(torch.empty(decoder_width))
        self.decoder_blocks = nn.ModuleList(
            Block(decoder_width, decoder_heads, mlp_ratio) for _ in range(decoder_depth)
        )
        self.decoder_norm = nn.LayerNorm(decoder_width, EPSILON)
        self.to_pixels = nn.Linear(decoder_width, patch * patch)
        self.positions: Tensor
        self.decoder_positions: Tensor
        for name, size in (("positions", width), ("decoder_positions", decoder_width)):
            code = position_code(side // patch, size, position_base)
            self.register_buffer(name, code, persistent=False)
        self.initialise(generator)
        if start == "quick":
            self.start_near(generator)

    @property
    def tokens(self) -> int:
        """Patches of a window."""
        return (self.side // self.patch) ** 2

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew."""
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight, generator=generator)
                nn.init.zeros_(part.bias)
        # The published patch projection is a convolution, whose bias keeps the usual start of convolutions.
        nn.init.uniform_(self.embed.bias, -1 / self.patch, 1 / self.patch, generator=generator)
        nn.init.normal_(self.class_token, std=0.02, generator=generator)
        nn.init.normal_(self.mask_token, std=0.02, generator=generator)

    def start_near(self, generator: torch.Generator | None = None) -> None:
        """Let the decoder begin as a mean of the nearest patches, so that training need not find them first.

        Queries equal keys, and what attention brings is passed on unchanged. With the published start the
        loss stands at that of the mean for thousands of windows.
        """
        for block in self.decoder_blocks:
            assert isinstance(block, Block)
            width = block.out.in_features
            alike, passed = (
                nn.init.orthogonal_(torch.empty(width, width), generator=generator) for _ in range(2)
            )
            with torch.no_grad():
                block.qkv.weight.copy_(torch.cat([SHARPNESS**0.5 * alike] * 2 + [passed]))
                block.out.weight.copy_(passed.T)
                block.narrow.weight.mul_(MLP_SHARE)
        with torch.no_grad():
            self.to_decoder.weight.mul_(CONTENT_SHARE)
            self.to_pixels.weight.mul_(OUTPUT_SHARE)

    def patches(self, windows: Tensor) -> Tensor:
        """Windows (b, side, side) as patches (b, tokens, patch²), both in raster order."""
        b, p, n = len(windows), self.patch, self.side // self.patch
        return windows.reshape(b, n, p, n, p).transpose(2, 3).reshape(b, n * n, p * p)

    def encode(self, windows: Tensor) -> Tensor:
        """Normalised latents (b, tokens, width) of all patches of windows (b, side, side)."""
        return self._encode(self._embedded(self.patches(windows)))[:, 1:]

    def predict(self, windows: Tensor, kept: Tensor) -> Tensor:
        """Pixels (b, tokens, patch²) drawn from the patches `kept` (b, k) alone."""
        embedded = self._embedded(self.patches(windows))
        index = kept[..., None]
        seen = self._encode(embedded.gather(1, index.expand(-1, -1, embedded.shape[-1])))
        seen = self.to_decoder(seen)
        width = seen.shape[-1]
        hidden = self.mask_token.to(seen.dtype).expand(len(seen), self.tokens, width)
        full = hidden.scatter(1, index.expand(-1, -1, width), seen[:, 1:]) + self.decoder_positions
        x = torch.cat([seen[:, :1].to(full.dtype), full], dim=1)
        for block in self.decoder_blocks:
            x = block(x)
        pixels: Tensor = self.to_pixels(self.decoder_norm(x[:, 1:]))
        return pixels

    def forward(self, windows: Tensor, kept: Tensor) -> Tensor:
        """Mean squared error over the pixels of the patches that are not `kept` (b, k): the loss."""
        target = self.patches(windows)
        error = (self.predict(windows, kept).float() - target).square().mean(dim=-1)
        hidden = torch.ones_like(error).scatter(1, kept, 0.0)
        return (error * hidden).sum() / hidden.sum()

    def _embedded(self, patches: Tensor) -> Tensor:
        return self.embed(patches) + self.position_scale * self.positions

    def _encode(self, embedded: Tensor) -> Tensor:
        """Latents (b, 1 + k, width) of embedded patches (b, k, width), the class token first."""
        first = self.class_token.to(embedded.dtype).expand(len(embedded), 1, -1)
        x = torch.cat([first, embedded], dim=1)
        for block in self.blocks:
            x = block(x)
        latents: Tensor = self.norm(x)
        return latents


class Block(nn.Module):
    """A transformer block that normalises first: attention, then two linear layers with GELU."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        """Build; raises ValueError where `width` cannot be divided among the heads."""
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is no multiple of {heads} heads")
        self.heads = heads
        hidden = int(width * mlp_ratio)
        self.norm1 = nn.LayerNorm(width, EPSILON)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, EPSILON)
        self.wide = nn.Linear(width, hidden)
        self.narrow = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (b, n, width) to tokens of the same shape."""
        b, n, width = x.shape
        parts = self.qkv(self.norm1(x)).reshape(b, n, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = attention(query, key, value)
        x = x + self.out(seen.transpose(1, 2).reshape(b, n, width))
        added: Tensor = x + self.narrow(functional.gelu(self.wide(self.norm2(x))))
        return added


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(query keyᵀ / √d) value for (b, heads, n, d)."""
    if query.device.type == "cpu" and query.dtype == torch.bfloat16:
        # The fused kernel of CPUs multiplies bfloat16 at the speed of float32; products of matrices take a
        # third of its time (257 tokens, width 192).
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        return torch.softmax(scores, dim=-1).to(value.dtype) @ value
    return functional.scaled_dot_product_attention(query, key, value)


def position_code(side: int, width: int, base: float = PUBLISHED_BASE) -> Tensor:
    """Fixed code (side², width) of a square of tokens in raster order; the first half tells the column.

    Each half holds sines, then cosines, of the index at wavelengths from 2 pi to nearly 2 pi `base`. Raises
    ValueError where `width` is no multiple of 4.
    """
    if width % 4:
        raise ValueError(f"a position code needs a width that is a multiple of 4, not {width}")
    quarter = width // 4
    rates = base ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    angles = torch.arange(side, dtype=torch.float64)[:, None] * rates
    axis = torch.cat([angles.sin(), angles.cos()], dim=1)
    columns = axis.repeat(side, 1)
    rows = axis.repeat_interleave(side, dim=0)
    return torch.cat([columns, rows], dim=1).float()


def draw_kept(
    windows: int, tokens: int, mask_share: float, generator: torch.Generator | None = None
) -> Tensor:
    """Ascending indices (windows, kept) of the patches that stay visible, drawn apart for each window."""
    kept = max(1, min(tokens - 1, round(tokens * (1 - mask_share))))
    order = torch.rand(windows, tokens, generator=generator).argsort(dim=1)
    return order[:, :kept].sort(dim=1).values
