"""Micrographs given on the command line, as files, folders or globs: a data set for the stages."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitreous.cli.options import MAX_FAILED_SHARE, settings_of
from vitreous.cli.wording import Wording
from vitreous.errors import InputError, StageError

if TYPE_CHECKING:
    import pandas as pd

    from vitreous.data.settings import LocalSettings

ENDINGS = (".mrc", ".mrc.gz", ".mrc.bz2", ".tif", ".tiff", ".png", ".jpg", ".jpeg")


def find_micrographs(places: Sequence[Path]) -> list[Path]:
    """The micrographs in files, folders (by ending, without sub-folders) and quoted globs, in name order.

    Raises InputError where a place does not exist or holds none.
    """
    found: dict[Path, None] = {}
    for place in places:
        files = _in_place(place)
        if not files:
            raise InputError(
                "no micrographs here", file=place, expected=f"files ending in {', '.join(ENDINGS)}"
            )
        found.update(dict.fromkeys(path.resolve() for path in files))
    return sorted(found)


def _in_place(place: Path) -> list[Path]:
    if place.is_dir():
        named = [path for path in sorted(place.iterdir()) if path.name.lower().endswith(ENDINGS)]
        return [path for path in named if path.is_file() and not path.name.startswith(".")]
    if place.exists():
        return [place]
    matching = [Path(name) for name in sorted(glob.glob(str(place)))]
    if not matching:
        raise InputError(
            "file not found", file=place, todo="give micrographs, folders of them, or a quoted glob"
        )
    return [path for path in matching if path.is_file()]


def common_folder(files: Sequence[Path]) -> tuple[Path, list[str]]:
    """The folder that holds all files, and the files as globs below it that match nothing else."""
    folder = Path(os.path.commonpath([path.parent for path in files]))
    return folder, [glob.escape(path.relative_to(folder).as_posix()) for path in files]


@dataclass(frozen=True)
class Loose:
    """The data set made of loose files: its folder, its one batch, and the file behind each of its names.

    `unread` counts the files that cannot be read and are not in it.
    """

    folder: Path
    batch: Path
    files: dict[str, Path]
    wording: Wording
    unread: int


@contextmanager
def dataset_of(
    places: Sequence[Path],
    *,
    scratch: Path,
    max_failed_share: float = MAX_FAILED_SHARE,
    diameter_A: float | None = None,
    **known: Any,
) -> Iterator[Loose]:
    """A data set in standard form (links, in a temporary folder in `scratch`) for the time of a command.

    `diameter_A` is that of its one target; `known` are fields of LocalSettings (pixel_size_A, voltage_kv …).
    None leaves one unknown.
    Errors and log lines of the block name the user's own files and options.
    """
    from vitreous.data.settings import LocalSettings
    from vitreous.io.dataset import Dataset

    files = find_micrographs(places)
    folder, globs = common_folder(files)
    fixed = {"folder": str(folder), "micrographs": globs, "batches": 1, "max_failed_share": max_failed_share}
    targets = [] if diameter_A is None else [{"name": "particle", "diameter_A": diameter_A}]
    settings = settings_of(LocalSettings, {**fixed, "targets": targets, **known})
    scratch = scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    by_name = {f"micrographs/{path.name}": path for path in files}
    with tempfile.TemporaryDirectory(prefix=".vitreous-", dir=scratch) as temporary:
        place = Path(temporary) / "dataset"
        wording = Wording(place, by_name)
        wording.aliases[place] = folder
        with wording.spoken():
            _import(place, settings, folder)
            names = [str(name) for name in Dataset(place).micrographs()["rlnMicrographName"]]
            batch = next(place.glob("batch-*.star"))
            yield Loose(
                place, batch, {name: by_name[name] for name in names}, wording, len(files) - len(names)
            )


def _import(place: Path, settings: LocalSettings, folder: Path) -> None:
    from vitreous.data.local import import_local

    try:
        import_local(place, settings, root=folder)
    except StageError as error:
        error.todo = error.todo or "mend or leave out these files, or raise --max-failed-share"
        raise


def names_from(folder: Path, loose: Loose) -> dict[str, str]:
    """Each name of the data set as the path of the user's own file, relative to `folder`."""
    return {name: os.path.relpath(path, folder.resolve()) for name, path in loose.files.items()}


def name_as_given(star: Path, block: str, names: dict[str, str]) -> pd.DataFrame:
    """Put the user's own files for the data set's names in a table of a STAR file; drops its partial work."""
    from vitreous.io.star import read_star, write_star

    blocks = read_star(star)
    table: Any = blocks[block]
    table["rlnMicrographName"] = table["rlnMicrographName"].map(names)
    write_star(star, blocks)
    shutil.rmtree(star.with_name(star.name + ".work"), ignore_errors=True)
    return table
