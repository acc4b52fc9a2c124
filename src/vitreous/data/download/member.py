"""What becomes of the members of an archive that is unpacked as it comes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from vitreous.data.download.content import Wrong, verify
from vitreous.data.download.part import Part
from vitreous.errors import InputError
from vitreous.runtime.files import stage_error

CHANGED = "the member has changed at its source"
TAKE = "give `accept_changes` (--accept-changes) to take what is there now"


def part_of(target: Path) -> Path:
    """Where a member grows before it has its name."""
    return target.with_name(f".{target.name}.part")


class Written:
    """A member that goes to the disk: a part file, verified, then its final name."""

    def __init__(
        self, target: Path, size: int, *, done: int = 0, expected_sha256: str | None = None,
        finished: Callable[[str], None], failed: Callable[[InputError, bool], None],
    ) -> None:  # fmt: skip
        """`done` bytes of `size` are in the part file already; one of the callbacks is called at the end.

        `finished` is told the SHA-256; `failed` why, and whether the member is another one than it was
        (`expected_sha256`).
        """
        self.target, self._size, self._expected = target, size, expected_sha256
        self._finished, self._failed = finished, failed
        path = part_of(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._part = Part(path).__enter__()
        self._part.cut_to(done)
        self._part.hashes.update_from(path, 0, done)

    def write(self, data: bytes) -> None:
        """Append; raises StageError naming the member where the disk is full."""
        try:
            self._part.append(data)
        except OSError as error:
            raise stage_error(error, self.target) from error

    def close(self) -> None:
        """Verify and rename; a member that is wrong is told and leaves nothing."""
        sha256 = self._part.hashes.whole()
        self.release()
        if (refused := self._refused(sha256)) is not None:
            self._part.path.unlink(missing_ok=True)
            self._failed(*refused)
            return
        os.replace(self._part.path, self.target)
        self._finished(sha256)

    def _refused(self, sha256: str) -> tuple[InputError, bool] | None:
        try:
            if self._size or self.target.suffix.lower().startswith(".mrc"):  # other files may be empty
                verify(self._part.path, self.target.name)
        except Wrong as wrong:
            todo = "report it to the archive, or leave it out with `exclude`"
            return InputError("a damaged member", file=self.target, found=wrong, todo=todo), False
        if self._expected not in (None, sha256):
            return changed(self.target, f"SHA-256 {sha256}", self._expected), True
        return None

    def release(self) -> None:
        """Let go of the part file; what is in it stays."""
        self._part.__exit__(None, None, None)


class Compared:
    """A member that is here already: held against what was written of it."""

    def __init__(self, sha256: str, told: Callable[[str, bool], None]) -> None:
        """`told` is given the SHA-256 of the member at its end, and whether it is `sha256`."""
        self._expected, self._told = sha256, told
        self._hashed = hashlib.sha256()

    def read(self, path: Path, count: int) -> None:
        """Hash the first `count` bytes of a file, in place of those that came before."""
        with path.open("rb") as handle:
            while count > 0 and (block := handle.read(min(1 << 20, count))):
                self._hashed.update(block)
                count -= len(block)

    def write(self, data: bytes) -> None:
        """Hash."""
        self._hashed.update(data)

    def close(self) -> None:
        """Compare."""
        found = self._hashed.hexdigest()
        self._told(found, found == self._expected)

    def release(self) -> None:
        """Nothing is held."""


def changed(target: Path, found: str, expected: object) -> InputError:
    """The error of a member that is another one now."""
    return InputError(CHANGED, file=target, found=found, expected=expected, todo=TAKE)
