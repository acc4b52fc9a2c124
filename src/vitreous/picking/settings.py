"""Settings of the pickers. Imports neither torch nor numpy: the Snakefile reads it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Picker(BaseModel):
    """What every picker has: how large a particle is, how its scores are cut, where it may not pick."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
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


class BlobSettings(_Picker):
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


class TemplateSettings(_Picker):
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


class TopazSettings(_Picker):
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


class PluginSettings(_Picker):
    """A picker of your own: a function named here, in an importable module or a file."""

    variant: Literal["plugin"] = "plugin"
    entry: str = Field(
        pattern=r"^[^:]+:[A-Za-z_]\w*$", description="`module:function` or `path/to/file.py:function`"
    )
    options: dict[str, Any] = Field({}, description="what the function reads as `settings.options`")


PickerSettings = Annotated[
    BlobSettings | TemplateSettings | TopazSettings | PluginSettings, Field(discriminator="variant")
]
