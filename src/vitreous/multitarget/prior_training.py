"""The stage that trains a prior on images."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd
from torch import Tensor

from vitreous.errors import SettingsError
from vitreous.multitarget.image_files import image_files
from vitreous.multitarget.image_settings import ImagesSettings
from vitreous.multitarget.images.registry import analytic_mean, training_images
from vitreous.multitarget.prior_settings import GaussianPriorSettings, PriorSettings
from vitreous.multitarget.priors.fitting import Trained
from vitreous.multitarget.priors.gaussian import gaussian_prior
from vitreous.multitarget.priors.registry import KIND, VARIANTS, load, modules_of
from vitreous.nets.model_files import write_model
from vitreous.runtime.device import Runtime
from vitreous.runtime.files import atomic_path
from vitreous.runtime.plural import plural
from vitreous.runtime.provenance import write_provenance
from vitreous.runtime.work import Work

log = logging.getLogger(__name__)
STAGE = "vitreous.multitarget.prior_training:train_prior"


def train_prior(
    out_model: Path,
    out_log: Path,
    *,
    settings: PriorSettings,
    images: ImagesSettings,
    root: Path,
    provenance: Path,
    runtime: Runtime,
) -> None:
    """Train a prior on the training images of a source; writes the model and its log (CSV, a row an epoch).

    Paths of `images` are relative to `root`. Checkpoints lie beside the model. Raises SettingsError for an
    exact prior of a source without an exact mean, InputError for images that cannot be read.
    """
    runtime.torch_device()
    plain, modules = settings.model_dump(mode="json"), modules_of(settings)
    source = images.model_dump(mode="json")
    key = {"settings": plain, "images": source, "seed": runtime.seed}
    inputs = image_files(images, root)
    with Work(out_model, settings=key, stage=STAGE, modules=modules, inputs=inputs) as work:
        trained = _trained(images, root, settings, runtime, work.folder)
    write_model(out_model, stored_model(trained, settings))
    with atomic_path(out_log) as part:
        pd.DataFrame(trained.log).to_csv(part, index=False)
    write_provenance(
        provenance, stage=STAGE, modules=modules, settings={"prior": plain, "images": source},
        inputs=inputs, seed=runtime.seed, facts={"images": len(trained.known.seen)},
    )  # fmt: skip


def _trained(
    images: ImagesSettings, root: Path, settings: PriorSettings, runtime: Runtime, folder: Path
) -> Trained:
    """The prior of a source: exact where it is Gaussian and the source says its mean, else learned."""
    if isinstance(settings, GaussianPriorSettings):
        mean = analytic_mean(images)
        if mean is None:
            todo = "take images of `source: gaussian`, or a prior that is trained"
            raise SettingsError("the prior `gaussian` needs the images' exact mean", todo=todo)
        return Trained(gaussian_prior(settings, mean), {}, [{"epoch": 0, "loss": 0.0}])
    learnt = training_images(images, root, runtime)
    number = plural(len(learnt), "image", form=",")
    log.info("prior `%s`: %s of %d px", settings.variant, number, learnt.shape[-1])
    return trained_prior(learnt, settings, runtime, folder)


def trained_prior(
    images: Tensor, settings: PriorSettings, runtime: Runtime, folder: Path | None = None
) -> Trained:
    """Train on images (n, L, L) float32; with `folder` a killed run goes on from the checkpoint there."""
    train = VARIANTS[settings.variant].train
    if train is None:
        raise SettingsError("this prior is not trained", place="variant", found=settings.variant)
    trained: Trained = load(train)(images, settings, runtime, folder)
    last = trained.log[-1]
    log.info("loss %.5g after %s", last["loss"], plural(len(trained.log), "epoch"))
    return trained


def stored_model(trained: Trained, settings: PriorSettings) -> dict[str, object]:
    """What the model file of a trained prior holds: tensors and plain values."""
    return {
        "kind": KIND,
        "variant": settings.variant,
        "settings": settings.model_dump(mode="json"),
        **trained.known.plain(),
        "state": trained.state,
    }
