"""The reconstruction engines by name; an engine is a module with its own settings and one entry here."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from vitreous.errors import SettingsError

ENGINES = {
    "native": "vitreous.reconstruction.native:reconstruct_halves",
    "relion": "vitreous.reconstruction.relion:reconstruct_halves",
}


def engine(variant: str) -> Callable[..., Any]:
    """The function of an engine, called as `native.reconstruct_halves` is; gives `halves.HalfMaps`.

    Raises SettingsError for a name that has no entry.
    """
    if variant not in ENGINES:
        raise SettingsError("no such engine", found=variant, expected=", ".join(ENGINES))
    module, function = ENGINES[variant].split(":")
    return getattr(import_module(module), function)
