"""Model files: tensors and plain values under a name of their kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vitreous.errors import InputError
from vitreous.runtime.files import atomic_path


def read_model(path: Path, kind: str) -> Mapping[str, Any]:
    """What a model file of `kind` holds, on the CPU; raises InputError for any other file."""
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for files that are not its own
        raise InputError("not a model file", file=path, found=type(error).__name__) from error
    if not isinstance(stored, dict) or stored.get("kind") != kind:
        raise InputError("a model of another kind", file=path, expected=f"a model of kind '{kind}'")
    return stored


def write_model(path: Path, model: Mapping[str, Any]) -> None:
    """Write tensors and plain values, whole or not at all."""
    # by its path torch would write the temporary name into the file: no two would be the same bytes
    with atomic_path(path) as part, open(part, "wb") as handle:
        torch.save(dict(model), handle)
