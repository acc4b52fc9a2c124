"""What can be simulated and its defaults. Imports neither torch nor numpy: the Snakefile reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from vitreous.runtime.blocks import SettingsBlock

PHANTOM_SYMMETRY = {"c1": "C1", "c4": "C4", "d2": "D2", "o": "O"}


def micrograph_stem(index: int) -> str:
    """Name without folder and suffix of micrograph `index` (from 0)."""
    return f"m{index + 1:05d}"


class TargetSettings(SettingsBlock):
    """One molecule: a built-in phantom, a map (MRC) or atoms (mmCIF/PDB, also gzipped)."""

    name: str = Field(pattern=r"^[a-z0-9-]+$", description="name of the target")
    phantom: Literal["c1", "c4", "d2", "o"] | None = Field(
        None, description="built-in molecule of that symmetry"
    )
    map: Path | None = Field(None, description="map, MRC")
    atoms: Path | None = Field(None, description="atoms, mmCIF or PDB, also gzipped")
    assembly: str | None = Field(
        None, description="of atoms: the biological assembly of that name, built by the file's operators"
    )
    diameter_A: float = Field(gt=10, description="longest extent; distance of neighbours is counted in it")
    symmetry: str | None = Field(default=None, description="of a map or of atoms; a phantom brings its own")
    count: float = Field(default=50.0, ge=0, description="mean number a micrograph (Poisson)")
    elongation: float = Field(default=1.0, ge=1, le=4, description="length over width of a phantom")
    shape_seed: int = Field(default=0, description="another number is another phantom of the same kind")
    contrast: float = Field(
        default=1.0, gt=0, description="factor on the potential where no snr is asked for"
    )

    @model_validator(mode="after")
    def _one_source(self) -> TargetSettings:
        given = [key for key in ("phantom", "map", "atoms") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"target {self.name}: give one of phantom, map, atoms; found {given or 'none'}")
        if self.assembly is not None and self.atoms is None:
            raise ValueError(f"target {self.name}: an assembly is one of atoms")
        if self.phantom is None and self.elongation != 1:
            raise ValueError(f"target {self.name}: elongation is for phantoms only")
        if self.phantom == "o" and self.elongation != 1:
            raise ValueError(f"target {self.name}: a phantom of symmetry O cannot be elongated")
        if self.phantom and self.symmetry not in (None, PHANTOM_SYMMETRY[self.phantom]):
            raise ValueError(
                f"target {self.name}: phantom {self.phantom} has symmetry {PHANTOM_SYMMETRY[self.phantom]}, "
                f"found symmetry: {self.symmetry}"
            )
        return self

    @property
    def group(self) -> str:
        """Name of the point group."""
        return self.symmetry or PHANTOM_SYMMETRY.get(self.phantom or "", "C1")


class IceSettings(SettingsBlock):
    """The layer of ice: its thickness decides mean brightness, its molecules make weak Thon rings."""

    thickness_A: float = Field(default=400.0, gt=0, description="Å")
    gradient: float = Field(
        default=0.2, ge=0, lt=1, description="relative change of thickness, centre to edge"
    )
    # ASSUME: 0.3 of the amplitude of frozen molecules remains, as they move under the beam (McMullan,
    # Vinothkumar and Henderson 2015); it gives Thon rings a few percent above the counting noise.
    structure: float = Field(
        default=0.3, ge=0, description="amplitude of the ice's structure; 1 is still ice"
    )


class ArtefactSettings(SettingsBlock):
    """What a picker must not pick. Counts are drawn uniformly from the two numbers, both included."""

    carbon_probability: float = Field(
        default=0.0, ge=0, le=1, description="share of micrographs with a hole's edge"
    )
    carbon_thickness_A: float = Field(default=120.0, gt=0, description="Å")
    hole_radius_A: float = Field(default=6000.0, gt=0, description="radius of the hole in the carbon, Å")
    ice_balls: tuple[int, int] = Field((0, 0), description="fewest and most balls of ice")
    ice_ball_radius_A: tuple[float, float] = Field((80.0, 250.0), description="their radii, Å")
    aggregates: tuple[int, int] = Field((0, 0), description="fewest and most clumps of molecules")
    debris: tuple[int, int] = Field((0, 0), description="fewest and most broken molecules")

    @model_validator(mode="after")
    def _ranges(self) -> ArtefactSettings:
        for key in ("ice_balls", "ice_ball_radius_A", "aggregates", "debris"):
            low, high = getattr(self, key)
            if not 0 <= low <= high:
                raise ValueError(f"{key}: found [{low}, {high}], expected two numbers, 0 <= first <= second")
        return self


class DetectorSettings(SettingsBlock):
    """The camera: reading noise for the whole exposure and the spread of a pixel's charge."""

    readout_noise_e: float = Field(default=1.0, ge=0, description="standard deviation, electrons a pixel")
    mtf_at_nyquist: float = Field(default=1.0, gt=0, le=1, description="below 1 signal and noise are blurred")


class CtfRangeSettings(SettingsBlock):
    """Microscope and the range of its defocus."""

    pixel_size_A: float = Field(default=2.0, gt=0, description="Å")
    voltage_kv: float = Field(default=300.0, ge=10, le=1000, description="kV")
    cs_mm: float = Field(default=2.7, ge=0, le=20, description="spherical aberration, mm")
    amplitude_contrast: float = Field(default=0.1, ge=0, le=1, description="share of amplitude contrast")
    phase_shift_deg: float = Field(0.0, description="of a phase plate, degrees")
    defocus_A: float = Field(default=16000.0, description="mean, underfocus positive")
    defocus_spread_A: float = Field(default=4000.0, ge=0, description="uniform within mean -/+ this")
    astigmatism_A: float = Field(default=300.0, ge=0, description="U - V, uniform from 0 to this")
    b_factor_A2: float = Field(default=60.0, ge=0, description="envelope exp(-B k^2/4) of the images")


class SimulateSettings(CtfRangeSettings):
    """A data set of whole micrographs with known truth."""

    source: Literal["simulate"] = "simulate"
    micrographs: int = Field(default=20, ge=0, description="how many")
    shape: tuple[int, int] = Field(default=(1024, 1024), description="rows, columns")
    targets: list[TargetSettings] = Field(min_length=1, description="the molecules")
    seed: int = Field(default=0, description="another number is another data set of the same kind")
    dose_e_per_A2: float = Field(default=40.0, gt=0, description="total dose, electrons per Å²")
    snr: float | None = Field(
        None, gt=0, description="variance of the signal in a disc of the diameter / of the noise of a pixel"
    )
    defocus_height_A: float = Field(
        default=0.0, ge=0, description="standard deviation of the particles' heights"
    )
    overlap: float = Field(default=0.0, ge=0, lt=1, description="share of the diameter that may overlap")
    edge_margin: float = Field(
        default=0.5, ge=0, description="centres keep this many diameters from the edge"
    )
    ice: IceSettings = Field(IceSettings(), description="the layer of ice")
    artefacts: ArtefactSettings = Field(ArtefactSettings(), description="what must not be picked")
    detector: DetectorSettings = Field(DetectorSettings(), description="the camera")
    half_doses: bool = Field(
        default=False, description="also half1/ and half2/: the same electrons, shared out"
    )
    format: Literal["float32", "float16", "uint16", "int8"] = Field(
        "float32", description="number format of the MRC files"
    )

    @model_validator(mode="after")
    def _sizes(self) -> SimulateSettings:
        names = [target.name for target in self.targets]
        if len(set(names)) != len(names):
            raise ValueError(f"targets: names must differ, found {names}")
        if min(self.shape) < 64 or max(self.shape) > 16384:
            raise ValueError(f"shape: found {list(self.shape)}, expected 64 to 16384 rows and columns")
        largest = max(target.diameter_A for target in self.targets)
        if largest > 0.5 * min(self.shape) * self.pixel_size_A:
            raise ValueError(
                f"targets: a diameter of {largest:g} A does not fit a micrograph of "
                f"{min(self.shape) * self.pixel_size_A:g} A; expected at most half of it"
            )
        if self.defocus_A - self.defocus_spread_A - self.astigmatism_A - 3 * self.defocus_height_A <= 0:
            raise ValueError("defocus_A: the spread reaches overfocus; expected a mean above all spreads")
        return self


class ParticlesSettings(CtfRangeSettings):
    """A stack of single particles with known poses, as a perfect picker would cut them."""

    targets: list[TargetSettings] = Field(min_length=1, description="`count` are shares here")
    particles: int = Field(default=1000, ge=1)
    box_px: int = Field(default=64, ge=16)
    snr: float = Field(
        default=0.1, gt=0, description="variance of the signal in the diameter's disc / of the noise"
    )
    shift_A: float = Field(default=3.0, ge=0, description="standard deviation of each origin")
    seed: int = 0
    batch: int = Field(default=256, ge=1)

    @model_validator(mode="after")
    def _box(self) -> ParticlesSettings:
        largest = max(target.diameter_A for target in self.targets)
        if self.box_px % 2 or largest > 0.9 * self.box_px * self.pixel_size_A:
            raise ValueError(
                f"box_px: found {self.box_px}, expected an even number of at least "
                f"{largest / 0.9 / self.pixel_size_A:.0f} for a diameter of {largest:g} A"
            )
        return self
