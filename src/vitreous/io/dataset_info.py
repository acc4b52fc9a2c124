"""What a dataset says of itself: `dataset.json` of the standard form (no array library is imported here)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Target(BaseModel):
    """A kind of particle in the dataset."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(pattern=r"^[a-z0-9-]+$", description="name of the target, as in truth/maps/<name>.mrc")
    diameter_A: float = Field(gt=0, allow_inf_nan=False, description="largest diameter in Å")
    symmetry: str = Field(default="C1", description="point group in RELION's notation")
    reference: str | None = Field(default=None, description="where a reference map comes from")


class DatasetInfo(BaseModel):
    """Where a dataset comes from and its optics; None where a value is not known.

    `verified` says, by the name of a value, how it was checked.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    accession: str | None = None
    source: str
    licence: str | None = None
    pixel_size_A: float = Field(gt=0, allow_inf_nan=False)
    voltage_kv: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    cs_mm: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    amplitude_contrast: float | None = Field(default=None, ge=0, le=1)
    dose_e_per_A2: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    contrast: Literal["dark", "bright"] = "dark"
    targets: list[Target] = []
    verified: dict[str, str] = {}
