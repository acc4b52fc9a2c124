"""Running numbers in file names, and the names that they say are missing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

_DIGITS = re.compile(r"([0-9]+)")


@dataclass(frozen=True)
class Series:
    """Paths that are alike but for one number, e.g. `data/stack_` 0001 `_2x.mrc`."""

    before: str
    after: str
    width: int
    numbers: frozenset[int]

    def path(self, number: int) -> str:
        """The path with that number, padded with zeros as the others are."""
        return f"{self.before}{number:0{self.width}d}{self.after}"

    def gaps(self, at_most: int) -> list[str]:
        """The first paths between the lowest and the highest number that are not there."""
        missing: list[str] = []
        for number in range(min(self.numbers), max(self.numbers)):
            if len(missing) == at_most:
                break
            if number not in self.numbers:
                missing.append(self.path(number))
        return missing

    def ends(self, at_most: int) -> list[str]:
        """The next paths after the highest number, then those before the lowest, down to zero."""
        first, last = min(self.numbers), max(self.numbers)
        after = range(last + 1, last + 1 + at_most)
        before = range(first - 1, max(first - 1 - at_most, -1), -1)
        return [self.path(number) for number in (*after, *before)]


def running_series(paths: Iterable[str]) -> list[Series]:
    """The series of two and more paths; where several numbers run (dates, grid squares) there is none."""
    alike: dict[tuple[str, ...], list[list[str]]] = defaultdict(list)
    for path in paths:
        pieces = _DIGITS.split(path)
        alike[tuple(pieces[::2])].append(pieces)
    found = []
    for rows in alike.values():
        width = len(rows[0])
        running = [i for i in range(1, width, 2) if len({row[i] for row in rows}) > 1]
        if len(running) == 1:
            at = running[0]
            digits = [row[at] for row in rows]
            before, after = "".join(rows[0][:at]), "".join(rows[0][at + 1 :])
            numbers = frozenset(int(text) for text in digits)
            found.append(Series(before, after, min(len(text) for text in digits), numbers))
    return found
