"""What every block of the configuration is made of: how names look and what a block refuses."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

NAME = r"[a-z0-9][a-z0-9-]*"
Name = Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
RESERVED = {"raw", "truth", "given", "all"}


class Block(BaseModel):
    """A block of the configuration: unknown keys and non-finite numbers are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
