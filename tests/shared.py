"""Where the tests find the reference data that is not part of the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def shared(path: str = "") -> Path:
    """A path inside the reference data folder; the test is skipped, saying so, where it is absent."""
    folder = Path(os.environ.get("VITREOUS_SHARED", ROOT.parent / "shared"))
    target = folder / path
    if not target.exists():
        pytest.skip(f"reference data not here: {path} (set VITREOUS_SHARED to the folder that holds it)")
    return target
