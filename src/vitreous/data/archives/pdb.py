"""Atomic models of the PDB."""

from __future__ import annotations

import re

from vitreous.data.download.remote import RemoteFile, single
from vitreous.data.download.settings import NetworkSettings
from vitreous.errors import InputError

LICENCE = "CC0"


def find_files(settings: NetworkSettings, code: str) -> list[RemoteFile]:
    """The mmCIF file of an entry, which holds the operators of its assemblies; the server is asked nothing.

    A base that ends in `mmCIF` is taken for the archive's own tree, where the files lie in folders named
    after the two middle characters of the code. Raises InputError for what is no PDB code.
    """
    lower = code.strip().lower()
    if not re.fullmatch(r"[0-9][a-z0-9]{3}", lower):
        raise InputError("not a PDB code", found=code, expected="a digit and three letters or digits")
    name, base = f"{lower}.cif.gz", settings.base("pdb")
    if base.endswith("mmCIF"):
        base = f"{base}/{lower[1:3]}"
    return [single(name, f"{base}/{name}", licence=LICENCE)]
