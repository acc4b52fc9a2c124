"""Counts as people read them: the word agrees with the number."""

from __future__ import annotations


def plural(number: int, one: str, many: str = "", *, form: str = "d") -> str:
    """`1 map`, `3 maps`; `many` where an s is not enough, `form` as of `format`, `,` to part thousands."""
    return f"{number:{form}} {one if number == 1 else many or one + 's'}"
