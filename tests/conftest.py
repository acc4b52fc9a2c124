"""What all tests share: the tests' own folder on the import path, one thread for each worker."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")

# after the path above is set
from fake_archive import FakeArchive  # noqa: E402

from vitreous.data.download.client import Client  # noqa: E402
from vitreous.data.download.settings import NetworkSettings  # noqa: E402


@pytest.fixture(autouse=True)
def _fresh_logging() -> None:
    """The command line sets levels and handlers for its process; no test inherits them from another."""
    package = logging.getLogger("vitreous")
    package.setLevel(logging.NOTSET)
    package.propagate = True
    for handler in list(package.handlers):
        package.removeHandler(handler)
    logging.raiseExceptions = True


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[FakeArchive]:
    """The loopback archive, serving the test's own folder."""
    with FakeArchive(tmp_path) as archive:
        yield archive


@pytest.fixture
def client(archive: FakeArchive) -> Client:
    """A client that takes every archive for the loopback one."""
    return Client(NetworkSettings.model_validate({"mirrors": archive.mirrors, "tries": 2, "backoff_s": 0}))
