"""The faults of the fake archive and its record of a request."""

from __future__ import annotations

import fnmatch
import time
from dataclasses import dataclass, field

FAULTS = frozenset(
    {"drop", "hang", "slow", "status", "corrupt", "swap", "etag", "noetag", "norange", "badrange"}
    | {"nolength", "checksum", "size", "short", "html", "xml", "redirect", "gzipheader"}
)


@dataclass
class Fault:
    """One rule: which paths it meets, what it does, how often."""

    name: str
    argument: str = ""
    match: str = "*"
    times: int | None = None
    skip: int = 0

    @classmethod
    def parse(cls, text: str, match: str = "*", times: int | None = None, skip: int = 0) -> Fault:
        """Read ``name`` or ``name:argument``; an unknown name raises ValueError."""
        name, _, argument = text.partition(":")
        if name not in FAULTS:
            raise ValueError(f"unknown fault {name!r}; one of {', '.join(sorted(FAULTS))}")
        return cls(name, argument, match, times, skip)

    def fires(self, path: str) -> bool:
        """Whether this rule acts on this request; counts the request."""
        if self.times == 0 or not fnmatch.fnmatchcase(path, self.match):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True

    def number(self, default: int = 0) -> int:
        """The argument's first number."""
        first = self.argument.split(",")[0]
        return int(first) if first else default


@dataclass
class Request:
    """What one request asked for and what it got."""

    path: str
    method: str
    number: int = 0
    range: str | None = None
    if_range: str | None = None
    user_agent: str = ""
    authorization: str = ""
    proxied_for: str = ""  # the host that was wanted, where the archive is asked as a proxy
    status: int = 0
    first_byte: int = 0
    bytes_sent: int = 0
    fault: str = ""
    left: bool = False
    started: float = field(default_factory=time.time)
