"""A tar.gz from an archive straight into a folder: no second copy, and gone on with after a kill."""

from __future__ import annotations

import base64
import contextlib
import glob
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vitreous.data.download.batch import LOCK
from vitreous.data.download.client import Client
from vitreous.data.download.content import Wrong
from vitreous.data.download.disk import refuse_full_disk
from vitreous.data.download.inflate import Inflater, Point, zlib_library
from vitreous.data.download.manifest import NAME, Manifest, record_of
from vitreous.data.download.member import Compared, Written, changed, part_of
from vitreous.data.download.remote import Piece, RemoteFile
from vitreous.data.download.stream import OVERLAP_BYTES, Changed, Here, Stream, Validators
from vitreous.data.download.tape import Member, Sink, Tape
from vitreous.data.download.unpack_state import State, read_state, write_state
from vitreous.errors import InputError
from vitreous.runtime.files import sha256_file, stage_error
from vitreous.runtime.lock import Lock
from vitreous.runtime.progress import ByteProgress

_log = logging.getLogger(__name__)


@dataclass
class Unpacked:
    """What became of the wanted members: paths written now, paths here before, names that failed and why."""

    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


class _Doubtful(Exception):
    """Members that an earlier reading left are not those of the archive."""


class Unpacking:
    """The unpacking of one tar.gz into one folder."""

    def __init__(
        self, client: Client, url: str, folder: Path, destination: Callable[[str], str | None], *,
        licence: str | None = None, unpacked_bytes: int = 0, accept_changes: bool = False,
    ) -> None:  # fmt: skip
        """`destination` gives a member's path below the folder, None for what is not wanted.

        It raises InputError for a name that is refused. `unpacked_bytes` is what the disk must have room for.
        """
        self.client, self.url, self.folder, self._destination = client, url, folder, destination
        self._licence, self._unpacked_bytes, self._accept = licence, unpacked_bytes, accept_changes
        self.name = url.rsplit("/", 1)[-1]
        self.file = folder / f".{self.name}.stream.json"
        self._written: set[str] = set()  # paths that this process wrote
        self._owners: dict[str, str] = {}  # path -> member that goes there
        self._sink: Written | Compared | None = None

    def run(self) -> Unpacked:
        """Bring what is missing in.

        Raises InputError where the archive cannot be had or is damaged at its source (members that were whole
        are kept), StageError for a disk that is too small or full.
        """
        made = [one for one in (self.folder, *self.folder.parents) if not one.exists()]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with Lock(self.folder / LOCK, wait=True):
                self._manifest = Manifest(self.folder)
                # what a kill left of a state that was being written
                for left in self.folder.glob(f".{glob.escape(self.file.stem)}.*-????????.json"):
                    left.unlink()
                return self._run()
        except OSError as error:
            raise stage_error(error, error.filename or self.folder) from error
        finally:  # where nothing came no folder stays
            with contextlib.suppress(OSError):
                for folder in made:
                    folder.rmdir()

    def _run(self) -> Unpacked:
        state = self._load()
        if state.done:
            outcome, missing = self._outcome(state)
            if not missing:
                return outcome
            state = state.anew()
        size = self.client.size(self.url) or 0
        here = sum(record.bytes for record in self._manifest.records.values())
        need = max(size, self._unpacked_bytes) - here
        refuse_full_disk(max(0, need), self.folder, self.client.settings.keep_free_gb)
        write_state(self.file, state)  # before there is a member, so that one without it is an old one
        with ByteProgress(size, 1) as progress:
            state = self._passes(state, progress)
            progress.file_done()
        return self._outcome(state)[0]

    def _passes(self, state: State, progress: ByteProgress) -> State:
        """Once through, and again from the last point or the beginning where the stream proves damaged."""
        trouble = ""
        for attempt in range(self.client.settings.whole_tries):
            try:
                self._pass(state, progress)
                return state
            except Changed as change:
                trouble, state = f"it changes while it is fetched: {change}", state.anew()
            except _Doubtful:
                trouble, state = "members of an earlier reading were wrong", state.anew()
            except Wrong as wrong:
                trouble = str(wrong)
                again = self._load() if attempt == 0 and "CRC" not in trouble else None
                if again is None or again.done or again.point is None:
                    # what came before may be wrong unnoticed: everything is written anew
                    again = state.anew(suspect=True)
                    write_state(self.file, again)
                state = again
            finally:
                if self._sink is not None:
                    self._sink.release()
                    self._sink = None
            _log.warning("%s: %s", self.url, trouble)
        todo = "what was whole is kept; run again later, or report it to the archive"
        raise InputError("the archive is damaged", file=self.url, found=trouble, todo=todo)

    def _pass(self, state: State, progress: ByteProgress) -> None:
        """Read from the state's point to the end."""
        point = Point.restore(state.point) if state.point else None
        offset = point.consumed if point else 0
        progress.add(offset - progress.bytes, before=True)
        self._owners = {path: name for name in state.seen if (path := self._path(name)) is not None}
        inflater = Inflater(self.client.settings.point_bytes, point)
        tape = Tape(lambda member: self._begin(member, state), state.place)
        if tape.member:
            self._reopen(tape.member, tape.left, state)
            tape = Tape(lambda member: self._begin(member, state), state.place, self._sink)
        stream = Stream(self.client, self.url, name=self.name, validators=Validators(**state.validators))
        tail, hashed = base64.b64decode(state.tail), None if point else hashlib.sha256()
        here = Here(lambda n: tail[-n:], lambda: hashed.hexdigest() if hashed else None)
        for chunk in stream.chunks(offset, here):
            if hashed:
                hashed.update(chunk)
            recent, began = tail + chunk, offset - len(tail)
            for out in inflater.feed(chunk):
                if isinstance(out, bytes):
                    tape.feed(out)
                else:
                    state.validators = stream.validators.plain()
                    state.point, state.place = out.plain(), tape.place()
                    before = recent[: out.consumed - began][-OVERLAP_BYTES:]
                    state.tail = base64.b64encode(before).decode()
                    write_state(self.file, state)
            tail = recent[-OVERLAP_BYTES:]
            offset += len(chunk)
            progress.add(len(chunk))
        inflater.close()
        tape.close()
        self._refuse_doubtful(state)
        state.end()
        write_state(self.file, state)

    def _refuse_doubtful(self, state: State) -> None:
        """Remove members that an earlier, never verified reading left and this whole one has otherwise."""
        for path in state.doubtful:
            (self.folder / path).unlink(missing_ok=True)
        self._manifest.drop(state.doubtful)
        if state.doubtful:
            raise _Doubtful

    # what becomes of a member

    def _begin(self, member: Member, state: State) -> Sink | None:
        state.seen.append(member.name)
        self._sink = None
        try:
            path = self._destination(member.name)
            if path is not None:
                self._refuse(member, path)
                self._sink = self._sink_for(path, member, state)
        except InputError as error:
            self._fail(state, member.name, error)
        return self._sink

    def _refuse(self, member: Member, path: str) -> None:
        """Raise InputError for a member that is no plain file or whose path is another's."""
        todo = "leave it out with `exclude`"
        if member.oddity:
            raise InputError("not unpacked: no plain file", file=member.name, found=member.oddity, todo=todo)
        other = self._owners.setdefault(path, member.name)
        if other != member.name or path == NAME:
            found = "the record of what was fetched" if path == NAME else f"{other} and {member.name}"
            raise InputError("two members of the archive want one place", file=path, found=found, todo=todo)

    def _sink_for(self, path: str, member: Member, state: State) -> Written | Compared | None:
        """What a member that begins goes to: the disk, or a comparison with what is here."""
        target, record = self.folder / path, self._manifest.records.get(path)
        if path in self._written or not target.exists():
            return self._write(path, member, state)
        if record is None:  # the user's, or of a fetch killed just before it was recorded
            sha256 = sha256_file(target) if _bytes(target) == member.bytes else ""
            return Compared(sha256, self._told(path, member, state))
        if self._accept or state.suspect or _bytes(target) != record.bytes:
            return self._write(path, member, state)
        if record.bytes != member.bytes and not state.verified:
            return self._write(path, member, state)
        if record.bytes != member.bytes:
            error = changed(target, f"{member.bytes} bytes", record.bytes)
            self._fail(state, member.name, error, "changed")
            return None
        return Compared(record.sha256, self._told(path, member, state))

    def _write(self, path: str, member: Member, state: State, done: int = 0) -> Written:
        record = self._manifest.records.get(path)
        trusting = self._accept or not state.verified or state.suspect or path in self._written

        def finished(sha256: str) -> None:
            self._sink = None
            self._record(path, member.bytes, sha256)
            self._written.add(path)

        def failed(error: InputError, is_changed: bool) -> None:
            self._sink = None
            self._fail(state, member.name, error, "changed" if is_changed else None)

        expected = None if trusting or record is None else record.sha256
        return Written(self.folder / path, member.bytes, done=done, expected_sha256=expected,
                       finished=finished, failed=failed)  # fmt: skip

    def _told(self, path: str, member: Member, state: State) -> Callable[[str, bool], None]:
        """What to do when a member that is here has been compared."""

        def told(sha256: str, same: bool) -> None:
            self._sink = None
            record, target = self._manifest.records.get(path), self.folder / path
            if same and record is None:
                self._record(path, member.bytes, sha256)
            elif not same and record is None:
                what = "a file of this name is here, was not fetched by us and is not the archive's"
                error = InputError(what, file=target, todo="move it away, or fetch to another folder")
                self._fail(state, member.name, error, "blocked")
            elif not same and not state.verified:
                state.doubtful.append(path)
            elif not same and record is not None:
                self._fail(state, member.name, changed(target, f"SHA-256 {sha256}", record.sha256), "changed")

        return told

    def _reopen(self, member: Member, left: int, state: State) -> None:
        """Go on with the member that had begun when the state was written (`_load` saw that it is here)."""
        path = None if member.oddity or member.name in state.failed else self._path(member.name)
        if path is None or self._owners.get(path) != member.name:
            return
        target, record, done = self.folder / path, self._manifest.records.get(path), member.bytes - left
        has_part, rewritten = _bytes(part_of(target)) >= done, state.suspect or self._accept
        if _bytes(target) == member.bytes and not (has_part and rewritten and record is not None):
            # ended since, or compared from its beginning: go on comparing
            sha256 = record.sha256 if record else sha256_file(target)
            self._sink = Compared(sha256, self._told(path, member, state))
            self._sink.read(target, done)
        elif has_part:
            self._sink = self._write(path, member, state, done)

    def _record(self, path: str, size: int, sha256: str) -> None:
        self._manifest.add(record_of(RemoteFile(path, (Piece(self.url),), self._licence), size, sha256))

    def _fail(self, state: State, name: str, error: InputError, mendable: str | None = None) -> None:
        _log.warning("%s", error)
        state.failed[name] = str(error)
        if mendable:
            state.mendable[name] = mendable

    # what is here

    def _path(self, name: str) -> str | None:
        """Where a member goes; None where it is not wanted or refused."""
        try:
            return self._destination(name)
        except InputError:
            return None

    def _load(self) -> State:
        """The state beside the data; a new one where it cannot be gone on with."""
        state = read_state(self.file, self.url)
        if state is None:  # none but old members, if any
            old = any(self.url in record.urls for record in self._manifest.records.values())
            return State(self.url, verified=old)
        if state.done or state.point is None:
            return state
        try:
            tape, _ = Tape(lambda member: None, state.place), Point.restore(state.point)
            member = tape.member
        except (TypeError, ValueError, KeyError):  # damaged
            return state.anew(suspect=state.suspect)
        path = None if member is None or member.oddity else self._path(member.name)
        if zlib_library() is None or self._outcome(state, member)[1]:
            return state.anew(suspect=state.suspect)
        if member is None or path is None or member.name in state.failed:
            return state
        target = self.folder / path
        if _bytes(part_of(target)) >= member.bytes - tape.left or _bytes(target) == member.bytes:
            return state
        return state.anew(suspect=state.suspect)

    def _outcome(self, state: State, begun: Member | None = None) -> tuple[Unpacked, bool]:
        """What became of the members so far, but for one that has begun; whether one is not here now."""
        outcome, missing = Unpacked(), False
        for name in dict.fromkeys(state.seen):
            try:
                path = self._destination(name)
            except InputError as error:
                outcome.failed[name] = str(error)
                continue
            if path is None or (begun is not None and name == begun.name):
                continue
            record, target = self._manifest.records.get(path), self.folder / path
            if name in state.failed:
                outcome.failed[name] = state.failed[name]
                kind = state.mendable.get(name)
                missing |= (kind == "changed" and self._accept) or (kind == "blocked" and not target.exists())
            elif record is None or _bytes(target) != record.bytes:
                missing = True
            else:
                (outcome.written if path in self._written else outcome.kept).append(path)
        return outcome, missing


def _bytes(path: Path) -> int:
    """The size of a file; -1 where there is none."""
    return path.stat().st_size if path.is_file() else -1
