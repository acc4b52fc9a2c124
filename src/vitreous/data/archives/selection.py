"""The wanted ones of many paths."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from vitreous.data.archives.settings import Selection
from vitreous.errors import InputError
from vitreous.runtime.plural import plural

_SHOWN = 5


def natural_key(path: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """A sorting key by which `a2` comes before `a10`; names equal in this order go by their text."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", path)
    return tuple((0, int(p), "") if p[0] in "0123456789" else (1, 0, p) for p in pieces), path


def select(paths: Iterable[str], selection: Selection, *, where: str = "") -> list[str]:
    """The selected ones of `paths`, each once, in natural order; `where` names their folder in an error.

    Raises InputError, showing some of the names, where none is left.
    """
    known = sorted(set(paths), key=natural_key)
    included = [p for p in known if not selection.include or _matches(p, selection.include)]
    chosen = [p for p in included if not _matches(p, selection.exclude)]
    if not chosen:
        todo = "correct `include` and `exclude`" if known else "check the folder"
        asked = f"a match of {', '.join(selection.include) or '*'}"
        asked += f" but not of {', '.join(selection.exclude)}" if selection.exclude else ""
        raise InputError("no file is selected", file=where or None, found=some_of(known, "file"),
                         expected=asked, todo=todo)  # fmt: skip
    return chosen[: selection.count]


def some_of(names: list[str], noun: str) -> str:
    """The number of names and the first few of them, for a message."""
    first = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return plural(len(names), noun) + (f": {first}" if names else "")


def _matches(path: str, globs: Iterable[str]) -> bool:
    name = path.rsplit("/", 1)[-1]
    return any(fnmatchcase(path, glob) or fnmatchcase(name, glob) for glob in globs)
