"""What the fake archive says of its files: listings, records of Zenodo, entries of EMPIAR."""

from __future__ import annotations

import html
import json
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fake_faults import Fault


def inside(root: Path, relative: str) -> Path | None:
    """The path under root, or None when it climbs out or does not exist."""
    path = (root / relative).resolve()
    return path if path.is_relative_to(root) and path.exists() else None


def visible(folder: Path) -> list[Path]:
    """The folder's entries in name order, without hidden ones."""
    return sorted(p for p in folder.iterdir() if not p.name.startswith("."))


def rounded_size(count: int) -> str:
    """A size as Apache's listings show it: rounded, never exact."""
    size = float(count)
    for unit in ("", "K", "M", "G", "T"):
        if size < 1000:
            return f"{size:.1f}{unit}" if unit and size < 10 else f"{size:.0f}{unit}"
        size /= 1024
    return f"{size:.0f}P"


def listing(path: str, folder: Path, short: bool) -> bytes:
    """An index page in Apache's form, with its sort links and its parent link."""
    rows = [
        '<a href="?C=N;O=D">Name</a> <a href="?C=M;O=A">Last modified</a> <a href="?C=S;O=A">Size</a><hr>'
    ]
    rows.append(f'<a href="{html.escape(path.rstrip("/").rpartition("/")[0])}/">Parent Directory</a>   -')
    entries = visible(folder)
    for entry in entries[: len(entries) - short]:
        name = entry.name + "/" * entry.is_dir()
        stamp = time.strftime("%Y-%m-%d %H:%M", time.gmtime(entry.stat().st_mtime))
        size = "-" if entry.is_dir() else rounded_size(entry.stat().st_size)
        rows.append(f'<a href="{urllib.parse.quote(name)}">{html.escape(name)}</a>  {stamp}  {size}')
    title = html.escape(f"Index of {path}")
    head = f"<!DOCTYPE HTML>\n<html><head><title>{title}</title></head>"
    page = head + f"<body><h1>{title}</h1><pre>{chr(10).join(rows)}</pre></body></html>\n"
    return page.encode()


def zenodo_record(
    base: str, md5: Callable[[Path], str], number: str, folder: Path, fault: Fault | None
) -> dict[str, Any]:
    """A record in the form of Zenodo's REST answer: id, metadata, files with size and checksum."""
    kind = fault.name if fault else ""
    files = []
    for path in visible(folder):
        digest = md5(path)
        if kind == "checksum":
            digest = digest[:-1] + ("0" if digest[-1] != "0" else "1")
        link = f"{base}/api/records/{number}/files/{urllib.parse.quote(path.name)}/content"
        size = path.stat().st_size + (kind == "size")
        files.append({"key": path.name, "size": size, "checksum": f"md5:{digest}", "links": {"self": link}})
    files = files[: len(files) - (kind == "short")]
    meta = {"title": f"record {number}", "license": {"id": "cc-by-4.0"}, "publication_date": "2023-09-17"}
    return {"id": int(number), "metadata": meta, "files": files}


def image_set(place: Path, folder: Path) -> dict[str, Any]:
    """The image set of the files in one folder of an entry."""
    files = [p for p in visible(place) if p.is_file()]
    return {
        "name": place.name,
        "directory": "/" + place.relative_to(folder).as_posix(),
        "category": "micrographs - single frame",
        "header_format": files[0].suffix[1:].upper(),
        "data_format": files[0].suffix[1:].upper(),
        "num_images_or_tilt_series": len(files),
        "frames_per_image": 1,
        "voxel_type": "32 BIT FLOAT",
        "pixel_width": None,
        "pixel_height": None,
        "image_width": "0",
        "image_height": "0",
        "details": None,
    }


def empiar_entry(number: str, folder: Path, short: bool) -> dict[str, Any]:
    """An EMPIAR entry: entry.json as it stands, or one image set per folder with files."""
    given = folder / "entry.json"
    if given.exists():
        entry: dict[str, Any] = json.loads(given.read_text(encoding="utf-8"))
        return entry
    folders = [p for p in (folder / "data", *sorted((folder / "data").rglob("*"))) if p.is_dir()]
    sets = [image_set(place, folder) for place in folders if any(p.is_file() for p in visible(place))]
    total = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    entry = {
        "title": f"made-up entry {number}",
        "status": "REL",
        "experiment_type": "EMDB",
        "scale": "molecule",
        "release_date": "2014-01-01",
        "dataset_size": f"{total / 2**30:.1f} GB",
        "entry_doi": f"10.6019/EMPIAR-{number}",
        "cross_references": [],
        "related_pdb_entries": [],
        "imagesets": sets[: len(sets) - short],
    }
    return {f"EMPIAR-{number}": entry}
