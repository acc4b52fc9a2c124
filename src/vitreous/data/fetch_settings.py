"""What is fetched from which archive. Imports nothing heavy: the Snakefile reads it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from vitreous.data.archives.settings import Selection
from vitreous.runtime.blocks import SettingsBlock


class EntryFetch(SettingsBlock):
    """Something of one entry of an archive."""

    entry: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_-]+$", description="number or code in the archive")

    @field_validator("entry", mode="before")
    @classmethod
    def _number_is_text(cls, value: Any) -> Any:
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        return text.strip() if isinstance(text, str) else text


class EmpiarFetch(EntryFetch, Selection):
    """Files of an EMPIAR entry: those of its image sets, chosen by folder, pattern and number."""

    ARCHIVE: ClassVar[str] = "empiar"
    source: Literal["empiar"] = "empiar"
    image_set: str | None = Field(None, description="name of one image set; default all that hold the folder")
    directory: str | None = Field(
        None, description="folder below the entry; default that of the registry, else of the image sets"
    )
    expected_files: int | None = Field(
        None, ge=1, description="how many files the folder holds, where the entry's own number is wrong"
    )
    labels: bool = Field(
        False, description="also fetch CryoPPP's coordinates of this entry (the record on Zenodo)"
    )


class CryopppFetch(EntryFetch):
    """Micrographs and picks of CryoPPP: its tar.gz, unpacked as it comes; or the picks alone, from Zenodo."""

    ARCHIVE: ClassVar[str] = "cryoppp"
    source: Literal["cryoppp"] = "cryoppp"
    lite: bool = Field(False, description="the small form: 8-bit JPG micrographs and coordinates")
    labels_only: bool = Field(False, description="only the coordinates, from the record on Zenodo")
    stacks: bool = Field(False, description="also the extracted particles")
    gain: bool = Field(False, description="also the gain references of movie sets")
    exclude: list[str] = Field([], description="globs of files to leave out")

    @field_validator("exclude", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class CespedFetch(EntryFetch):
    """Particles of a CESPED entry with their poses; one half is usable before the other is there."""

    ARCHIVE: ClassVar[str] = "cesped"
    source: Literal["cesped"] = "cesped"
    halves: list[Literal[0, 1]] = Field([0, 1], min_length=1, description="which half sets")
    mask: bool = Field(True, description="also the mask of its map, where there is one")


class EmdbFetch(EntryFetch):
    """A map of EMDB with its header, and what else is wanted of the entry."""

    ARCHIVE: ClassVar[str] = "emdb"
    source: Literal["emdb"] = "emdb"
    parts: list[Literal["map", "half-maps", "masks"]] = Field(
        ["map", "half-maps", "masks"], min_length=1, description="what of the entry, where it has it"
    )


class PdbFetch(EntryFetch):
    """Atoms of a PDB entry, mmCIF with the operators of its assemblies."""

    ARCHIVE: ClassVar[str] = "pdb"
    source: Literal["pdb"] = "pdb"


class MnistFetch(SettingsBlock):
    """The four files of MNIST."""

    ARCHIVE: ClassVar[str] = "mnist"
    source: Literal["mnist"] = "mnist"


class ZenodoFetch(EntryFetch, Selection):
    """Files of any record of Zenodo."""

    ARCHIVE: ClassVar[str] = "zenodo"
    source: Literal["zenodo"] = "zenodo"


FetchSettings = Annotated[
    EmpiarFetch | CryopppFetch | CespedFetch | EmdbFetch | PdbFetch | MnistFetch | ZenodoFetch,
    Field(discriminator="source"),
]


def folder_of(settings: Any) -> str:
    """Where a fetch lies below `data_root`: `empiar/10017`, `cryoppp_lite/10017`, `emdb/EMD-2660` …"""
    if isinstance(settings, MnistFetch):
        return "mnist"
    if isinstance(settings, PdbFetch):
        return "pdb"
    entry = str(settings.entry)
    if isinstance(settings, EmdbFetch):
        return f"emdb/EMD-{entry.upper().removeprefix('EMD-')}"
    if isinstance(settings, EmpiarFetch):
        return f"empiar/{entry.upper().removeprefix('EMPIAR-')}"
    lite = isinstance(settings, CryopppFetch) and settings.lite
    return f"{settings.ARCHIVE}{'_lite' if lite else ''}/{entry}"
