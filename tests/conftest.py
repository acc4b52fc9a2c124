"""What all tests share: the tests' own folder on the import path, one thread for each worker."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")


@pytest.fixture(autouse=True)
def _fresh_logging() -> None:
    """The command line sets levels and handlers for its process; no test inherits them from another."""
    package = logging.getLogger("vitreous")
    package.setLevel(logging.NOTSET)
    package.propagate = True
    for handler in list(package.handlers):
        package.removeHandler(handler)
    logging.raiseExceptions = True
