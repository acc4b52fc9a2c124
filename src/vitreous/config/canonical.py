"""Settings in the form that a rule gets: only what differs from the defaults, in one order.

Fields that only choose other fields' values (presets, `exclude=True`) are left out: what they chose is there.
So a new option, a comment or another order of the keys reruns nothing, and an edit reruns what it touches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter

TAGS = ("variant", "source")
T = TypeVar("T")


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _changed(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def _changed(model: BaseModel) -> dict[str, Any]:
    fields = type(model).model_fields
    kept = {}
    for name in sorted(name for name in fields if not fields[name].exclude):
        value = getattr(model, name)
        default = fields[name].get_default(call_default_factory=True)
        if name in TAGS or value != default:
            kept[name] = _plain(value)
    return kept


def canonical(model: BaseModel, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Plain settings: keys sorted, defaults and the keys in `without` left out, and the model's `version`.

    A model raises its version when a default changes its meaning.
    """
    plain = {key: value for key, value in _changed(model).items() if key not in without}
    return {**plain, "version": getattr(type(model), "VERSION", 1)}


def restore(kind: Any, plain: Mapping[str, Any]) -> Any:
    """The typed settings of `kind` (a model or a union of models) from their canonical form."""
    return TypeAdapter(kind).validate_python({key: value for key, value in plain.items() if key != "version"})
