"""The worked example in docs/conventions.md says what the code does."""

from __future__ import annotations

import doctest
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conventions.md"


def test_the_worked_example_of_the_conventions_runs_as_printed():
    results = doctest.testfile(str(PAGE), module_relative=False)
    assert results.attempted >= 10 and results.failed == 0
