from __future__ import annotations

from pathlib import Path

import pytest
from fake_archive import FakeArchive

from vitreous.data.archives.emdb import emdb_number, find_files
from vitreous.data.archives.emdb_header import read_emdb_header
from vitreous.data.download.client import Client
from vitreous.data.download.settings import NetworkSettings
from vitreous.errors import InputError

HALVES = "<half_map_list>{}</half_map_list>"
MASKS = "<segmentation_list>{}</segmentation_list>"


def header(
    order: str = "XYZ", extras: str = "", dims: str = "100 200 300", contour: str = "", processing: str = ""
) -> str:
    c, r, s = dims.split()
    fast, medium, slow = order or ("", "", "")
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<emd emdb_id="EMD-2660" version="3.0.9.4"><admin><title>80S ribosome </title></admin>
<structure_determination_list><structure_determination><singleparticle_processing><final_reconstruction>
{processing}</final_reconstruction></singleparticle_processing></structure_determination></structure_determination_list>
<map format="CCP4" size_kbytes="9"><dimensions><col>{c}</col><row>{r}</row><sec>{s}</sec></dimensions>
<cell><a units="A">134.0</a><b>268.0</b><c>402.0</c></cell>
<axis_order><fast>{fast}</fast><medium>{medium}</medium><slow>{slow}</slow></axis_order>
<pixel_spacing><x>1.3</x><y>1.3</y><z>1.3</z></pixel_spacing>
<contour_list>{contour}</contour_list></map><interpretation>{extras}</interpretation></emd>"""


def write(root: Path, *names: str, text: str = "0123456789") -> None:
    for name in names:
        path = root / f"emdb/EMD-2660/{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_the_pixel_size_is_cell_by_dimensions_and_not_the_rounded_one() -> None:
    read = read_emdb_header(header())
    assert read.accession == "EMD-2660" and read.title == "80S ribosome"
    assert read.dimensions == (100, 200, 300) and read.pixel_size_A == pytest.approx((1.34, 1.34, 1.34))


def test_the_pixel_size_follows_the_axis_order() -> None:
    read = read_emdb_header(header("ZYX", dims="300 200 100"))
    assert read.axis_order == ("Z", "Y", "X") and read.pixel_size_A == pytest.approx((1.34, 1.34, 1.34))
    assert read_emdb_header(header("")).axis_order == ("X", "Y", "Z")
    with pytest.raises(InputError, match="found X X Z"):
        read_emdb_header(header("XXZ"))


def test_the_primary_contour_wins_over_the_first() -> None:
    contour = "<contour><level>1</level></contour><contour primary='true'><level>0.07</level></contour>"
    assert read_emdb_header(header(contour=contour)).contour_level == 0.07
    assert read_emdb_header(header(contour="<contour><level>1</level></contour>")).contour_level == 1
    assert read_emdb_header(header()).contour_level is None


def test_symmetry_and_resolution_are_read_where_they_stand() -> None:
    said = "<applied_symmetry><point_group>D2</point_group></applied_symmetry><resolution>3.2</resolution>"
    read = read_emdb_header(header(processing=said))
    assert (read.symmetry, read.resolution_A) == ("D2", 3.2)
    assert (read_emdb_header(header()).symmetry, read_emdb_header(header()).resolution_A) == (None, None)


def test_half_maps_and_masks_are_listed_by_their_names(tmp_path: Path) -> None:
    extras = HALVES.format("<half_map><file>emd_2660_half_map_1.map.gz</file></half_map>")
    extras += MASKS.format("<segmentation><file> emd_2660_msk_1.map </file></segmentation>")
    path = tmp_path / "emd-2660.xml"
    path.write_text("\ufeff" + header(extras=extras))
    read = read_emdb_header(path)
    assert (read.half_maps, read.masks) == (["emd_2660_half_map_1.map.gz"], ["emd_2660_msk_1.map"])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('<!DOCTYPE emd [<!ENTITY a "b">]><emd/>', "declares a document type"),
        ("<emd>", "not XML"),
        ("<entry/>", "not an EMDB header of schema 3"),
        ("<emd version='1.9.6'><map><cell><cellA>1</cellA></cell></map></emd>", "version='1.9.6'"),
        (header(dims="0 10 10"), "map/dimensions/col: not a positive number"),
        (header(dims="nan 10 10"), "map/dimensions/col: not a positive number"),
    ],
)
def test_what_is_no_header_is_refused_in_one_line(text: str, what: str) -> None:
    with pytest.raises(InputError) as error:
        read_emdb_header(text)
    assert what in str(error.value) and "\n" not in str(error.value)


def test_a_missing_or_binary_header_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes(b"\xff\xfe<\0")
    for name in ("a.xml", "b.xml"):
        with pytest.raises(InputError, match="cannot be read"):
            read_emdb_header(tmp_path / name)


@pytest.mark.parametrize("given", [2660, "2660", "EMD-2660", "emd_2660"])
def test_an_accession_may_be_given_in_several_ways(given: int | str) -> None:
    assert emdb_number(given) == "2660"


def test_what_is_no_accession_or_part_is_refused(client: Client) -> None:
    with pytest.raises(InputError, match="EMD-2660"):
        find_files(client, "EMPIAR-10017", ["map"])
    with pytest.raises(InputError, match="map, half-maps, masks, header"):
        find_files(client, 2660, ["halves"])  # type: ignore[list-item]


def test_the_header_comes_first_and_every_part_under_its_own_spelling(
    archive: FakeArchive, client: Client, tmp_path: Path
) -> None:
    write(tmp_path, "header/emd-2660.xml", text=header())
    write(tmp_path, "map/emd_2660.map.gz", "masks/emd_2660_msk_1.map", "other/emd_2660_additional_1.map.gz")
    write(tmp_path, "other/emd_2660_half_map_1.map.gz", "other/emd_2660_half_map_2.map.gz")
    found = find_files(client, 2660, ["masks", "half-maps", "map"])
    assert [file.path for file in found.files] == [
        "header/emd-2660.xml",
        "map/emd_2660.map.gz",
        "other/emd_2660_half_map_1.map.gz",
        "other/emd_2660_half_map_2.map.gz",
        "masks/emd_2660_msk_1.map",
    ]
    assert found.notes == [] and found.header.dimensions == (100, 200, 300)
    assert all(client.exists(file.url) and file.licence == "CC0" for file in found.files)
    assert find_files(client, 2660, []).files[0].path == "header/emd-2660.xml"


def test_half_maps_and_masks_that_are_not_there_are_noted(client: Client, tmp_path: Path) -> None:
    write(tmp_path, "header/emd-2660.xml", text=header())
    write(tmp_path, "other/emd_2660_additional_1.map.gz")
    found = find_files(client, 2660, ["half-maps", "masks"])
    assert [file.path for file in found.files] == ["header/emd-2660.xml"]
    assert found.notes == ["EMD-2660 has no half maps", "EMD-2660 has no masks"]


def test_a_half_map_of_the_header_that_the_listing_leaves_out_is_found(
    archive: FakeArchive, client: Client, tmp_path: Path
) -> None:
    names = [f"emd_2660_half_map_{n}.map.gz" for n in (1, 2)]
    extras = HALVES.format("".join(f"<half_map><file>{name}</file></half_map>" for name in names))
    write(tmp_path, "header/emd-2660.xml", text=header(extras=extras))
    write(tmp_path, *(f"other/{name}" for name in names))
    archive.add_fault("short", match="*/other/")
    found = find_files(client, 2660, ["half-maps"])
    assert [file.path for file in found.files[1:]] == [f"other/{name}" for name in names]
    assert found.files[2].about_bytes == 10


def test_the_header_of_schema_3_is_taken_where_the_plain_one_is_older(client: Client, tmp_path: Path) -> None:
    write(tmp_path, "header/emd-2660.xml", text="<emdEntry version='1.9.6'><map/></emdEntry>")
    with pytest.raises(InputError, match="schema 3"):
        find_files(client, 2660, ["header"])
    write(tmp_path, "header/emd-2660-v30.xml", text=header())
    assert find_files(client, 2660, ["header"]).files[0].path == "header/emd-2660-v30.xml"


def test_a_missing_entry_is_refused(client: Client) -> None:
    with pytest.raises(InputError, match="not found on the server"):
        find_files(client, 2661, ["map"])


@pytest.mark.parametrize("fault", ["html", "xml"])
def test_a_page_in_place_of_the_header_is_asked_for_again(
    archive: FakeArchive, tmp_path: Path, fault: str
) -> None:
    write(tmp_path, "header/emd-2660.xml", text=header())
    archive.add_fault(fault, match="*/emd-2660.xml", times=2)
    settings = {"mirrors": archive.mirrors, "tries": 3, "backoff_s": 0}
    found = find_files(Client(NetworkSettings.model_validate(settings)), 2660, ["header"])
    assert found.files[0].path == "header/emd-2660.xml" and len(archive.log) == 3


@pytest.mark.parametrize(("fault", "said"), [("html", "an HTML page"), ("xml", "an error message")])
def test_a_page_that_stays_in_place_of_the_header_is_told_and_no_other_header_is_asked_for(
    archive: FakeArchive, client: Client, tmp_path: Path, fault: str, said: str
) -> None:
    write(tmp_path, "header/emd-2660.xml", text=header())
    archive.add_fault(fault, match="*/emd-2660.xml")
    with pytest.raises(InputError, match=rf"emd-2660\.xml: .*{said} in place of XML, 2 times in a row"):
        find_files(client, 2660, ["header"])
    assert not [request for request in archive.log if "-v30" in request.path]


def test_a_header_that_is_only_there_under_the_newer_name_is_found(client: Client, tmp_path: Path) -> None:
    write(tmp_path, "header/emd-2660-v30.xml", text=header())
    assert find_files(client, 2660, ["header"]).files[0].path == "header/emd-2660-v30.xml"


def test_a_damaged_header_leads_to_no_other_one(archive: FakeArchive, client: Client, tmp_path: Path) -> None:
    write(tmp_path, "header/emd-2660.xml", text=header()[:-9])
    write(tmp_path, "header/emd-2660-v30.xml", text=header())
    with pytest.raises(InputError, match="an XML document that is cut"):
        find_files(client, 2660, ["header"])
