"""Atoms and the electrostatic potential they make, as a map in volts above vitreous ice."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.errors import InputError
from vitreous.io.structures import read_assembly, read_structure
from vitreous.physics.ctf import wavelength_A

# h^2 / (2 pi m e): potential in volts of a scattering factor of 1 Å in a volume of 1 Å^3.
VOLT_A2 = 47.87801
ELECTRON_REST_KEV = 510.99895
# ASSUME: a heavy atom carries one hydrogen and takes 17.1 Å^3, the means of the residues of proteins (7.8
# hydrogens on 7.85 heavy atoms in 134 Å^3); nucleic acids have fewer hydrogens.
HYDROGENS_PER_ATOM = 1.0
VOLUME_PER_ATOM_A3 = 17.1
# Vitreous ice of 0.93 g/cm^3: 0.0311 molecules/Å^3 of f(0) = 3.04 Å.
ICE_VOLTS = 0.0311 * (1.9834 + 2 * 0.5288) * VOLT_A2
# ASSUME: thermal motion and disorder of the atoms; what blurs whole images stands in the CTF's envelope.
ATOM_B_A2 = 40.0


@dataclass(frozen=True)
class Atoms:
    """Heavy atoms: `positions_A` (n, 3) as x, y, z about the rotation centre, `elements` (n,) symbols."""

    positions_A: NDArray[np.float64]
    elements: NDArray[np.str_]


def interaction_rad_per_VA(voltage_kv: float) -> float:
    """Phase shift per volt and Å of projected potential; 6.526e-4 at 300 kV (Kirkland, eq. 5.6)."""
    relativistic = (ELECTRON_REST_KEV + voltage_kv) / (2 * ELECTRON_REST_KEV + voltage_kv)
    return float(2 * math.pi / (wavelength_A(voltage_kv) * voltage_kv * 1e3) * relativistic)


def read_atoms(path: str | Path, assembly: str | None = None) -> Atoms:
    """Heavy atoms of the first model of an mmCIF or PDB file (also .gz), in the file's frame.

    With `assembly` those of the biological assembly of that name. Waters are left out, and of alternative
    conformers all but the first. Raises InputError.
    """
    structure = read_structure(path) if assembly is None else read_assembly(path, assembly)
    structure.remove_waters()
    structure.remove_alternative_conformations()
    structure.remove_hydrogens()
    found = [
        (atom.pos.tolist(), atom.element.name)
        for chain in (structure[0] if len(structure) else [])
        for residue in chain
        for atom in residue
        if atom.element.name != "X"
    ]
    if not found:
        raise InputError("no atoms in the model", file=path, expected="at least one heavy atom")
    positions, elements = zip(*found, strict=True)
    return Atoms(np.array(positions, dtype=np.float64), np.array(elements))


def centred(atoms: Atoms) -> Atoms:
    """The atoms with their centroid at the rotation centre."""
    return Atoms(atoms.positions_A - atoms.positions_A.mean(axis=0), atoms.elements)


def potential(atoms: Atoms, box_px: int, pixel_size_A: float, *, b_factor_A2: float = ATOM_B_A2) -> Tensor:
    """Map `(box, box, box)` in volts above ice of atoms about the voxel box//2 (`box_px` even).

    Sum of the electron scattering factors (International Tables C, table 4.3.2.2) of atoms and implied
    hydrogens, less the ice that each atom displaces (Fraser et al. 1978, eq. 1: a Gaussian of its volume);
    with the B-factor, cut softly at Nyquist. Raises InputError where an atom lies outside the box.
    """
    reach = float(np.abs(atoms.positions_A).max()) + pixel_size_A
    if reach >= box_px / 2 * pixel_size_A:
        raise InputError(
            "atoms outside the box", found=f"{reach:.0f} Å from the centre",
            expected=f"less than {box_px / 2 * pixel_size_A:.0f} Å",
            todo="is diameter_A the longest extent, and is the model centred?",
        )  # fmt: skip
    k2 = _k_squared(box_px, pixel_size_A)
    total = torch.zeros_like(k2, dtype=torch.complex64)
    everywhere = torch.zeros_like(total)
    for element in np.unique(atoms.elements):
        spread = _spectrum(atoms.positions_A[atoms.elements == element], box_px, pixel_size_A)
        total += spread * _scattering_A(str(element), k2)
        everywhere += spread
    ice_A = VOLUME_PER_ATOM_A3 * ICE_VOLTS / VOLT_A2
    displaced = ice_A * torch.exp(-math.pi * k2 * VOLUME_PER_ATOM_A3 ** (2 / 3))
    total += everywhere * (HYDROGENS_PER_ATOM * _scattering_A("H", k2) - displaced)
    nyquist = 0.5 / pixel_size_A
    edge = ((k2.sqrt() / nyquist - 0.9) / 0.1).clamp(0, 1)
    total *= torch.exp(-b_factor_A2 * k2 / 4) * (0.5 + 0.5 * torch.cos(math.pi * edge))
    shape = (box_px, box_px, box_px)
    return torch.fft.irfftn(total, s=shape) * (VOLT_A2 / pixel_size_A**3)


def _k_squared(box_px: int, pixel_size_A: float) -> Tensor:
    """|k|^2 in 1/Å^2 of the half spectrum `(n, n, n//2+1)`, FFT order."""
    full = torch.fft.fftfreq(box_px, pixel_size_A) ** 2
    half = torch.fft.rfftfreq(box_px, pixel_size_A) ** 2
    return full[:, None, None] + full[None, :, None] + half


def _scattering_A(element: str, k2: Tensor) -> Tensor:
    """Electron scattering factor in Å at |k|^2 in 1/Å^2; s = sin(theta)/lambda = k/2."""
    coefficients = gemmi.Element(element).c4322
    # ASSUME: elements that the table lacks scatter as carbon; they are a handful of ions.
    table = coefficients or gemmi.Element("C").c4322
    terms = [a * torch.exp(-b / 4 * k2) for a, b in zip(table.a, table.b, strict=True)]
    return torch.stack(terms).sum(0)


def _spectrum(positions_A: NDArray[np.float64], box_px: int, pixel_size_A: float) -> Tensor:
    """Sum of exp(-2 pi i k.r) over atoms, r from the first voxel, half spectrum of the box in FFT order.

    Atoms are spread by cubic B-splines on a grid twice as fine and the spline is divided out: the error from
    aliasing is 1.2 % in amplitude at Nyquist and 0.002 % at half Nyquist.
    """
    fine = 2 * box_px
    place = positions_A / (pixel_size_A / 2) + box_px
    first = np.floor(place).astype(np.int64)
    weights = _spline_weights(place - first)
    index = (first[:, None, :] + np.arange(-1, 3)[None, :, None]) % fine
    flat = (
        (index[:, :, None, None, 2] * fine + index[:, None, :, None, 1]) * fine + index[:, None, None, :, 0]
    ).ravel()
    weight = np.einsum("az,ay,ax->azyx", weights[..., 2], weights[..., 1], weights[..., 0]).ravel()
    grid = torch.zeros(fine**3)
    grid.index_add_(0, torch.from_numpy(flat), torch.from_numpy(weight.astype(np.float32)))
    half = torch.fft.rfftn(grid.reshape(fine, fine, fine))
    keep = torch.fft.fftfreq(box_px, 1 / box_px).round().long() % fine
    half = half.index_select(0, keep).index_select(1, keep)[..., : box_px // 2 + 1]
    full = torch.sinc(torch.fft.fftfreq(box_px, 2.0)) ** 4
    last = torch.sinc(torch.fft.rfftfreq(box_px, 2.0)) ** 4
    return half / (full[:, None, None] * full[None, :, None] * last)


def _spline_weights(fraction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cubic B-spline at the four grid points around each `fraction` (n, 3) in [0, 1), as (n, 4, 3)."""
    t = fraction
    parts = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    return np.stack(parts, axis=1) / 6
