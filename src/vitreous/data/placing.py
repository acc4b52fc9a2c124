"""A file of the user's under its name in a dataset: a link, or a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

from vitreous.runtime.files import atomic_path


def place_file(target: Path, source: Path, *, link: bool) -> None:
    """Make `target` a link to `source` (absolute), or a copy of it; a link that is right already is left."""
    if link and target.is_symlink() and target.readlink() == source:
        return
    with atomic_path(target) as part:
        if link:
            part.symlink_to(source)
        else:
            shutil.copyfile(source, part)
