from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vitreous.errors import InputError
from vitreous.io.coordinates import read_coordinates
from vitreous.io.cryosparc import (
    cs_to_particles,
    cs_to_picks,
    filter_cs,
    join_cs,
    read_cs,
    write_cs,
    write_picks_cs,
)
from vitreous.io.particles import euler_angles, origins_A, pixel_sizes_A


def records(count: int = 6) -> np.ndarray:
    rng = np.random.default_rng(0)
    out = np.zeros(
        count,
        [
            ("uid", "<u8"), ("blob/path", "S20"), ("blob/idx", "<u4"), ("blob/shape", "<u4", (2,)),
            ("blob/psize_A", "<f4"), ("ctf/accel_kv", "<f4"), ("ctf/cs_mm", "<f4"),
            ("ctf/amp_contrast", "<f4"),
            ("ctf/df1_A", "<f4"), ("ctf/df2_A", "<f4"), ("ctf/df_angle_rad", "<f4"),
            ("ctf/phase_shift_rad", "<f4"),
            ("alignments3D/pose", "<f4", (3,)), ("alignments3D/shift", "<f4", (2,)),
            ("alignments3D/psize_A", "<f4"),
            ("alignments3D/split", "<u4"), ("location/micrograph_path", "S60"),
            ("location/micrograph_shape", "<u4", (2,)), ("location/center_x_frac", "<f4"),
            ("location/center_y_frac", "<f4"),
        ],
    )  # fmt: skip
    out["uid"] = rng.integers(2**40, 2**63, count, dtype=np.uint64)
    out["blob/path"], out["blob/idx"], out["blob/shape"] = b">J1/s.mrcs", range(count), 64
    out["blob/psize_A"], out["alignments3D/psize_A"] = 1.345, 2.69
    out["ctf/accel_kv"], out["ctf/cs_mm"], out["ctf/amp_contrast"] = [300, 200] * (count // 2), 2.7, 0.1
    out["ctf/df1_A"], out["ctf/df2_A"], out["ctf/df_angle_rad"] = 15000, 14000, -np.pi / 4
    out["alignments3D/pose"] = rng.normal(size=(count, 3))
    out["alignments3D/shift"], out["alignments3D/split"] = (2, -3), [0, 1] * (count // 2)
    out["location/micrograph_path"] = b"J2/000021digits567890123456_mic.mrc"
    out["location/micrograph_shape"] = (100, 200)
    out["location/center_x_frac"], out["location/center_y_frac"] = 0.25, 0.1
    return out


def test_fields_become_relion_columns() -> None:
    particles = cs_to_particles(records())
    table = particles.particles
    assert table["rlnImageName"][1] == "000002@J1/s.mrcs"  # indices from 1, no `>`
    assert table["rlnOpticsGroup"].tolist() == [1, 2] * 3 and particles.optics["rlnVoltage"].tolist() == [
        300,
        200,
    ]
    assert pixel_sizes_A(particles)[0] == 1.345  # not 1.3450000286
    assert np.allclose(table["rlnDefocusAngle"], -45, atol=1e-5)  # float32 radians
    assert np.allclose(origins_A(particles), [5.38, -8.07], atol=1e-6)  # pixels of 2.69 Å
    assert table["rlnRandomSubset"].tolist() == [1, 2] * 3
    assert np.allclose(table[["rlnCoordinateX", "rlnCoordinateY"]], [50, 10], atol=1e-5)


def test_a_flip_counts_rows_from_the_other_end() -> None:
    assert np.allclose(cs_to_picks(records(), flip_y=True)["y"], 100 - 1 - 10, atol=1e-5)


def test_a_filter_keeps_whole_records_in_their_order(tmp_path: Path) -> None:
    source = records()
    write_cs(tmp_path / "a.cs", source)
    kept = source["uid"][[4, 1]]
    assert filter_cs(tmp_path / "a.cs", kept, tmp_path / "b.cs") == 2
    assert np.array_equal(read_cs(tmp_path / "b.cs"), source[[1, 4]])
    with pytest.raises(InputError, match="uid not in the file"):
        filter_cs(tmp_path / "a.cs", [7], tmp_path / "c.cs")
    assert (
        filter_cs(tmp_path / "a.cs", [], tmp_path / "none.cs") == 0
        and len(read_cs(tmp_path / "none.cs")) == 0
    )


def test_passthrough_fields_are_joined_by_uid() -> None:
    source = records()
    extra = np.zeros(8, [("uid", "<u8"), ("note", "<f4")])
    extra["uid"][:6], extra["note"][:6] = source["uid"][::-1], range(6)
    extra["uid"][6:] = [1, 2]
    joined = join_cs(source, extra)
    assert joined["note"].tolist() == [5, 4, 3, 2, 1, 0] and np.array_equal(joined["uid"], source["uid"])
    with pytest.raises(InputError, match="passthrough file lacks particles"):
        join_cs(source, extra[:3])


def test_written_picks_have_every_location_field_and_come_back(tmp_path: Path) -> None:
    picks = pd.DataFrame(
        {"micrograph": ["m/a.mrc", "m/b.mrc"], "x": [10.5, 3.0], "y": [7.25, 99.0], "score": [0.5, 1]}
    )
    write_picks_cs(tmp_path / "p.cs", picks, {"m/a.mrc": (50, 80), "m/b.mrc": (100, 60)})
    fields = set(read_cs(tmp_path / "p.cs").dtype.names or ())
    wanted = {"uid", "location/micrograph_uid", "location/exp_group_id", "location/micrograph_path"}
    assert (
        wanted | {"location/micrograph_shape", "location/center_x_frac", "location/center_y_frac"} <= fields
    )
    back = read_coordinates(tmp_path / "p.cs")
    assert back["micrograph"].tolist() == ["m/a.mrc", "m/b.mrc"]
    assert np.allclose(back[["x", "y", "score"]], picks[["x", "y", "score"]], atol=1e-5)  # float32 fractions
    assert len(set(read_cs(tmp_path / "p.cs")["uid"])) == 2


def test_picks_take_uid_and_path_from_the_exposures(tmp_path: Path) -> None:
    exposures = np.zeros(1, [("uid", "<u8"), ("micrograph_blob/path", "S90")])
    exposures["uid"] = 77
    exposures["micrograph_blob/path"] = b"J3/motion/000123456789012345678_a_patch_aligned_doseweighted.mrc"
    picks = pd.DataFrame({"micrograph": ["m/a.mrc"], "x": [1.0], "y": [2.0]})
    write_picks_cs(tmp_path / "p.cs", picks, {"m/a.mrc": (50, 80)}, exposures=exposures)
    written = read_cs(tmp_path / "p.cs")
    assert written["location/micrograph_uid"][0] == 77
    assert written["location/micrograph_path"][0] == exposures["micrograph_blob/path"][0]
    with pytest.raises(InputError, match="not among the exposures"):
        write_picks_cs(
            tmp_path / "q.cs", picks.assign(micrograph="b.mrc"), {"b.mrc": (5, 5)}, exposures=exposures
        )


def test_nothing_is_unpickled_and_other_files_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "a.npy").rename(tmp_path / "object.cs")
    (tmp_path / "pickle.cs").write_bytes(pickle.dumps([1, 2]))
    (tmp_path / "raw.cs").write_bytes(records().tobytes())
    write_cs(tmp_path / "whole.cs", records())
    (tmp_path / "cut.cs").write_bytes((tmp_path / "whole.cs").read_bytes()[:-10])
    np.save(tmp_path / "plain.npy", np.zeros((2, 2)))
    (tmp_path / "plain.npy").rename(tmp_path / "plain.cs")
    for name, message in (
        ("object", "unsafe"), ("pickle", "not a NumPy"), ("raw", "not a NumPy"), ("cut", "damaged"),
        ("plain", "no table"), ("absent", "cannot be read"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            read_cs(tmp_path / f"{name}.cs")


def test_without_3d_poses_there_are_no_angles_and_it_is_said(caplog: pytest.LogCaptureFixture) -> None:
    source = records()
    names = [name for name in source.dtype.names or () if not name.startswith("alignments3D")]
    particles = cs_to_particles(source[names].copy(), file="x.cs")
    assert "no 3D poses" in caplog.text
    with pytest.raises(InputError, match="no 3D pose"):
        euler_angles(particles)
