"""An archive to unpack in tests, and whether all of it is here."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from fake_archive import FakeArchive
from served_files import few, mrc, quick, tar_gz

from vitreous.data.download.client import Client
from vitreous.data.download.manifest import Manifest
from vitreous.data.download.remote import refuse_climbing
from vitreous.data.download.unpack import Unpacked, Unpacking

RNG = random.Random(3)
MEMBERS = {"set/a.csv": few(RNG, 50_000)} | {f"set/m{i}.mrc": mrc(RNG, 128) for i in range(4)}
MEMBERS |= {"set/deep/b.csv": few(RNG, 200_000), "set/empty.csv": b""}
PACKED = tar_gz(MEMBERS)
POINT = 20_000  # of the settings; a point comes at the end of a block of up to about 40 kB
SPACING = POINT + 45_000


def everything(name: str) -> str | None:
    refuse_climbing(name, "set.tar.gz")
    return name


def unpack(
    archive: FakeArchive, folder: Path, destination: Callable[[str], str | None] = everything,
    accept_changes: bool = False, **settings: object,
) -> Unpacked:  # fmt: skip
    client = Client(quick(**settings))
    url = f"{archive.url}/plain/set.tar.gz"
    return Unpacking(client, url, folder, destination, accept_changes=accept_changes).run()


def whole(folder: Path, members: dict[str, bytes] | None = None) -> None:
    """Every member is here and nothing else but what tells of them."""
    wanted = MEMBERS if members is None else members
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {*wanted, "manifest.jsonl", ".set.tar.gz.stream.json"}
    for name, content in wanted.items():
        assert (folder / name).read_bytes() == content, name
    assert set(Manifest(folder).records) == {*wanted}


def got(archive: FakeArchive) -> int:
    return archive.bytes_sent("*.tar.gz")
