"""Which code, settings and inputs made a result, and whether the code has changed since.

The hash of the code is taken over the syntax trees (without comments and docstrings) of the modules that a
stage imports, directly or through others, inside this package. Variants that a registry loads by name are not
imports; they are named as further modules.
"""

from __future__ import annotations

import ast
import hashlib
import platform
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vitreous.runtime.files import read_json, write_json

PACKAGE = Path(__file__).resolve().parents[1]
RECORDED = ("vitreous", "torch", "numpy", "scipy", "snakemake")


def _module_file(dotted: str) -> Path | None:
    parts = dotted.split(".")
    if parts[0] != PACKAGE.name:
        return None
    path = PACKAGE.joinpath(*parts[1:])
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    return tree


def _imports(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in names if name.split(".")[0] == PACKAGE.name}


@cache
def _digest(path: Path, mtime_ns: int) -> tuple[str, frozenset[str]]:
    tree = _without_docstrings(ast.parse(path.read_text(encoding="utf-8")))
    text = ast.dump(tree, annotate_fields=False, include_attributes=False)
    return hashlib.sha256(text.encode()).hexdigest(), frozenset(_imports(tree))


def import_closure(modules: Iterable[str]) -> list[Path]:
    """Files of this package that `modules` (dotted names) need, themselves included, sorted."""
    seen: set[Path] = set()
    waiting = list(modules)
    while waiting:
        path = _module_file(waiting.pop())
        if path is None or path in seen:
            continue
        seen.add(path)
        waiting.extend(_digest(path, path.stat().st_mtime_ns)[1])
    return sorted(seen)


def code_hash(*modules: str) -> str:
    """A hash of the code that `modules` (dotted names, `module:function` allowed) run; 16 digits."""
    total = hashlib.sha256()
    for path in import_closure(name.split(":")[0] for name in modules):
        total.update(str(path.relative_to(PACKAGE)).encode())
        total.update(_digest(path, path.stat().st_mtime_ns)[0].encode())
    return total.hexdigest()[:16]


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a result's numbers."""
    found = {"python": platform.python_version()}
    for name in RECORDED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def fingerprint(path: str | Path) -> dict[str, int]:
    """Size in bytes and modification time in ns of a file: what tells that an input has changed."""
    stat = Path(path).stat()
    return {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def write_provenance(
    path: str | Path,
    *,
    stage: str,
    settings: Mapping[str, Any],
    inputs: Iterable[str | Path],
    seed: int,
    modules: Iterable[str] = (),
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Record how a result was made: `stage` is `module:function`, `modules` the variants loaded by name."""
    made_by = [stage, *modules]
    record = {
        "stage": stage,
        "modules": made_by,
        "code": code_hash(*made_by),
        "settings": dict(settings),
        "inputs": {str(item): fingerprint(item) for item in inputs if Path(item).is_file()},
        "seed": seed,
        "versions": versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        **(facts or {}),
    }
    write_json(path, record)


def is_stale(path: str | Path) -> bool:
    """Whether the code that made the result of this provenance file has changed since."""
    record = read_json(path)
    return bool(record["code"] != code_hash(*record["modules"]))
