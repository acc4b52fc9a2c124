"""Relative paths of a configuration, resolved against the file they stand in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)
# A local folder is relative to `data_root`, which is resolved itself.
RELATIVE_TO_DATA_ROOT = ("folder",)


def _shown(path: Path) -> Path:
    """The same place, relative to the working directory where it lies inside it."""
    full = Path(os.path.normpath(path))
    here = Path.cwd()
    return full.relative_to(here) if full.is_relative_to(here) else full


def _resolved(value: Any, base: Path) -> Any:
    if isinstance(value, BaseModel):
        return resolve_paths(value, base)
    if isinstance(value, Path):
        return _shown(base / value)
    if isinstance(value, dict):
        return {key: _resolved(item, base) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item, base) for item in value]
    return value


def resolve_paths(model: M, base: Path) -> M:
    """A copy of `model` in which every path that was given is resolved against `base`.

    Defaults stay relative to the working directory.
    """
    changed = {}
    for name in model.model_fields_set - set(RELATIVE_TO_DATA_ROOT):
        value = getattr(model, name)
        resolved = _resolved(value, base)
        if resolved is not value and resolved != value:
            changed[name] = resolved
    return model.model_copy(update=changed)
