"""What happens to a folder of fetched files between two runs: cut parts, torn notes, lost files."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any


def damage(rng: random.Random, folder: Path, plan: Any) -> list[str]:
    """Damage one thing in the folder; the paths of files that were whole and are so no longer."""
    kinds: list[Callable[[random.Random, Path, Any], list[str]]] = [
        _cut_a_part, _grow_a_part, _tear_the_manifest, _lose_the_manifest, _tear_a_note,
        _lose_a_file, _cut_a_file,
    ]  # fmt: skip
    # what was written of a damaged archive is known by its notes alone
    careful = [_cut_a_part, _grow_a_part, _lose_a_file, _cut_a_file]
    return rng.choice(careful if plan.damaged else kinds)(rng, folder, plan)


def _one(rng: random.Random, paths: list[Path]) -> Path | None:
    return rng.choice(sorted(paths)) if paths else None


def _parts(folder: Path) -> list[Path]:
    return list(folder.rglob(".*.part"))


def _cut_a_part(rng: random.Random, folder: Path, plan: Any) -> list[str]:
    part = _one(rng, _parts(folder))
    if part is not None:
        os.truncate(part, rng.randrange(part.stat().st_size + 1))
    return []


def _grow_a_part(rng: random.Random, folder: Path, plan: Any) -> list[str]:
    """Bytes of something else at its end."""
    part = _one(rng, _parts(folder))
    if part is not None:
        with part.open("ab") as handle:
            handle.write(rng.randbytes(rng.randrange(1, 9000)))
    return []


def _tear_the_manifest(rng: random.Random, folder: Path, plan: Any) -> list[str]:
    manifest = folder / "manifest.jsonl"
    if manifest.exists():
        os.truncate(manifest, rng.randrange(manifest.stat().st_size + 1))
    return []


def _lose_the_manifest(rng: random.Random, folder: Path, plan: Any) -> list[str]:
    (folder / "manifest.jsonl").unlink(missing_ok=True)
    return []


def _tear_a_note(rng: random.Random, folder: Path, plan: Any) -> list[str]:
    note = _one(rng, [*folder.rglob(".*.part.json"), *folder.rglob(".*.stream.json")])
    if note is not None:
        os.truncate(note, rng.randrange(note.stat().st_size + 1))
    return []


def _lose_a_file(rng: random.Random, folder: Path, plan: Any) -> list[str]:
    path = _one(rng, [folder / path for path in plan.contents | plan.members if (folder / path).exists()])
    if path is None:
        return []
    path.unlink()
    return [path.relative_to(folder).as_posix()]


def _cut_a_file(rng: random.Random, folder: Path, plan: Any) -> list[str]:
    """Only where the manifest knows it: without a record it is the user's, and stays as it is."""
    manifest = folder / "manifest.jsonl"
    known = manifest.read_text() if manifest.exists() else ""
    here = [folder / path for path in plan.contents | plan.members if f'"path": "{path}"' in known]
    path = _one(rng, [path for path in here if path.exists() and path.stat().st_size])
    if path is None:
        return []
    os.truncate(path, path.stat().st_size - 1)
    return [path.relative_to(folder).as_posix()]
