"""Files of the user's under their names in a dataset: links, or copies; nothing else is ever touched."""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from vitreous.errors import InputError
from vitreous.runtime.files import atomic_path


def refuse_own_folder(folder_out: Path, sources: Iterable[Path]) -> None:
    """Raise InputError where a source lies in the folder that is to be written."""
    out = folder_out.resolve()
    for source in sources:
        if (source.parent.resolve() / source.name).is_relative_to(out):
            what, todo = "the dataset would be written over its own source", "name another folder (--out)"
            raise InputError(what, file=folder_out, found=source, todo=todo)


def place_files(folder_out: Path, wanted: Mapping[str, Path], *, link: bool) -> None:
    """Make each name below `folder_out` a link to its file, or a copy of it.

    What an earlier import of the same subfolders placed and is no longer wanted goes; other files stay.
    Raises InputError where a file that no import placed is in the way.
    """
    placed = _placed(folder_out)
    for name in placed - set(wanted):
        if name.split("/", 1)[0] in {one.split("/", 1)[0] for one in wanted}:
            (folder_out / name).unlink(missing_ok=True)
    for name, path in wanted.items():
        _place(folder_out / name, path.resolve(), link, name in placed)


def _placed(folder_out: Path) -> set[str]:
    """What an earlier import placed: its micrographs and stacks by its tables, and every link."""
    from vitreous.io.star import read_star

    found = set()
    for star, label in (("micrographs.star", "rlnMicrographName"), ("particles.star", "rlnImageName")):
        if (folder_out / star).exists():
            tables = read_star(folder_out / star).values()
            names = [name for table in tables if label in table for name in table[label]]
            found |= {str(name).rpartition("@")[2] for name in names}
    for folder in ("micrographs", "particles"):
        links = [path for path in (folder_out / folder).rglob("*") if path.is_symlink()]
        found |= {path.relative_to(folder_out).as_posix() for path in links}
    return found


def _place(target: Path, source: Path, link: bool, ours: bool) -> None:
    if link and target.is_symlink() and target.readlink() == source:
        return
    if target.exists() and not target.is_symlink() and not ours:
        if not link and filecmp.cmp(target, source, shallow=False):
            return
        todo = "move it away, or name another folder (--out)"
        raise InputError("a file that no import placed is in the way", file=target, todo=todo)
    with atomic_path(target) as part:
        if link:
            part.symlink_to(source)
        else:
            shutil.copyfile(source, part)
