"""What the settings of every picker have. Imports neither torch nor numpy: the Snakefile reads it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from vitreous.runtime.blocks import SettingsBlock


class PickerBase(SettingsBlock):
    """What every picker has: how large a particle is, how its scores are cut, where it may not pick."""

    VERSION: ClassVar[int] = 1
    USES_GPU: ClassVar[bool] = False
    NEEDS_MODEL: ClassVar[bool] = False

    diameter_A: float | None = Field(
        None, gt=0, description="particle diameter, Å; default the largest target of the dataset"
    )
    contrast: Literal["dataset", "dark", "bright", "auto"] = Field(
        "dataset",
        description="particles darker or brighter than the ice; `dataset`: as dataset.json says; `auto`: the "
        "polarity whose responses are skewed",
    )
    threshold: Literal["auto"] | float = Field(
        "auto", description="lowest score of a pick; `auto`: chosen from the scores of the whole dataset"
    )
    # methods/picking.md §3.3 and §5: suppression at D/2 or more keeps pairs within D/2 one to one. Measured:
    # on hollow shells 0.5 now and then leaves two picks on one particle, 0.6 does not.
    min_distance: float = Field(0.6, ge=0, le=2, description="least distance of two picks / diameter")
    border: float = Field(
        0.0, ge=0, le=5, description="band without picks at the edges of the image / diameter"
    )
    max_picks: int | None = Field(
        None, ge=1, description="most candidates of one micrograph, the best; default all"
    )
