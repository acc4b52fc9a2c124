"""Partial work of a stage: kept beside the declared output, never under its name, and taken up again.

A stage's finished items lie in `<output>.work/<hash of settings and code>/`; an item's own name holds the
fingerprint of its inputs. So a killed stage goes on where it stopped, an added micrograph is computed alone,
and nothing made with other settings or other code is ever reused.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from vitreous.errors import InputError, StageError
from vitreous.runtime.files import atomic_path
from vitreous.runtime.lock import Lock
from vitreous.runtime.plural import plural
from vitreous.runtime.progress import progress
from vitreous.runtime.provenance import code_hash, fingerprint

T = TypeVar("T")
log = logging.getLogger(__name__)


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


class Work:
    """The folder of one output's partial work, locked while it is entered."""

    def __init__(
        self,
        output: str | Path,
        *,
        settings: Mapping[str, Any],
        stage: str,
        modules: Iterable[str] = (),
        inputs: Iterable[str | Path] = (),
    ) -> None:
        """`stage` and `modules` name the code, `inputs` the files on which every item depends (a model)."""
        self.output = Path(output)
        self.root = self.output.with_name(self.output.name + ".work")
        common = {str(path): fingerprint(path) for path in inputs}
        key = _hash([settings, common, code_hash(stage, *modules)])
        self.folder = self.root / key
        self._lock = Lock(self.root / "lock")

    def __enter__(self) -> Work:
        """Take the lock and drop what was made with other settings or other code."""
        self._lock.__enter__()
        for other in self.root.iterdir():
            if other.is_dir() and other != self.folder:
                shutil.rmtree(other, ignore_errors=True)
        self.folder.mkdir(exist_ok=True)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Give the lock back; finished items stay."""
        self._lock.__exit__(kind, error, trace)

    def item(self, name: str, inputs: Iterable[str | Path] = ()) -> Path:
        """Where the result of item `name`, made from `inputs`, is kept."""
        prints = [fingerprint(path) if Path(path).exists() else None for path in inputs]
        return self.folder / f"{_hash([name, prints])}.item"

    def keep_only(self, items: Iterable[Path]) -> None:
        """Remove the items that no longer belong to this output."""
        wanted = set(items)
        for path in self.folder.glob("*.item"):
            if path not in wanted:
                path.unlink()


def run_items(
    items: Sequence[str],
    compute: Callable[[str], T],
    work: Work,
    save: Callable[[Path, T], None],
    load: Callable[[Path], T],
    *,
    max_failed_share: float,
    inputs: Callable[[str], Sequence[Path]] = lambda name: (),
    label: str = "item",
) -> tuple[dict[str, T], dict[str, InputError]]:
    """Compute every item, past bad ones, and not again what is done.

    `save(path, result)` and `load(path)` keep a result in one file; `inputs(name)` are the files an item
    depends on; `label` is what people call one. Returns results and errors by name. An InputError is the
    item's own; any other (a full disk, a missing package, a wrong setting) would meet all of them and ends
    the stage. Raises StageError when more than `max_failed_share` of them failed; with a share above 0 one
    of several may.
    """
    results: dict[str, T] = {}
    failures: dict[str, InputError] = {}
    paths = {name: work.item(name, inputs(name)) for name in items}
    kept = 0
    for name in progress(items, len(items), f"{label}s"):
        if paths[name].exists():
            results[name] = load(paths[name])
            kept += 1
            continue
        try:
            results[name] = compute(name)
        except InputError as error:
            log.warning("left out %s: %s", name, error)
            failures[name] = error
            continue
        with atomic_path(paths[name]) as part:
            save(part, results[name])
    work.keep_only(paths.values())
    computed = len(results) - kept
    log.info("%ss: %d computed, %d kept from before, %d failed", label, computed, kept, len(failures))
    # One bad member does not stop a batch of several: in a small batch it would be a large share.
    spared = 1.0 if max_failed_share > 0 and len(items) > 1 else 0.0
    if len(failures) > max(max_failed_share * len(items), spared):
        raise StageError(
            f"{len(failures)} of {plural(len(items), label)} failed",
            file=work.output,
            found="; ".join(str(error) for error in list(failures.values())[:3]),
            expected=f"at most {max_failed_share:.0%}",
            todo="mend or exclude these files, or raise `compute.max_failed_share`",
        )
    return results, failures
