"""Settings of the pickers. Imports neither torch nor numpy: the Snakefile reads it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from vitreous.picking.base_settings import PickerBase
from vitreous.picking.blob_settings import BlobSettings
from vitreous.picking.combined_settings import CombinedSettings
from vitreous.picking.emmae.settings import EmmaeSettings
from vitreous.picking.selftrained.settings import SelfTrainedSettings


class TemplateSettings(PickerBase):
    """A radial template averaged from blob picks, without labels, and masked normalised cross-correlation."""

    variant: Literal["template"] = "template"
    NEEDS_MODEL: ClassVar[bool] = True

    rounds: int = Field(5, ge=1, le=20, description="rounds of picking and averaging in training")
    # ASSUME: 0.6 D holds the particle, its rim and the first fringe of the CTF beyond it.
    radius: float = Field(0.6, gt=0.1, le=2, description="radius of the template / diameter")
    # Measured: without it the map is rough, noise has twice the maxima and the fit of their heights fails.
    smooth: float = Field(
        0.1, ge=0, le=0.5, description="sigma of the smoothing before correlation / diameter"
    )
    max_particles: int = Field(
        20000, ge=10, description="most picks averaged in a round, taken evenly over the micrographs"
    )
    start: BlobSettings = Field(BlobSettings(), description="the blob picker of the first round")


class TopazSettings(PickerBase):
    """A pretrained detector of Topaz (Bepler et al. 2019), run in this process."""

    variant: Literal["topaz"] = "topaz"
    USES_GPU: ClassVar[bool] = True

    model: Literal["resnet8_u32", "resnet8_u64", "resnet16_u32", "resnet16_u64"] = Field(
        "resnet16_u64", description="pretrained detector"
    )
    # methods/picking.md §3.1: the scale matters more than the model, and 12-40 px are worth trying.
    diameter_px: float | Literal["scan"] = Field(
        "scan", description="px of a diameter after downsampling; `scan`: the one with the clearest scores"
    )
    scan: list[Annotated[float, Field(gt=4, le=70)]] = Field(
        [12.0, 16.0, 24.0], min_length=1, description="px per diameter that `scan` tries"
    )


class PluginSettings(PickerBase):
    """A picker of your own: a function named here, in an importable module or a file."""

    variant: Literal["plugin"] = "plugin"
    entry: str = Field(
        pattern=r"^[^:]+:[A-Za-z_]\w*$", description="`module:function` or `path/to/file.py:function`"
    )
    options: dict[str, Any] = Field({}, description="what the function reads as `settings.options`")


PickerSettings = Annotated[
    BlobSettings
    | TemplateSettings
    | TopazSettings
    | EmmaeSettings
    | SelfTrainedSettings
    | CombinedSettings
    | PluginSettings,
    Field(discriminator="variant"),
]
