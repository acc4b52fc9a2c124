"""How results are compared with the truth. Imports neither torch nor numpy: the Snakefile reads it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from vitreous.runtime.blocks import SettingsBlock


class MaskSettings(SettingsBlock):
    """The soft ball in which maps are judged; fixed here, since a resolution depends on it as on the map."""

    diameter_factor: float = Field(
        default=1.0, gt=0, description="diameter of the ball / diameter of the target"
    )
    # methods/reconstruction.md §9: a ball of 44 + 10 px in a box of 128 gives a randomised FSC below 0.1.
    edge_share: float = Field(
        default=0.08, gt=0, lt=0.5, description="width of the soft edge / box; at least 6 px"
    )


class EvaluationSettings(SettingsBlock):
    """What a result is compared with, and how."""

    VERSION: ClassVar[int] = 1

    radius: Literal["half-diameter"] | Annotated[float, Field(gt=0)] = Field(
        default="half-diameter",
        description="distance within which a pick is a hit: half the target's diameter, or px",
    )
    min_iou: float = Field(
        default=0.6, gt=0, le=1, description="overlap of the boxes that makes a hit in the IoU form"
    )
    bootstrap: int = Field(
        default=1000, ge=100, description="resamples of the micrographs behind each interval"
    )
    level: float = Field(default=0.95, gt=0, lt=1, description="share of the bootstrap inside the interval")
    thresholds: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        default=[0.143, 0.5], min_length=1, description="FSC values at which a resolution is read"
    )
    randomise_below: float = Field(
        default=0.8,
        gt=0,
        lt=1,
        description="phases are randomised from the first shell with unmasked FSC below this",
    )
    phase_seeds: int = Field(
        default=10, ge=1, le=100, description="randomised curves that are averaged; one moves by 0.03"
    )
    mask: MaskSettings = Field(default=MaskSettings(), description="the soft ball in which maps are judged")
    hands: Literal["given", "both"] = Field(
        default="given",
        description="hands of the map that are compared with the true map; `both` keeps the better",
    )


class GroupSettings(SettingsBlock):
    """Data sets that a comparison takes together."""

    name: str = Field(min_length=1, description="what the group is called in the tables")
    datasets: list[str] = Field(min_length=1, description="names of `datasets`, counted together")
    border_px: float = Field(
        default=0.0, ge=0, description="band at the edges whose particles and picks are left out, px"
    )
    trained_on: list[str] = Field(
        default=[],
        description="data sets that trained methods among the pickers learn from; default the group's own",
    )
    training_micrographs: int | None = Field(
        default=None, ge=1, description="the first so many micrographs of each; default all"
    )


class ComparisonSettings(SettingsBlock):
    """One table: pickers on groups of data sets, and how far each is ahead of some of them."""

    VERSION: ClassVar[int] = 1

    groups: list[GroupSettings] = Field(
        min_length=1, description="columns of the table in order: data sets taken together"
    )
    pickers: list[str] = Field(
        min_length=1,
        description="rows of the table in order: names of `pickers` or of `experiments.picking.methods`; a "
        "method that is trained is trained for each group",
    )
    families: dict[str, Annotated[list[str], Field(min_length=1)]] = Field(
        default={},
        description="more rows: of these pickers the one that is best on a group at its best threshold, such "
        "as a rival at the best of several scales",
    )
    against: list[str] = Field(
        default=[],
        description="those of `pickers` and `families` to whom paired differences of all others are given",
    )
