"""Atomic models, and the biological assemblies that their operators build."""

from __future__ import annotations

from pathlib import Path

import gemmi

from vitreous.errors import InputError


def read_structure(path: str | Path) -> gemmi.Structure:
    """The model as it stands in an mmCIF or PDB file (also .gz), Å. Raises InputError."""
    path = Path(path)
    if not path.is_file():
        raise InputError("file not found", file=path)
    try:
        return gemmi.read_structure(str(path))
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            "not a readable atom model", file=path, found=error, expected="mmCIF or PDB"
        ) from error


def read_assembly(path: str | Path, assembly: str = "1") -> gemmi.Structure:
    """The biological assembly of that name, built from the model's operators; coordinates in Å.

    Copies of a chain get new short names. Raises InputError where the file cannot be read or holds no
    assembly of that name.
    """
    structure = read_structure(path)
    known = {item.name: item for item in structure.assemblies}
    if assembly not in known or len(structure) == 0:
        todo = (
            "name one of those found" if known else "fetch the entry's own mmCIF file, which describes them"
        )
        raise InputError("no biological assembly of that name", file=path, found=", ".join(known) or "none",
                         expected=assembly, todo=todo)  # fmt: skip
    built = gemmi.make_assembly(known[assembly], structure[0], gemmi.HowToNameCopiedChain.Short)
    whole = gemmi.Structure()
    whole.name = structure.name
    whole.add_model(built)
    whole.setup_entities()
    return whole
