"""The experiments of the papers as blocks; `experiments.py` expands them into models and pickers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, model_validator

from vitreous.config.blocks import Block, Name
from vitreous.config.multitarget_models import MultitargetExperiments
from vitreous.picking.settings import PickerSettings


class PickingExperiment(Block):
    """Every method, trained on every training set (and size), judged on every test set."""

    methods: list[Name] = Field(min_length=1, description="names of `experiments.picking.methods`")
    train: list[Name] = Field(
        [], description="training sets, one model each; methods that are not trained run once"
    )
    together: bool = Field(False, description="one model on all training sets instead of one on each")
    sizes: list[Annotated[int, Field(ge=1)]] = Field(
        [], description="one model for each number of training micrographs, the first by name; empty: all"
    )
    clusters: list[Annotated[int, Field(ge=2, le=16)]] = Field(
        [], description="last number of clusters of a micrograph, from 3 up to it; empty: as the method says"
    )
    test: list[Name] = Field(min_length=1, description="datasets with reference picks to be judged on")


class LatentsExperiment(Block):
    """Latents of one micrograph, projected on their principal components."""

    method: Name = Field(description="name of a trained method of `experiments.picking.methods`")
    train: Name = Field(description="the dataset that its model is trained on")
    size: int | None = Field(None, ge=1, description="number of training micrographs; default all")
    dataset: Name = Field(description="the dataset of the micrograph")
    micrograph: int = Field(1, ge=1, description="which micrograph, counted from 1 in order of the names")


class PickingExperiments(Block):
    """The experiments of cryo-EMMAE (Zamanos et al. 2025); `snakemake picking_table1` makes the first."""

    methods: dict[Name, PickerSettings] = Field({}, description="pickers that are compared, trained or not")
    table1: PickingExperiment | None = Field(
        None, description="Table 1: few training sets, many test sets; target `picking_table1`"
    )
    curve: PickingExperiment | None = Field(
        None, description="scores against the number of training micrographs; target `picking_curve`"
    )
    clusters: PickingExperiment | None = Field(
        None, description="scores against the number of clusters; target `picking_clusters`"
    )
    sets20: PickingExperiment | None = Field(
        None, description="one model of many sets, as in the supplement; target `picking_sets20`"
    )
    latents: LatentsExperiment | None = Field(
        None, description="latents in three principal components; target `picking_latents`"
    )

    @model_validator(mode="after")
    def _varied(self) -> PickingExperiments:
        for name, key in (("curve", "sizes"), ("clusters", "clusters")):
            experiment = getattr(self, name)
            if experiment is not None and not getattr(experiment, key):
                raise ValueError(f"{name}: give `{key}`, what the scores are drawn against")
        return self

    def tables(self) -> Iterator[tuple[str, PickingExperiment]]:
        """Every experiment that ends in a table of scores, by name."""
        for name in ("table1", "curve", "clusters", "sets20"):
            experiment: Any = getattr(self, name)
            if experiment is not None:
                yield name, experiment


class Experiments(Block):
    """The papers' experiments by room; each is a target of its own."""

    in_report: bool = Field(
        False,
        description="true: part of every run and of its report; false: made when named, as in `snakemake "
        "picking_table1`",
    )
    picking: PickingExperiments = Field(PickingExperiments(), description="experiments on pickers")
    multitarget: MultitargetExperiments = Field(
        MultitargetExperiments(), description="experiments on multi-target detection"
    )

    def any_tables(self) -> bool:
        """Whether an experiment is described."""
        return bool(self.multitarget.tables) or any(self.picking.tables()) or bool(self.picking.latents)
