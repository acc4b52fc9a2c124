"""E-step on the whole measurement: where are the targets, told by all pixels of each place at once.

Cut into patches, most targets fall into pieces that are judged apart. As no two targets come nearer than the
separation, the measurement can be asked corner by corner instead: the odds of a target against none at
(x, k), normalised over every pose that would collide with it (methods: a local normalisation of a hard-core
point process, so not the gradient of a stated likelihood). Large measurements are read in overlapping tiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.fft import fft, irfft, irfft2, rfft

from vitreous.errors import InputError
from vitreous.multitarget.rotation import Rotations
from vitreous.multitarget.statistics import Statistics, joined, sums_of_squares
from vitreous.multitarget.windows import LEAST, window_logsumexp

# Sides of a tile's own corners, in image sides: larger ones overlap less and leave the cache.
TILE = 24
# Numbers of a group of measurements that are worked on at once: in a core's cache, many enough for a GPU.
CHUNK = {"cpu": 400_000, "cuda": 50_000_000}
# Least share of places taken for free when the density is near jamming.
LEAST_FREE = 0.1
# The estimate may lie off the middle of its box, by less than its margin, and corners of turned copies then
# lie that much nearer to each other. Measured on digits: targets 2 L apart are else lost, one in 25.
MARGIN = 7
TINY = 1e-300


@dataclass(frozen=True)
class Tiling:
    """How corners 0 to `corners` - 1 of each axis are split: tiles of `own` corners with a halo around."""

    corners: tuple[int, int]
    own: tuple[int, int]
    halo: int
    side: tuple[int, int]

    def starts(self) -> list[tuple[int, int]]:
        """The first own corner of each tile."""
        rows, columns = (range(0, total, own) for total, own in zip(self.corners, self.own, strict=True))
        return [(y, x) for y in rows for x in columns]


def tiling_of(shape: tuple[int, int], size: int, separation: int, tile: int = TILE) -> Tiling:
    """A tiling of measurements of `shape`: one tile without halo where they are small."""
    height, width = shape[0] - size + 1, shape[1] - size + 1
    if max(height, width) <= (tile + 4) * size:
        return Tiling((height, width), (height, width), 0, (_fast(shape[0]), _fast(shape[1])))
    halo = separation - 1
    around = 2 * halo + size - 1
    rows, columns = (_split(corners, tile * size, around) for corners in (height, width))
    return Tiling((height, width), (rows[0], columns[0]), halo, (rows[1], columns[1]))


def _split(corners: int, wanted: int, around: int) -> tuple[int, int]:
    """Own corners of each tile, about `wanted` and all tiles alike, and its side with what lies `around`."""
    own = math.ceil(corners / math.ceil(corners / wanted))
    side = _fast(own + around)
    return min(side - around, corners), side


def _transform(images: Tensor, side: tuple[int, int]) -> Tensor:
    """Spectra (..., side, side / 2 + 1) of images (..., h, w): as `rfft2`, but no time for rows beyond h."""
    return fft(rfft(images, n=side[1]), n=side[0], dim=-2)


def _fast(length: int) -> int:
    """The next length that is quick to transform: a multiple of eight, which odd powers alone are not."""
    return 8 * int(next_fast_len(math.ceil(length / 8), real=True))


class WholeStep:
    """The E-step of b measurements (b, H, W) for images of L px that keep `separation` px between corners.

    Poses nearer than that, less L / 7 for an estimate off the middle of its box, exclude each other.
    """

    def __init__(self, measurements: Tensor, size: int, separation: int, tile: int = TILE) -> None:
        """Prepare; raises InputError where a measurement is smaller than two images."""
        shape = (int(measurements.shape[-2]), int(measurements.shape[-1]))
        if min(shape) < 2 * size:
            raise InputError("the measurement is too small", found=shape, expected=f"at least {2 * size} px")
        self.measurements, self.size = measurements, size
        self.separation = separation - size // MARGIN
        self.tiling = tiling_of(shape, size, self.separation, tile)
        self.squares = sums_of_squares(measurements)
        starts = self.tiling.starts()
        self.spectra = self._spectra(slice(None), starts[0]) if len(starts) == 1 else None

    @property
    def most_targets(self) -> float:
        """As many as could stand there, with the density of a loose packing."""
        height, width = self.measurements.shape[-2:]
        return max(1.0, height * width / (2.25 * self.separation**2))

    def statistics(self, images: Tensor, rotations: Rotations, sigma: Tensor, targets: Tensor) -> Statistics:
        """E-step: images (b, L, L), sigma (b,), expected number of targets (b,) that the prior odds say."""
        cells = rotations.count * self.tiling.side[0] * self.tiling.side[1]
        group = max(1, CHUNK[images.device.type] // cells)
        parts = [slice(first, first + group) for first in range(0, len(images), group)]
        return joined([self._group(part, images, rotations, sigma, targets) for part in parts])

    def places(
        self, images: Tensor, rotations: Rotations, sigma: float, targets: float
    ) -> tuple[Tensor, Tensor]:
        """Mass (h, w) of a target at each corner of the first measurement, and its likeliest rotation."""
        noise, expected = (images.new_full((1,), value) for value in (sigma, targets))
        prior = self._log_prior(expected, rotations.count)
        templates, bias = self._templates(rotations.turn(images), noise, prior)
        mass, turns = (torch.zeros(self.tiling.corners, device=images.device) for _ in range(2))
        for y, x in self.tiling.starts():
            spectra = self._spectra(slice(0, 1), (y, x))
            posterior, _ = self._posterior(spectra, templates, bias, (y, x))
            halo, own = self.tiling.halo, self.tiling.own
            part = posterior[0, :, halo : halo + own[0], halo : halo + own[1]]
            into = (slice(y, y + own[0]), slice(x, x + own[1]))
            height, width = mass[into].shape
            mass[into] = part.sum(0)[:height, :width].to(mass)
            turns[into] = part.argmax(0)[:height, :width].to(turns)
        return mass, turns.long()

    def _group(
        self, part: slice, images: Tensor, rotations: Rotations, sigma: Tensor, targets: Tensor
    ) -> Statistics:
        log_prior = self._log_prior(targets[part], rotations.count)
        turned = rotations.turn(images[part])
        templates, bias = self._templates(turned, sigma[part], log_prior)
        pulled = torch.zeros_like(templates)
        mass = torch.zeros(turned.shape[:2], dtype=torch.float64, device=images.device)
        gain = torch.zeros(len(mass), dtype=torch.float64, device=images.device)
        for start in self.tiling.starts():
            spectra = self.spectra[part] if self.spectra is not None else self._spectra(part, start)
            posterior, own_gain = self._posterior(spectra, templates, bias, start)
            # Conjugated, as it is the smaller factor that is then copied.
            pulled += spectra.conj().resolve_conj()[:, None] * _transform(posterior, self.tiling.side)
            mass += posterior.sum(-1).sum(-1, dtype=torch.float64)
            gain += own_gain
        # Row by row, of those that an image has.
        rows = fft(pulled, dim=-2, norm="forward")[..., : self.size, :].conj()
        pull = irfft(rows, n=self.tiling.side[1])[..., : self.size]
        weight = mass.to(images.dtype)[..., None, None]
        explained = 2 * (pull * turned).sum((1, 2, 3)) - (weight * turned.square()).sum((1, 2, 3))
        variance = sigma[part].double().square()
        return Statistics(
            pull=pull,
            weight=weight,
            targets=mass.sum(1).to(images.dtype),
            empty=torch.full_like(sigma[part], torch.nan),
            log_likelihood=gain
            - self._log_none(targets[part], rotations.count)
            + self._noise_alone(part, variance),
            residual=self.squares[part] - explained.double(),
        )

    def _posterior(
        self, spectra: Tensor, templates: Tensor, bias: Tensor, start: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Weights (m, K, h, w) of a tile's own corners, zero in its halo, and their log-evidence (m,).

        The sum over configurations is estimated site by site: each corner gives its share of its window's.
        """
        odds = irfft2(spectra[:, None] * templates, s=self.tiling.side)
        odds = odds[..., : self._reach(0), : self._reach(1)] + bias
        turns = odds.softmax(1)
        # The sum of exponentials, from its largest term and that term's share.
        summed = (odds.amax(1) - turns.amax(1).log()).double()
        if self.tiling.halo:
            summed.masked_fill_(~self._inside(start, odds), -torch.inf)
        total = window_logsumexp(summed, self.separation)
        share = (summed - total).clamp_min_(LEAST).exp_()
        if self.tiling.halo:
            share.masked_fill_(~self._own(start, odds), 0.0)
        # An isolated target has total = log Z in all its window, where the shares sum to 1 - 1/Z.
        gain = share * total / -torch.expm1(-total.clamp_min(TINY))
        return turns.mul_(share.to(odds.dtype)[:, None]), gain.sum((-2, -1))

    def _log_prior(self, targets: Tensor, rotations: int) -> Tensor:
        """Prior log-odds (m,) of a target at one pose against none within reach."""
        free = (1 - targets * self._blocked() / self._places()).clamp_min(LEAST_FREE)
        return torch.log(targets / (self._places() * rotations * free))

    def _log_none(self, targets: Tensor, rotations: int) -> Tensor:
        """Log of the sum over configurations of the prior odds (m,): what evidence is measured against."""
        around = torch.exp(self._log_prior(targets.double(), rotations)) * rotations * self._blocked()
        return self._places() * torch.log1p(around) / self._blocked()

    def _places(self) -> int:
        return self.tiling.corners[0] * self.tiling.corners[1]

    def _blocked(self) -> int:
        return (2 * self.separation - 1) ** 2

    def _templates(self, turned: Tensor, sigma: Tensor, log_prior: Tensor) -> tuple[Tensor, Tensor]:
        """Conjugate spectra (m, K, h, w / 2 + 1) over sigma^2, and what is added to their correlations."""
        variance = sigma.to(turned.dtype).square()[:, None, None, None]
        spectra = _transform(turned / variance, self.tiling.side).conj().resolve_conj()
        energy = turned.square().sum((-2, -1), keepdim=True) / (2 * variance)
        return spectra, log_prior.to(turned.dtype)[:, None, None, None] - energy

    def _spectra(self, part: slice, start: tuple[int, int]) -> Tensor:
        """Spectra (m, h, w / 2 + 1) of a tile of the measurements, zero beyond their edges."""
        tiling, measurements = self.tiling, self.measurements[part]
        padding: list[int] = []
        ranges: list[slice] = []
        for axis in (1, 0):  # as `pad` wants them: the last axis first
            first = start[axis] - tiling.halo
            last = first + min(tiling.side[axis], self._reach(axis) + self.size - 1)
            total = measurements.shape[axis - 2]
            ranges.insert(0, slice(max(first, 0), min(last, total)))
            padding += [max(-first, 0), max(last - total, 0)]
        window = torch.nn.functional.pad(measurements[:, ranges[0], ranges[1]], padding)
        return _transform(window, tiling.side)

    def _reach(self, axis: int) -> int:
        """Corners of a tile along an axis, with its halo."""
        return self.tiling.own[axis] + 2 * self.tiling.halo

    def _inside(self, start: tuple[int, int], like: Tensor) -> Tensor:
        """Which corners (h, w) of a tile exist in the measurement."""
        return self._mask(start, like, 0, self._reach(0), self._reach(1))

    def _own(self, start: tuple[int, int], like: Tensor) -> Tensor:
        """Which corners (h, w) of a tile are its own, not of its halo."""
        halo, own = self.tiling.halo, self.tiling.own
        return self._mask(start, like, halo, halo + own[0], halo + own[1])

    def _mask(self, start: tuple[int, int], like: Tensor, first: int, below: int, right: int) -> Tensor:
        masks = []
        for axis, last in ((0, below), (1, right)):
            at = torch.arange(self._reach(axis), device=like.device)
            corner = at + start[axis] - self.tiling.halo
            masks.append((at >= first) & (at < last) & (corner >= 0) & (corner < self.tiling.corners[axis]))
        return masks[0][:, None] & masks[1][None, :]

    def _noise_alone(self, part: slice, variance: Tensor) -> Tensor:
        """Log-density (m,) of the measurement as noise."""
        pixels = self.measurements.shape[-1] * self.measurements.shape[-2]
        return -self.squares[part] / (2 * variance) - 0.5 * pixels * torch.log(2 * math.pi * variance)
