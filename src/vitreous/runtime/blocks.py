"""What every block of a room's settings is made of; without torch and numpy, as the Snakefile reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict


class SettingsBlock(BaseModel):
    """A block of settings: unknown keys and non-finite numbers are refused, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings of a preset `below` and those given `above` it, which win."""
    both = dict(below)
    for key, value in above.items():
        inner = value.model_dump() if isinstance(value, SettingsBlock) else value
        nested = isinstance(inner, Mapping) and isinstance(both.get(key), Mapping)
        both[key] = merged(both[key], inner) if nested else inner
    return both
