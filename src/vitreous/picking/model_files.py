"""What a picker with a model demands of its user."""

from __future__ import annotations

from typing import TypeVar

from vitreous.errors import SettingsError

M = TypeVar("M")


def required_model(model: M | None, picker: str) -> M:
    """The model itself; raises SettingsError where `picker`, as its user calls it, has none to pick with."""
    if model is None:
        raise SettingsError(f"{picker} needs a model", todo="train one (`models:` in the configuration)")
    return model
