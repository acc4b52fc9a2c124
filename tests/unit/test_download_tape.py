from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from vitreous.data.download.content import Wrong
from vitreous.data.download.tape import Member, Tape

LONG = "folder/" + "n" * 150 + ".mrc"
MEMBERS = {"a.csv": b"x,y\n1,2\n", LONG: b"b" * 700, "µ graph.mrc": b"", "c.bin": bytes(range(256)) * 4}


class Kept:
    def __init__(self) -> None:
        self.data, self.closed = b"", False

    def write(self, data: bytes) -> None:
        self.data += data

    def close(self) -> None:
        self.closed = True


def make(format: int, extra: list[tarfile.TarInfo] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for info in extra or []:
            tar.addfile(info)
        for name, content in MEMBERS.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def read(data: bytes, step: int = 1 << 20) -> tuple[dict[str, Kept], list[Member]]:
    kept: dict[str, Kept] = {}
    seen: list[Member] = []

    def wanted(member: Member) -> Kept:
        seen.append(member)
        return kept.setdefault(member.name, Kept())

    tape = Tape(wanted)
    for at in range(0, len(data), step):
        tape.feed(data[at : at + step])
    tape.close()
    return kept, seen


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("step", [1, 511, 1 << 20])
def test_members_come_whole_under_their_long_and_foreign_names(format: int, step: int) -> None:
    kept, seen = read(make(format), step)
    assert {name: sink.data for name, sink in kept.items()} == MEMBERS
    assert all(sink.closed for sink in kept.values()) and not any(member.oddity for member in seen)


def test_a_size_beyond_the_header_comes_from_the_pax_record() -> None:
    """As for a member of more than 8 GB: the header's own number is wrong then."""
    info = tarfile.TarInfo("big.bin")
    info.size, info.pax_headers = 0, {"size": "1000"}
    head = info.create_pax_header({**info.get_info(), "size": 0}, "utf-8")
    kept, _ = read(head + b"z" * 1000 + bytes(24) + bytes(1024))
    assert kept["big.bin"].data == b"z" * 1000


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a named pipe"),
        (b"Q", "no plain file"),
    ],
)
def test_what_is_no_plain_file_is_told_and_the_others_come(kind: bytes, said: str) -> None:
    odd = tarfile.TarInfo("odd")
    odd.type, odd.linkname = kind, "/etc/passwd"
    kept, seen = read(make(tarfile.GNU_FORMAT, [odd]))
    assert seen[0] == Member("odd", 0, said)
    assert {name: kept[name].data for name in MEMBERS} == MEMBERS


@pytest.mark.parametrize("form", ["gnu", "posix"])
def test_a_sparse_file_is_told_and_the_others_come(tmp_path: Path, form: str) -> None:
    """Made by GNU tar, with more holes than its header holds."""
    with (tmp_path / "holes").open("wb") as handle:
        for index in range(40):
            handle.seek(index << 17)
            handle.write(b"data")
    (tmp_path / "after.txt").write_text("after")
    done = subprocess.run(["tar", "-S", "--format", form, "-cf", "-", "holes", "after.txt"],
                          cwd=tmp_path, capture_output=True, check=True)  # fmt: skip
    if b"GNU.sparse" not in done.stdout and done.stdout[156:157] != b"S":
        pytest.skip("this file system keeps no holes")
    for step in (1 << 20, 300):
        kept, seen = read(done.stdout, step)
        assert [(member.name, member.oddity) for member in seen] == [
            ("holes", "a sparse file"), ("after.txt", None),
        ]  # fmt: skip
        assert kept["after.txt"].data == b"after"


def test_a_member_of_an_unknown_type_with_bytes_is_passed_over() -> None:
    odd = tarfile.TarInfo("odd")
    odd.type, odd.size = b"Q", 600
    block = odd.tobuf() + b"q" * 600 + bytes(424)
    kept, seen = read(block + make(tarfile.GNU_FORMAT))
    assert seen[0].oddity and kept[LONG].data == MEMBERS[LONG]


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_from_every_byte_the_archive_is_gone_on_with(format: int) -> None:
    data = make(format)
    data = data[: len(data.rstrip(b"\0")) + 1536 - len(data.rstrip(b"\0")) % 512]
    for place in range(0, len(data), 7):
        kept: dict[str, Kept] = {}

        def wanted(member: Member, kept: dict[str, Kept] = kept) -> Kept:
            return kept.setdefault(member.name, Kept())

        first = Tape(wanted)
        first.feed(data[:place])
        state: dict[str, Any] = json.loads(json.dumps(first.place()))
        sink = kept[first.member.name] if first.member else None
        second = Tape(wanted, state, sink)
        if first.member and sink is not None:
            assert first.left == first.member.bytes - len(sink.data)
        second.feed(data[place:])
        second.close()
        assert {name: sink.data for name, sink in kept.items()} == MEMBERS, place
        assert all(sink.closed for sink in kept.values())


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_cut_inside_of_a_member_or_its_header_is_noticed_and_no_other(format: int) -> None:
    data = make(format)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        insides = [(info.offset, info.offset_data + info.size) for info in tar]
    for length in range(insides[-1][1]):
        tape = Tape(lambda member: None)
        tape.feed(data[:length])
        if any(first < length < last for first, last in insides):
            with pytest.raises(Wrong, match="ends inside of"):
                tape.close()
        else:
            tape.close()


def test_content_that_is_no_tar_archive_is_refused() -> None:
    for data in (b"x" * 512, b"<html>".ljust(512), bytes(511) + b"\1"):
        with pytest.raises(Wrong, match="no tar archive"):
            read(data)


def test_sizes_that_are_no_numbers_and_damaged_pax_records_are_refused() -> None:
    for records, said in (({"size": "-5"}, "'-5' bytes"), ({"size": "many"}, "'many' bytes")):
        info = tarfile.TarInfo("a")
        info.pax_headers = records
        with pytest.raises(Wrong, match=said):
            read(info.create_pax_header(info.get_info(), "utf-8"))
    info = tarfile.TarInfo("a")
    info.type, info.size = tarfile.XHDTYPE, 12
    with pytest.raises(Wrong, match="damaged pax header"):
        read(info.tobuf() + b"99 path=abc\n".ljust(512, b"\0"))


def test_a_name_of_megabytes_is_refused() -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    with pytest.raises(Wrong, match="more than a megabyte"):
        read(info.tobuf() + bytes(512))


def test_what_is_not_wanted_is_passed_over() -> None:
    kept = Kept()
    tape = Tape(lambda member: kept if member.name == "c.bin" else None)
    tape.feed(make(tarfile.PAX_FORMAT))
    tape.close()
    assert kept.data == MEMBERS["c.bin"]
