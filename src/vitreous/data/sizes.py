"""How large what is fetched is: by the registry before anything is asked, or as the archive says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vitreous.data.archives.settings import CESPED_ALIASES
from vitreous.data.fetch_settings import CespedFetch, CryopppFetch
from vitreous.data.registry import find_entry


def expected_micrographs(settings: Any) -> int | None:
    """How many micrographs a fetch brings, as far as the registry knows."""
    known = find_entry(settings.source, getattr(settings, "entry", "")[:5])
    if known is None or settings.source not in ("empiar", "cryoppp"):
        return None
    count = known.cryoppp_micrographs if settings.source == "cryoppp" else known.micrographs
    chosen: int | None = getattr(settings, "count", None)
    return chosen if count is None or (chosen and chosen < count) else count


def expected_bytes(settings: Any) -> int | None:
    """How many bytes a fetch takes on disk, as far as the registry knows."""
    entry = str(getattr(settings, "entry", settings.source))
    known = find_entry(settings.source, CESPED_ALIASES.get(entry, entry))
    if known is None or (isinstance(settings, CryopppFetch) and (settings.lite or settings.labels_only)):
        return None
    whole = known.cryoppp_bytes if settings.source == "cryoppp" else known.bytes
    if isinstance(settings, CespedFetch) and whole is not None:
        return whole * len(set(settings.halves)) // 2
    count, chosen = expected_micrographs(settings), getattr(settings, "count", None)
    if (whole is None or chosen) and known.width and known.height and count:
        return count * (1024 + 4 * known.width * known.height)
    return None if chosen else whole


def asked_bytes(settings: Any, root: Path, network: Any) -> int | None:
    """How many bytes the archive says it has of it; sizes of listings are rounded up. Nothing is fetched."""
    from vitreous.data.archives.cryoppp import archive_url
    from vitreous.data.download.client import Client
    from vitreous.data.download.remote import RemoteFile
    from vitreous.data.fetch import fetch

    client = Client(network)
    if isinstance(settings, CryopppFetch) and not settings.labels_only:
        return client.size(archive_url(network, settings.entry, settings.lite))
    sizes: list[int | None] = []

    def weigh(files: Sequence[RemoteFile]) -> None:
        for file in files:
            size = file.bytes or file.about_bytes
            sizes.append(client.size(file.url) if size is None else size)

    fetch(settings, root, network=network, instead=weigh)
    return None if None in sizes else sum(size for size in sizes if size is not None)
