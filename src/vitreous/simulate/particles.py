"""Single particles with known poses, batch by batch: protein bright, noise of variance 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.physics.ctf import Ctf, ctf_2d
from vitreous.physics.noise import white_noise
from vitreous.physics.projection import prepare_volume, project_prepared
from vitreous.physics.rotations import euler_to_matrix, matrix_to_euler, random_rotations
from vitreous.runtime.device import Runtime
from vitreous.simulate.micrograph import draw_ctf, mean_ctf, signal_power
from vitreous.simulate.settings import ParticlesSettings
from vitreous.simulate.targets import Target

# Particles of a micrograph in a stack: they share its name and its CTF, but for nothing else.
PER_MICROGRAPH = 50


@dataclass(frozen=True)
class Batch:
    """Images `(b, n, n)` and their rows: pose, origin in Å, CTF, target, half-set."""

    images: NDArray[np.float32]
    table: pd.DataFrame


def scale_to_snr(targets: Sequence[Target], settings: ParticlesSettings) -> list[Target]:
    """Targets scaled so that, under noise of variance 1, the variance in the disc of the diameter is `snr`.

    The mean over poses at the mean defocus; a single particle may have more or less.
    """
    return [
        replace(target, volume=target.volume * (settings.snr / signal_power(target, settings)) ** 0.5)
        for target in targets
    ]


def particle_batches(
    targets: Sequence[Target], settings: ParticlesSettings, runtime: Runtime, *, noise: bool = True
) -> Iterator[Batch]:
    """Batches of particles of `targets` (already scaled); every `batch` of rows is drawn by its own seed.

    Image = CTF * projection moved by minus the origin, plus white noise of variance 1 unless `noise` is off.
    """
    device = runtime.torch_device()
    transforms = [prepare_volume(target.volume.to(device)) for target in targets]
    for first in range(0, settings.particles, settings.batch):
        table = _draw_rows(first, targets, settings, runtime)
        angles = torch.tensor(table[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy(float))
        origins_A = table[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy(np.float32)
        origins = torch.from_numpy(origins_A / np.float32(settings.pixel_size_A)).to(device)
        matrices = euler_to_matrix(angles).float().to(device)
        ctf = ctf_2d(_ctf_of(table, settings), (settings.box_px,) * 2, settings.pixel_size_A).to(device)
        images = torch.empty(len(table), settings.box_px, settings.box_px, device=device)
        for number, transform in enumerate(transforms):
            chosen = np.flatnonzero(table["rlnClassNumber"].to_numpy() == number + 1)
            rows = torch.from_numpy(chosen).to(device)
            if len(rows):
                images[rows] = project_prepared(
                    transform, matrices[rows], origins_px=origins[rows], factor=ctf[rows]
                )
        if noise:
            images += white_noise(images.shape, runtime.generator("noise", settings.seed, first)).to(device)
        yield Batch(images.cpu().numpy(), table)


def _draw_rows(
    first: int, targets: Sequence[Target], settings: ParticlesSettings, runtime: Runtime
) -> pd.DataFrame:
    """Rows of the particles from number `first` on: poses uniform, origins normal, as STAR holds them."""
    name = (settings.seed, first)
    rng = runtime.rng("particles", *name)
    count = min(settings.batch, settings.particles - first)
    generator = runtime.generator("poses", *name)
    angles = matrix_to_euler(random_rotations(count, generator, dtype=torch.float64)).numpy().round(4)
    shares = np.array([target.count for target in settings.targets], dtype=float)
    number = rng.choice(len(targets), size=count, p=shares / shares.sum())
    origins = rng.normal(0, settings.shift_A, (count, 2)).round(4)
    group = np.arange(first, first + count) // PER_MICROGRAPH
    ctfs = {g: draw_ctf(settings, runtime.rng("group", settings.seed, int(g))) for g in np.unique(group)}
    return pd.DataFrame(
        {
            "rlnMicrographName": [f"micrographs/m{g + 1:05d}.mrc" for g in group],
            **{f"rlnAngle{axis}": angles[:, i] for i, axis in enumerate(("Rot", "Tilt", "Psi"))},
            **{f"rlnOrigin{axis}Angst": origins[:, i] for i, axis in enumerate("XY")},
            "rlnDefocusU": [ctfs[g].defocus_u_A for g in group],
            "rlnDefocusV": [ctfs[g].defocus_v_A for g in group],
            "rlnDefocusAngle": [ctfs[g].defocus_angle_deg for g in group],
            "rlnPhaseShift": settings.phase_shift_deg,
            "rlnCtfBfactor": settings.b_factor_A2,
            "rlnOpticsGroup": 1,
            "rlnRandomSubset": np.arange(first, first + count) % 2 + 1,
            "rlnClassNumber": number + 1,
            "vitreousTarget": [targets[i].name for i in number],
        }
    )


def _ctf_of(table: pd.DataFrame, settings: ParticlesSettings) -> Ctf:
    def column(label: str) -> Tensor:
        return torch.tensor(table[label].to_numpy(np.float32))

    return replace(
        mean_ctf(settings), defocus_u_A=column("rlnDefocusU"), defocus_v_A=column("rlnDefocusV"),
        defocus_angle_deg=column("rlnDefocusAngle"),
    )  # fmt: skip
