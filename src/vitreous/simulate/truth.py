"""The truth of a simulation in the columns of real data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vitreous.io.dataset import DatasetInfo, Target, optics_table
from vitreous.io.particles import ParticleSet
from vitreous.physics.ctf import Ctf
from vitreous.physics.symmetry import parse
from vitreous.simulate.placement import Layout
from vitreous.simulate.settings import CtfRangeSettings, SimulateSettings, TargetSettings


def ctf_columns(ctf: Ctf, height_A: np.ndarray | float = 0.0) -> dict[str, object]:
    """RELION's CTF columns, scalars or (n,); `height_A` adds to both defoci."""
    return {
        "rlnDefocusU": ctf.defocus_u_A + height_A,
        "rlnDefocusV": ctf.defocus_v_A + height_A,
        "rlnDefocusAngle": ctf.defocus_angle_deg,
        "rlnPhaseShift": ctf.phase_shift_deg,
        "rlnCtfBfactor": ctf.b_factor_A2,
    }


def micrograph_row(name: str, ctf: Ctf) -> pd.DataFrame:
    """The one row of a micrograph with its true CTF."""
    return pd.DataFrame({"rlnMicrographName": [name], "rlnOpticsGroup": 1, **ctf_columns(ctf)})


def particle_rows(name: str, particles: Layout, ctf: Ctf, targets: Sequence[TargetSettings]) -> pd.DataFrame:
    """One row a particle of micrograph `name`: centre, pose, zero origin, CTF at its height, target.

    rlnClassNumber counts the targets from 1, vitreousTarget is the target's name.
    """
    names = np.array([target.name for target in targets], dtype=object)
    columns = {
        "rlnMicrographName": np.full(len(particles), name, dtype=object),
        "rlnCoordinateX": particles.xy_px[:, 0],
        "rlnCoordinateY": particles.xy_px[:, 1],
        "rlnAngleRot": particles.angles_deg[:, 0],
        "rlnAngleTilt": particles.angles_deg[:, 1],
        "rlnAnglePsi": particles.angles_deg[:, 2],
        "rlnOriginXAngst": 0.0,
        "rlnOriginYAngst": 0.0,
        **ctf_columns(ctf, particles.height_A),
        "rlnOpticsGroup": 1,
        "rlnClassNumber": particles.target + 1,
        "vitreousTarget": names[particles.target],
    }
    return pd.DataFrame(columns)


def picks_of(particles: pd.DataFrame) -> pd.DataFrame:
    """True picks (micrograph, x, y, score 1) of particle rows."""
    labels = {"rlnMicrographName": "micrograph", "rlnCoordinateX": "x", "rlnCoordinateY": "y"}
    return particles[list(labels)].rename(columns=labels).assign(score=1.0)


def dataset_info(name: str, settings: SimulateSettings) -> DatasetInfo:
    """What dataset.json says of a simulated data set."""
    targets = [
        Target(
            name=target.name, diameter_A=target.diameter_A, symmetry=parse(target.group).name,
            reference=f"truth/maps/{target.name}.mrc",
        )
        for target in settings.targets
    ]  # fmt: skip
    exact = ("pixel_size_A", "voltage_kv", "cs_mm", "amplitude_contrast", "dose_e_per_A2")
    return DatasetInfo(
        name=name, source="simulate", targets=targets, contrast="dark",
        verified={key: "simulated with this value" for key in (*exact, "contrast")},
        **{key: getattr(settings, key) for key in exact},
    )  # fmt: skip


def particle_set(table: pd.DataFrame, info: DatasetInfo) -> ParticleSet:
    """Particle rows with their optics; the images' pixel is the micrographs'."""
    optics = optics_table(info, pd.DataFrame({"rlnOpticsGroup": [1]}))
    return ParticleSet(optics.assign(rlnImagePixelSize=info.pixel_size_A, rlnImageDimensionality=2), table)


def stack_optics(settings: CtfRangeSettings, box_px: int) -> pd.DataFrame:
    """The optics table of a stack of particles of side `box_px`."""
    return pd.DataFrame(
        {
            "rlnOpticsGroupName": ["opticsGroup1"],
            "rlnOpticsGroup": [1],
            "rlnMicrographOriginalPixelSize": [settings.pixel_size_A],
            "rlnImagePixelSize": [settings.pixel_size_A],
            "rlnImageSize": [box_px],
            "rlnImageDimensionality": [2],
            "rlnVoltage": [settings.voltage_kv],
            "rlnSphericalAberration": [settings.cs_mm],
            "rlnAmplitudeContrast": [settings.amplitude_contrast],
        }
    )
