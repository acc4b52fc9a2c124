"""Elements of SVG drawings: text, lines, paths, points of several shapes."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "middle") -> str:
    """Words at (x, y) in the drawing's units; `kind` is a CSS class."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line of a CSS class."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def path(points: Sequence[tuple[float, float]]) -> str:
    """The commands of a path through points (x, y)."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def point(shape: str, x: float, y: float, radius: float) -> str:
    """A point at (x, y): a circle, a diamond, a hollow square or a cross, as in the legend's keys."""
    if shape == "diamond":
        r = f"{radius:g}"
        return f'<path class="point" d="M{x:.1f} {y - radius:.1f}l{r} {r}l-{r} {r}l-{r} -{r}z"/>'
    if shape == "square":
        side = 2 * radius
        corner = f'x="{x - radius:.1f}" y="{y - radius:.1f}"'
        return f'<rect class="outline" {corner} width="{side:.1f}" height="{side:.1f}"/>'
    if shape == "cross":
        left, right, top, bottom = x - radius, x + radius, y - radius, y + radius
        strokes = path([(left, top), (right, bottom)]) + path([(right, top), (left, bottom)])
        return f'<path class="outline" d="{strokes}"/>'
    return f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>'


def svg(width: int, height: int, parts: Sequence[str], description: str, data: str = "") -> Markup:
    """A chart of `parts`; `description` is what it says to who does not see it."""
    return Markup(
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(description)}"{data}>' + "".join(parts) + "</svg>"
    )
