"""Errors that speak to a user: which file, which place, what was found, what was expected, what to do."""

from __future__ import annotations

from pathlib import Path


class VitreousError(Exception):
    """An error a user can act on; its text is one line and is shown without a traceback."""

    def __init__(
        self,
        what: str,
        *,
        file: str | Path | None = None,
        place: str | None = None,
        found: object = None,
        expected: object = None,
        todo: str | None = None,
    ) -> None:
        """Say `what` is wrong, in which `file` and `place`, what was `found` and `expected`, what `todo`."""
        self.what, self.file, self.place = what, file, place
        self.found, self.expected, self.todo = found, expected, todo
        super().__init__(self.line())

    def line(self) -> str:
        """The whole message on one line."""
        where = ": ".join(str(part) for part in (self.file, self.place) if part is not None)
        seen = [] if self.found is None else [f"found {self.found}"]
        seen += [] if self.expected is None else [f"expected {self.expected}"]
        text = f"{where}: {self.what}" if where else self.what
        text += f" ({', '.join(seen)})" if seen else ""
        text += f"; {self.todo}" if self.todo else ""
        return " ".join(text.split())

    def __reduce__(self) -> tuple[object, ...]:
        """Rebuild from the message alone, so that the error survives a process boundary."""
        return (_rebuild, (type(self), self.__dict__.copy()))


def _rebuild(kind: type[VitreousError], state: dict[str, object]) -> VitreousError:
    error = kind(str(state["what"]))
    error.__dict__.update(state)
    error.args = (error.line(),)
    return error


class InputError(VitreousError):
    """A file, or something in it, cannot be used as it is."""


class SettingsError(VitreousError):
    """The configuration asks for something that does not exist or makes no sense."""


class MissingToolError(VitreousError):
    """An optional program or package is needed and not there."""


class StageError(VitreousError):
    """A stage could not finish: too many bad members, no memory, a second process at work."""


class FullDiskError(StageError):
    """There is no room on the disk, whatever is tried next."""
