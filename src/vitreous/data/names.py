"""Datasets by the names that people type: `empiar-10017`, `cryoppp-10017`, `emdb-2660`, `mnist` …"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from vitreous.data.fetch_settings import FetchSettings
from vitreous.data.registry import named_entry, read_registry
from vitreous.errors import SettingsError

# Options of the command line that are called otherwise than the setting.
_OPTIONS = {"halves": "half", "parts": "part"}
ARCHIVES = ("empiar", "cryoppp", "cesped", "emdb", "pdb", "mnist", "zenodo")


def settings_of_name(name: str, options: Mapping[str, Any] | None = None) -> Any:
    """What to fetch for a name, with `options` of that source; None and empty options are left out.

    Archive and entry may be parted by a hyphen or an underscore, in any case; `EMD-2660` is one, too. An
    archive's entry that the registry does not know is taken as it stands. Raises SettingsError for a name
    that is neither, and for options that this source does not have.
    """
    archive, _, entry = name.strip().replace("_", "-", 1).partition("-")
    archive = {"emd": "emdb"}.get(archive.lower(), archive.lower())
    known = read_registry().get(f"{archive}-{entry}".lower() if entry else archive)
    if known is not None:
        archive, entry = known.archive, known.entry
    elif archive not in ARCHIVES or bool(entry) == (archive == "mnist"):
        named_entry(name)  # says which names are near
        raise SettingsError("no dataset of this name", found=name, todo="`vitreous data list` shows them")
    given = {key: value for key, value in (options or {}).items() if value not in (None, [], False)}
    plain = {"source": archive, **({} if archive == "mnist" else {"entry": entry}), **given}
    try:
        return TypeAdapter(FetchSettings).validate_python(plain)
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][1]) if len(first["loc"]) > 1 else ""
        what = f"not an option of {archive}" if first["type"] == "extra_forbidden" else first["msg"]
        what = what.removeprefix("Value error, ").replace("Input should be", "expected")
        place = None if option in ("", "entry") else f"--{_OPTIONS.get(option, option).replace('_', '-')}"
        raise SettingsError(what, place=place, found=name) from error
