"""Settings of the self-trained picker. Imports neither torch nor numpy: the Snakefile reads it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from vitreous.picking.base_settings import PickerBase
from vitreous.picking.blob_settings import BlobSettings


class SelfTrainedSettings(PickerBase):
    """A small convolutional network that learns, without labels, from a blob picker's unsuspicious picks."""

    variant: Literal["selftrained"] = "selftrained"
    NEEDS_MODEL: ClassVar[bool] = True
    USES_GPU: ClassVar[bool] = True

    start: BlobSettings = Field(
        BlobSettings(normalise="local"), description="the blob picker that the template begins with"
    )
    # Measured: from a template's picks the network learns true centres of shells at once; blob picks lie off.
    template_rounds: int = Field(
        5,
        ge=0,
        le=20,
        description="rounds of the template's averaging; 0: the blob picker's own picks",
    )
    min_particles: int = Field(40, ge=1, description="unsuspicious picks without which no network is trained")
    # Measured, one seed: with 1500 labels F1 rose from 0.917 (400 steps) to 0.937 (1000); with 250 it fell by
    # 0.001 to 0.017 on three sets. ASSUME: because wrong labels are learnt by heart.
    steps_per_particle: float = Field(0.75, gt=0, description="steps of the training / particles learnt from")
    min_steps: int = Field(400, ge=1, description="least steps of the training")
    max_steps: int = Field(1500, ge=1, description="most steps of the training")
    batch: int = Field(4, ge=1, description="fields a step; data sets take turns")
    field: float = Field(5.0, ge=4, le=64, description="side of a field of training / diameter")
    width: int = Field(16, ge=4, le=64, description="channels of the network")
    # ASSUME: 16 px hold what tells a particle; the pretrained Topaz does best at 12 to 24 (picking.md).
    diameter_px: float = Field(16.0, ge=8, le=24, description="px of a diameter as the network sees it")
    learning_rate: float = Field(2e-3, gt=0, description="highest learning rate of AdamW")
    weight_decay: float = Field(1e-3, ge=0, description="weight decay of AdamW")
