from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_archive import FakeArchive

from vitreous.data.archives.empiar import Found, data_files, find_files, list_tree
from vitreous.data.archives.empiar_entry import entry_number, parse_entry, read_entry
from vitreous.data.archives.settings import Selection
from vitreous.data.download.client import Client
from vitreous.errors import InputError

FOLDER = "/empiar/world_availability/10017/data/"


def write(root: Path, *names: str, number: int = 10017, size: int = 10) -> None:
    for name in names:
        path = root / f"empiar/{number}/{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))


def describe(root: Path, *sets: dict[str, Any], number: int = 10017, **fields: Any) -> None:
    path = root / f"empiar/{number}/entry.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({f"EMPIAR-{number}": {"status": "REL", "imagesets": list(sets), **fields}}))


def micrographs(count: int | None, directory: str | None = "/data/", **more: Any) -> dict[str, Any]:
    return {
        "name": "mics",
        "directory": directory,
        "category": "micrographs - single frame",
        "data_format": "MRC",
        "num_images_or_tilt_series": count,
        **more,
    }


def paths(found: Found) -> list[str]:
    return [file.path for file in found.files]


def parsed(image_set: dict[str, Any] | None = None, **fields: Any) -> Any:
    return parse_entry({"EMPIAR-10017": {"imagesets": [image_set or {}], **fields}}, where="x")


@pytest.mark.parametrize("given", [10017, "10017", "EMPIAR-10017", "empiar-10017 "])
def test_an_accession_may_be_given_in_three_ways(given: int | str) -> None:
    assert entry_number(given) == 10017


@pytest.mark.parametrize("given", ["EMD-2660", "../10017", "", 12])
def test_what_is_no_accession_is_refused(given: int | str) -> None:
    with pytest.raises(InputError, match="EMPIAR-10017"):
        entry_number(given)


def test_an_entry_of_nulls_can_be_read() -> None:
    keys = ["name", "directory", "category", "data_format", "num_images_or_tilt_series", "frames_per_image"]
    keys += ["pixel_width", "image_width", "image_height", "details"]
    entry = parsed(dict.fromkeys(keys), title=None, status=None, cross_references=None, dataset_size=None)
    assert entry.accession == "EMPIAR-10017" and entry.title == "" and entry.cross_references == []
    (only,) = entry.image_sets
    assert (only.directory, only.count, only.pixel_size_A, only.width) == ("data", None, None, None)
    assert parse_entry({"EMPIAR-10017": {"imagesets": None}}, where="x").image_sets == []


def test_numbers_may_be_text_and_zero_or_empty_is_unknown() -> None:
    (only,) = parsed(
        {"image_width": "4096", "image_height": "", "pixel_width": "1.77", "num_images_or_tilt_series": "84",
         "frames_per_image": 0}
    ).image_sets  # fmt: skip
    assert (only.width, only.height, only.pixel_size_A, only.count, only.frames) == (
        4096,
        None,
        1.77,
        84,
        None,
    )


@pytest.mark.parametrize(
    ("category", "data_format", "words"),
    [
        ("('T1','')", "('T3', '')", ("micrographs - single frame", "TIFF")),
        ("('T7', '')", '("T9", "")', ("picked particles - single frame - processed", "EER")),
        ("('OT', 'strange maps')", "('T99', '')", ("strange maps", None)),
        ("tilt series", "MRC", ("tilt series", "MRC")),
    ],
)
def test_codes_of_deposition_files_become_words(
    category: str, data_format: str, words: tuple[str | None, ...]
) -> None:
    (only,) = parsed({"category": category, "data_format": data_format}).image_sets
    assert (only.category, only.data_format) == words


def test_cross_references_are_texts_or_objects() -> None:
    entry = parsed(cross_references=["EMD-2824", {"name": "EMD-1"}, {"other": 1}, None])
    assert entry.cross_references == ["EMD-2824", "EMD-1"]


@pytest.mark.parametrize("data", [[], {}, {"a": {}, "b": {}}, {"EMPIAR-1": None}, "page"])
def test_an_answer_that_is_no_entry_is_refused(data: Any) -> None:
    with pytest.raises(InputError, match="check the accession"):
        parse_entry(data, where="http://x")


@pytest.mark.parametrize(
    "directory",
    ["data/a b", "/data/a b", "/data/a b/", "data/a b/", "data//a b", "./data/a b/", "data/./a b"],
)
def test_directories_lose_their_slashes_and_dots_and_keep_their_blanks(directory: str) -> None:
    assert parsed({"directory": directory}).image_sets[0].directory == "data/a b"


def test_an_entry_is_read_from_the_mirror(archive: FakeArchive, client: Client, tmp_path: Path) -> None:
    write(tmp_path, "data/a.mrc", "data/b.mrc")
    entry = read_entry(client, "EMPIAR-10017")
    assert entry.accession == "EMPIAR-10017" and entry.image_sets[0].count == 2
    with pytest.raises(InputError, match="not found on the server"):
        read_entry(client, 10018)


def test_files_carry_address_licence_and_rough_size(
    archive: FakeArchive, client: Client, tmp_path: Path
) -> None:
    write(tmp_path, "data/part 1/pos 2-1.mrc", "data/part 1/pos 10-1.mrc", size=5000)
    found = find_files(client, 10017, selection=Selection())
    assert paths(found) == ["data/part 1/pos 2-1.mrc", "data/part 1/pos 10-1.mrc"]
    first = found.files[0]
    assert first.url == f"{archive.url}{FOLDER}part%201/pos%202-1.mrc" and first.licence == "CC0"
    assert first.bytes is None and 5000 <= (first.about_bytes or 0) < 6000
    assert (found.listed, found.expected, found.notes) == (2, 2, [])


def test_the_files_may_lie_in_sub_folders_of_the_stated_directory(client: Client, tmp_path: Path) -> None:
    write(tmp_path, "data/g1/a.mrc", "data/g2/deep/b.mrc", "data/README.txt")
    describe(tmp_path, micrographs(2))
    found = find_files(client, 10017, selection=Selection(include=["*.mrc"]))
    assert paths(found) == ["data/g1/a.mrc", "data/g2/deep/b.mrc"] and found.notes == []


def test_an_image_set_is_chosen_by_its_name_and_others_are_left_alone(client: Client, tmp_path: Path) -> None:
    write(tmp_path, "data/raw/a.tif", "data/sums/a.mrc")
    describe(tmp_path, micrographs(1, "data/sums", name="Sums"), micrographs(1, "data/raw", name="Raw"))
    assert paths(find_files(client, 10017, image_set="sums", selection=Selection())) == ["data/sums/a.mrc"]
    assert len(find_files(client, 10017, selection=Selection()).files) == 2


def test_an_unknown_image_set_is_answered_with_the_known_ones(client: Client, tmp_path: Path) -> None:
    write(tmp_path, "data/a.mrc")
    describe(tmp_path, micrographs(1))
    with pytest.raises(InputError, match="'mics' in data"):
        find_files(client, 10017, image_set="movies", selection=Selection())


def test_a_directory_that_is_no_image_set_is_listed_without_a_count(client: Client, tmp_path: Path) -> None:
    write(tmp_path, "data/gainref/g.mrc", "data/raw/a.tif")
    describe(tmp_path, micrographs(1, "data/raw"))
    found = find_files(client, 10017, directory="/data/gainref/", selection=Selection())
    assert paths(found) == ["data/gainref/g.mrc"] and found.expected is None and found.notes == []


def test_a_directory_that_climbs_is_refused(client: Client, tmp_path: Path) -> None:
    write(tmp_path, "data/a.mrc")
    with pytest.raises(InputError, match="leads out"):
        find_files(client, 10017, directory="data/../../10018", selection=Selection())


def test_image_sets_that_share_a_folder_are_counted_together_and_told_apart_by_include(
    client: Client, tmp_path: Path
) -> None:
    write(tmp_path, "data/a.mrc", "data/b.tif")
    describe(tmp_path, micrographs(1), micrographs(1, "data", name="movies", data_format="TIFF"))
    found = find_files(client, 10017, image_set="mics", selection=Selection(include=["*.mrc"]))
    assert paths(found) == ["data/a.mrc"] and (found.listed, found.expected) == (2, 2)
    assert found.notes == ["the image sets mics, movies share data; `include` tells them apart"]


def test_an_image_set_without_a_name_is_called_unnamed(client: Client, tmp_path: Path) -> None:
    write(tmp_path, "data/a.mrc", "data/b.tif")
    describe(tmp_path, micrographs(1), micrographs(1, "data", name=None, data_format="TIFF"))
    found = find_files(client, 10017, image_set="mics", selection=Selection())
    assert found.notes == ["the image sets mics, (unnamed) share data; `include` tells them apart"]


def test_a_directory_may_be_written_in_several_ways(client: Client, tmp_path: Path) -> None:
    write(tmp_path, "data/set1/a.mrc")
    for given in ("data//set1", "./data/set1/"):
        found = find_files(client, 10017, directory=given, selection=Selection())
        assert paths(found) == ["data/set1/a.mrc"]


def test_the_count_of_particles_is_not_taken_for_a_number_of_files(client: Client, tmp_path: Path) -> None:
    write(tmp_path, "data/stack.mrcs")
    describe(tmp_path, micrographs(49391, category="picked particles - single frame - processed"))
    found = find_files(client, 10017, selection=Selection())
    assert found.expected is None and found.notes == []


def test_a_listing_that_is_short_once_is_asked_for_again(
    archive: FakeArchive, client: Client, tmp_path: Path
) -> None:
    write(tmp_path, *(f"data/m_{n:03d}.mrc" for n in range(5)))
    archive.add_fault("short", match=FOLDER, times=1)
    found = find_files(client, 10017, selection=Selection())
    assert found.listed == 5 and found.notes == []
    assert sum(request.path == FOLDER for request in archive.log) == 2


def test_a_file_that_no_listing_shows_is_found_by_its_number(
    archive: FakeArchive, client: Client, tmp_path: Path
) -> None:
    write(tmp_path, *(f"data/m_{n:03d}.mrc" for n in range(5)), size=77)
    archive.add_fault("short", match=FOLDER)
    found = find_files(client, 10017, selection=Selection())
    assert paths(found)[-1] == "data/m_004.mrc" and found.files[-1].about_bytes == 77
    assert found.notes == ["served though no listing shows them: 1 file: data/m_004.mrc"]
    assert sum(request.path == FOLDER for request in archive.log) == 4


def test_a_gap_in_the_numbers_is_asked_for(archive: FakeArchive, client: Client, tmp_path: Path) -> None:
    write(tmp_path, *(f"data/m_{n:03d}.mrc" for n in (1, 2, 4)))
    describe(tmp_path, micrographs(4))
    found = find_files(client, 10017, selection=Selection())
    asked = [request.path for request in archive.log if request.method == "HEAD"]
    assert asked == [f"{FOLDER}m_{n:03d}.mrc" for n in (3, 5, 0)]
    assert found.notes == ["3 data files in data, where 4 are expected"]


def test_at_most_fifty_questions_are_asked(archive: FakeArchive, client: Client, tmp_path: Path) -> None:
    write(tmp_path, "data/m_0001.mrc", "data/m_5000.mrc")
    describe(tmp_path, micrographs(5000))
    found = find_files(client, 10017, selection=Selection())
    assert sum(request.method == "HEAD" for request in archive.log) == 50
    assert found.notes == ["2 data files in data, where 5000 are expected"]


def test_more_files_than_stated_are_told_and_not_asked_for_again(
    archive: FakeArchive, client: Client, tmp_path: Path
) -> None:
    write(tmp_path, *(f"data/m_{n}.mrc" for n in range(3)))
    describe(tmp_path, micrographs(1))
    found = find_files(client, 10017, selection=Selection())
    assert found.notes == ["3 data files in data, where 1 is expected"]
    assert sum(request.path == FOLDER for request in archive.log) == 1


def test_the_caller_may_state_the_number_himself(client: Client, tmp_path: Path) -> None:
    write(tmp_path, "data/m_1.mrc", "data/m_2.mrc")
    describe(tmp_path, micrographs(84))
    found = find_files(client, 10017, selection=Selection(count=1), expected=2)
    assert (found.listed, found.expected, found.notes) == (2, 2, []) and paths(found) == ["data/m_1.mrc"]


def test_an_entry_that_is_not_released_is_noted(client: Client, tmp_path: Path) -> None:
    write(tmp_path, "data/m.mrc")
    describe(tmp_path, micrographs(None), status="OBS")
    assert find_files(client, 10017, selection=Selection()).notes == [
        "EMPIAR-10017 has the status OBS, not REL"
    ]


def test_files_of_a_wrongly_stated_format_are_counted_all_the_same() -> None:
    names = ["a.tif", "b.TIFF.bz2", "c.tif", "gain.mrc", "notes.txt"]
    assert data_files(names, frozenset({".eer"})) == ["a.tif", "c.tif"]
    assert data_files(names, frozenset({".tif", ".tiff"})) == ["a.tif", "b.TIFF.bz2", "c.tif"]
    assert data_files(["a.x", "b.y"]) == ["a.x", "b.y"]


def test_a_tree_gives_paths_from_the_entry(client: Client, tmp_path: Path) -> None:
    write(tmp_path, "data/sub/a b.mrc")
    assert [item.name for item in list_tree(client, 10017, "data")] == ["data/sub/a b.mrc"]
