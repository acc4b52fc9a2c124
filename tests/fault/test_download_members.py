"""Members of an archive that are hostile, unwanted, changed, or in whose way something lies."""

from __future__ import annotations

import gzip
import io
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_archive import FakeArchive
from served_files import mrc, serve, tar_gz
from unpacking import MEMBERS, PACKED, RNG, unpack, whole

from vitreous.errors import InputError


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[FakeArchive]:
    serve(tmp_path / "served", "set.tar.gz", PACKED)
    with FakeArchive(tmp_path / "served", hang_seconds=2.0) as archive:
        yield archive


# hostile members


def hostile() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, link in (
            ("../climbs.mrc", tarfile.REGTYPE, ""), ("/tmp/absolute.mrc", tarfile.REGTYPE, ""),
            ("link.mrc", tarfile.SYMTYPE, "/etc/passwd"), ("hard.mrc", tarfile.LNKTYPE, "set/a.csv"),
            ("device", tarfile.CHRTYPE, ""), ("pipe", tarfile.FIFOTYPE, ""), (".hidden", tarfile.REGTYPE, ""),
            ("manifest.jsonl", tarfile.REGTYPE, ""), ("folder", tarfile.DIRTYPE, ""),
        ):  # fmt: skip
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, link, 4 if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(b"evil"))
        info = tarfile.TarInfo("good.csv")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"x,y"))
    return gzip.compress(out.getvalue())


def test_climbing_names_links_and_devices_are_refused_and_named_while_the_others_come(
    tmp_path: Path, archive: FakeArchive
) -> None:
    serve(tmp_path / "served", "set.tar.gz", hostile())
    outcome = unpack(archive, tmp_path / "here")
    assert outcome.written == ["good.csv"] and sorted(outcome.failed) == sorted([
        "../climbs.mrc", "/tmp/absolute.mrc", "link.mrc", "hard.mrc", "device", "pipe", ".hidden",
        "manifest.jsonl",
    ])  # fmt: skip
    assert "a symbolic link" in outcome.failed["link.mrc"] and "a hard link" in outcome.failed["hard.mrc"]
    assert "leads out of the folder" in outcome.failed["../climbs.mrc"]
    assert "a device" in outcome.failed["device"] and "a named pipe" in outcome.failed["pipe"]
    whole(tmp_path / "here", {"good.csv": b"x,y"})
    assert not (tmp_path / "climbs.mrc").exists()


def test_two_members_for_one_place_are_refused_and_the_first_stays(
    tmp_path: Path, archive: FakeArchive
) -> None:
    serve(tmp_path / "served", "set.tar.gz", tar_gz({"a/x.csv": b"1", "b/x.csv": b"2", "y.csv": b"3"}))
    outcome = unpack(archive, tmp_path / "here", lambda name: name.rpartition("/")[2])
    assert list(outcome.failed) == ["b/x.csv"] and "a/x.csv and b/x.csv" in outcome.failed["b/x.csv"]
    whole(tmp_path / "here", {"x.csv": b"1", "y.csv": b"3"})


# choice, change


def test_what_is_not_wanted_is_passed_over_and_comes_when_it_is(tmp_path: Path, archive: FakeArchive) -> None:
    here = tmp_path / "here"
    tables = {name: content for name, content in MEMBERS.items() if name.endswith(".csv")}
    unpack(archive, here, lambda name: name if name.endswith(".csv") else None)
    whole(here, tables)
    outcome = unpack(archive, here)
    whole(here)
    assert sorted(outcome.kept) == sorted(tables) and len(outcome.written) == 4


def test_a_lost_member_comes_again_and_the_others_are_kept(tmp_path: Path, archive: FakeArchive) -> None:
    here = tmp_path / "here"
    unpack(archive, here)
    (here / "set/m2.mrc").unlink()
    (here / "set/m3.mrc").write_bytes(b"cut")
    outcome = unpack(archive, here)
    assert sorted(outcome.written) == ["set/m2.mrc", "set/m3.mrc"] and len(outcome.kept) == 5
    whole(here)


def test_a_changed_archive_is_told_by_member_and_taken_only_when_asked(
    tmp_path: Path, archive: FakeArchive
) -> None:
    here = tmp_path / "here"
    unpack(archive, here)
    new = {**MEMBERS, "set/m0.mrc": mrc(RNG, 128), "set/m1.mrc": mrc(RNG, 64), "set/m3.mrc": mrc(RNG, 128)}
    serve(tmp_path / "served", "set.tar.gz", tar_gz(new))
    for name in ("set/m2.mrc", "set/m3.mrc"):
        (here / name).unlink()
    outcome = unpack(archive, here)
    assert sorted(outcome.failed) == ["set/m0.mrc", "set/m1.mrc", "set/m3.mrc"]
    assert all(
        "changed at its source" in said and "--accept-changes" in said for said in outcome.failed.values()
    )
    assert outcome.written == ["set/m2.mrc"] and not (here / "set/m3.mrc").exists()
    for name in ("set/m0.mrc", "set/m1.mrc"):
        assert (here / name).read_bytes() == MEMBERS[name]
    archive.clear_log()
    assert len(unpack(archive, here).failed) == 3 and archive.log == []
    assert not unpack(archive, here, accept_changes=True).failed
    whole(here, new)


def test_an_archive_that_changes_while_it_is_fetched_is_begun_anew(
    tmp_path: Path, archive: FakeArchive
) -> None:
    archive.add_fault("drop:250000", match="*.gz", times=1, skip=1)
    with pytest.raises(InputError):
        unpack(archive, tmp_path / "here", tries=1)
    new = {**MEMBERS, "set/m3.mrc": mrc(RNG, 128)}
    time.sleep(0.01)
    serve(tmp_path / "served", "set.tar.gz", tar_gz(new))
    assert not unpack(archive, tmp_path / "here").failed
    whole(tmp_path / "here", new)


def test_a_file_of_the_user_in_the_way_is_never_overwritten(tmp_path: Path, archive: FakeArchive) -> None:
    here = tmp_path / "here"
    mine = {"set/m1.mrc": b"mine", "set/m2.mrc": mrc(RNG, 128)}  # the second as long as the archive's
    (here / "set").mkdir(parents=True)
    for name, content in mine.items():
        (here / name).write_bytes(content)
    (here / "set/m0.mrc").write_bytes(MEMBERS["set/m0.mrc"])  # the archive's own, copied there
    outcome = unpack(archive, here)
    assert sorted(outcome.failed) == sorted(mine)
    assert all("was not fetched by us" in said for said in outcome.failed.values())
    for name, content in mine.items():
        assert (here / name).read_bytes() == content
    archive.clear_log()
    assert sorted(unpack(archive, here).failed) == sorted(mine) and archive.log == []
    for name in mine:
        (here / name).rename(tmp_path / Path(name).name)
    assert not unpack(archive, here).failed
    whole(here)


@pytest.mark.parametrize("damage", ["note", "part", "manifest", "member", "point"])
def test_what_was_damaged_between_two_runs_comes_again(
    tmp_path: Path, archive: FakeArchive, damage: str
) -> None:
    here = tmp_path / "here"
    archive.add_fault("drop:250000", match="*.gz", times=1, skip=1)
    with pytest.raises(InputError):
        unpack(archive, here, tries=1)
    note, part = here / ".set.tar.gz.stream.json", next(here.rglob(".*.part"))
    if damage == "note":
        note.write_text(note.read_text()[:-100])
    elif damage == "point":
        note.write_text(note.read_text().replace('"window": "', '"window": "A'))
    elif damage == "part":
        part.write_bytes(part.read_bytes()[:100])
    elif damage == "manifest":
        (here / "manifest.jsonl").unlink()
    else:
        (here / "set/m0.mrc").unlink()
    outcome = unpack(archive, here)
    whole(here)
    assert sorted(outcome.kept + outcome.written) == sorted(MEMBERS)
    archive.clear_log()
    unpack(archive, here)
    assert archive.log == []
