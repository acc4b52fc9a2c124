"""The pieces of a transfer that touch the disk: digester, part file, manifest, members."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
from served_files import mrc, noise

from vitreous.data.download.digester import Digester
from vitreous.data.download.manifest import Manifest, Record, record_of
from vitreous.data.download.member import Compared, Written
from vitreous.data.download.part import Part
from vitreous.data.download.remote import single
from vitreous.errors import InputError, StageError
from vitreous.runtime.progress import ByteProgress

DATA = noise(random.Random(0), 100_000)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_digester_knows_the_whole_and_the_piece_since_the_mark(tmp_path: Path) -> None:
    hashes = Digester()
    hashes.update(DATA[:1000])
    hashes.mark("md5")
    assert hashes.marked() == sha256(DATA[:1000])
    hashes.update(b"wrong")
    hashes.back()
    (tmp_path / "a").write_bytes(DATA)
    hashes.update_from(tmp_path / "a", 1000, 90_000)
    assert hashes.piece() == hashlib.md5(DATA[1000:90_000]).hexdigest()
    hashes.mark(None)
    hashes.update(DATA[90_000:])
    assert hashes.piece() is None and hashes.whole() == sha256(DATA)
    hashes.clear()
    assert hashes.whole() == sha256(b"")
    hashes.close()
    assert not hashes._whole.thread.is_alive() and not hashes._piece.thread.is_alive()


def test_a_part_grows_is_cut_and_tells_its_bytes(tmp_path: Path) -> None:
    progress = ByteProgress(len(DATA), 1)
    (tmp_path / ".a.part").write_bytes(DATA[:100])
    with Part(tmp_path / ".a.part", progress) as part:
        assert (part.end, progress.bytes, progress._came) == (100, 100, 0)
        part.hashes.update_from(part.path, 0, 100)
        part.hashes.mark("md5")
        part.append(DATA[100:5000])
        assert part.tail(7) == DATA[4993:5000] and part.sha256_from(100) == sha256(DATA[100:5000])
        part.cut(100)
        assert (part.end, progress.bytes) == (100, 100)
        part.append(DATA[100:])
        assert part.hashes.whole() == sha256(DATA) and part.received == len(DATA) + 4900 - 100
        assert part.hashes.piece() == hashlib.md5(DATA[100:]).hexdigest()
    assert (tmp_path / ".a.part").read_bytes() == DATA and progress.bytes == len(DATA)
    with Part(tmp_path / ".a.part") as part:
        part.cut_to(5)
        part.cut_to(10)
        assert part.end == 5
        part.clear()
    assert (tmp_path / ".a.part").read_bytes() == b""
    part.__exit__(None, None, None)  # twice does no harm


def test_a_write_that_takes_less_than_it_was_given_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, bytes(data)[:999], at))
    with Part(tmp_path / "a") as part:
        part.append(DATA)
        assert part.hashes.whole() == sha256(DATA) and part.end == len(DATA)
    assert (tmp_path / "a").read_bytes() == DATA


def test_a_part_that_cannot_be_opened_leaves_no_thread(tmp_path: Path) -> None:
    part = Part(tmp_path / "nowhere" / "a")
    with pytest.raises(FileNotFoundError), part:
        pass
    assert not part.hashes._whole.thread.is_alive()


# manifest


def test_a_manifest_holds_address_bytes_checksums_date_and_licence(tmp_path: Path) -> None:
    file = single("b/µ\u2028 .mrc", "http://a/b", bytes=3, checksum="md5:" + "0" * 32, licence="CC0")
    Manifest(tmp_path).add(record_of(file, 3, "f" * 64))
    plain = json.loads((tmp_path / "manifest.jsonl").read_text(encoding="utf-8"))
    assert plain.pop("date")[-1] == "Z"
    assert plain == {
        "path": file.path, "urls": ["http://a/b"], "bytes": 3, "sha256": "f" * 64,
        "checksums": ["md5:" + "0" * 32], "licence": "CC0",
    }  # fmt: skip
    assert Manifest(tmp_path).records[file.path].checksums == ("md5:" + "0" * 32,)


def record(path: str, size: int = 1) -> Record:
    return record_of(single(path, f"http://a/{path}"), size, "0" * 64)


def test_the_last_line_of_a_path_counts_and_files_can_be_forgotten(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    for path, size in (("a", 1), ("b", 2), ("a", 3)):
        manifest.add(record(path, size))
    assert {path: one.bytes for path, one in Manifest(tmp_path).records.items()} == {"a": 3, "b": 2}
    manifest.drop(["a", "nothing"])
    assert list(Manifest(tmp_path).records) == ["b"]


def test_a_manifest_cut_at_any_byte_keeps_the_whole_lines_and_takes_new_ones(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    for path in "abc":
        manifest.add(record(path))
    text = manifest.file.read_bytes()
    for length in range(0, len(text), 3):
        manifest.file.write_bytes(text[:length])
        torn = Manifest(tmp_path)
        # a last line that lacks nothing but its end is whole
        whole = text[: length + 1].count(b"\n")
        assert list(torn.records) == list("abc")[:whole], length
        torn.add(record("d"))
        assert set(Manifest(tmp_path).records) == {*"abc"[:whole], "d"}


def test_lines_of_other_things_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_bytes(b'{"path": "a"}\n[1]\n\xff\xfe\nnull\n"text"\n')
    manifest = Manifest(tmp_path)
    assert manifest.records == {}
    manifest.add(record("a"))
    assert (tmp_path / "manifest.jsonl").read_text().count("\n") == 1


def test_lines_that_cannot_be_read_are_told_once_with_the_file_and_how_many(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Manifest(tmp_path).add(record("a"))
    with (tmp_path / "manifest.jsonl").open("a") as handle:
        handle.write("[1]\nnull\n")
    with caplog.at_level(logging.WARNING):
        assert list(Manifest(tmp_path).records) == list(Manifest(tmp_path).records) == ["a"]
    (said,) = (one.getMessage() for one in caplog.records)
    assert said == f"{tmp_path}/manifest.jsonl: 2 lines cannot be read, and nothing is known of their files"


def test_a_file_that_came_again_unchanged_keeps_its_date_and_leaves_the_manifest_alone(
    tmp_path: Path,
) -> None:
    first = replace(record("a"), date="2020-01-01T00:00:00Z")
    Manifest(tmp_path).add(first)
    before = (tmp_path / "manifest.jsonl").read_bytes()
    Manifest(tmp_path).add(record("a"))
    assert (tmp_path / "manifest.jsonl").read_bytes() == before
    Manifest(tmp_path).add(replace(record("a"), licence="CC0"))
    kept = Manifest(tmp_path).records["a"]
    assert (kept.date, kept.licence) == (first.date, "CC0")
    for other in ({"bytes": 2}, {"sha256": "1" * 64}, {"urls": ("http://b/a",)}):
        Manifest(tmp_path).add(replace(record("a"), **other))
        assert Manifest(tmp_path).records["a"].date != first.date, other
        Manifest(tmp_path).add(first)


# members


def test_a_member_appears_whole_under_its_name_and_goes_on_from_its_part(tmp_path: Path) -> None:
    image = mrc(random.Random(0))
    told: list[str] = []
    first = Written(tmp_path / "x/a.mrc", len(image), finished=told.append, failed=lambda e, c: None)
    first.write(image[:5000])
    first.release()
    assert not (tmp_path / "x/a.mrc").exists()
    second = Written(
        tmp_path / "x/a.mrc", len(image), done=4000, finished=told.append, failed=lambda e, c: None
    )
    second.write(image[4000:])
    second.close()
    assert (tmp_path / "x/a.mrc").read_bytes() == image and told == [sha256(image)]
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["a.mrc"]


@pytest.mark.parametrize(
    ("name", "content", "expected", "said", "changed"),
    [
        ("a.mrc", b"<html>", None, "a damaged member .*HTML or XML", False),
        ("a.mrc", b"", None, "an empty file", False),
        ("a.bin", b"new", "0" * 64, "changed at its source .*--accept-changes", True),
    ],
)
def test_a_member_that_is_wrong_is_told_and_leaves_nothing(
    tmp_path: Path, name: str, content: bytes, expected: str | None, said: str, changed: bool
) -> None:
    failed: list[tuple[InputError, bool]] = []
    member = Written(
        tmp_path / name, len(content), expected_sha256=expected, finished=lambda sha256: None,
        failed=lambda error, changed: failed.append((error, changed)),
    )  # fmt: skip
    member.write(content)
    member.close()
    with pytest.raises(InputError, match=f"{name}: .*{said}"):
        raise failed[0][0]
    assert failed[0][1] is changed and list(tmp_path.iterdir()) == []


def test_an_empty_member_that_is_no_image_is_fine(tmp_path: Path) -> None:
    told: list[str] = []
    Written(tmp_path / "a.csv", 0, finished=told.append, failed=lambda e, c: None).close()
    assert told == [sha256(b"")] and (tmp_path / "a.csv").read_bytes() == b""


def test_a_full_disk_names_the_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    member = Written(tmp_path / "a.mrc", 9, finished=lambda sha256: None, failed=lambda e, c: None)
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(
        StageError, match=r"a\.mrc: disk full .found No space left on device.; free some space"
    ):
        member.write(b"123")
    member.release()


def test_a_member_that_is_here_is_compared() -> None:
    told: list[tuple[str, bool]] = []
    for expected in (sha256(DATA), "0" * 64):
        member = Compared(expected, lambda found, same: told.append((found, same)))
        member.write(DATA[:10])
        member.write(DATA[10:])
        member.close()
        member.release()
    assert told == [(sha256(DATA), True), (sha256(DATA), False)]
