"""What is in a micrograph besides particles: ice of uneven thickness, carbon, contaminating ice.

Everything is a phase shift in radians and a loss of electrons on the field `(h, w)` of the micrograph.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vitreous.physics.fourier import frequencies_2d
from vitreous.simulate.atoms import ICE_VOLTS, VOLT_A2
from vitreous.simulate.settings import ArtefactSettings, IceSettings

Float32 = NDArray[np.float32]
# What the mask of a micrograph says; values that can be told apart by eye in an 8-bit picture.
CLEAN, CARBON, ICE, AGGREGATE = 0, 85, 170, 255

ICE_PER_A3, ICE_F_A = 0.0311, 3.04  # molecules of water, their scattering factor at k = 0
CARBON_PER_A3, CARBON_F_A = 0.1, 2.51  # amorphous carbon of 2 g/cm^3
CARBON_VOLTS = CARBON_PER_A3 * CARBON_F_A * VOLT_A2
# Mean path in Å after which 1/e of the electrons is neither scattered beyond the aperture nor filtered out.
# ASSUME: the value at 300 kV; it changes with voltage and aperture by some ten percent. The darkness of
# carbon is the amplitude contrast of its phase shift, so it has no path of its own.
ICE_PATH_A = 3950.0


@dataclass(frozen=True)
class Scenery:
    """`phase_rad` and `transmission` (h, w) of all that is no particle, and the labels of the mask (h, w)."""

    phase_rad: Float32
    transmission: Float32
    labels: NDArray[np.uint8]


def draw_scenery(
    shape: tuple[int, int],
    pixel_size_A: float,
    interaction: float,
    ice: IceSettings,
    artefacts: ArtefactSettings,
    rng: np.random.Generator,
    *,
    contrast: float = 1.0,
) -> Scenery:
    """Ice, carbon and ice balls on a field `shape`; `interaction` is the phase shift per volt and Å.

    `contrast` thins carbon and ice balls, so that they keep their proportion to particles made fainter.
    """
    thickness = ice_thickness_A(shape, ice, rng)
    molecules = thickness * np.float32(ICE_PER_A3 * pixel_size_A**2)
    water = interaction * ICE_F_A * VOLT_A2 / pixel_size_A**2 * ice.structure
    structure = _frozen_water(shape, pixel_size_A, rng)
    phase = water * np.sqrt(molecules) * structure
    transmission = np.exp(-(thickness - ice.thickness_A) / ICE_PATH_A)
    labels = np.full(shape, CLEAN, dtype=np.uint8)
    if rng.random() < artefacts.carbon_probability:
        cover = _carbon(shape, pixel_size_A, artefacts.hole_radius_A, rng)
        film_A = cover * (artefacts.carbon_thickness_A * contrast)
        atom = interaction * CARBON_F_A * VOLT_A2 / pixel_size_A**2
        grains = np.sqrt(film_A * (CARBON_PER_A3 * pixel_size_A**2)) * _amorphous(shape, rng)
        phase = phase + atom * grains + interaction * CARBON_VOLTS * film_A
        labels[cover > 0.1] = CARBON
    for _ in range(rng.integers(artefacts.ice_balls[0], artefacts.ice_balls[1] + 1)):
        ball_A = _ice_ball(shape, pixel_size_A, artefacts.ice_ball_radius_A, rng) * contrast
        phase = phase + interaction * ICE_VOLTS * ball_A
        # ASSUME: crystals diffract out of the aperture twice what amorphous ice scatters.
        transmission = transmission * np.exp(-2 * ball_A / ICE_PATH_A)
        labels[ball_A > 0] = ICE
    return Scenery(phase.astype(np.float32), transmission.astype(np.float32), labels)


def _grid(shape: tuple[int, int]) -> tuple[Float32, Float32]:
    """y and x of the pixels from the middle of the field, `(h, 1)` and `(1, w)`."""
    y = (np.arange(shape[0], dtype=np.float32) - shape[0] / 2)[:, None]
    x = (np.arange(shape[1], dtype=np.float32) - shape[1] / 2)[None, :]
    return y, x


def ice_thickness_A(shape: tuple[int, int], ice: IceSettings, rng: np.random.Generator) -> Float32:
    """Thickness `(h, w)`: a wedge in a random direction and a shallower meniscus, thin in the middle.

    `ice.gradient` is the relative change from the middle to the edge of the longer side.
    """
    angle, bend = rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.5)
    y, x = _grid(shape)
    half = max(shape) / 2
    wedge = (x * math.cos(angle) + y * math.sin(angle)) / half
    bowl = (x**2 + y**2) / half**2 - 0.5
    relative = 1 + ice.gradient * (wedge + bend * bowl)
    return (ice.thickness_A * np.maximum(relative, 0.05)).astype(np.float32)


def _frozen_water(shape: tuple[int, int], pixel_size_A: float, rng: np.random.Generator) -> Float32:
    """Density fluctuation of water in units of that of free molecules: small at low k, a ring at 3.7 Å."""
    # ASSUME: S(k) = 0.06 (compressibility) + a ring of height 1.4 at 1/3.7 Å, width 0.04 1/Å, 1 beyond it.
    k = np.sqrt(frequencies_2d(shape, True, pixel_size_A).square().sum(-1).numpy())
    ring, far = 1 / 3.7, 1 / (1 + np.exp(-(k - 0.3) / 0.02))
    power = 0.06 + 1.4 * np.exp(-((k - ring) ** 2) / (2 * 0.04**2)) + 0.94 * far
    return _filtered(shape, np.sqrt(power), rng)


def _amorphous(shape: tuple[int, int], rng: np.random.Generator) -> Float32:
    """Density fluctuation of amorphous carbon in units of that of free atoms."""
    # ASSUME: a constant structure factor of 0.25 up to 3 Å.
    return 0.5 * rng.standard_normal(shape, dtype=np.float32)


def _filtered(shape: tuple[int, int], gain: NDArray[np.float32], rng: np.random.Generator) -> Float32:
    """White noise of variance 1, its half spectrum multiplied by `gain` (h, w//2+1)."""
    white = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    half = torch.fft.rfft2(white) * torch.from_numpy(gain.astype(np.float32))
    return torch.fft.irfft2(half, s=shape).numpy()


def _carbon(
    shape: tuple[int, int], pixel_size_A: float, radius_A: float, rng: np.random.Generator
) -> Float32:
    """Share of each pixel that carbon covers: all outside a round hole whose rim crosses the micrograph."""
    angle = rng.uniform(0, 2 * math.pi)
    inside = rng.uniform(0.15, 0.45) * min(shape)  # distance of the rim from the middle, px
    radius = radius_A / pixel_size_A
    y, x = _grid(shape)
    dx, dy = x - (inside - radius) * math.cos(angle), y - (inside - radius) * math.sin(angle)
    turn = np.arctan2(dy, dx)
    orders = np.arange(20, 60, 8)
    height_A = rng.normal(0, 8, len(orders))
    phases = rng.uniform(0, 2 * math.pi, len(orders))
    rough = sum(h * np.cos(n * turn + p) for h, n, p in zip(height_A, orders, phases, strict=True))
    beyond_A = (np.hypot(dx, dy) - radius) * pixel_size_A + rough
    return (1 / (1 + np.exp(-np.clip(beyond_A / 10, -30, 30)))).astype(np.float32)


def _ice_ball(
    shape: tuple[int, int], pixel_size_A: float, radius_A: tuple[float, float], rng: np.random.Generator
) -> Float32:
    """Thickness in Å of one crystal: a flattened ball with a lumpy rim at a random place of the field."""
    radius = rng.uniform(*radius_A)
    y, x = _grid(shape)
    dx = (x - rng.uniform(-0.5, 0.5) * shape[1]) * pixel_size_A
    dy = (y - rng.uniform(-0.5, 0.5) * shape[0]) * pixel_size_A
    turn = np.arctan2(dy, dx)
    rim = np.float32(1.0)
    for order in (2, 3, 5, 7):
        lump, place = np.float32(rng.uniform(0, 0.25 / order)), rng.uniform(0, 2 * math.pi)
        rim = rim + lump * np.cos(order * turn + place)
    relative = np.hypot(dx, dy) / (radius * rim)
    # ASSUME: contamination lies flat: half as high as wide.
    return (radius * np.sqrt(np.clip(1 - relative**2, 0, None))).astype(np.float32)
