"""The pieces a page is made of: tables, charts, pictures, paragraphs. The template knows how to draw each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from markupsafe import Markup

from vitreous.runtime.plural import plural as agreeing

NONE = "–"


@dataclass(frozen=True)
class Cell:
    """One cell: its text, what it sorts by, where it leads to, what it says on hovering, and a CSS class."""

    text: str
    sort: float | str | None = None
    href: str = ""
    title: str = ""
    kind: str = ""
    note: str = ""


@dataclass(frozen=True)
class Column:
    """A column's heading, unit, and whether it holds numbers (right-aligned, sorted from high first)."""

    label: str
    unit: str = ""
    numeric: bool = False
    title: str = ""


@dataclass(frozen=True)
class Row:
    """A row of cells; `kind` is a CSS class, `group` starts a new group under that heading."""

    cells: Sequence[Cell]
    kind: str = ""
    group: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a caption; a sortable one lets the reader order it by any column."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    caption: str = ""
    note: str = ""
    sortable: bool = False
    block: ClassVar[str] = "table"


@dataclass(frozen=True)
class Key:
    """An entry of a chart's or picture's legend; `kind` is the CSS class that colours it."""

    label: str
    kind: str
    shape: str = "line"


@dataclass(frozen=True)
class Chart:
    """An inline SVG chart with title, legend and note."""

    title: str
    svg: Markup
    keys: Sequence[Key] = ()
    note: str = ""
    wide: bool = False
    block: ClassVar[str] = "chart"


@dataclass(frozen=True)
class Charts:
    """Charts side by side where the window is wide enough."""

    charts: Sequence[Chart]
    block: ClassVar[str] = "charts"


@dataclass(frozen=True)
class Figure:
    """One picture (an inline SVG or img element) with its caption."""

    picture: Markup
    title: str
    caption: str = ""


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side, with one legend; `toggles` lets the reader hide the kinds of the legend."""

    figures: Sequence[Figure]
    keys: Sequence[Key] = ()
    small: bool = False
    note: str = ""
    block: ClassVar[str] = "gallery"


@dataclass(frozen=True)
class MosaicRow:
    """A row of a mosaic: its name, what it says on hovering, its pictures, and a CSS class."""

    name: str
    figures: Sequence[Figure]
    title: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Mosaic:
    """Small pictures in named rows and columns; a figure's title stands below its picture."""

    columns: Sequence[Column]
    rows: Sequence[MosaicRow]
    caption: str = ""
    note: str = ""
    block: ClassVar[str] = "mosaic"


@dataclass(frozen=True)
class Prose:
    """A paragraph; `kind` is `warning`, `empty` or nothing."""

    text: str
    kind: str = ""
    block: ClassVar[str] = "prose"


@dataclass(frozen=True)
class Listing:
    """Preformatted text: commands or settings."""

    text: str
    label: str = ""
    block: ClassVar[str] = "listing"


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    text: str
    note: str = ""
    block: ClassVar[str] = "heading"


@dataclass(frozen=True)
class Fold:
    """Blocks that open on a click."""

    summary: str
    blocks: Sequence[Block]
    open: bool = False
    anchor: str = ""
    block: ClassVar[str] = "fold"


Block = Table | Chart | Charts | Gallery | Mosaic | Prose | Listing | Heading | Fold


@dataclass(frozen=True)
class Tile:
    """A number of the summary: what it is, its value, a remark, and the section it leads to."""

    label: str
    value: str
    unit: str = ""
    note: str = ""
    href: str = ""
    kind: str = ""


@dataclass
class Section:
    """A section of the page, with the blocks in order; `empty` stands where there are none."""

    anchor: str
    title: str
    lead: str = ""
    blocks: list[Block] = field(default_factory=list)
    empty: str = "Nothing of this kind in this run."


def number(value: float | None, digits: int = 3) -> str:
    """A number as a reader wants it: `digits` significant ones, thousands apart, `–` for none."""
    if value is None or not math.isfinite(value):
        return NONE
    if value != 0 and not 1e-3 <= abs(value) < 1e6:
        return minus(f"{value:.{max(digits - 1, 0)}e}")
    if abs(value) >= 10 ** (digits - 1):
        return minus(f"{value:,.0f}".replace(",", "\u202f"))
    decimals = digits - 1 - (math.floor(math.log10(abs(value))) if value else 0)
    return fixed(value, max(0, min(decimals, 6)))


def minus(text: str) -> str:
    """A number's text with a minus sign for the hyphen before it."""
    return text.replace("-", "−", 1) if text.startswith("-") else text


def count(value: float | None) -> str:
    """A count, thousands apart by a narrow space."""
    known = value is not None and math.isfinite(value)
    return minus(f"{value:,.0f}".replace(",", "\u202f")) if known else NONE


def fixed(value: float | None, decimals: int) -> str:
    """A number with a fixed count of decimals."""
    if value is None or not math.isfinite(value):
        return NONE
    # The format's `z` writes what rounds to zero without a sign.
    return minus(f"{value:z.{decimals}f}")


def span(low: float, high: float, decimals: int) -> str:
    """An interval, `0.90–0.95`, or `−0.01 to 0.02` where a sign would meet the dash; empty for none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"{fixed(low, decimals)}{'–' if low >= 0 else ' to '}{fixed(high, decimals)}"


def signed(value: float, decimals: int = 3) -> str:
    """A difference with its sign, none where it rounds to zero."""
    text = fixed(value, decimals)
    return f"+{text}" if value > 0 and float(text) > 0 else text


def duration(seconds: float | None, *, coarse: bool = False) -> str:
    """A span of time: `0.8 s`, `12 s`, `3 min 20 s` (`3 min` where `coarse`), `1 h 05 min`."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600 and coarse:
        return f"{whole / 60:.0f} min"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def plural(number_of: int, one: str, many: str = "") -> str:
    """`1 map`, `3 maps`, thousands parted by narrow spaces."""
    return agreeing(number_of, one, many, form=",").replace(",", "\u202f")
