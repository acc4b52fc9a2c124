"""How the network is used. Imports nothing heavy: the Snakefile reads it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from vitreous.runtime.blocks import SettingsBlock

Archive = Literal[
    "empiar-api", "empiar", "cryoppp", "zenodo-api", "zenodo", "emdb", "pdb", "mnist"
]  # fmt: skip
# Where the archives stand. EMPIAR, EMDB: EBI's https trees; PDB: RCSB's file server; MNIST: the mirror that
# machine-learning libraries use, since its own host has refused downloads for years.
BASES: dict[Archive, str] = {
    "empiar-api": "https://www.ebi.ac.uk/empiar/api/entry",
    "empiar": "https://ftp.ebi.ac.uk/empiar/world_availability",
    "cryoppp": "https://calla.rnet.missouri.edu",
    "zenodo-api": "https://zenodo.org/api/records",
    "zenodo": "https://zenodo.org/records",
    "emdb": "https://ftp.ebi.ac.uk/pub/databases/emdb/structures",
    "pdb": "https://files.rcsb.org/download",
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist",
}


class NetworkSettings(SettingsBlock):
    """How files are fetched: mirrors, patience, limits. Nothing here changes what is fetched."""

    mirrors: dict[Archive, str] = Field(
        {}, description="base addresses that stand for an archive's own, for instance a mirror in the house"
    )
    offline: bool = Field(False, description="never connect; what is not there already is an error")
    contact: str | None = Field(
        None,
        description="an address of yours (web page or mail) that servers see; Zenodo asks programs for one",
    )
    connections: int = Field(4, ge=1, le=32, description="files fetched at a time from one host")
    # Zenodo allows guests about a hundred requests a minute (header x-ratelimit-limit, October 2025).
    zenodo_connections: int = Field(2, ge=1, le=8, description="the same for Zenodo")
    connect_timeout_s: float = Field(10.0, gt=0, description="how long to wait for a connection, s")
    hang_timeout_s: float = Field(12.0, gt=0, description="how long to wait without a single byte, s")
    tries: int = Field(8, ge=1, description="failures in a row without a new byte before a file is given up")
    whole_tries: int = Field(
        3, ge=1, description="how often a file is fetched anew whose content proves wrong"
    )
    backoff_s: float = Field(1.0, ge=0, description="first wait after a failure, s; doubles, with jitter")
    longest_backoff_s: float = Field(120.0, ge=0, description="longest wait that doubling comes to, s")
    longest_wait_s: float = Field(
        3600.0, ge=0, description="longest wait that a server may ask for before the file is given up, s"
    )
    chunk_bytes: int = Field(
        1 << 18, ge=1024, description="largest piece that is read at once; a kill costs at most this much"
    )
    point_bytes: int = Field(
        1 << 23, ge=1024, description="in a tar.gz a place to go on from after a kill is noted this often"
    )
    keep_free_gb: float = Field(1.0, ge=0, description="disk that is left free, GB")

    @field_validator("mirrors")
    @classmethod
    def _addresses(cls, mirrors: dict[Archive, str]) -> dict[Archive, str]:
        for name, url in mirrors.items():
            if not url.startswith(("http://", "https://")):
                raise ValueError(
                    f"mirrors.{name}: found {url!r}, expected an address with http:// or https://"
                )
        return mirrors

    def base(self, archive: Archive) -> str:
        """The base address of an archive, without a slash at its end."""
        return self.mirrors.get(archive, BASES[archive]).rstrip("/")

    def host_limit(self, url: str) -> int:
        """How many connections to the host of `url` may be open at a time."""
        zenodo = url.startswith((self.base("zenodo"), self.base("zenodo-api")))
        return self.zenodo_connections if zenodo else self.connections
