"""The priors by name. A new one is a module, a settings class and a line here; nothing else changes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from vitreous.errors import InputError
from vitreous.multitarget.prior_settings import PriorSettings
from vitreous.multitarget.priors.base import Prior
from vitreous.nets.model_files import read_model
from vitreous.runtime.device import Runtime

ROOM = "vitreous.multitarget.priors"
KIND = "vitreous multitarget prior 1"


@dataclass(frozen=True)
class Variant:
    """Where the functions of a prior stand, as `module:function`; imported when first used.

    load(stored, settings, runtime) -> Prior                                 from what their model file holds
    train(images (n, L, L), settings, runtime, folder) -> fitting.Trained    for priors that are trained
    """

    load: str
    train: str | None = None


VARIANTS: dict[str, Variant] = {
    "gaussian": Variant(load=f"{ROOM}.gaussian:load"),
    "implicit": Variant(f"{ROOM}.implicit:load", f"{ROOM}.implicit:train"),
    "vp": Variant(f"{ROOM}.vp:load", f"{ROOM}.vp:train"),
    "edm": Variant(f"{ROOM}.edm:load", f"{ROOM}.edm:train"),
}


def load(dotted: str) -> Callable[..., Any]:
    """The function at `module:function`."""
    place, name = dotted.split(":")
    function: Callable[..., Any] = getattr(importlib.import_module(place), name)
    return function


def modules_of(settings: PriorSettings) -> list[str]:
    """Dotted modules whose code decides what a prior is (for hashes of the code)."""
    variant = VARIANTS[settings.variant]
    entries = [entry for entry in (variant.train, variant.load) if entry is not None]
    return sorted({entry.split(":")[0] for entry in entries})


def load_prior(path: Path, runtime: Runtime) -> Prior:
    """The trained prior of a model file; raises InputError for any other file."""
    stored = read_model(path, KIND)
    settings = _settings(path, stored)
    try:
        prior: Prior = load(VARIANTS[settings.variant].load)(stored, settings, runtime)
    except (KeyError, RuntimeError) as error:
        found = str(error).splitlines()[0]
        raise InputError("weights and sizes of the model differ", file=path, found=found) from error
    return prior


def _settings(path: Path, stored: Mapping[str, Any]) -> PriorSettings:
    """The settings that a model was trained with; raises InputError where they are none."""
    adapter: TypeAdapter[PriorSettings] = TypeAdapter(PriorSettings)
    try:
        return adapter.validate_python(stored.get("settings"))
    except ValidationError as error:
        raise InputError(
            "settings in the model that this version does not know", file=path, todo="train it anew",
            found=", ".join(str(fault["loc"]) for fault in error.errors()[:3]),
        ) from error  # fmt: skip
