"""One file from its pieces to its final name: resumed, verified by piece and as a whole, then renamed."""

from __future__ import annotations

import errno
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitreous.data.download.client import Client
from vitreous.data.download.content import Wrong, verify
from vitreous.data.download.part import Part
from vitreous.data.download.remote import Piece, RemoteFile
from vitreous.data.download.stream import Changed, Here, Stream, Validators
from vitreous.errors import InputError
from vitreous.runtime.files import stage_error, write_json
from vitreous.runtime.progress import ByteProgress

_log = logging.getLogger(__name__)
# What the system says where a path is no place for this file, whatever becomes of the others.
_NO_PLACE = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENOTEMPTY)


@dataclass(frozen=True)
class Fetched:
    """A file that is whole: its bytes and SHA-256, and how many bytes came over the network for it."""

    bytes: int
    sha256: str
    received: int


class Transfer:
    """The part file of one target, `.NAME.part`, and the note beside it that says how far it is verified."""

    def __init__(
        self, client: Client, file: RemoteFile, target: Path, progress: ByteProgress | None = None
    ) -> None:
        """`progress` is told of every chunk that is written and of what is dropped."""
        self.client, self.file, self.target = client, file, target
        self.part = target.with_name(f".{target.name}.part")
        self.note = target.with_name(f".{target.name}.part.json")
        self._progress = progress
        self._received = 0
        self._said_empty = False

    def run(self, expected_sha256: str | None = None) -> Fetched:
        """Fetch what is missing, verify, rename. `expected_sha256` is that of an earlier fetch.

        Raises InputError where the file cannot be had or is wrong at its source, StageError for a full disk.
        """
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            try:
                return self._run(expected_sha256)
            finally:
                self._leave_no_empty_part()
        except OSError as error:
            if error.errno in _NO_PLACE:
                todo = "move away what is in the way, or leave it out with `exclude`"
                raise InputError("cannot be written", file=self.target, found=error.strerror,
                                 todo=todo) from error  # fmt: skip
            raise stage_error(error, self.target) from error

    def _run(self, expected_sha256: str | None) -> Fetched:
        seen: set[str] = set()
        wrong, todo = "", ""
        for _ in range(self.client.settings.whole_tries):
            size, sha256 = self._whole()
            try:
                verify(self.part, self.target.name, said_empty=self._said_empty)
            except Wrong as trouble:
                wrong, todo = str(trouble), "report it to the archive, or leave it out with `exclude`"
            else:
                if expected_sha256 in (None, sha256):
                    return self._done(size, sha256)
                wrong = f"SHA-256 {sha256}, the first fetch had {expected_sha256}: it has changed"
                todo = "give `accept_changes` (--accept-changes) to take what is there now"
            _log.warning("%s: %s", self.file.url, wrong)
            self._forget()
            if sha256 in seen:  # twice the same: it was not the network
                break
            seen.add(sha256)
        raise InputError("the file is wrong at its source", file=self.file.url, found=wrong, todo=todo)

    def _whole(self) -> tuple[int, str]:
        """Bring every piece in; (bytes, SHA-256) of the part file."""
        done, base, validators, sha256 = self._resume()
        with Part(self.part, self._progress) as part:
            part.hashes.update_from(self.part, 0, base)
            if base and part.hashes.whole() != sha256:
                _log.warning("%s: is not what was verified of it; begun anew", self.part)
                done, base, validators = 0, 0, Validators()
                part.clear()
            for index in range(done, len(self.file.pieces)):
                base = self._piece(part, index, base, validators)
                validators = Validators()
            part.cut_to(base)
            self._received += part.received
            return base, part.hashes.whole()

    def _piece(self, part: Part, index: int, base: int, validators: Validators) -> int:
        """Append one piece at `base` and verify it; returns where it ends."""
        piece = self.file.pieces[index]
        algorithm, _, checksum = (piece.checksum or "").partition(":")
        part.hashes.mark(algorithm or None)
        part.hashes.update_from(self.part, base, part.end)
        seen: set[str] = set()
        for _ in range(self.client.settings.whole_tries):
            total = self._bring(part, index, base, validators)
            validators = Validators()
            found, size = part.hashes.piece(), part.end - base
            # a checksum says more than a size that somebody wrote down
            sizes = {total, None} if checksum else {total, piece.bytes, None}
            if found == (checksum or None) and sizes <= {size, None}:
                self._said_empty = bool(checksum) or 0 in sizes
                self._write_note(index + 1, part.end, Validators(), part.hashes.whole())
                return part.end
            said = f"{algorithm} {found}" if checksum else f"{size} bytes"
            others = [f"{one} bytes" for one in sizes if one not in (None, size)]
            wanted = checksum or " or ".join(others)
            _log.warning("%s: %s, expected %s", piece.url, said, wanted)
            part.cut(base)
            if said in seen:  # twice the same: it was not the network
                break
            seen.add(said)
        raise InputError("not what the archive says it is", file=piece.url, found=said, expected=wanted,
                         todo="run again later; if it stays so, report it to the archive")  # fmt: skip

    def _bring(self, part: Part, index: int, base: int, validators: Validators) -> int | None:
        """Append what is missing of a piece, from its beginning where it changed; its size as served."""
        piece = self.file.pieces[index]
        here = Here(part.tail, lambda: part.sha256_from(base))
        sha256 = part.hashes.marked()
        for _ in range(self.client.settings.whole_tries):
            stream = self._stream(piece, validators)
            noted = None if part.end == base else validators
            try:
                for chunk in stream.chunks(part.end - base, here):
                    if stream.validators != noted:
                        noted = stream.validators
                        self._write_note(index, base, noted, sha256)
                    part.append(chunk)
            except Changed as change:
                _log.warning("%s: begun anew: %s", piece.url, change)
                part.cut(base)
                validators = Validators()
                continue
            return stream.validators.total
        raise InputError("changes while it is fetched", file=piece.url, todo="run again when it is at rest")

    def _stream(self, piece: Piece, validators: Validators) -> Stream:
        known = piece.checksum is not None
        return Stream(self.client, piece.url, name=self.target.name, validators=validators,
                      expected=piece.bytes, known=known)  # fmt: skip

    def _resume(self) -> tuple[int, int, Validators, str]:
        """(pieces that are verified, their bytes, validators of the begun one, SHA-256), as the note says."""
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
            if note["pieces"] == self._identity() and self.part.stat().st_size >= note["base"]:
                return int(note["done"]), note["base"], Validators(**note["validators"]), note["sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            pass
        self.note.unlink(missing_ok=True)
        self.part.unlink(missing_ok=True)
        return 0, 0, Validators(), ""

    def _write_note(self, done: int, base: int, validators: Validators, sha256: str) -> None:
        """`sha256` is that of the first `base` bytes."""
        note: dict[str, Any] = {"pieces": self._identity(), "done": done, "base": base, "sha256": sha256}
        write_json(self.note, note | {"validators": validators.plain()})

    def _identity(self) -> list[list[str | int | None]]:
        """What the pieces are, so that the part of another file of this name is never gone on with."""
        return [[piece.url, piece.bytes, piece.checksum] for piece in self.file.pieces]

    def _leave_no_empty_part(self) -> None:
        """Where nothing came nothing stays."""
        if self.part.exists() and not self.part.stat().st_size:
            self.part.unlink()
            self.note.unlink(missing_ok=True)

    def _forget(self) -> None:
        self.note.unlink(missing_ok=True)
        if self.part.exists():
            if self._progress is not None:
                self._progress.add(-self.part.stat().st_size)
            self.part.unlink()

    def _done(self, size: int, sha256: str) -> Fetched:
        os.replace(self.part, self.target)
        self.note.unlink(missing_ok=True)
        return Fetched(size, sha256, self._received)
