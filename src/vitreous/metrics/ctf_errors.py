"""Errors of an estimated CTF against the true one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Below this much true astigmatism its angle means nothing.
ASTIGMATIC_A = 100.0


@dataclass(frozen=True)
class CtfErrors:
    """Errors by micrograph (n,): in Å and degrees; the angle is NaN where the truth has U − V < 100 Å."""

    defocus_A: NDArray[np.float64]
    astigmatism_A: NDArray[np.float64]
    angle_deg: NDArray[np.float64]


def ctf_errors(
    defocus_u_A: ArrayLike,
    defocus_v_A: ArrayLike,
    angle_deg: ArrayLike,
    true_u_A: ArrayLike,
    true_v_A: ArrayLike,
    true_angle_deg: ArrayLike,
) -> CtfErrors:
    """Compare U, V (Å, underfocus positive) and the angle of U (degrees) with the truth, all (n,).

    Defocus: signed difference of ½(U + V). Astigmatism: length of the difference of the vectors
    (U − V)·(cos 2α, sin 2α), so that exchanged U and V at α + 90° are no error. Angle: 0 … 90°, modulo 180°.
    """
    u, v, angle, true_u, true_v, true_angle = (
        np.asarray(values, dtype=np.float64)
        for values in (defocus_u_A, defocus_v_A, angle_deg, true_u_A, true_v_A, true_angle_deg)
    )
    found = (u - v) * np.exp(2j * np.deg2rad(angle))
    true = (true_u - true_v) * np.exp(2j * np.deg2rad(true_angle))
    turned = np.abs(np.rad2deg(np.angle(found * np.conj(true)))) / 2
    return CtfErrors(
        defocus_A=(u + v - true_u - true_v) / 2,
        astigmatism_A=np.abs(found - true),
        angle_deg=np.where(np.abs(true) < ASTIGMATIC_A, np.nan, turned),
    )
