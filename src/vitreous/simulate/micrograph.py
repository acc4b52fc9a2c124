"""One micrograph: molecules and scenery, the CTF of the whole, electrons on a detector.

Weak phase: a projected potential V (V Å) shifts the wave's phase by sigma V, and the mean of the electrons is
N (1 - 2 CTF * phase) with RELION's CTF, positive at k = 0, so protein is dark (Kirkland, ch. 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor

from vitreous.physics.ctf import Ctf, ctf_2d
from vitreous.physics.fourier import crop_or_pad
from vitreous.physics.masks import soft_disc
from vitreous.physics.noise import signal_variance
from vitreous.physics.projection import VolumeTransform, prepare_volume, project_prepared
from vitreous.physics.rotations import random_rotations
from vitreous.runtime.device import Runtime
from vitreous.simulate.artefacts import Scenery, draw_scenery
from vitreous.simulate.atoms import interaction_rad_per_VA
from vitreous.simulate.detector import Exposure, expose, mtf_2d, noise_variance
from vitreous.simulate.placement import Layout, place_aggregates, place_debris, place_particles
from vitreous.simulate.settings import CtfRangeSettings, SimulateSettings
from vitreous.simulate.targets import Target

Kind = TypeVar("Kind", bound=np.generic)
# Poses of which the contrast for a wanted SNR is the mean; 128 give it to about 1 %.
SNR_POSES = 128
# The dimmest pixel, as a share of the mean: the weak-phase formula would go below zero in thick ice.
DIMMEST = 0.05


@dataclass(frozen=True)
class Micrograph:
    """A simulated micrograph `(h, w)`: electrons a pixel, mask labels, particles and CTF."""

    exposure: Exposure
    labels: NDArray[np.uint8]
    particles: Layout
    ctf: Ctf


@dataclass(frozen=True)
class Scene:
    """What all micrographs of a data set share: targets, their transforms and phase per volt and Å.

    `contrast` is the mean factor by which the targets were made fainter than physics has them, at most 1.
    """

    targets: Sequence[Target]
    transforms: Sequence[VolumeTransform]
    interaction: float
    contrast: float = 1.0


def draw_ctf(settings: CtfRangeSettings, rng: np.random.Generator) -> Ctf:
    """A defocus within the settings' range, in whole Å, and an astigmatism in a random direction."""
    mean = rng.uniform(-1, 1) * settings.defocus_spread_A + settings.defocus_A
    half = rng.uniform(0, 1) * settings.astigmatism_A / 2
    angle = round(float(rng.uniform(0, 180)), 2)
    return replace(
        mean_ctf(settings), defocus_u_A=float(round(mean + half)), defocus_v_A=float(round(mean - half)),
        defocus_angle_deg=angle,
    )  # fmt: skip


def mean_ctf(settings: CtfRangeSettings) -> Ctf:
    """The CTF at the middle of the settings' range, without astigmatism."""
    return Ctf(
        settings.defocus_A, settings.defocus_A, 0.0, settings.voltage_kv, settings.cs_mm,
        settings.amplitude_contrast, settings.phase_shift_deg, settings.b_factor_A2,
    )  # fmt: skip


def prepare_scene(targets: Sequence[Target], settings: SimulateSettings, runtime: Runtime) -> Scene:
    """Scale the targets to the wanted SNR, if any, and transform them once for all projections.

    SNR is the variance of a particle's signal, CTF included, in the disc of its diameter at the mean defocus,
    averaged over poses, over the variance of a pixel of an empty field (counting and reading noise). It is
    reached by one factor on each target's potential; without `snr` the contrast is that of physics. Carbon
    and ice balls are thinned by the same factor, where it is below 1, as if the dose were lower.
    """
    interaction = interaction_rad_per_VA(settings.voltage_kv)
    device = runtime.torch_device()
    electrons = settings.dose_e_per_A2 * settings.pixel_size_A**2
    noise = noise_variance(electrons, settings.detector)
    scaled, factors = [], []
    for target in targets:
        factor = 1.0
        if settings.snr is not None:
            signal = (2 * interaction * settings.pixel_size_A * electrons) ** 2 * signal_power(
                target, settings, settings.detector.mtf_at_nyquist
            )
            factor = (settings.snr * noise / signal) ** 0.5
        factors.append(factor)
        scaled.append(replace(target, volume=target.volume * factor))
    transforms = [prepare_volume(target.volume.to(device)) for target in scaled]
    return Scene(scaled, transforms, interaction, min(1.0, float(np.mean(factors))))


def signal_power(target: Target, settings: CtfRangeSettings, mtf_at_nyquist: float = 1.0) -> float:
    """Mean variance, in the disc of the diameter, of projections seen through the mean CTF."""
    poses = random_rotations(SNR_POSES, Runtime().generator("snr"))
    size = target.volume.shape[0]
    # Room for what the CTF spreads beyond the box, so that it does not come in again at the other side.
    wide = (2 * size, 2 * size)
    ctf = ctf_2d(mean_ctf(settings), wide, settings.pixel_size_A) * mtf_2d(wide, mtf_at_nyquist)
    disc = soft_disc(wide, target.diameter_A / 2 / settings.pixel_size_A, 0.0)
    transform = prepare_volume(target.volume)
    total = 0.0
    for part in poses.split(32):
        images = crop_or_pad(project_prepared(transform, part), wide)
        seen = torch.fft.irfft2(torch.fft.rfft2(images) * ctf, s=wide)
        total += float(signal_variance(seen, disc).sum())
    return total / SNR_POSES


def simulate_micrograph(index: int, scene: Scene, settings: SimulateSettings, runtime: Runtime) -> Micrograph:
    """Micrograph number `index` (from 0); it depends on settings and seed, not on other micrographs."""
    name = ("micrograph", settings.seed, index)
    rng = runtime.rng(*name)
    margin, field = padded_field(settings.shape, scene)
    ctf = draw_ctf(settings, rng)
    scenery = draw_scenery(
        field, settings.pixel_size_A, scene.interaction, settings.ice, settings.artefacts, rng,
        contrast=scene.contrast,
    )  # fmt: skip
    labels = _crop(scenery.labels, margin, settings.shape).copy()
    clumps = place_aggregates(scene.targets, settings, labels, rng, runtime.generator(*name, "clumps"))
    particles = place_particles(scene.targets, settings, labels, rng, runtime.generator(*name, "particles"))
    debris = place_debris(scene.targets, settings, particles, rng, runtime.generator(*name, "debris"))
    others = Scenery(scenery.phase_rad, scenery.transmission, labels)
    relative = compose(scene, particles, others, ctf, settings, runtime, clumps=clumps, debris=debris)
    electrons = relative * (settings.dose_e_per_A2 * settings.pixel_size_A**2)
    exposure = expose(electrons.astype(np.float32), settings.detector, rng)
    return Micrograph(exposure, labels, particles, ctf)


def padded_field(shape: tuple[int, int], scene: Scene) -> tuple[tuple[int, int], tuple[int, int]]:
    """Margin (rows, columns) and shape of the computed field: larger, so that nothing wraps around."""
    room = max(64, *(target.volume.shape[0] // 2 + 2 for target in scene.targets))
    field = tuple(next_fast_len(side + 2 * room, real=True) for side in shape)
    margin = tuple((whole - side) // 2 for whole, side in zip(field, shape, strict=True))
    return (margin[0], margin[1]), (field[0], field[1])


def _crop(array: NDArray[Kind], margin: tuple[int, int], shape: tuple[int, int]) -> NDArray[Kind]:
    return array[margin[0] : margin[0] + shape[0], margin[1] : margin[1] + shape[1]]


def compose(
    scene: Scene,
    particles: Layout,
    scenery: Scenery,
    ctf: Ctf,
    settings: SimulateSettings,
    runtime: Runtime,
    *,
    clumps: Layout | None = None,
    debris: Layout | None = None,
) -> NDArray[np.float32]:
    """Mean of the electrons `(h, w)` relative to an empty field of ice of the mean thickness.

    All that lies at one height is added up first and seen through one CTF of the whole field.
    """
    device = runtime.torch_device()
    margin, field = padded_field(settings.shape, scene)
    spectrum = torch.zeros(field[0], field[1] // 2 + 1, dtype=torch.complex64, device=device)
    for height in np.unique(np.append(particles.height_A, 0.0)):
        phase = torch.zeros(field, device=device)
        deposit(phase, particles, particles.height_A == height, scene, settings, margin)
        if height == 0:
            phase += torch.from_numpy(scenery.phase_rad).to(device)
            for things, piece in ((clumps, False), (debris, True)):
                if things is not None and len(things):
                    deposit(phase, things, np.ones(len(things), bool), scene, settings, margin, piece=piece)
        at_height = replace(
            ctf, defocus_u_A=ctf.defocus_u_A + float(height), defocus_v_A=ctf.defocus_v_A + float(height)
        )
        transfer = ctf_2d(at_height, field, settings.pixel_size_A, device=device)
        spectrum += torch.fft.rfft2(phase) * transfer
    seen = torch.fft.irfft2(spectrum, s=field).cpu().numpy()
    relative = scenery.transmission * np.maximum(1 - 2 * seen, DIMMEST)
    return np.ascontiguousarray(_crop(relative, margin, settings.shape), dtype=np.float32)


def deposit(
    phase: Tensor,
    things: Layout,
    chosen: NDArray[np.bool_],
    scene: Scene,
    settings: SimulateSettings,
    margin: tuple[int, int],
    *,
    piece: bool = False,
) -> None:
    """Add the phase shift in radians of the `chosen` things to the field `phase` (h, w), at parts of a pixel.

    With `piece` only a part of each molecule is left, a third of its diameter wide and off its centre.
    """
    nearest = np.rint(things.xy_px)
    matrices = things.matrices()
    for number, transform in enumerate(scene.transforms):
        rows = np.flatnonzero(chosen & (things.target == number))
        if not len(rows):
            continue
        origins = torch.from_numpy(nearest[rows] - things.xy_px[rows]).float().to(phase.device)
        images = project_prepared(transform, matrices[rows].to(phase.device), origins_px=origins)
        images *= scene.interaction * settings.pixel_size_A
        if piece:
            radius = scene.targets[number].diameter_A / settings.pixel_size_A / 6
            middle = (transform.size // 2 + radius, transform.size // 2)
            images *= soft_disc(images.shape[-2:], radius, radius / 2, middle, device=phase.device)
        for image, (x, y) in zip(images, nearest[rows].astype(int), strict=True):
            _add_box(phase, image, y + margin[0] - transform.size // 2, x + margin[1] - transform.size // 2)


def _add_box(field: Tensor, image: Tensor, top: int, left: int) -> None:
    """Add `image` to `field` with its first pixel at (top, left); what lies outside is lost."""
    h, w = image.shape
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + h, field.shape[0]), min(left + w, field.shape[1])
    if y0 < y1 and x0 < x1:
        field[y0:y1, x0:x1] += image[y0 - top : y1 - top, x0 - left : x1 - left]
