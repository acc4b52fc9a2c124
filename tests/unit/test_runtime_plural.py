"""The word that agrees with its number."""

from __future__ import annotations

import pytest

from vitreous.runtime.plural import plural


@pytest.mark.parametrize(("number", "said"), [(0, "0 picks"), (1, "1 pick"), (2, "2 picks")])
def test_word_is_singular_for_one_only(number: int, said: str) -> None:
    assert plural(number, "pick") == said


def test_other_plurals_and_parted_thousands() -> None:
    assert plural(2, "box", "boxes") == "2 boxes"
    assert plural(12345, "job", form=",") == "12,345 jobs"
