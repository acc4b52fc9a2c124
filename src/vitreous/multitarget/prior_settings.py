"""Settings of the image priors. The class defaults are the preset `small`.

Imports neither torch nor numpy: the Snakefile reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from vitreous.runtime.blocks import SettingsBlock, merged

Precision = Literal["auto", "fp32", "bf16"]
PRECISION = "of matrix products in training; auto: bf16 where the device multiplies it, else fp32"


class PriorBase(SettingsBlock):
    """What every prior has: whether it is trained, and presets, over which keys that are given win."""

    VERSION: ClassVar[int] = 1
    NEEDS_MODEL: ClassVar[bool] = True
    USES_GPU: ClassVar[bool] = True
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @model_validator(mode="before")
    @classmethod
    def _presets(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or "preset" not in values:
            return values
        return merged(cls.PRESETS.get(str(values["preset"]), {}), values)


class GaussianPriorSettings(PriorBase):
    """The exact prior N(mean, std^2) of independent pixels; the mean is that of the images' source."""

    NEEDS_MODEL: ClassVar[bool] = False
    USES_GPU: ClassVar[bool] = False

    variant: Literal["gaussian"] = "gaussian"
    # Paper 001, §IV-A: targets are drawn from N(mean, I).
    std: float = Field(1.0, gt=0, description="standard deviation of a pixel about the mean image")


class ImplicitPriorSettings(PriorBase):
    """A score network of three dense layers by implicit score matching (paper 001, eq. 5), for tiny images.

    The defaults are those of the public code of paper 001 (methods/multitarget.md §2).
    """

    USES_GPU: ClassVar[bool] = False
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "minimal": {"steps": 100, "samples": 2000},
        "small": {},
        "paper": {},
    }

    variant: Literal["implicit"] = "implicit"
    preset: Literal["minimal", "small", "paper"] = Field(
        "small", exclude=True, description="sizes: seconds, as published, as published; keys below win"
    )
    width: int = Field(256, ge=1, description="width of the two hidden layers")
    steps: int = Field(200, ge=1, description="steps, each over all samples")
    learning_rate: float = Field(1e-3, gt=0, description="of Adam, constant")
    samples: int = Field(10_000, ge=1, description="training images used, the first ones")
    checkpoint_every: int = Field(50, ge=1, description="steps between two checkpoints")


class VpTrainingSettings(SettingsBlock):
    """How the network of the variance-preserving SDE is trained."""

    # ASSUME: five passes that end at a small rate stand for the 400 at a constant rate that were published
    # (ten hours on a GPU): a quarter of an hour on one core.
    epochs: int = Field(5, ge=1, description="rounds of training")
    epoch_images: int | None = Field(None, ge=1, description="images a round, drawn anew; null: all")
    batch: int = Field(64, ge=1, description="images a step")
    learning_rate: float = Field(1e-3, gt=0, description="of Adam, at the start")
    least_rate: float = Field(1e-5, ge=0, description="at the end, after half a cosine")
    precision: Precision = Field("auto", description=PRECISION)
    checkpoint_every: int = Field(1, ge=1, description="rounds between two checkpoints")


class VpPriorSettings(PriorBase):
    """The published prior of paper 001 for digits: a U-Net trained on the variance-preserving SDE.

    Values are those of its public code (methods/multitarget.md §2) where nothing else is said.
    """

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "minimal": {
            "widths": (8, 16, 16, 16, 16),
            "training": {"epochs": 3, "epoch_images": 2048, "learning_rate": 3e-3},
        },
        "small": {},
        "paper": {
            "training": {
                "epochs": 400, "learning_rate": 3e-4, "least_rate": 3e-4, "precision": "fp32",
                "checkpoint_every": 5,
            },
        },
    }  # fmt: skip

    variant: Literal["vp"] = "vp"
    preset: Literal["minimal", "small", "paper"] = Field(
        "small", exclude=True, description="sizes: seconds, 15 minutes on a core, published; keys below win"
    )
    parametrisation: Literal["published", "noise"] = Field(
        "published",
        description="what the network gives: the score itself (published), or -sigma times it, of unit size",
    )
    widths: tuple[int, int, int, int, int] = Field(
        (32, 64, 128, 256, 256), description="channels at full, half, quarter ... resolution"
    )
    query_time: float = Field(
        0.01, gt=0, le=1, description="time at which the score is asked for; 0.01: noise of 0.0447"
    )
    training: VpTrainingSettings = Field(VpTrainingSettings(), description="its training")


class UnetSettings(SettingsBlock):
    """Sizes of the U-Net of the EDM denoiser."""

    widths: tuple[Annotated[int, Field(ge=8, multiple_of=8)], ...] = Field(
        (32, 64, 96), min_length=1, max_length=6, description="channels at full, half, quarter ... resolution"
    )
    blocks: int = Field(1, ge=1, description="residual blocks on each side of a resolution")


class EdmTrainingSettings(SettingsBlock):
    """How the EDM denoiser is trained."""

    # Thirteen minutes on two cores; the error still falls then.
    epochs: int = Field(60, ge=1, description="rounds of training")
    epoch_images: int | None = Field(4096, ge=1, description="images a round, drawn anew; null: all")
    batch: int = Field(32, ge=1, description="images a step")
    learning_rate: float = Field(3e-3, gt=0, description="highest rate, of Adam")
    least_rate: float = Field(1e-6, ge=0, description="at the end, after half a cosine")
    warmup_epochs: float = Field(1.0, ge=0, description="rounds of linear rise")
    # Karras et al. 2022, Table 1, has -1.2 and 1.2. An estimate of a digit in its box has noise of about 0.08
    # to 0.6; more training there lowers the error between 0.05 and 0.7 by 0.6 % (measured).
    noise_mean: float = Field(-1.4, description="mean of ln(noise), the noise in units of the images")
    noise_spread: float = Field(1.0, gt=0, description="standard deviation of ln(noise)")
    # methods/multitarget.md §6.
    shift_px: int = Field(
        3, ge=0, description="half the images are moved by up to this in x and y; zeros come in"
    )
    precision: Precision = Field("auto", description=PRECISION)
    checkpoint_every: int = Field(5, ge=1, description="rounds between two checkpoints")


class EdmPriorSettings(PriorBase):
    """A denoiser for all noise levels (Karras et al. 2022), better than the published prior in less time."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "minimal": {
            "network": {"widths": (16, 32)},
            "training": {"epochs": 4, "epoch_images": 1024},
        },
        "small": {},
    }

    variant: Literal["edm"] = "edm"
    preset: Literal["minimal", "small"] = Field(
        "small", exclude=True, description="sizes: seconds, fifteen minutes on two cores; keys below win"
    )
    network: UnetSettings = Field(UnetSettings(), description="the network")
    training: EdmTrainingSettings = Field(EdmTrainingSettings(), description="its training")
    # ASSUME: the noise of the published query of the SDE (t = 0.01), so that gamma means the same.
    score_noise: float = Field(
        0.0447, gt=0, description="noise at which the score is asked for, in units of the images"
    )


PriorSettings = Annotated[
    GaussianPriorSettings | ImplicitPriorSettings | VpPriorSettings | EdmPriorSettings,
    Field(discriminator="variant"),
]
