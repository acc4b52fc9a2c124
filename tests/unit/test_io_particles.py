from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vitreous.errors import InputError
from vitreous.io.mrc import write_stack
from vitreous.io.particles import (
    ParticleSet,
    ctf_columns,
    euler_angles,
    image_locations,
    origins_A,
    pixel_sizes_A,
    read_particles,
    write_particles,
)
from vitreous.io.star import read_star, write_star


def two_groups(count: int = 5) -> ParticleSet:
    rng = np.random.default_rng(0)
    optics = pd.DataFrame(
        {
            "rlnOpticsGroupName": ["second", "first"],
            "rlnOpticsGroup": [2, 1],  # not in order
            "rlnVoltage": [200.0, 300.0],
            "rlnSphericalAberration": [2.0, 2.7],
            "rlnAmplitudeContrast": [0.07, 0.1],
            "rlnImagePixelSize": [1.24, 1.25],
        }
    )
    table = pd.DataFrame({"rlnImageName": [f"{i + 1:06d}@s.mrcs" for i in range(count)]})
    for label in ("DefocusU", "DefocusV", "DefocusAngle", "AngleRot", "AngleTilt", "AnglePsi"):
        table[f"rln{label}"] = rng.uniform(0, 180, count)
    table["rlnOriginXAngst"], table["rlnOriginYAngst"] = rng.normal(size=(2, count))
    table["rlnOpticsGroup"] = [1 + i % 2 for i in range(count)]
    return ParticleSet(optics, table)


def test_rows_in_are_rows_out_with_every_column(tmp_path: Path) -> None:
    particles = two_groups(50)
    write_particles(tmp_path / "p.star", particles)
    back = read_particles(tmp_path / "p.star")
    pd.testing.assert_frame_equal(back.particles, particles.particles, check_exact=True)
    pd.testing.assert_frame_equal(back.optics, particles.optics, check_exact=True)


def test_optics_follow_the_group_of_the_row_and_not_its_place() -> None:
    ctf = ctf_columns(two_groups())
    assert ctf["voltage_kv"].tolist() == [300, 200, 300, 200, 300]
    assert ctf["pixel_size_A"].tolist() == [1.25, 1.24, 1.25, 1.24, 1.25]
    assert ctf["cs_mm"][1] == 2.0 and ctf["amplitude_contrast"][1] == 0.07
    assert ctf["phase_shift_deg"].tolist() == [0] * 5 and ctf["scale"].tolist() == [1] * 5


def test_missing_optics_are_named_and_never_invented() -> None:
    particles = two_groups()
    without = ParticleSet(
        particles.optics.drop(columns="rlnAmplitudeContrast"), particles.particles, "p.star"
    )
    with pytest.raises(InputError, match=r"p.star: data_optics: column missing: rlnAmplitudeContrast"):
        ctf_columns(without)
    flat = ParticleSet(particles.optics, particles.particles.drop(columns="rlnAngleRot"))
    with pytest.raises(InputError, match="no 3D pose"):
        euler_angles(flat)


def test_relion_30_becomes_31_with_origins_in_angstrom(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "rlnImageName": ["1@a.mrcs", "2@a.mrcs", "3@a.mrcs"],
            "rlnVoltage": [300.0, 200.0, 300.0],
            "rlnSphericalAberration": 2.7,
            "rlnAmplitudeContrast": 0.1,
            "rlnMagnification": 40000.0,
            "rlnDetectorPixelSize": 5.0,
            "rlnOriginX": [2.0, -1.0, 0.0],
            "rlnOriginY": [0.5, 0.0, 4.0],
        }
    )
    write_star(tmp_path / "p.star", {"": table})
    particles = read_particles(tmp_path / "p.star", require=("rlnImageName", "rlnVoltage"))
    assert pixel_sizes_A(particles).tolist() == [1.25, 1.25, 1.25]  # 10⁴ · 5 / 40000
    assert origins_A(particles).tolist() == [[2.5, 0.625], [-1.25, 0.0], [0.0, 5.0]]
    assert particles.particles["rlnOpticsGroup"].tolist() == [1, 2, 1]
    assert not {"rlnVoltage", "rlnMagnification", "rlnOriginX"} & set(particles.particles)


def test_images_are_found_beside_the_star_file_and_above_it(tmp_path: Path) -> None:
    write_stack(tmp_path / "Extract/job1/s.mrcs", np.zeros((5, 4, 4)), 1.25)
    particles = two_groups()
    for name, star in (("s.mrcs", "Extract/job1/p.star"), ("Extract/job1/s.mrcs", "Refine3D/job2/p.star")):
        particles.particles["rlnImageName"] = [f"{i + 1}@{name}" for i in range(5)]
        write_particles(tmp_path / star, particles)
        locations = image_locations(read_particles(tmp_path / star), tmp_path / star)
        assert locations == [(tmp_path / "Extract/job1/s.mrcs", i) for i in range(5)]


def test_an_index_beyond_the_stack_is_refused_with_the_particle(tmp_path: Path) -> None:
    write_stack(tmp_path / "s.mrcs", np.zeros((4, 4, 4)), 1.25)
    with pytest.raises(InputError, match=r"particle 5.*found 5, expected 1 to 4 in s.mrcs"):
        image_locations(two_groups(), tmp_path / "p.star")
    with pytest.raises(InputError, match="not found.*other.mrcs"):
        image_locations(
            ParticleSet(two_groups().optics, pd.DataFrame({"rlnImageName": ["1@other.mrcs"]})), tmp_path / "p"
        )


def test_a_subset_keeps_the_order_asked_for() -> None:
    particles = two_groups()
    assert particles.subset([3, 0]).particles["rlnImageName"].tolist() == ["000004@s.mrcs", "000001@s.mrcs"]
    assert len(particles.subset(np.array([True, False, True, False, False]))) == 2


@pytest.mark.parametrize(
    ("label", "value", "message"),
    [
        (
            "rlnOpticsGroup",
            7,
            r"line 25, column rlnOpticsGroup: optics group is not in data_optics \(found 7",
        ),
        ("rlnImageName", "s.mrcs", "line 25, column rlnImageName: not an image name"),
        ("rlnImageName", "0@s.mrcs", "line 25.*numbers from 1"),
        ("rlnDefocusU", np.nan, "line 25, column rlnDefocusU: not a finite number"),
        ("rlnAngleRot", np.inf, "line 25, column rlnAngleRot: not a finite number"),
    ],
)
def test_a_bad_row_is_refused_with_its_line(tmp_path: Path, label: str, value: object, message: str) -> None:
    particles = two_groups()
    table = particles.particles.astype({label: object})
    table.loc[1, label] = value
    if not isinstance(value, str):
        table[label] = table[label].astype(float if isinstance(value, float) else int)
    write_star(
        tmp_path / "p.star", {"optics": particles.optics, "particles": table.astype({"rlnImageName": "str"})}
    )
    lines = (tmp_path / "p.star").read_text().splitlines()
    row = next(number for number, line in enumerate(lines, 1) if line.startswith("000001@"))
    with pytest.raises(InputError, match=message.replace("line 25", f"line {row + 1}")):
        read_particles(tmp_path / "p.star")


def test_columns_of_31_without_optics_are_refused(tmp_path: Path) -> None:
    write_star(tmp_path / "p.star", {"particles": two_groups().particles})
    with pytest.raises(InputError, match="without data_optics"):
        read_particles(tmp_path / "p.star")


def test_required_columns_are_named_when_missing(tmp_path: Path) -> None:
    write_particles(tmp_path / "p.star", two_groups())
    with pytest.raises(InputError, match="rlnRandomSubset"):
        read_particles(tmp_path / "p.star", require=("rlnImageName", "rlnRandomSubset"))


def test_one_row_optics_as_pairs_are_read(tmp_path: Path) -> None:
    particles = two_groups().subset([0])
    optics = particles.optics.iloc[[1]].iloc[0].to_dict()
    write_star(tmp_path / "p.star", {"optics": optics, "particles": particles.particles})
    assert pixel_sizes_A(read_particles(tmp_path / "p.star")).tolist() == [1.25]
    assert isinstance(read_star(tmp_path / "p.star")["optics"], dict)
