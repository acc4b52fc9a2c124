"""Settings of CTF fit, extraction and engines. Imports neither torch nor numpy: the Snakefile reads it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from vitreous.runtime.blocks import SettingsBlock


class CtfSettings(SettingsBlock):
    """Thon rings of each micrograph, fitted over direction and frequency (physics/ctf_fit.py)."""

    VERSION: ClassVar[int] = 1

    variant: Literal["thon"] = "thon"
    window_px: int = Field(
        512, ge=128, le=4096, multiple_of=2, description="side of the windows whose power is averaged"
    )
    defocus_A: tuple[float, float] = Field(
        (5000.0, 40000.0), description="lowest and highest mean defocus, Å"
    )
    # methods/reconstruction.md §6: unaligned sums are weak beyond 6 Å, drift spoils what is coarser than 20
    # Å.
    band_A: tuple[float, float] = Field(
        (20.0, 5.0), description="coarsest and finest resolution that is fitted, Å"
    )
    phase_shift_deg: float = Field(0.0, description="of a phase plate; known, not fitted")
    # Measured: pure noise reaches 0.48 in 60 images, the drifted micrograph of EMPIAR-10146 0.33, its good
    # ones 0.75.
    min_quality: float = Field(0.5, ge=0, lt=1, description="a fit of lower quality is marked as failed")

    @model_validator(mode="after")
    def _ranges(self) -> CtfSettings:
        if not 0 < self.defocus_A[0] < self.defocus_A[1]:
            raise ValueError(
                f"defocus_A: found {list(self.defocus_A)}, expected 0 < lowest < highest (underfocus)"
            )
        if not self.band_A[0] > self.band_A[1] > 0:
            raise ValueError(f"band_A: found {list(self.band_A)}, expected coarsest > finest > 0")
        return self


class ExtractionSettings(SettingsBlock):
    """Particles from picks."""

    VERSION: ClassVar[int] = 1

    box_px: int | None = Field(
        None,
        ge=16,
        le=2048,
        multiple_of=2,
        description="side of the box as written; default `box_factor` diameters",
    )
    # ASSUME: 1.6 diameters hold the particle, room for its shift and some of what the CTF spreads.
    box_factor: float = Field(
        1.6, ge=1.05, le=10, description="side of the box / largest diameter of the targets"
    )
    pixel_size_A: float | None = Field(
        None,
        gt=0,
        description="pixel size to rescale to, Å; the nearest that gives whole even boxes; default none",
    )
    edge: Literal["drop", "pad"] = Field(
        "drop",
        description="particles whose box leaves the micrograph: dropped, or filled by the edge's pixels",
    )
    # RELION's habit, radius 75 % of half the box, is 1.2 times the particle's radius at a box of 1.6
    # diameters.
    background_factor: float = Field(
        1.2, ge=1, description="radius outside which the background is normalised / radius of the particle"
    )
    ramp: bool = Field(True, description="subtract a plane fitted to the background")
    # ASSUME: as long as no engine finds poses, maps are made from the true ones.
    poses: Literal["truth", "none"] = Field(
        "truth", description="give each pick the pose of its true particle, where the data set knows it"
    )


class NativeEngine(SettingsBlock):
    """Own Fourier insertion."""

    VERSION: ClassVar[int] = 1
    USES_GPU: ClassVar[bool] = True

    variant: Literal["native"] = "native"
    pad: Literal[1, 2] = Field(
        2, description="zero padding; 1 saves memory and time, with aliasing at the corners"
    )
    ctf: bool = Field(True, description="correct for the CTF; false for images that have none")
    max_resolution_A: float | None = Field(
        None, gt=0, description="finest resolution that is kept; default Nyquist"
    )
    # Measured on 222 simulated particles (D2): at 0.1 the map agrees better with the truth than at
    # RELION's 0.001 (FSC 0.315 against 0.296 at 0.9 Nyquist), and as well with RELION's map.
    weight_floor: float = Field(
        0.1, gt=0, le=1, description="least weight of a voxel / mean weight of its shell"
    )
    fsc_weighting: bool = Field(
        False, description="weight map.mrc (not the halves) by sqrt(2 FSC / (1 + FSC)) of the unmasked halves"
    )
    batch: int = Field(100, ge=1, description="particles in memory at a time")


class RelionEngine(SettingsBlock):
    """`relion_reconstruct`, found on the PATH."""

    VERSION: ClassVar[int] = 1
    USES_GPU: ClassVar[bool] = False

    variant: Literal["relion"] = "relion"
    pad: Literal[1, 2] = Field(2, description="zero padding")
    ctf: bool = Field(True, description="correct for the CTF; false for images that have none")
    max_resolution_A: float | None = Field(
        None, gt=0, description="finest resolution that is kept; default Nyquist"
    )
    skip_gridding: bool = Field(
        False, description="leave out the gridding iterations: faster, nearly the same"
    )


EngineSettings = Annotated[NativeEngine | RelionEngine, Field(discriminator="variant")]
