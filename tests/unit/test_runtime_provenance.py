from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from vitreous.runtime.provenance import PACKAGE, code_hash, import_closure, is_stale, write_provenance


def _hash_of_copy(package: Path, module: str) -> str:
    code = f"from vitreous.runtime.provenance import code_hash; print(code_hash({module!r}))"
    run = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(package.parent)}, capture_output=True, text=True
    )
    return run.stdout.strip()


def test_the_closure_follows_imports_and_stays_inside_the_package() -> None:
    names = {path.relative_to(PACKAGE).as_posix() for path in import_closure(["vitreous.runtime.work"])}
    assert {"runtime/work.py", "runtime/lock.py", "errors.py"} <= names
    assert "runtime/job.py" not in names


def test_comments_and_docstrings_leave_the_hash_and_code_changes_it(tmp_path: Path) -> None:
    package = tmp_path / "vitreous"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    before = _hash_of_copy(package, "vitreous.runtime.work")
    lock = package / "runtime" / "lock.py"
    lock.write_text(
        "# a comment\n" + lock.read_text().replace('"""Give the lock back."""', '"""Return it."""')
    )
    assert _hash_of_copy(package, "vitreous.runtime.work") == before
    lock.write_text(lock.read_text().replace("STALE_AFTER_S = 120.0", "STALE_AFTER_S = 121.0"))
    assert len(before) == 16
    assert _hash_of_copy(package, "vitreous.runtime.work") != before


def test_a_result_is_stale_when_its_code_hash_differs(tmp_path: Path) -> None:
    path = tmp_path / "provenance.json"
    write_provenance(path, stage="vitreous.runtime.work:run_items", settings={}, inputs=[], seed=0)
    assert not is_stale(path)
    path.write_text(path.read_text().replace(code_hash("vitreous.runtime.work"), "0" * 16))
    assert is_stale(path)
