"""Where data come from. Imports neither torch nor numpy: the Snakefile reads it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from vitreous.io.dataset_info import Target


class LocalSettings(BaseModel):
    """A folder of the user's own micrographs, with or without coordinates; globs count from the folder."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    source: Literal["local"] = "local"
    folder: str = Field(min_length=1, description="the folder, relative to `data_root` or absolute")
    micrographs: list[str] = Field(min_length=1, description="globs of MRC, JPG, PNG or TIFF images")
    exclude: list[str] = Field([], description="globs of micrographs to leave out")
    coordinates: list[str] = Field([], description="globs of coordinate files of any kind")
    coordinates_kind: Literal["auto", "star", "csv", "box", "box-centre", "coord", "cbox", "topaz", "cs"] = (
        Field("auto", description="what the coordinate files are; `auto` goes by their ending")
    )
    coordinates_complete: bool = Field(
        False, description="micrographs without coordinates hold no particle (else: are not annotated)"
    )
    coordinates_scale: float | None = Field(
        None,
        gt=0,
        description="factor on coordinates; 1 where they lie in a corner and are right all the same",
    )
    flip_y: bool = Field(False, description="rows of the coordinates count from the bottom")
    min_score: float | None = Field(None, description="coordinates with a lower score are left out")
    max_outside_share: float = Field(
        0.02, ge=0, le=1, description="refuse where more of the coordinates lie outside their micrograph"
    )
    max_failed_share: float = Field(
        0.1, ge=0, le=1, description="refuse where more of the micrographs cannot be read"
    )
    particles: str | None = Field(
        None, description="particle STAR or .cs file that goes with the micrographs"
    )
    pixel_size_A: float = Field(gt=0, description="Å")
    trust: Literal["settings", "header"] | None = Field(
        None,
        description="which pixel size is right where `pixel_size_A` and a header differ by more than 1 %",
    )
    voltage_kv: float | None = Field(
        None, ge=10, le=1000, description="kV; needed for CTF and reconstruction"
    )
    cs_mm: float | None = Field(None, ge=0, le=20, description="spherical aberration, mm")
    amplitude_contrast: float | None = Field(None, ge=0, le=1, description="share of amplitude contrast")
    dose_e_per_A2: float | None = Field(None, gt=0, description="total dose, electrons per Å²")
    contrast: Literal["dark", "bright"] = Field("dark", description="how protein shows in the micrographs")
    targets: list[Target] = Field(
        [], description="the kinds of particle: name, diameter_A, symmetry, reference"
    )
    accession: str | None = Field(None, description="for instance EMPIAR-10146")
    licence: str | None = Field(None, description="licence of the data")
    link: bool = Field(True, description="link to the images; false copies them")
    batches: int | None = Field(None, ge=1, le=99, description="also write that many batch files")

    @field_validator("micrographs", "exclude", "coordinates", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value
