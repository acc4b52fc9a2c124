"""Settings of cryo-EMMAE. The class defaults are the preset `small` with the published defects mended.

Imports neither torch nor numpy: the Snakefile reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from vitreous.picking.base_settings import PickerBase
from vitreous.runtime.blocks import SettingsBlock, merged


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
    # Published: 3 px, 0.015 of 200 px, here and 0.04 in all. Noise is better blurred before the equalisation
    # than after it: on the tune-* sets 0.05 raised the AUPRC of a LoG of the result by 0.03 to 0.12.
    blur: float | None = Field(
        0.05, ge=0, le=0.5, description="sigma of the smoothing / diameter; null: 3 full px, as published"
    )
    equalise: Literal["working", "full", "none"] = Field(
        "working", description="adaptive equalisation at working scale, at full scale (published) or none"
    )
    clip_limit: float = Field(0.01, gt=0, le=1, description="limit of the adaptive equalisation")
    tile: float | None = Field(
        2.0, ge=0.25, le=16, description="side of its tiles / diameter; null: 16 x 16 tiles, as published"
    )
    smooth: Literal["guided", "box", "none"] = Field(
        "guided", description="last smoothing: guided filter, or twice a box (what was published in effect)"
    )
    smooth_size: float | None = Field(
        0.1, gt=0, le=1, description="side of its box / diameter; null: 20 full px, as published"
    )


class NetworkSettings(SettingsBlock):
    """Sizes of the masked autoencoder; windows of 64 px in patches of 4 px."""

    width: int = Field(96, ge=8, multiple_of=4, description="width of the encoder")
    depth: int = Field(4, ge=1, description="blocks of the encoder")
    heads: int = Field(1, ge=1, description="heads of the encoder")
    decoder_width: int = Field(64, ge=8, multiple_of=4, description="width of the decoder")
    decoder_depth: int = Field(1, ge=1, description="blocks of the decoder")
    decoder_heads: int = Field(1, ge=1, description="heads of the decoder")
    mlp_ratio: float = Field(2.0, gt=0, description="hidden width of the blocks / width")
    position_scale: float = Field(0.08, ge=0, description="factor on the encoder's position code")
    # Measured: with 32 and `quick` the loss leaves that of the mean within 1,000 windows, with 10,000 and
    # `quick` later and by less; with the published start it is still there after 3,000, with either number.
    position_base: float = Field(
        32.0, gt=1, description="largest wavelength of the position code / 2 pi patches; published 10,000"
    )
    start: Literal["quick", "published"] = Field(
        "quick", description="first weights: the decoder looks at the nearest patches, or as published"
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> NetworkSettings:
        for width, heads in ((self.width, self.heads), (self.decoder_width, self.decoder_heads)):
            if width % heads:
                raise ValueError(f"a width of {width} cannot be divided among {heads} heads")
        return self


class MaeTrainingSettings(SettingsBlock):
    """How the autoencoder is trained."""

    epochs: int = Field(20, ge=1, description="rounds of training")
    epoch_windows: int | None = Field(
        1024, ge=1, description="windows an epoch; null: one for each 64 x 64 px of all pictures (published)"
    )
    batch: int = Field(32, ge=1, description="windows a step, over all GPUs")
    learning_rate: float = Field(1.6e-2, gt=0, description="peak for 256 windows a step, scaled with `batch`")
    least_rate: float = Field(1e-6, ge=0, description="learning rate at the end")
    warmup_epochs: float = Field(1, ge=0, description="epochs of linear rise")
    weight_decay: float = Field(1e-5, ge=0, description="of AdamW; none on biases and norms")
    mask_share: float = Field(0.5, gt=0, lt=1, description="share of hidden patches")
    crops: bool = Field(
        False, description="random resized crops (4 to 25 % of the area), as published for 20 sets"
    )
    jitter: bool = Field(True, description="windows at random offsets, not on a fixed grid (published)")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="of matrix products; auto: bf16 where the device multiplies it, else fp32"
    )
    checkpoint_every: int = Field(50, ge=1, description="epochs between two checkpoints")
    resume_from: Path | None = Field(None, description="a checkpoint to go on from")
    encoder_from: Path | None = Field(
        None, description="a trained model whose encoder is taken; only the clusters are found anew"
    )


class TokenSettings(SettingsBlock):
    """What is clustered."""

    source: Literal["encoder", "untrained", "raw"] = Field(
        "encoder", description="latents of the encoder; controls: an untrained one, the raw pixels of a patch"
    )
    centred: bool = Field(
        True, description="averaged over a centred window; false: of even size, with a zero rim, as published"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="of matrix products; auto: bf16 where the device multiplies it, else fp32"
    )


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
    reject: bool = Field(
        True,
        description="places are scored by their likeness to the micrograph's typical particle: what is "
        "unlike it (edges of carbon, ice) scores below 0; false: components of the mask are the picks",
    )
    greedy: bool = Field(True, description="duplicates: best first; false: as published")
    round: bool = Field(False, description="whole px of the 512 grid, as published")


_PAPER_TRAINING = {
    "epochs": 400, "epoch_windows": None, "batch": 128, "learning_rate": 1e-3, "warmup_epochs": 5,
}  # fmt: skip
_PAPER_START = {"position_base": 1e4, "start": "published"}
PRESETS: dict[str, dict[str, Any]] = {
    "minimal": {
        "network": {"width": 32, "depth": 2, "decoder_width": 32},
        "training": {"epochs": 4, "epoch_windows": 512, "batch": 16, "learning_rate": 4.8e-2},
    },
    "small": {},
    "paper": {
        "network": {
            "width": 192, "depth": 14, "decoder_width": 128, "decoder_depth": 7, "decoder_heads": 8,
            **_PAPER_START,
        },
        "training": _PAPER_TRAINING,
    },
}  # fmt: skip
PUBLISHED: dict[str, Any] = {
    "preprocess": {
        "background": "corners", "working": "square", "centred": False, "clip": None, "equalise": "full",
        "smooth": "box", "blur": None, "smooth_size": None, "tile": None,
    },
    "network": _PAPER_START,
    "training": {"epoch_windows": None, "jitter": False, "precision": "fp32"},
    "tokens": {"centred": False, "precision": "fp32"},
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
        return merged(merged(chosen, published), values)
