"""Settings of the combined picker. Imports neither torch nor numpy: the Snakefile reads it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from vitreous.picking.base_settings import PickerBase
from vitreous.picking.emmae.settings import EmmaeSettings, TokenSettings
from vitreous.picking.selftrained.settings import SelfTrainedSettings


class CombinedSettings(PickerBase):
    """The self-trained network and the likeness of cryo-EMMAE, added: what one overlooks the other sees."""

    variant: Literal["combined"] = "combined"
    USES_GPU: ClassVar[bool] = True
    NEEDS_MODEL: ClassVar[bool] = True

    network: SelfTrainedSettings = Field(SelfTrainedSettings(), description="the self-trained network")
    # Measured: after the likeness the source of the tokens makes no difference, and raw ones cost nothing.
    likeness: EmmaeSettings = Field(
        EmmaeSettings(tokens=TokenSettings(source="raw")), description="the typical particle and its likeness"
    )
    # Measured on the tune-* sets: pooled F1 0.937 to 0.939 for 5 to 10, 0.921 and 0.897 for either alone.
    weight: float = Field(8.0, gt=0, description="log-odds that a likeness of 1 is worth")
    decision: float = Field(-1.0, description="sum of log-odds from which on a candidate is a particle")
    absent: float = Field(-3.0, description="log-odds of what only one of the two has found")
