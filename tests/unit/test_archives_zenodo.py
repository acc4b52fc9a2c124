from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from fake_archive import FakeArchive

from vitreous.data.archives.cesped import (
    ENTRIES,
    CespedFound,
    canonical_entry,
    done_file,
    find_files,
)
from vitreous.data.archives.zenodo import read_record
from vitreous.data.download.client import Client
from vitreous.data.download.settings import NetworkSettings
from vitreous.errors import InputError


class Answer(Client):
    """A client that gets one JSON answer whatever it asks."""

    def __init__(self, answer: Any) -> None:
        super().__init__(NetworkSettings())
        self.answer = answer

    def json(self, url: str) -> Any:
        return self.answer


def write(root: Path, record: int, *names: str) -> None:
    for name in names:
        path = root / f"zenodo/{record}/{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def test_a_record_gives_sizes_checksums_and_addresses_that_answer(
    archive: FakeArchive, client: Client, tmp_path: Path
) -> None:
    write(tmp_path, 7, "a b.star", "c.mrcs")
    record = read_record(client, 7)
    assert (record.title, record.licence, list(record.files)) == (
        "record 7",
        "CC BY 4.0",
        ["a b.star", "c.mrcs"],
    )
    file = record.files["a b.star"]
    assert file.url == f"{archive.url}/records/7/files/a%20b.star?download=1"
    assert client.size(file.url) == file.bytes == len("a b.star")
    assert file.checksum == f"md5:{hashlib.md5(b'a b.star').hexdigest()}"
    assert record.remote("a b.star").licence == "CC BY 4.0" and record.remote("c.mrcs", "x").bytes == 6


def test_the_older_and_the_newest_form_of_answers_are_understood() -> None:
    row = {"filename": "a.star", "filesize": 5, "checksum": "0" * 31 + "A"}
    for files in ([row], {"entries": {"a.star": row}}):
        answer = {"metadata": {"license": "CC0-1.0"}, "files": files}
        file = read_record(Answer(answer), 7).files["a.star"]
        assert (file.bytes, file.checksum) == (5, "md5:" + "0" * 31 + "a")
        assert file.url == "https://zenodo.org/records/7/files/a.star?download=1"


def test_a_record_without_metadata_can_be_read() -> None:
    record = read_record(Answer({"files": [{"key": "a"}]}), 7)
    assert (record.title, record.licence) == ("", None)
    assert (record.files["a"].bytes, record.files["a"].checksum) == (None, None)
    assert record.remote("a", "CC BY 4.0").licence == "CC BY 4.0"


@pytest.mark.parametrize(
    "answer", [{}, {"files": []}, {"files": {"entries": {}}}, {"files": None}, [], "page"]
)
def test_a_record_without_files_is_refused(answer: Any) -> None:
    with pytest.raises(InputError, match="the record shows no files"):
        read_record(Answer(answer), 7)


def test_a_file_without_a_name_is_refused_and_an_absent_one_answered_with_those_there() -> None:
    with pytest.raises(InputError, match="has no name"):
        read_record(Answer({"files": [{"size": 3}]}), 7)
    with pytest.raises(InputError, match="1 file: a.star"):
        read_record(Answer({"files": [{"key": "a.star"}]}), 7).remote("b.star")


def test_a_missing_record_is_refused(client: Client) -> None:
    with pytest.raises(InputError, match="not found on the server"):
        read_record(client, 7)


def half(root: Path, entry: str, number: int, *stack: str) -> None:
    names = [f"particles_{number}.star", f"info_{number}.json"]
    write(root, ENTRIES[entry].records[number], *names, *(f"particles_{number}.mrcs{end}" for end in stack))


def paths(found: CespedFound, number: int = 0) -> list[str]:
    return [file.path for file in found.halves[number]]


def test_both_halves_of_an_entry_are_found_whole(client: Client, tmp_path: Path) -> None:
    half(tmp_path, "TEST", 0, "")
    half(tmp_path, "TEST", 1, "")
    found = find_files(client, "TEST")
    assert paths(found, 0) == ["particles_0.star", "particles_0.mrcs", "info_0.json"]
    assert paths(found, 1) == ["particles_1.star", "particles_1.mrcs", "info_1.json"]
    assert found.records == {0: 10998049, 1: 10998591} and found.stack_entry == found.entry == "TEST"
    assert all(file.licence == "CC BY 4.0" for files in found.halves.values() for file in files)


def test_chunks_are_pieces_of_one_file_in_the_order_of_their_numbers(client: Client, tmp_path: Path) -> None:
    half(tmp_path, "10166", 0, *(f".chunk_{n}" for n in range(12)))
    found = find_files(client, "10166", halves=[0])
    stack = found.halves[0][1]
    ends = [piece.url.rsplit("_", 1)[-1] for piece in stack.pieces]
    assert stack.path == "particles_0.mrcs" and ends == [f"{n}?download=1" for n in range(12)]
    assert stack.bytes == sum(len(f"particles_0.mrcs.chunk_{n}") for n in range(12))
    assert all(piece.checksum for piece in stack.pieces) and list(found.halves) == [0]


@pytest.mark.parametrize(("there", "missing"), [((0, 1, 3), "chunk_2"), ((1, 2), "chunk_0")])
def test_a_missing_chunk_is_named(
    client: Client, tmp_path: Path, there: tuple[int, ...], missing: str
) -> None:
    half(tmp_path, "TEST", 0, *(f".chunk_{n}" for n in there))
    with pytest.raises(InputError, match=f"expected particles_0.mrcs.{missing}\\)"):
        find_files(client, "TEST", halves=[0])


def test_a_stack_both_whole_and_in_chunks_is_refused(client: Client, tmp_path: Path) -> None:
    half(tmp_path, "TEST", 0, "", ".chunk_0")
    with pytest.raises(InputError, match="whole and in chunks"):
        find_files(client, "TEST", halves=[0])


def test_a_record_without_stack_or_star_is_refused(client: Client, tmp_path: Path) -> None:
    half(tmp_path, "TEST", 0)
    with pytest.raises(InputError, match=r"expected particles_0\.mrcs"):
        find_files(client, "TEST", halves=[0])
    write(tmp_path, 10998591, "particles_1.mrcs")
    with pytest.raises(InputError, match=r"expected particles_1\.star"):
        find_files(client, "TEST", halves=[1])


def test_the_entry_of_the_paper_is_told_to_be_another_name(client: Client, tmp_path: Path) -> None:
    half(tmp_path, "10648", 1, "")
    found = find_files(client, "10647", halves=[1])
    assert found.entry == found.stack_entry == "10648" and found.records == {1: 8390711}
    assert len(found.notes) == 1 and "10647" in found.notes[0]


def test_a_borrowed_stack_names_the_entry_it_lies_in(client: Client, tmp_path: Path) -> None:
    write(tmp_path, 11092025, "particles_0.star", "info_0.json")
    found = find_files(client, "consensus_10648", halves=[0])
    assert paths(found) == ["particles_0.star", "info_0.json"]
    assert (found.entry, found.stack_entry) == ("consensus_10648", "10648")


@pytest.mark.parametrize(
    ("entry", "name"),
    [("TEST", "11120"), ("simulated_10648", "10648"), ("10647", "10648"), ("10374", "10374")],
)
def test_the_mask_of_an_entry_may_be_that_of_another(
    client: Client, tmp_path: Path, entry: str, name: str
) -> None:
    half(tmp_path, canonical_entry(entry)[0], 0, "")
    write(tmp_path, 11092291, f"{name}_mask.mrc")
    found = find_files(client, entry, halves=[0], mask=True)
    assert found.mask is not None and found.mask.path == f"{name}_mask.mrc"


def test_unknown_entries_and_halves_are_refused_with_the_choices(client: Client) -> None:
    with pytest.raises(InputError, match="TEST, 10166"):
        find_files(client, "10017")
    for halves in ([2], []):
        with pytest.raises(InputError, match="0, 1 or both"):
            find_files(client, "TEST", halves=halves)


def test_no_record_stands_twice() -> None:
    ids = [id for entry in ENTRIES.values() for id in entry.records]
    assert len(ids) == len(set(ids)) == 22


def test_the_done_file_has_the_record_and_the_bytes_on_two_lines() -> None:
    assert done_file("TEST", 0, 10998049, 1234) == ("SUCCESSFUL_DOWNLOAD_10998049.txt", "10998049\n1234\n")
    assert done_file("mine", 1, None, 5) == ("SUCCESSFUL_DOWNLOAD_1.txt", "mine\n5\n")
