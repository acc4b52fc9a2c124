"""Renders the page: template, style and script of this folder, all in one file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files

from markupsafe import Markup, escape

from vitreous.report.blocks import Section, Tile


def render(
    *,
    name: str,
    written: datetime,
    verdict: tuple[str, str],
    tiles: Sequence[Tile],
    sections: Sequence[Section],
) -> str:
    """The page as HTML text."""
    import jinja2

    folder = files("vitreous.report")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["code"] = with_code
    template = environment.from_string((folder / "page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        name=name,
        written=written.strftime("%-d %B %Y, %H:%M UTC"),
        verdict=verdict,
        tiles=tiles,
        sections=sections,
        style=Markup((folder / "style.css").read_text(encoding="utf-8")),
        script=Markup((folder / "script.js").read_text(encoding="utf-8")),
    )


def with_code(text: str) -> Markup:
    """The text escaped, with what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
