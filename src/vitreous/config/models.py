"""The whole configuration as typed models: the blocks of the rooms, composed.

Every default stands here or in the settings of a room, once, with its source as a comment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from vitreous.config.blocks import Block, Name
from vitreous.config.experiment_models import Experiments
from vitreous.config.multitarget_models import PriorModel
from vitreous.data.download.settings import NetworkSettings
from vitreous.data.fetch_settings import FetchSettings
from vitreous.data.settings import CespedSettings, CryopppSettings, EmpiarSettings, LocalSettings
from vitreous.metrics.settings import ComparisonSettings, EvaluationSettings
from vitreous.picking.settings import PickerSettings
from vitreous.reconstruction.settings import CtfSettings, EngineSettings, ExtractionSettings
from vitreous.report.settings import ReportSettings
from vitreous.simulate.settings import SimulateSettings


class Expected(Block):
    """What a dataset is expected to hold, for the plan's estimate before anything is there."""

    micrographs: int = Field(0, ge=0, description="number of micrographs")
    gigabytes: float = Field(0.0, ge=0, description="size on disk, GB")


class Planned(BaseModel):
    """What the plan wants to know of a dataset of files, and its import does not."""

    ctf: Name | None = Field(
        None, description="CTF block whose values go into extraction; `given` for the data's own"
    )
    batches: int | None = Field(None, ge=1, le=99, description="number of batches; default `compute.batches`")
    expected: Expected | None = Field(
        None, description="size to plan with before the files are there; of a public set that of the registry"
    )


class LocalDataset(Planned, LocalSettings):
    """A folder of the user's own micrographs or particles."""


class EmpiarDataset(Planned, EmpiarSettings):
    """Micrographs of an EMPIAR entry, fetched; what is not given comes from the registry."""


class CryopppDataset(Planned, CryopppSettings):
    """Micrographs and picks of CryoPPP, fetched; what is not given comes from the registry."""


class CespedDataset(Planned, CespedSettings):
    """Particles of a CESPED entry with their poses, fetched."""


class SimulatedDataset(SimulateSettings):
    """Micrographs made by the simulator, with their truth."""

    ctf: Name | None = Field(
        "given", description="CTF block whose values go into extraction; `given` for the truth"
    )
    batches: int | None = Field(None, ge=1, le=99, description="number of batches; default `compute.batches`")


FETCHED = (EmpiarDataset, CryopppDataset, CespedDataset)
DatasetBlock = Annotated[
    LocalDataset | EmpiarDataset | CryopppDataset | CespedDataset | SimulatedDataset,
    Field(discriminator="source"),
]


class Training(Block):
    """What a model is trained on."""

    datasets: list[Name] = Field(
        min_length=1, description="datasets whose micrographs are used, without their truth"
    )
    denoiser: Name = Field("raw", description="denoiser whose micrographs are used; `raw` for none")
    seeds: list[int] = Field([0], min_length=1, description="one model is trained for each seed")
    micrographs: int | None = Field(
        None, ge=1, description="only the first so many micrographs of each dataset, by name; default all"
    )


class PickingModel(Block):
    """A trained picker: trained here, or a file."""

    settings: PickerSettings = Field(description="the variant and its settings, in training and in picking")
    train: Training | None = Field(None, description="what to train on")
    file: Path | None = Field(None, description="a model trained before, instead of `train`")

    @model_validator(mode="after")
    def _trained_or_given(self) -> PickingModel:
        if (self.train is None) == (self.file is None):
            raise ValueError("give either `train` or `file`")
        return self


class Models(Block):
    """Models by room."""

    picking: dict[Name, PickingModel] = Field({}, description="trained pickers")
    multitarget: dict[Name, PriorModel] = Field({}, description="priors of images for multi-target detection")


class TrainedPicker(Block):
    """A picker that is a trained model."""

    variant: Literal["model"] = "model"
    model: Name = Field(description="name of a block of `models.picking`")
    seed: int | None = Field(None, description="which of the model's seeds; default the first")
    settings: PickerSettings | None = Field(
        None, description="settings to pick with, of the model's variant; default those it is trained with"
    )


PickerBlock = Annotated[PickerSettings | TrainedPicker, Field(discriminator="variant")]


class Combination(Block):
    """Combinations that are wanted: every dataset with every denoiser, picker, selection and engine named."""

    datasets: list[Name] = Field(min_length=1, description="names of `datasets`")
    denoisers: list[Name] = Field(["raw"], min_length=1, description="`raw` is the micrographs as they are")
    pickers: list[Name] = Field(
        [], description="names of `pickers`; `truth` for the picks that came with the data"
    )
    ctf: list[Name] = Field([], description="names of `ctf` to estimate and evaluate")
    extract: bool = Field(False, description="extract particles from the picks")
    selections: list[Name] = Field(["all"], min_length=1, description="`all` is every particle")
    engines: list[Name] = Field([], description="names of `engines` that make maps of every target")


class Compute(Block):
    """How jobs run. Nothing here changes a result, so an edit reruns nothing."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="device of rules that can use a GPU")
    gpus: int = Field(1, ge=0, description="GPUs that a rule which can use one asks for; 0: run it on CPU")
    batches: int = Field(8, ge=1, le=99, description="batches a dataset is split into")
    max_failed_share: float = Field(
        0.2, ge=0, le=1, description="share of bad micrographs that a stage goes past"
    )


class Config(Block):
    """A configuration of vitreous."""

    run: Name = Field("run", description="name of the run: the folder under `results_root`")
    seed: int = Field(0, ge=0, description="every random number derives from it")
    data_root: Path = Field(Path("resources"), description="where source data lie: local folders, downloads")
    dataset_root: Path = Field(Path("resources/datasets"), description="where the standard form is laid down")
    results_root: Path = Field(Path("results"), description="where results go")
    datasets: dict[Name, DatasetBlock] = Field({}, description="the data")
    downloads: dict[Name, FetchSettings] = Field(
        {}, description="what else is fetched below `data_root`: maps, atoms, digits, records of Zenodo"
    )
    network: NetworkSettings = Field(
        NetworkSettings(), description="how files are fetched; no edit of it reruns anything"
    )
    ctf: dict[Name, CtfSettings] = Field({}, description="CTF estimators")
    models: Models = Field(Models(), description="trained models by room")
    pickers: dict[Name, PickerBlock] = Field({}, description="pickers")
    extraction: ExtractionSettings = Field(ExtractionSettings(), description="particles from picks")
    engines: dict[Name, EngineSettings] = Field({}, description="reconstruction engines")
    evaluation: EvaluationSettings = Field(
        EvaluationSettings(), description="what a result is compared with and how"
    )
    report: ReportSettings = Field(ReportSettings(), description="the HTML file")
    matrix: list[Combination] = Field([], description="which combinations are wanted; nothing else is built")
    comparisons: dict[Name, ComparisonSettings] = Field(
        {}, description="tables of pickers on sets with paired differences; target `comparison_<name>`"
    )
    experiments: Experiments = Field(Experiments(), description="the experiments of the papers")
    compute: Compute = Field(Compute(), description="how jobs run")

    def fetched(self) -> dict[str, Any]:
        """Every block by name that is fetched from an archive."""
        datasets = {name: block for name, block in self.datasets.items() if isinstance(block, FETCHED)}
        return {**datasets, **self.downloads}

    @model_validator(mode="after")
    def _something_wanted(self) -> Config:
        wanted = self.matrix or self.comparisons or self.experiments.any_tables()
        if not (wanted or self.datasets or self.downloads):
            raise ValueError("nothing is wanted; give `datasets`, `downloads` or `experiments`")
        return self
