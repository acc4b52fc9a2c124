"""Where target images and training images come from. Imports neither torch nor numpy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vitreous.runtime.blocks import SettingsBlock

HELD_OUT = 1000  # first images of the MNIST training file, for development: never trained on


class GaussianImages(SettingsBlock):
    """Targets from N(mean, I) in the published order of random numbers (methods/multitarget.md §2)."""

    source: Literal["gaussian"] = "gaussian"
    size: int = Field(5, ge=2, le=64, description="side of a target, px")
    targets: int = Field(10, ge=1, description="number of targets")
    seed: int = Field(1337, ge=0, lt=2**32, description="of mean, start and targets; 1337 as published")
    samples: int = Field(10_000, ge=1, description="training images, from another seed")


class MnistImages(SettingsBlock):
    """Handwritten digits (28 × 28, 0 to 1), from the four IDX files, plain or gzipped.

    Never in the training set: the ten published targets and ten start images, the first 1000 images of the
    training file, a list given as `targets`, and exact copies of any target.
    """

    source: Literal["mnist"] = "mnist"
    folder: str = Field(description="folder of the four IDX files, relative to the data root")
    targets: Literal["published", "digits", "test", "held-out"] | tuple[int, ...] = Field(
        "published",
        description="`published`: the ten of seed 1337; `digits`: one of each of 0 to 9 from the test file; "
        "`test`: images of the test file; `held-out`: of the first 1000 training images; or a list of "
        "indices of the training file, from 0",
    )
    first: int = Field(0, ge=0, description="index from which `digits`, `test`, `held-out` begin")
    count: int | None = Field(None, ge=1, description="targets of `test` and `held-out`; default 10")
    train_images: str = Field("train-images-idx3-ubyte", description="file, with or without .gz")
    train_labels: str = Field("train-labels-idx1-ubyte", description="file, with or without .gz")
    test_images: str = Field("t10k-images-idx3-ubyte", description="file, with or without .gz")
    test_labels: str = Field("t10k-labels-idx1-ubyte", description="file, with or without .gz")

    @model_validator(mode="after")
    def _make_sense(self) -> MnistImages:
        counted = self.targets in ("test", "held-out")
        if self.count is not None and not counted:
            raise ValueError("count is for targets: test or held-out; the others bring their own number")
        if self.first and not (counted or self.targets == "digits"):
            raise ValueError("first is for targets: digits, test or held-out")
        if self.targets == "held-out" and self.first + (self.count or 10) > HELD_OUT:
            raise ValueError(f"held-out has {HELD_OUT} images; first + count asks for more")
        if self.targets == ():
            raise ValueError("targets: an empty list")
        return self


class ProjectionImages(SettingsBlock):
    """Images like class averages: projections of maps as targets, of atom models as training set.

    Zero outside the disc of radius box/2 - 1 about (box - 1)/2, the point that rotations fix, and of mean
    square 1 over the whole box, so that SNR = 1/σ² counts by box area.
    """

    source: Literal["projections"] = "projections"
    maps: tuple[str, ...] = Field(
        min_length=1,
        description="files of the targets: maps (MRC) or atoms (mmCIF, PDB), relative to the data root",
    )
    models: tuple[str, ...] = Field(
        min_length=1,
        description="files or patterns (`*.cif.gz`) of the atoms to train on, relative to the data root",
    )
    exclude: tuple[str, ...] = Field(
        (), description="names (without suffixes) of models left out: those of the targets' molecules"
    )
    box: int = Field(32, ge=8, le=512, description="side of an image, px")
    # ASSUME: no paper has such targets; 32 px of 3.5 Å hold molecules of up to 90 Å at 7 Å.
    pixel_size_A: float = Field(3.5, gt=0, description="pixel size of the images, Å")
    count: int = Field(4, ge=1, le=1000, description="targets of each map")
    directions: Literal["even", "random"] = Field(
        "even", description="views of a map: spread evenly over the sphere, or drawn from the run's seed"
    )
    views: int = Field(500, ge=1, description="training images of each model, in random poses")
    shift_px: float = Field(1.0, ge=0, description="training images are moved at random up to this, in x, y")
    lowpass_A: float | None = Field(
        None, gt=0, description="finest detail, Å; default what the pixel size allows"
    )
    # ASSUME: deposited maps are sharpened, class averages are not. Measured against the potential of its
    # atoms, EMD-3488 is 2 to 3 times too strong from 18 to 8 Å; 400 Å² brings it within a factor of 1.7.
    map_b_factor_A2: float = Field(
        0.0, ge=0, description="fall-off exp(-B k²/4) that undoes the sharpening of maps, Å²"
    )


class StackImages(SettingsBlock):
    """The user's own square images, taken as they are (no normalisation)."""

    source: Literal["stack"] = "stack"
    targets: str = Field(description="MRC stack of the targets, relative to the data root")
    training: str | None = Field(None, description="MRC stack of training images, relative to the data root")
    first: int = Field(0, ge=0, description="index of the first target in its stack, from 0")
    count: int | None = Field(None, ge=1, description="number of targets; default all")


ImagesSettings = Annotated[
    GaussianImages | MnistImages | ProjectionImages | StackImages, Field(discriminator="source")
]
