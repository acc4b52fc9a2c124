"""What is fetched from which archive. Imports nothing heavy: the Snakefile reads it."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from vitreous.data.archives.settings import CESPED_ALIASES, Selection
from vitreous.runtime.blocks import SettingsBlock


class EntryFetch(SettingsBlock):
    """Something of one entry of an archive."""

    # What may stand before the entry, what an entry looks like, and an example for the error.
    PREFIX: ClassVar[str] = ""
    FORM: ClassVar[str] = r"\w+"
    EXAMPLE: ClassVar[str] = ""

    entry: str = Field(
        description="number or code in the archive, with or without the archive's name before it"
    )

    @field_validator("entry", mode="before")
    @classmethod
    def _normal(cls, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | str):
            return value
        entry = cls.written(re.sub(rf"^(?:{cls.PREFIX})[-_ ]", "", str(value).strip(), flags=re.IGNORECASE))
        if not re.fullmatch(cls.FORM, entry):
            raise ValueError(
                f"no entry of this archive can be called {str(value)!r}, expected e.g. {cls.EXAMPLE}"
            )
        return entry

    @classmethod
    def written(cls, entry: str) -> str:
        """An entry in the archive's own case."""
        return entry.upper()


class EmpiarFetch(EntryFetch, Selection):
    """Files of an EMPIAR entry: those of its image sets, chosen by folder, pattern and number."""

    ARCHIVE: ClassVar[str] = "empiar"
    PREFIX, FORM, EXAMPLE = "EMPIAR", r"\d{4,6}", "10017"
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
    PREFIX, FORM, EXAMPLE = "EMPIAR|CryoPPP", r"\d{5}[A-Z]?", "10017 or 10389A"
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

    @model_validator(mode="after")
    def _one_of_two(self) -> CryopppFetch:
        if self.labels_only and (self.lite or self.stacks or self.gain):
            raise ValueError("`labels_only` brings coordinates alone: leave `lite`, `stacks` and `gain` out")
        return self


class CespedFetch(EntryFetch):
    """Particles of a CESPED entry with their poses; one half is usable before the other is there."""

    ARCHIVE: ClassVar[str] = "cesped"
    PREFIX, FORM, EXAMPLE = "CESPED|EMPIAR", r"\d{5}|TEST|(consensus|simulated)_\d{5}", "10166 or TEST"
    source: Literal["cesped"] = "cesped"
    halves: list[Literal[0, 1]] = Field([0, 1], min_length=1, description="which half sets")
    mask: bool = Field(True, description="also the mask of its map, where there is one")

    @classmethod
    def written(cls, entry: str) -> str:
        """`TEST` in capitals, variants in small letters with an underscore."""
        return entry.upper() if entry.lower() == "test" else entry.lower().replace("-", "_")


class EmdbFetch(EntryFetch):
    """A map of EMDB with its header, and what else is wanted of the entry."""

    ARCHIVE: ClassVar[str] = "emdb"
    PREFIX, FORM, EXAMPLE = "EMDB|EMD", r"\d{4,5}", "2660 or EMD-2660"
    source: Literal["emdb"] = "emdb"
    parts: list[Literal["map", "half-maps", "masks"]] = Field(
        ["map", "half-maps", "masks"], min_length=1, description="what of the entry, where it has it"
    )


class PdbFetch(EntryFetch):
    """Atoms of a PDB entry, mmCIF with the operators of its assemblies."""

    ARCHIVE: ClassVar[str] = "pdb"
    PREFIX, FORM, EXAMPLE = "PDB", r"\d[a-z0-9]{3}", "7a4m"
    source: Literal["pdb"] = "pdb"

    @classmethod
    def written(cls, entry: str) -> str:
        """Codes in small letters."""
        return entry.lower()


class MnistFetch(SettingsBlock):
    """The four files of MNIST."""

    ARCHIVE: ClassVar[str] = "mnist"
    source: Literal["mnist"] = "mnist"


class ZenodoFetch(EntryFetch, Selection):
    """Files of any record of Zenodo."""

    ARCHIVE: ClassVar[str] = "zenodo"
    PREFIX, FORM, EXAMPLE = "Zenodo", r"\d+", "7934683"
    source: Literal["zenodo"] = "zenodo"


FetchSettings = Annotated[
    EmpiarFetch | CryopppFetch | CespedFetch | EmdbFetch | PdbFetch | MnistFetch | ZenodoFetch,
    Field(discriminator="source"),
]


def folder_of(settings: Any) -> str:
    """Where a fetch lies below `data_root`: `empiar/10017`, `cryoppp_lite/10017`, `emdb/EMD-2660` …"""
    if isinstance(settings, MnistFetch | PdbFetch):
        return settings.ARCHIVE
    entry = str(settings.entry)
    if isinstance(settings, EmdbFetch):
        return f"emdb/EMD-{entry}"
    if isinstance(settings, CespedFetch):
        return f"cesped/{CESPED_ALIASES.get(entry, entry)}"
    lite = isinstance(settings, CryopppFetch) and settings.lite
    return f"{settings.ARCHIVE}{'_lite' if lite else ''}/{entry}"


def fetch_slug(settings: Any) -> str:
    """What the records of all fetches of an entry begin with: `empiar-10017`, `pdb-7a4m`, `mnist`."""
    folder = folder_of(settings).lower().replace("/", "-").replace("emd-", "")
    return f"{folder}-{settings.entry}" if isinstance(settings, PdbFetch) else folder


def fetch_key(settings: Any) -> str:
    """A name for a fetch with these settings: what is fetched, and a hash of everything that was chosen."""
    plain = json.dumps(settings.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
    return f"{fetch_slug(settings)}-{hashlib.sha256(plain.encode()).hexdigest()[:8]}"
