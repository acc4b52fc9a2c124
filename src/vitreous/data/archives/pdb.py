"""Atomic models of the PDB."""

from __future__ import annotations

import re

from vitreous.data.download.remote import RemoteFile, single
from vitreous.data.download.settings import NetworkSettings
from vitreous.errors import InputError

LICENCE = "CC0"
_ENTRIES, _ASSEMBLIES = "structures/divided/mmCIF", "assemblies/mmCIF/divided"


def find_files(settings: NetworkSettings, code: str, assembly: bool = False) -> list[RemoteFile]:
    """The mmCIF file of an entry, or of its first biological assembly; nothing is asked of the server.

    A base that ends in `mmCIF` is taken for the archive's own tree, where the files lie in folders named
    after the two middle characters of the code. Raises InputError for what is no PDB code.
    """
    lower = code.strip().lower()
    if not re.fullmatch(r"[0-9][a-z0-9]{3}", lower):
        raise InputError("not a PDB code", found=code, expected="a digit and three letters or digits")
    name = f"{lower}-assembly1.cif.gz" if assembly else f"{lower}.cif.gz"
    base = settings.base("pdb")
    if base.endswith("mmCIF"):
        tree = base.removesuffix(_ENTRIES) + _ASSEMBLIES if assembly and base.endswith(_ENTRIES) else base
        base = f"{tree}/{lower[1:3]}"
    return [single(name, f"{base}/{name}", licence=LICENCE)]
