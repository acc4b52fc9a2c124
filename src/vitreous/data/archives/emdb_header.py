"""What the header file of an EMDB entry says (XML, schema 3)."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from vitreous.errors import InputError


@dataclass(frozen=True)
class EmdbHeader:
    """The map and what goes with it.

    `dimensions` are voxels along column, row and section, `axis_order` says which axis each of them is;
    `pixel_size_A` is along x, y and z, Å; `contour_level` is in the map's own unit, `resolution_A` in Å.
    `half_maps` and `masks` are file names as the header spells them.
    """

    accession: str
    title: str
    dimensions: tuple[int, int, int]
    pixel_size_A: tuple[float, float, float]
    axis_order: tuple[str, str, str]
    contour_level: float | None
    symmetry: str | None
    resolution_A: float | None
    half_maps: list[str]
    masks: list[str]


class OtherSchema(InputError):
    """An XML document that is no header of schema 3, such as one of the schema before."""


def read_emdb_header(source: str | Path) -> EmdbHeader:
    """The header in a file, or in a text that begins with `<`.

    The pixel size is cell / dimensions, since the header's own is rounded. Raises InputError for a file that
    is no such header, for another schema, and for document type or entity declarations.
    """
    where = "EMDB header" if _is_text(source) else str(source)
    root = _root(str(source) if _is_text(source) else _read(Path(source)), where)
    found = root.find("map")
    if root.tag != "emd" or found is None or found.find("cell/a") is None:
        raise OtherSchema("not an EMDB header of schema 3", file=where, expected="emd/map/cell",
                          found=f"<{root.tag} version={root.get('version')!r}>")  # fmt: skip
    c, r, s = (int(_number(found, f"dimensions/{name}", where)) for name in ("col", "row", "sec"))
    order = _axis_order(found, where)
    along = {axis: size for axis, size in zip(order, (c, r, s), strict=True)}
    a, b, d = (_number(found, f"cell/{name}", where) for name in "abc")
    return EmdbHeader(
        accession=root.get("emdb_id", ""),
        title=_text(root, "admin/title") or "",
        dimensions=(c, r, s),
        pixel_size_A=(a / along["X"], b / along["Y"], d / along["Z"]),
        axis_order=order,
        contour_level=_contour(found),
        symmetry=_text(root, ".//final_reconstruction/applied_symmetry/point_group"),
        resolution_A=_float(_text(root, ".//final_reconstruction/resolution")),
        half_maps=_names(root, ".//half_map_list/half_map/file"),
        masks=_names(root, ".//segmentation_list/segmentation/file"),
    )


def _is_text(source: str | Path) -> bool:
    return isinstance(source, str) and source.lstrip("\ufeff \t\r\n").startswith("<")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("cannot be read", file=path, found=error) from error


def _root(text: str, where: str) -> ET.Element:
    """The document's root; declarations that could pull in other files or explode are refused unread."""
    declared = re.search(r"<!(DOCTYPE|ENTITY)", text)
    if declared:
        raise InputError("declares a document type or entities", file=where, found=declared[0],
                         expected="plain elements")  # fmt: skip
    try:
        return ET.fromstring(text.lstrip("\ufeff \t\r\n"))
    except (ET.ParseError, ValueError) as error:
        raise InputError("not XML", file=where, found=error, todo="fetch it again") from error


def _axis_order(found: ET.Element, where: str) -> tuple[str, str, str]:
    fast, medium, slow = (
        (_text(found, f"axis_order/{name}") or "").upper() for name in ("fast", "medium", "slow")
    )
    if {fast, medium, slow} == {""}:
        return "X", "Y", "Z"
    if {fast, medium, slow} != set("XYZ"):
        found_order = f"{fast} {medium} {slow}"
        raise InputError("unknown axis order", file=where, place="map/axis_order", found=found_order,
                         expected="X, Y and Z, each once")  # fmt: skip
    return fast, medium, slow


def _contour(found: ET.Element) -> float | None:
    """The level of the primary contour, or of the first."""
    contours = found.findall("contour_list/contour")
    primary = [item for item in contours if item.get("primary") == "true"]
    return _float(_text((primary or contours)[0], "level")) if contours else None


def _names(root: ET.Element, path: str) -> list[str]:
    return [name for item in root.iterfind(path) if (name := (item.text or "").strip())]


def _text(element: ET.Element, path: str) -> str | None:
    return (element.findtext(path) or "").strip() or None


def _float(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _number(element: ET.Element, path: str, where: str) -> float:
    """A number above zero; InputError where it is missing or none."""
    text = _text(element, path)
    number = _float(text)
    if number is None or number <= 0:
        raise InputError("not a positive number", file=where, place=f"map/{path}", found=repr(text))
    return number
