"""The model a picker of the command line works with: given, trained here, or the one that comes along."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitreous.cli.options import existing, refuse_overwriting
from vitreous.errors import SettingsError
from vitreous.runtime.plural import plural

if TYPE_CHECKING:
    from vitreous.cli.loose import Loose
    from vitreous.runtime.device import Runtime


def model_for(
    settings: Any, given: Path | None, loose: Loose, runtime: Runtime, *, train: bool, save: Path | None
) -> Path | None:
    """The model file for `settings`; None for a picker without one.

    `train` learns from the micrographs of `loose`, and so does a picker that needs a model where none comes
    along. Raises SettingsError for options that contradict each other or the picker.
    """
    from vitreous.picking.registry import shipped_model, variant_of

    trainable = variant_of(settings).train is not None
    if train and given is not None:
        raise SettingsError("a model is either given or trained", place="--train", found="--model as well")
    if train and not trainable:
        raise SettingsError("this picker is not trained", place="--train", found=settings.variant)
    if given is not None:
        return existing(given)
    shipped = shipped_model(settings)
    if train or (settings.NEEDS_MODEL and shipped is None):
        print(f"training on {plural(len(loose.files), 'micrograph')}")
        return _trained(settings, loose, runtime, save)
    if save is not None:
        raise SettingsError("nothing is trained", place="--save-model", todo="give --train as well")
    if shipped is None:
        return None
    print("the encoder that comes along; its clusters are found in these micrographs, --train trains anew")
    fixed = settings.training.model_copy(update={"encoder_from": shipped})
    return _trained(settings.model_copy(update={"training": fixed}), loose, runtime, None)


def _trained(settings: Any, loose: Loose, runtime: Runtime, save: Path | None) -> Path:
    from vitreous.picking.stages import train_picker

    if save is not None:
        refuse_overwriting(save, False)
    folder = loose.folder.parent / "model"
    model = folder / "model.pt"
    train_picker(
        [loose.folder],
        model,
        folder / "training.csv",
        settings=settings,
        provenance=folder / "provenance.json",
        runtime=runtime,
    )
    if save is not None:
        save.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(model, save)
        print(f"model written: {save}")
    return model
