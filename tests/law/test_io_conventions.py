"""Conventions of RELION, cryoSPARC, CryoPPP and EMAN against closed forms and files of those programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation
from shared import shared

from vitreous.io.coordinates import read_coordinates
from vitreous.io.cryosparc import cs_to_particles, read_cs
from vitreous.io.frames import better_frame, shares_in_frames
from vitreous.io.particles import ctf_columns, euler_angles, origins_A, pixel_sizes_A, read_particles


def relion_matrix(angles_deg: np.ndarray) -> np.ndarray:
    """(n, 3) rot, tilt, psi to A (n, 3, 3), Aᵀ = Rz(rot) Ry(tilt) Rz(psi), by SciPy."""
    return Rotation.from_euler("ZYZ", angles_deg, degrees=True).as_matrix().transpose(0, 2, 1)


def cs_poses(vectors: np.ndarray) -> np.ndarray:
    fields = [("blob/path", "S9"), ("blob/idx", "<u4"), ("blob/psize_A", "<f8")]
    fields += [
        ("alignments3D/pose", "<f8", (3,)),
        ("alignments3D/shift", "<f8", (2,)),
        ("alignments3D/psize_A", "<f8"),
    ]
    records = np.zeros(len(vectors), fields)
    records["blob/path"], records["alignments3D/pose"] = b"s.mrcs", vectors
    return euler_angles(cs_to_particles(records))


def test_relion_matrix_is_the_transpose_of_cryosparc_rotation() -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 3))
    expected = Rotation.from_rotvec(vectors).as_matrix().transpose(0, 2, 1)
    assert np.allclose(relion_matrix(cs_poses(vectors)), expected, atol=1e-12)


@pytest.mark.parametrize(
    "vector", [(0, 0, 0), (0, 0, 1.0), (0, 0, -3.0), (np.pi, 0, 0), (1.0, np.sqrt(np.pi**2 - 1), 0)]
)
def test_the_poles_of_the_angles_lose_no_rotation(vector: tuple[float, float, float]) -> None:
    vectors = np.array([vector])
    expected = Rotation.from_rotvec(vectors).as_matrix().transpose(0, 2, 1)
    assert np.allclose(relion_matrix(cs_poses(vectors)), expected, atol=1e-7)


def test_poses_shifts_and_angles_of_a_real_cryosparc_file_are_those_of_relion() -> None:
    particles = cs_to_particles(read_cs(shared("data/formats/cs/P12_J24_001_particles.cs")))
    # worked out independently by the README of the reference data
    angles = [(-157.8085, 118.7910, 34.6833), (51.9525, 110.2111, 92.7572), (26.6987, 42.3911, -142.7465)]
    shifts = np.array([(11.334, -1.828), (1.266, -4.641), (-7.453, 11.053)])
    assert np.allclose(euler_angles(particles)[:3], angles, atol=1e-4)
    assert np.allclose(origins_A(particles)[:3], shifts * 2.95, atol=2e-3)
    assert np.allclose(ctf_columns(particles)["defocus_angle_deg"][0], -78.13, atol=2e-3)
    assert len(particles) == 2019 and pixel_sizes_A(particles)[0] == 2.95
    assert particles.particles["rlnRandomSubset"].value_counts().to_dict() == {1: 1010, 2: 1009}
    stacks = particles.particles["rlnImageName"].str.partition("@")
    assert stacks[2].nunique() == 50 and stacks[0][0] == "000001"


def test_the_same_particles_in_cs_and_star_give_the_same_ctf() -> None:
    folder = shared("data/formats/cs")
    from_cs = ctf_columns(cs_to_particles(read_cs(folder / "empiar_10076_7.cs")))
    from_star = ctf_columns(read_particles(folder / "empiar_10076_7.star"))
    for name, values in from_star.items():
        assert np.allclose(from_cs[name], values, rtol=2e-6), name  # cs holds float32
    assert from_star["defocus_u_A"][0] == 15301.1 and from_star["defocus_v_A"][0] == 14916.4


@pytest.mark.parametrize(
    ("program", "shares"),
    [("crYOLO", (0.857, 0.869)), ("topaz", (0.706, 0.723)), ("deepPicker", (0.533, 0.395))],
)
def test_boxes_that_count_rows_from_the_bottom_fit_only_flipped(
    tmp_path: Path, program: str, shares: tuple[float, float]
) -> None:
    size = 4096
    for time, expected in zip(("14_33_35", "15_17_31"), shares, strict=True):
        stem = f"Falcon_2012_06_12-{time}_0"
        shapes = {f"{stem}.jpg": (size, size)}
        (tmp_path / f"{stem}.box").write_bytes(
            shared(f"data/formats/coords/{program}_{stem}.box").read_bytes()
        )
        truth_file = shared(f"data/empiar-10017-lite/ground_truth/{stem}.csv")
        truth = read_coordinates(truth_file, micrograph_shapes=shapes)
        flipped = read_coordinates(tmp_path / f"{stem}.box", micrograph_shapes=shapes, flip_y=True)
        given = read_coordinates(tmp_path / f"{stem}.box", micrograph_shapes=shapes)
        assert np.array_equal(flipped["y"], size - given["y"])
        # the reference data's README states these shares to one decimal of a percent
        assert shares_in_frames(flipped, truth, shapes, 40)["as given"] == pytest.approx(expected, abs=6e-4)
        assert better_frame(shares_in_frames(given, truth, shapes, 40)) == "flipped in y"
        assert better_frame(shares_in_frames(flipped, truth, shapes, 40)) is None


def test_coordinates_of_cryoppp_index_columns_and_rows_of_the_picture(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("X-Coordinate,Y-Coordinate,Diameter\n7,2,4\n")
    image = np.zeros((5, 10))
    pick = read_coordinates(tmp_path / "m.csv").iloc[0]
    image[int(pick["y"]), int(pick["x"])] = 1
    assert image[2, 7] == 1 and pick["diameter_px"] == 4


def test_relion_30_and_31_forms_of_one_set_agree(tmp_path: Path) -> None:
    old = read_particles(shared("data/formats/star/relion30_particles.star"))
    new = read_particles(shared("data/formats/star/relion31_particles.star"))
    # the same particles (all but the 15th) as another project has them, with the same numbers for the origins
    # in pixels of 1.338 Å (3.0) and in Å (3.1)
    same = np.arange(17) != 14
    assert np.array_equal(euler_angles(old)[same], euler_angles(new)[same])
    pd.testing.assert_series_equal(old.particles["rlnOpticsGroup"], new.particles["rlnOpticsGroup"])
    assert np.allclose(origins_A(old)[same], origins_A(new)[same] * 1.338, atol=1e-12)
