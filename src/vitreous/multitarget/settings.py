"""Settings of multi-target detection. Imports neither torch nor numpy: the Snakefile reads it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from vitreous.runtime.blocks import SettingsBlock


class MeasurementSettings(SettingsBlock):
    """A measurement of N x N px with targets of L x L px (paper 001, Section IV)."""

    # Paper 001, Section IV: N = 11 L.
    size_in_images: float = Field(11, ge=2, le=500, description="side of the measurement / side of an image")
    # Paper 001, Section IV: p L^2 / N^2 = 0.1.
    density: float = Field(0.1, gt=0, lt=1, description="share of the pixels that targets' boxes cover")
    # The public code of paper 001 plants one more than it is asked for: 13 at N = 11 L, of density 0.107.
    count: Literal["exact", "published"] = Field(
        "exact",
        description="`exact`: density x N^2 / L^2, rounded; `published`: one more, as its code",
    )
    # The public code asks for 2 L from corner to corner; the paper says 4 radii.
    separation: float = Field(
        2.0,
        ge=1,
        le=20,
        description="least distance of two targets' corners, in the larger of |dx| and |dy|, / side of an "
        "image; 2: no patch holds pieces of two targets, 1: they may touch",
    )
    # Paper 001, eq. 11 and Section IV: K = 4.
    rotations: int = Field(4, ge=1, le=720, description="number K of rotations, multiples of 360 / K degrees")

    def side(self, size: int) -> int:
        """Side N of the measurement in px, for images of `size` px."""
        return round(self.size_in_images * size)

    def targets(self, size: int) -> int:
        """Number of targets that the density means."""
        return max(1, round(self.density * self.side(size) ** 2 / size**2))

    def separation_px(self, size: int) -> int:
        """Least distance of two corners in px."""
        return round(self.separation * size)


class EmSettings(SettingsBlock):
    """Approximate expectation-maximisation: how poses are judged, how the image is updated, for how long."""

    VERSION: ClassVar[int] = 1
    USES_GPU: ClassVar[bool] = True

    published: bool = Field(
        False,
        exclude=True,
        description="every choice of paper 001: patches, uniform shifts, 100 single gradient steps",
    )
    e_step: Literal["whole", "patch"] = Field(
        "whole",
        description="`whole`: corners in the whole measurement, any size; `patch`: (N / L)^2 patches, as "
        "published",
    )
    m_step: Literal["auto", "gradient", "closed-form", "plug-and-play"] = Field(
        "auto",
        description="`gradient`: one step of ascent, as published; `closed-form`: the maximum; "
        "`plug-and-play`: the prior's denoiser on that; `auto`: the last with a prior, else the maximum",
    )
    iterations: int = Field(30, ge=1, le=10_000, description="EM iterations")
    # Paper 001, Table I.
    learning_rate: float = Field(1e-3, gt=0, description="step of `gradient`")
    gradient_steps: int = Field(1, ge=1, le=100, description="steps of `gradient` an iteration")
    stop_below: float = Field(1e-5, ge=0, description="norm of an update at which iterations end")
    gamma: float = Field(1.0, ge=0, description="weight of the prior's score in `gradient`")
    gamma_schedule: Literal["constant", "linear"] = Field(
        "constant", description="`linear`: from 0 to `gamma` over the iterations, as published for MNIST"
    )
    # Kreymer et al. 2022 learn every shift; paper 001 none; one number is what the data can tell at D = 121.
    shifts: Literal["uniform", "empty", "free"] = Field(
        "uniform",
        description="prior of shifts in patches: all alike; one learned number, the share of empty patches; "
        "or every shift learned",
    )
    sigma: Literal["given", "estimated"] = Field("given", description="the noise's standard deviation")
    start: Literal["images", "prior"] = Field(
        "images", description="`images`: the start that belongs to the images; `prior`: the prior's mean"
    )
    # ASSUME: 2.3 standard deviations of the data drown all but their mean (0.7 for MNIST, of 0.31).
    anneal_from: float = Field(
        2.3, ge=0, description="noise of the first `plug-and-play` denoising / spread of the prior's images"
    )
    anneal_share: float = Field(
        0.7, gt=0, le=1, description="share of the iterations until the denoiser's noise is the statistic's"
    )
    restarts: int = Field(
        1, ge=1, le=64, description="starts, the first as `start` says and others drawn from the prior; the "
        "one with the highest likelihood is kept"
    )  # fmt: skip
    orient: bool = Field(
        False, description="choose among rotations and centrings, which the data cannot tell, by the prior"
    )
    # A false alarm in a hundred measurements without targets, at most.
    alarm_rate: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="claim a target only where halves of the measurement confirm each other at this rate of "
        "false alarms, else return an empty image; null: no test",
    )
    precision: Literal["float32", "float64"] = Field("float32", description="numbers of the E-step")

    @model_validator(mode="before")
    @classmethod
    def _as_published(cls, values: object) -> object:
        if not isinstance(values, dict) or not values.get("published"):
            return values
        return {"e_step": "patch", "m_step": "gradient", "iterations": 100, "shifts": "uniform"} | values

    @model_validator(mode="after")
    def _fits(self) -> EmSettings:
        if self.e_step == "whole" and self.shifts != "uniform":
            raise ValueError("`shifts` is about patches; say `e_step: patch`, or leave it out")
        if self.restarts > 1 and self.m_step == "gradient":
            raise ValueError("`restarts` are for the closed form and plug-and-play")
        return self
