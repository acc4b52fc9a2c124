"""Settings of the report."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field


class ReportSettings(BaseModel):
    """What the report shows and how large it may become."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    VERSION: ClassVar[int] = 1

    overlays_per_picker: int = Field(
        3,
        ge=0,
        le=9,
        description="micrographs shown with their picks for each picker: best, median, worst, …",
    )
    overlay_side_px: int = Field(800, ge=200, le=2000, description="longer side of such a picture in pixels")
    rows_per_table: int = Field(
        500, ge=10, le=20000, description="rows of a long table; the rest stays in its file"
    )
    max_megabytes: float = Field(10.0, gt=0.1, description="the page's size; pictures are left out beyond it")
