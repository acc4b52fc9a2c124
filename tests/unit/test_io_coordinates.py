from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vitreous.errors import InputError
from vitreous.io.convert import convert_particles, convert_picks, holds_particles, micrograph_shapes
from vitreous.io.coordinates import read_coordinates, write_coordinates
from vitreous.io.cryosparc import read_cs, write_cs
from vitreous.io.frames import better_frame, shares_in_frames
from vitreous.io.mrc import write_image
from vitreous.io.names import index_by_key, match_names, micrograph_key
from vitreous.io.particles import ParticleSet, read_particles, write_particles
from vitreous.io.picks import read_picks, write_picks
from vitreous.io.star import write_star

SHAPES = {"micrographs/May08_03.05.02.bin_avg.mrc": (300, 400), "micrographs/b.mrc": (300, 400)}


def picks(count: int = 20) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    names = pd.Series([list(SHAPES)[i % 2] for i in range(count)], dtype="str")
    x, y = rng.integers(20, 280, (2, count)) + 0.25
    return pd.DataFrame({"micrograph": names, "x": x, "y": y, "score": rng.normal(size=count)})


@pytest.mark.parametrize("flip_y", [False, True])
@pytest.mark.parametrize("kind", ["star", "csv", "topaz", "cs", "relion", "cryoppp", "box", "cbox"])
def test_every_kind_comes_back_as_it_went(tmp_path: Path, kind: str, flip_y: bool) -> None:
    ending = {"topaz": "txt"}.get(kind, kind)
    path = tmp_path / ("p" if kind in ("relion", "cryoppp", "box", "cbox") else f"p.{ending}")
    files = write_coordinates(path, picks(), kind, shapes=SHAPES, box_px=64, flip_y=flip_y)
    read = files[-1:] if kind == "relion" else files
    parts = [read_coordinates(file, micrograph_shapes=SHAPES, flip_y=flip_y) for file in read]
    back = pd.concat(parts).sort_values(["micrograph", "x", "y"], ignore_index=True)
    wanted = picks().sort_values(["micrograph", "x", "y"], ignore_index=True)
    assert back["micrograph"].tolist() == wanted["micrograph"].tolist()
    # cs stores float32 fractions
    assert np.allclose(back[["x", "y"]], wanted[["x", "y"]], rtol=0, atol=1e-4 if kind == "cs" else 0)
    if kind != "cryoppp":
        assert np.allclose(back["score"], wanted["score"], rtol=1e-6 if kind == "cs" else 0, atol=0)
    if kind in ("cryoppp", "box", "cbox"):
        assert (back["diameter_px"] == 64).all()


def test_box_corners_become_centres_and_zero_boxes_are_centres(tmp_path: Path) -> None:
    (tmp_path / "m.box").write_text("14 35 20 10 -3\n26 57 20 10 -3\n")
    (tmp_path / "c.box").write_text("24 40 0 0\n")
    (tmp_path / "m.coord").write_text("24\t40\n36 62\n")
    assert read_coordinates(tmp_path / "m.box")[["x", "y"]].values.tolist() == [[24, 40], [36, 62]]
    assert read_coordinates(tmp_path / "c.box")[["x", "y"]].values.tolist() == [[24, 40]]
    assert read_coordinates(tmp_path / "m.coord")[["x", "y"]].values.tolist() == [[24, 40], [36, 62]]
    assert read_coordinates(tmp_path / "m.box", kind="box-centre")[["x", "y"]].values.tolist()[0] == [14, 35]


def test_columns_are_found_by_name_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("Angle-Psi,Diameter,Y-Coordinate,X-Coordinate\n12.5,108,20,10\n")
    table = read_coordinates(tmp_path / "m.csv")
    assert (
        table[["x", "y", "diameter_px"]].values.tolist() == [[10, 20, 108]] and table["micrograph"][0] == "m"
    )


def test_no_picks_are_a_valid_answer_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "m.box").write_text("")
    (tmp_path / "m.csv").write_text("x,y\n")
    for name in ("m.box", "m.csv"):
        assert len(read_coordinates(tmp_path / name)) == 0
    assert caplog.text.count("no picks") == 2


def test_a_threshold_leaves_out_low_scores_and_keeps_unknown_ones(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("x,y,score\n1,1,0.1\n2,2,0.5\n3,3,\n")
    assert read_coordinates(tmp_path / "m.csv", min_score=0.3)["x"].tolist() == [2, 3]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.box", "1 2 3 4\nx 2 3 4\n", "line 2: not a number.*found x"),
        ("m.box", "1 2 3 4\n1 2 3\n", "line 2: wrong number of columns"),
        ("m.box", "1 2 3\n", "line 1: wrong number of columns"),
        ("m.csv", "x,y\n1,2\n1,\n", "line 3: coordinate is not finite"),
        ("m.csv", "x,y\n1,2,3\n", "line 2: row with a wrong number of columns"),
        ("m.csv", "a,b\n1,2\n", "line 1: no coordinates in the header"),
        ("m.csv", "<html></html>", "HTML or XML"),
        ("m.csv", "", "file is empty"),
        ("m.txt", "image_name\tx_coord\ty_coord\na\t1\tinf\n", "line 2: coordinate is not finite"),
        ("m.cbox", "data_global\n_cbox_format_version 1.0\n", "no boxes"),
        ("m.star", "data_a\n_b 1\n", "no coordinates"),
        ("m.xyz", "1 2\n", "kind of coordinates not known"),
    ],
)
def test_bad_coordinate_files_are_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        read_coordinates(tmp_path / name)


def test_a_flip_needs_the_height(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("x,y\n1,2\n")
    with pytest.raises(InputError, match="flip_y needs the height"):
        read_coordinates(tmp_path / "m.csv", flip_y=True)


def test_a_wrong_frame_is_noticed() -> None:
    true = picks(200)
    h, w = 300, 400
    for name, wrong in (
        ("flipped in y", true.assign(y=h - 1 - true["y"])),
        ("flipped in x", true.assign(x=w - 1 - true["x"])),
        ("transposed", true.assign(x=true["y"], y=true["x"])),
    ):
        shares = shares_in_frames(wrong, true, SHAPES, 3)
        assert shares[name] == 1.0 and better_frame(shares) == name
    assert better_frame(shares_in_frames(true, true, SHAPES, 3)) is None


def test_names_meet_without_folder_ending_and_cryosparc_additions() -> None:
    assert micrograph_key("J2/000021456789012345678_a.b_patch_aligned_doseweighted.mrc") == "a.b"
    assert micrograph_key("micrographs/May08_03.05.02.bin_avg.mrc") == "May08_03.05.02.bin_avg"
    assert micrograph_key("May08_03.05.02.bin_avg") == "May08_03.05.02.bin_avg"
    assert micrograph_key("x_autopick.star") == micrograph_key("x.mrc.gz") == "x"
    index = index_by_key(["m/a.mrc", "m/b.jpg"])
    assert match_names(["b.csv", "c.csv", "a", "b.csv"], index) == (
        {"b.csv": "m/b.jpg", "a": "m/a.mrc"},
        ["c.csv"],
    )
    with pytest.raises(InputError, match="differ only"):
        index_by_key(["m/a.mrc", "n/a.jpg"])


def test_picks_files_hold_no_rows_or_many_and_refuse_what_is_outside(tmp_path: Path) -> None:
    write_picks(tmp_path / "a.star", picks(), shapes=SHAPES)
    pd.testing.assert_frame_equal(read_picks(tmp_path / "a.star"), picks(), check_exact=True)
    write_picks(tmp_path / "e.star", picks(0), shapes=SHAPES)
    assert len(read_picks(tmp_path / "e.star")) == 0 and list(read_picks(tmp_path / "e.star")) == list(
        picks()
    )
    with pytest.raises(InputError, match=r"b.mrc, \(401, 20\).*found 1 pick, expected x < 400"):
        beyond = picks(1).assign(micrograph="micrographs/b.mrc", x=401.0, y=20.0)
        write_picks(tmp_path / "b.star", beyond, shapes=SHAPES)
    write_star(tmp_path / "n.star", {"particles": pd.DataFrame({"rlnMicrographName": ["a"]})})
    with pytest.raises(InputError, match="rlnCoordinateX, rlnCoordinateY"):
        read_picks(tmp_path / "n.star")


def test_conversion_counts_what_it_reads_leaves_out_and_writes(tmp_path: Path) -> None:
    for name in ("a.mrc", "b.mrc"):
        write_image(tmp_path / "mics" / name, np.eye(30), 1.0)
    (tmp_path / "in.csv").write_text("micrograph,x,y,score\na,1,2,0.9\nb,3,4,0.1\nstranger,5,6,0.9\n")
    said = convert_picks(
        tmp_path / "in.csv", tmp_path / "out.star", micrographs=tmp_path / "mics", min_score=0.5
    )
    assert [line.split(" ")[0] for line in said] == ["3", "1", "1", "1"] and "stranger" in said[1]
    assert read_picks(tmp_path / "out.star")["micrograph"].tolist() == ["a.mrc"]
    assert micrograph_shapes(tmp_path / "mics") == {"a.mrc": (30, 30), "b.mrc": (30, 30)}
    with pytest.raises(InputError, match="kind of output not stated"):
        convert_picks(tmp_path / "in.csv", tmp_path / "folder")


def test_particles_go_from_cs_to_star_and_back_as_a_filter(tmp_path: Path) -> None:
    fields = [
        ("uid", "<u8"),
        ("blob/path", "S20"),
        ("blob/idx", "<u4"),
        ("blob/psize_A", "<f4"),
        ("other", "<f4"),
    ]
    source = np.zeros(5, fields)
    source["uid"], source["blob/path"], source["blob/idx"] = [9, 8, 7, 6, 5], b"J1/s.mrcs", range(5)
    source["blob/psize_A"], source["other"] = 1.5, range(5)
    write_cs(tmp_path / "in.cs", source)
    assert "5 written" in convert_particles(tmp_path / "in.cs", tmp_path / "out.star")[1]
    assert holds_particles(tmp_path / "in.cs") and holds_particles(tmp_path / "out.star")
    particles = read_particles(tmp_path / "out.star")
    write_particles(tmp_path / "some.star", particles.subset([3, 1]))
    convert_particles(tmp_path / "some.star", tmp_path / "some.cs", template=tmp_path / "in.cs")
    assert np.array_equal(read_cs(tmp_path / "some.cs"), source[[1, 3]])
    with pytest.raises(InputError, match="filter of another"):
        convert_particles(tmp_path / "some.star", tmp_path / "some.cs")
    strange = ParticleSet(particles.optics, particles.particles.assign(rlnImageName="9@s.mrcs"))
    write_particles(tmp_path / "strange.star", strange)
    with pytest.raises(InputError, match="not in the .cs file"):
        convert_particles(tmp_path / "strange.star", tmp_path / "no.cs", template=tmp_path / "in.cs")
