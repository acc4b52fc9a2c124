"""Where data come from. Imports neither torch nor numpy: the Snakefile reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from vitreous.data.fetch_settings import CespedFetch, CryopppFetch, EmpiarFetch
from vitreous.data.registry import Entry, find_entry
from vitreous.io.dataset_info import Target

# Of micrographs that come with CryoPPP's picks.
_PICKED = "CC0; picks of CryoPPP, CC BY 4.0"


class ImportSettings(BaseModel):
    """What becomes of files when they are laid down in the standard form; globs count from their folder."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    micrographs: list[str] = Field([], description="globs of MRC, JPG, PNG or TIFF images")
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
        None, description="particle STAR or .cs file; goes with the micrographs, or stands alone"
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


class LocalSettings(ImportSettings):
    """A folder of the user's own micrographs or particles, with whatever coordinates there are."""

    source: Literal["local"] = "local"
    folder: str = Field(min_length=1, description="the folder, relative to `data_root` or absolute")

    @model_validator(mode="after")
    def _something_given(self) -> LocalSettings:
        if not self.micrographs and self.particles is None:
            raise ValueError("give `micrographs`, globs of images, or `particles`, a STAR or .cs file")
        return self


class FetchedSettings(ImportSettings):
    """Micrographs of a public archive; what is not given comes from the registry, `config/datasets.tsv`."""

    COORDINATES: ClassVar[list[str]] = []

    @model_validator(mode="before")
    @classmethod
    def _from_registry(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or not isinstance(given.get("entry"), str | int):
            return given
        archive = str(given.get("source", getattr(cls, "ARCHIVE", "")))
        kind = CryopppFetch if archive == "cryoppp" else EmpiarFetch
        try:
            entry = kind.model_validate({"entry": given["entry"]}).entry
        except ValidationError:
            return given  # told with its place when the block itself is validated
        values = cls._defaults({**given, "entry": entry}, find_entry(archive, entry[:5]))
        return {**{key: value for key, value in values.items() if value is not None}, **given}

    @classmethod
    def _defaults(cls, given: dict[str, Any], known: Entry | None) -> dict[str, Any]:
        """What stands for a key that is not given."""
        if known is None:
            return {}
        optics = ("pixel_size_A", "voltage_kv", "cs_mm", "amplitude_contrast", "licence")
        values: dict[str, Any] = {key: getattr(known, key) for key in optics}
        stated = given.get("pixel_size_A", known.pixel_size_A)
        diameter_A = known.diameter_A
        if diameter_A is None and known.diameter_px and isinstance(stated, int | float):
            diameter_A = round(known.diameter_px * stated, 1)
        if diameter_A is not None:
            target = {"name": "particle", "diameter_A": diameter_A, "symmetry": known.symmetry or "C1"}
            values["targets"] = [{**target, "reference": next(iter(known.emdb), None)}]
        return values


class EmpiarSettings(EmpiarFetch, FetchedSettings):
    """Micrographs of an EMPIAR entry."""

    pixel_size_A: float = Field(gt=0, description="Å; default that of the registry")

    @classmethod
    def _defaults(cls, given: dict[str, Any], known: Entry | None) -> dict[str, Any]:
        values = super()._defaults(given, known)
        values["micrographs"] = [
            "data/**/*.[mM][rR][cC]",
            "data/**/*.[tT][iI][fF]",
            "data/**/*.[tT][iI][fF][fF]",
        ]
        values["accession"] = f"EMPIAR-{given['entry']}"
        # a gain reference beside movies or sums is no micrograph
        values["exclude"] = ["*gain*", "*Gain*"]
        if given.get("labels"):
            values |= {"coordinates": ["ground_truth/**/*.csv"], "flip_y": True, "licence": _PICKED}
        return values


class CryopppSettings(CryopppFetch, FetchedSettings):
    """Micrographs and picks of CryoPPP."""

    pixel_size_A: float = Field(gt=0, description="Å; default that of the registry")

    @classmethod
    def _defaults(cls, given: dict[str, Any], known: Entry | None) -> dict[str, Any]:
        values = super()._defaults(given, known)
        values["micrographs"] = ["micrographs/*.jpg" if given.get("lite") else "micrographs/*.mrc"]
        values["coordinates"] = ["ground_truth/particle_coordinates/*.csv"]
        # The coordinates fit the JPGs, which are the MRC arrays upside down.
        values["flip_y"] = not given.get("lite")
        values["accession"] = f"EMPIAR-{given['entry']}"
        values["licence"] = _PICKED
        return values

    @model_validator(mode="after")
    def _micrographs_wanted(self) -> CryopppSettings:
        if self.labels_only:
            raise ValueError("`labels_only` brings no micrographs; use `source: empiar` with `labels: true`")
        return self


class CespedSettings(CespedFetch):
    """Particles of a CESPED entry; half 0 becomes random subset 1, half 1 random subset 2."""

    # Every entry was resampled to it (CESPED's repository).
    pixel_size_A: float = Field(1.5, gt=0, description="Å")
    targets: list[Target] = Field([], description="the kind of particle: name, diameter_A, symmetry")
    licence: str | None = Field("CC BY 4.0", description="licence of the data")


ParticleSettings = Annotated[LocalSettings | CespedSettings, Field(discriminator="source")]
