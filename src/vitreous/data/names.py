"""Datasets by the names that people type: `empiar-10017`, `cryoppp-10017`, `emdb-2660`, `mnist` …"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from vitreous.data.fetch_settings import FetchSettings
from vitreous.data.registry import named_entry, read_registry
from vitreous.errors import SettingsError

ARCHIVES = ("empiar", "cryoppp", "cesped", "emdb", "pdb", "mnist", "zenodo")


def settings_of_name(name: str, options: Mapping[str, Any] | None = None) -> Any:
    """What to fetch for a name, with `options` of that source; None and empty options are left out.

    An archive's entry that the registry does not know is taken as it stands. Raises SettingsError for a name
    that is neither, and for options that this source does not have.
    """
    archive, _, entry = name.strip().lower().partition("-")
    known = read_registry().get(name.strip().lower())
    if known is not None:
        archive, entry = known.archive, known.entry
    elif archive not in ARCHIVES or not entry:
        named_entry(name)  # says which names are near
    given = {key: value for key, value in (options or {}).items() if value not in (None, [], False)}
    plain = {"source": archive, **({} if archive == "mnist" else {"entry": entry}), **given}
    try:
        return TypeAdapter(FetchSettings).validate_python(plain)
    except ValidationError as error:
        first = error.errors()[0]
        option = first["loc"][1] if len(first["loc"]) > 1 else "name"
        place = f"--{str(option).replace('_', '-')}"
        what = f"not an option of {archive}" if first["type"] == "extra_forbidden" else first["msg"]
        raise SettingsError(what, place=place, found=name) from error
