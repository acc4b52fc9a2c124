"""Model files of trained pickers: tensors and plain values under a name of their kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from vitreous.errors import InputError, SettingsError

M = TypeVar("M")


def read_model(path: Path, kind: str) -> Mapping[str, Any]:
    """What a model file of `kind` holds, on the CPU; raises InputError for any other file."""
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for files that are not its own
        raise InputError("not a model file", file=path, found=type(error).__name__) from error
    if not isinstance(stored, dict) or stored.get("kind") != kind:
        raise InputError("a model of another kind", file=path, expected=f"a model of kind '{kind}'")
    return stored


def required_model(model: M | None, picker: str) -> M:
    """The model itself; raises SettingsError where `picker`, as its user calls it, has none to pick with."""
    if model is None:
        raise SettingsError(f"{picker} needs a model", todo="train one (`models:` in the configuration)")
    return model
