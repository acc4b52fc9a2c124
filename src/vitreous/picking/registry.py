"""The pickers by name. A new one is a module, a settings class and a line here; nothing else changes."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitreous.errors import SettingsError
from vitreous.picking.settings import PickerSettings, PluginSettings

ROOM = "vitreous.picking"
SHIPPED = Path(__file__).with_name("pretrained")


@dataclass(frozen=True)
class Variant:
    """Where the functions of a picker stand, as `module:function`; imported when first used.

    find(image (h, w), pixel_size_A, diameter_A, contrast, settings, runtime, model) -> Candidates
    load(path, runtime) -> model                        for pickers with a model
    train(micrographs, settings, runtime, folder) -> Training   for pickers that learn (see `template.train`);
                                                        partial work of a long training may lie in `folder`
    """

    find: str
    load: str | None = None
    train: str | None = None


VARIANTS: dict[str, Variant] = {
    "blob": Variant(f"{ROOM}.blob:find_candidates"),
    "template": Variant(
        f"{ROOM}.template:find_candidates", f"{ROOM}.template:load_model", f"{ROOM}.template:train"
    ),
    "emmae": Variant(
        f"{ROOM}.emmae.picker:find_candidates",
        f"{ROOM}.emmae.picker:load_model",
        f"{ROOM}.emmae.picker:train",
    ),
    "selftrained": Variant(
        f"{ROOM}.selftrained.picker:find_candidates",
        f"{ROOM}.selftrained.picker:load_model",
        f"{ROOM}.selftrained.training:train",
    ),
    "combined": Variant(
        f"{ROOM}.combined:find_candidates", f"{ROOM}.combined:load_model", f"{ROOM}.combined:train"
    ),
    "topaz": Variant(f"{ROOM}.topaz:find_candidates"),
}


def variant_of(settings: PickerSettings) -> Variant:
    """The registry entry for settings; a plugin's entry is what it names itself."""
    if isinstance(settings, PluginSettings):
        return Variant(settings.entry)
    return VARIANTS[settings.variant]


def shipped_model(settings: PickerSettings) -> Path | None:
    """The model that comes along for a picker; None where there is none."""
    model = SHIPPED / f"{settings.variant}.pt"
    return model if model.is_file() else None


def load(dotted: str) -> Callable[..., Any]:
    """The function at `module:function` or `path/to/file.py:function`.

    Raises SettingsError, naming what is there, where module, file or function does not exist.
    """
    place, name = dotted.rsplit(":", 1)
    file = plugin_file(dotted)
    try:
        module = _module_of_file(file) if file else importlib.import_module(place)
    except (ImportError, FileNotFoundError) as error:
        raise SettingsError(
            "picker cannot be imported", place=dotted, found=str(error), expected="a module or a .py file"
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise SettingsError("no such function", place=dotted, expected=f"`def {name}(...)` in {place}")
    loaded: Callable[..., Any] = function
    return loaded


def plugin_file(dotted: str) -> Path | None:
    """The file of `path/to/file.py:function`; None for a module."""
    place = dotted.rsplit(":", 1)[0]
    return Path(place) if place.endswith(".py") else None


def modules_of(settings: PickerSettings) -> list[str]:
    """Dotted modules whose code decides what a picker does (for hashes of the code)."""
    variant = variant_of(settings)
    entries = [entry for entry in (variant.find, variant.load, variant.train) if entry is not None]
    return sorted({entry.rsplit(":", 1)[0] for entry in entries if plugin_file(entry) is None})


def _module_of_file(file: Path) -> Any:
    if not file.is_file():
        raise FileNotFoundError(f"no file {file}")
    spec = importlib.util.spec_from_file_location(f"vitreous_plugin_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
