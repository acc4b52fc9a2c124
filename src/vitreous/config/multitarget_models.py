"""Multi-target detection in the configuration: priors, methods, and the experiments that compare them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from vitreous.config.blocks import Block, Name
from vitreous.multitarget.image_settings import ImagesSettings
from vitreous.multitarget.prior_settings import PriorSettings
from vitreous.multitarget.settings import EmSettings, MeasurementSettings


class PriorModel(Block):
    """A prior of images: trained here on a set of images, or a file."""

    settings: PriorSettings | None = Field(None, description="the variant and its settings, to train")
    images: Name | None = Field(
        None, description="name of `experiments.multitarget.images`; its targets are never trained on"
    )
    seeds: list[int] = Field([0], min_length=1, description="one prior is trained for each seed")
    file: Path | None = Field(None, description="a prior trained before, instead of `settings` and `images`")

    @model_validator(mode="after")
    def _trained_or_given(self) -> PriorModel:
        if (self.file is None) == (self.settings is None) or (self.settings is None) != (self.images is None):
            raise ValueError("give either `settings` and `images`, or `file`")
        return self


class DetectionMethod(EmSettings):
    """A method that is compared: EM as its settings say, with a prior or without."""

    prior: Name | None = Field(None, description="name of a block of `models.multitarget`; none: no prior")
    seed: int | None = Field(None, description="which of the prior's seeds; default the first")


class DetectionExperiment(Block):
    """Every method at every SNR on measurements of every target, with several draws of poses and noise."""

    title: str = Field("", description="what the report calls it")
    images: Name = Field(description="name of `experiments.multitarget.images` whose targets are planted")
    measurement: MeasurementSettings = Field(
        MeasurementSettings(), description="size, density, separation and rotations"
    )
    snr: list[Annotated[float, Field(gt=0)]] = Field(
        min_length=1, description="mean square of a target over its box / variance of the noise"
    )
    seeds: int = Field(
        5, ge=1, le=10_000, description="draws of poses and noise for each target, the same at every SNR"
    )
    controls: int = Field(
        0, ge=0, le=1000, description="measurements of noise alone for each target, which must show nothing"
    )
    recovered: float = Field(0.45, gt=0, description="aligned error below which a target counts as recovered")
    methods: list[Name] = Field(min_length=1, description="names of `experiments.multitarget.methods`")


class MultitargetExperiments(Block):
    """Experiments on multi-target detection (Zabatani et al. 2023); target `multitarget_<name>`."""

    images: dict[Name, ImagesSettings] = Field({}, description="where targets and training images come from")
    methods: dict[Name, DetectionMethod] = Field({}, description="methods that are compared")
    tables: dict[Name, DetectionExperiment] = Field(
        {}, description="experiments by name; `figure3`, `figure4`, `figure5` are the paper's"
    )
