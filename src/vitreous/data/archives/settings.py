"""Which files of an archive's entry are wanted. Imports nothing heavy: the Snakefile reads it."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from vitreous.runtime.blocks import SettingsBlock

# An entry of CESPED under the name that its paper gives it (10647), and since April 2024.
CESPED_ALIASES = {"10647": "10648"}


class Selection(SettingsBlock):
    """Some of an entry's files: included and not excluded, then the first `count` in natural order."""

    include: list[str] = Field(
        [], description="globs of paths below the entry or of bare file names; none: every file"
    )
    exclude: list[str] = Field([], description="globs of files to leave out, in the same form")
    count: int | None = Field(
        None, ge=1, description="only the first so many, numbers in names being compared as numbers"
    )

    @field_validator("include", "exclude", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value
