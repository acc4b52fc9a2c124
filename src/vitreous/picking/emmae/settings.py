"""Settings of cryo-EMMAE. The class defaults are the preset `small` with the published defects mended.

Imports neither torch nor numpy: the Snakefile reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from vitreous.picking.base_settings import PickerBase, SettingsBlock


class PreprocessSettings(SettingsBlock):
    """From a micrograph to the image that the network sees; lengths are shares of the diameter."""

    background: Literal["ring", "corners", "disc"] = Field(
        "ring",
        description="where mean and deviation are taken: a ring about the particle, its box's corners (as "
        "published) or its disc (as the paper reads)",
    )
    ring_outer: float = Field(1.5, gt=0.5, le=5, description="outer radius of the ring / diameter")
    working: Literal["diameter", "square"] = Field(
        "diameter", description="working scale: a fixed number of px a diameter, or 1024 x 1024 (published)"
    )
    # ASSUME: 32 px are 8 tokens a diameter and two diameters a window; published sets had 23 to 101 px.
    diameter_px: float = Field(32.0, ge=16, le=128, description="px of a diameter at `working: diameter`")
    centred: bool = Field(
        True, description="kernels of odd size about their centre; false: shifts as published"
    )
    clip: float | None = Field(
        5.0, gt=1, description="deviations beyond which pixels are cut; null: least and largest, as published"
    )
    # methods/picking.md §1.2: the published filter is a Gaussian of 3 px at 200 px a diameter.
    blur: float = Field(0.015, ge=0, le=0.5, description="sigma of the smoothing / diameter")
    equalise: Literal["working", "full", "none"] = Field(
        "working", description="adaptive equalisation at working scale, at full scale (published) or none"
    )
    clip_limit: float = Field(0.01, gt=0, le=1, description="limit of the adaptive equalisation")
    smooth: Literal["guided", "box", "none"] = Field(
        "guided", description="last smoothing: guided filter, or twice a box (what was published in effect)"
    )
    smooth_size: float = Field(0.1, gt=0, le=1, description="side of its box / diameter")


class NetworkSettings(SettingsBlock):
    """Sizes of the masked autoencoder; windows of 64 px in patches of 4 px."""

    width: int = Field(96, ge=8, description="width of the encoder")
    depth: int = Field(4, ge=1, description="blocks of the encoder")
    heads: int = Field(1, ge=1, description="heads of the encoder")
    decoder_width: int = Field(64, ge=8, description="width of the decoder")
    decoder_depth: int = Field(2, ge=1, description="blocks of the decoder")
    decoder_heads: int = Field(4, ge=1, description="heads of the decoder")
    mlp_ratio: float = Field(2.0, gt=0, description="hidden width of the blocks / width")
    position_scale: float = Field(0.08, gt=0, description="factor on the encoder's position code")


class MaeTrainingSettings(SettingsBlock):
    """How the autoencoder is trained."""

    epochs: int = Field(40, ge=1, description="passes over the windows")
    batch: int = Field(128, ge=1, description="windows a step, over all GPUs")
    learning_rate: float = Field(1e-3, gt=0, description="peak for 256 windows a step, scaled with `batch`")
    least_rate: float = Field(1e-6, ge=0, description="learning rate at the end")
    warmup_epochs: float = Field(5, ge=0, description="epochs of linear rise")
    weight_decay: float = Field(1e-5, ge=0, description="of AdamW; none on biases and norms")
    mask_share: float = Field(0.5, gt=0, lt=1, description="share of hidden patches")
    crops: bool = Field(
        False, description="random resized crops (4 to 25 % of the area), as published for 20 sets"
    )
    jitter: bool = Field(True, description="windows at random offsets, not on a fixed grid (published)")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="number format of the matrix products")
    resume_from: Path | None = Field(None, description="a checkpoint to go on from")


class TokenSettings(SettingsBlock):
    """What is clustered."""

    source: Literal["encoder", "untrained", "raw"] = Field(
        "encoder", description="latents of the encoder; controls: an untrained one, the raw pixels of a patch"
    )
    offsets: int = Field(1, ge=1, le=4, description="overlapping windows along each axis; 1 as published")
    scales: list[Annotated[float, Field(gt=0.1, le=4)]] = Field(
        [1.0], min_length=1, description="scales at which windows are encoded, relative to the working scale"
    )
    pool: float = Field(
        0.0, ge=0, le=2, description="disc over which tokens are averaged / diameter; 0: 2 x 2, centred"
    )
    centred: bool = Field(True, description="false: the window of even size and the zero rim as published")
    whiten: bool = Field(False, description="tokens decorrelated to unit variance before they are clustered")


class ClusterSettings(SettingsBlock):
    """How tokens become a particle mask."""

    clusters: int = Field(4, ge=2, le=32, description="clusters over the training set")
    sample: int = Field(1_000_000, ge=1000, description="tokens clustered to convergence before a full pass")
    micrograph: Literal["refined", "mixture", "global"] = Field(
        "refined",
        description="clusters of each micrograph: k-means for each of `refine` in turn (published), a "
        "mixture model, or those of the training set",
    )
    refine: list[Annotated[int, Field(ge=2, le=16)]] = Field(
        [3, 4, 5], min_length=1, description="numbers of clusters of a micrograph, the last decides"
    )
    reference: Path | None = Field(
        None, description="a micrograph whose picks (STAR beside it) name the particle cluster; default none"
    )


class ComponentSettings(SettingsBlock):
    """How a particle mask becomes picks."""

    rule: Literal["density", "area"] = Field(
        "density",
        description="level of the mask: where components of a particle's size are most, or 4 % of the area",
    )
    area_share: float = Field(0.04, gt=0, lt=1, description="share of the picture of the rule `area`")
    split: bool = Field(True, description="components of several particles are divided")
    reject: bool = Field(True, description="components unlike particles (edges of carbon, ice) score below 0")
    greedy: bool = Field(True, description="duplicates: best first; false: as published")
    round: bool = Field(False, description="whole px of the 512 grid, as published")


PRESETS: dict[str, dict[str, Any]] = {
    "minimal": {
        "network": {"width": 32, "depth": 2, "decoder_width": 32, "decoder_depth": 1},
        "training": {"epochs": 4, "warmup_epochs": 1},
    },
    "small": {},
    "paper": {
        "network": {
            "width": 192, "depth": 14, "decoder_width": 128, "decoder_depth": 7, "decoder_heads": 8,
        },
        "training": {"epochs": 400},
    },
}  # fmt: skip
PUBLISHED: dict[str, Any] = {
    "preprocess": {
        "background": "corners", "working": "square", "centred": False, "clip": None, "equalise": "full",
        "smooth": "box",
    },
    "training": {"jitter": False},
    "tokens": {"centred": False},
    "components": {"rule": "area", "split": False, "reject": False, "greedy": False, "round": True},
}  # fmt: skip


class EmmaeSettings(PickerBase):
    """cryo-EMMAE (Zamanos et al. 2025): a masked autoencoder's latents, clustered, without labels."""

    variant: Literal["emmae"] = "emmae"
    USES_GPU: ClassVar[bool] = True
    NEEDS_MODEL: ClassVar[bool] = True

    preset: Literal["minimal", "small", "paper"] = Field(
        "small", exclude=True, description="sizes: seconds, minutes on two cores, published; keys below win"
    )
    published: bool = Field(
        False,
        exclude=True,
        description="every choice as in the published code, its defects too; keys given win",
    )
    preprocess: PreprocessSettings = Field(PreprocessSettings(), description="the image that is encoded")
    network: NetworkSettings = Field(NetworkSettings(), description="the autoencoder")
    training: MaeTrainingSettings = Field(MaeTrainingSettings(), description="its training")
    tokens: TokenSettings = Field(TokenSettings(), description="what is clustered")
    clusters: ClusterSettings = Field(ClusterSettings(), description="from tokens to a mask")
    components: ComponentSettings = Field(ComponentSettings(), description="from a mask to picks")

    @model_validator(mode="before")
    @classmethod
    def _presets(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        chosen = PRESETS.get(str(values.get("preset", "small")), {})
        published = PUBLISHED if values.get("published") is True else {}
        return _merged(_merged(chosen, published), values)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings, those of `above` win."""
    merged = dict(below)
    for key, value in above.items():
        inner = value.model_dump() if isinstance(value, SettingsBlock) else value
        both = isinstance(inner, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], inner) if both else inner
    return merged
