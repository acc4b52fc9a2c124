"""Settings of the blob picker. Imports neither torch nor numpy: the Snakefile reads it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vitreous.picking.base_settings import PickerBase


class BlobSettings(PickerBase):
    """A difference of neighbourhoods: Laplacian or difference of Gaussians at the scale of the particle."""

    variant: Literal["blob"] = "blob"
    filter: Literal["log", "dog"] = Field("log", description="Laplacian or difference of Gaussians")
    # sigma = scale * D / (2 sqrt 2) is the LoG matched to a disc of diameter D at scale 1; methods/picking.md
    # §3.3 finds 0.7-0.85 best on real particles, whose rims are soft.
    scale: float = Field(0.8, gt=0, le=3, description="width of the filter / that matched to a disc")
    normalise: Literal["none", "local"] = Field(
        "none", description="`local`: mean and standard deviation of the neighbourhood are removed first"
    )
    # methods/picking.md §7 takes a box of 1.5 D; this Gaussian's half width is that of the box.
    local_sigma: float = Field(
        0.75, gt=0, le=5, description="sigma of the neighbourhood of `normalise: local` / diameter"
    )
