"""Charts as small SVG drawings whose colours are the page's CSS variables, so light and dark both work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from vitreous.report import drawing
from vitreous.report.blocks import minus

WIDTH, HEIGHT = 520, 330
WIDE = 780
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 16, 50
TICK_LETTER = 7.2
RESOLUTIONS = (
    1, 1.5, 2, 2.25, 2.5, 2.75, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50, 100, 200,
)  # fmt: skip


@dataclass(frozen=True)
class Axis:
    """A linear axis: its label with unit, its ends and its ticks (place, text)."""

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Series:
    """A line: points x, y; `style` 0–6 is colour and dash; `low`, `high` are the ends of a band around it.

    `kind`: CSS classes in place of the style's; `marker`: the shape of points that are drawn on the line.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    style: int = 0
    faint: bool = False
    dots: bool = False
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    kind: str = ""
    marker: str = ""


@dataclass(frozen=True)
class Mark:
    """A labelled straight line across the chart: at y (level) or at x (upright)."""

    at: float
    label: str
    upright: bool = False


@dataclass(frozen=True)
class Dot:
    """A value with an interval in a dot chart; a published one is a hollow diamond, `other` its outline."""

    label: str
    value: float
    low: float = math.nan
    high: float = math.nan
    style: int = 0
    published: bool = False
    group: str = ""
    href: str = ""
    text: str = ""
    other: float = math.nan


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round places between `low` and `high`, about `about` of them."""
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low]
    power = 10 ** math.floor(math.log10(span / about))
    step = min((power * factor for factor in (1, 2, 2.5, 5, 10)), key=lambda size: abs(span / size - about))
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def axis(label: str, values: Sequence[float], *, low: float | None = None, high: float | None = None) -> Axis:
    """An axis that holds all finite `values`, with round ticks; `low` and `high` fix an end."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    start, end = min(finite) if low is None else low, max(finite) if high is None else high
    if end <= start:
        end = start + (abs(start) or 1.0)
    places = ticks(start, end)
    step = places[1] - places[0] if len(places) > 1 else end - start
    start = start if low is not None else math.floor(start / step + 1e-9) * step
    end = end if high is not None else math.ceil(end / step - 1e-9) * step
    places = ticks(start, end)
    return Axis(label, start, end, [(place, minus(f"{place:g}")) for place in places])


def share_axis(label: str, dots: Sequence[Dot]) -> Axis:
    """An axis for dots of scores up to 1, from the tenth below the lowest value or end of an interval."""
    values = [value for dot in dots for value in (dot.value, dot.low, dot.other) if math.isfinite(value)]
    lowest = math.floor(10 * min(values, default=0.0) + 1e-9) / 10
    return axis(label, [lowest, 1.0], low=min(max(lowest, 0.0), 0.9), high=1.0)


def resolution_axis(highest: float) -> Axis:
    """An axis of spatial frequency 0 … `highest` (1/Å) whose ticks are written in Å."""
    chosen: list[tuple[float, str]] = []
    for resolution in RESOLUTIONS:
        place = 1 / resolution
        if place <= highest * 1.001 and (not chosen or chosen[-1][0] - place > 0.085 * highest):
            chosen.append((place, f"{resolution:g}"))
    return Axis("resolution (Å), spaced evenly in 1/Å", 0.0, highest, chosen[::-1])


@dataclass(frozen=True)
class _Frame:
    x: Axis
    y: Axis
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT

    def at_x(self, value: float) -> float:
        span = self.width - self.left - RIGHT
        return self.left + (value - self.x.low) / (self.x.high - self.x.low) * span

    def at_y(self, value: float) -> float:
        span = self.height - TOP - BOTTOM
        return self.height - BOTTOM - (value - self.y.low) / (self.y.high - self.y.low) * span

    def inside(self, x: float, y: float) -> bool:
        return math.isfinite(x) and math.isfinite(y) and self.x.low <= x <= self.x.high + 1e-12


def _grid(frame: _Frame) -> list[str]:
    bottom, right = frame.height - BOTTOM, frame.width - RIGHT
    parts = []
    for place, text in frame.y.ticks:
        y = frame.at_y(place)
        parts += [
            drawing.line(frame.left, y, right, y, "grid"),
            drawing.text(frame.left - 8, y + 4, text, "tick", "end"),
        ]
    for place, text in frame.x.ticks:
        x = frame.at_x(place)
        parts += [drawing.line(x, bottom, x, bottom + 5, "axis"), drawing.text(x, bottom + 19, text, "tick")]
    parts.append(drawing.line(frame.left, bottom, right, bottom, "axis"))
    parts.append(drawing.text((frame.left + right) / 2, frame.height - 8, frame.x.label, "label"))
    if frame.y.label:
        middle = (TOP + bottom) / 2
        parts.append(
            f'<text transform="translate(15 {middle:.0f}) rotate(-90)" text-anchor="middle" class="label">'
            f"{escape(frame.y.label)}</text>"
        )
    return parts


def _uprights(frame: _Frame) -> list[str]:
    places = [frame.at_x(place) for place, _ in frame.x.ticks]
    return [drawing.line(x, TOP, x, frame.height - BOTTOM, "grid") for x in places]


def _runs(frame: _Frame, x: Sequence[float], y: Sequence[float]) -> list[list[tuple[float, float]]]:
    """Stretches of points without a gap, in the drawing's units; y is clipped to the frame."""
    runs: list[list[tuple[float, float]]] = [[]]
    for one, other in zip(x, y, strict=True):
        if frame.inside(one, other):
            height = min(max(other, frame.y.low), frame.y.high)
            runs[-1].append((frame.at_x(one), frame.at_y(height)))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _draw_series(frame: _Frame, series: Series) -> str:
    faint = " faint" if series.faint else ""
    kind = series.kind or f"s{series.style}"
    parts = [f'<g class="series {kind}{faint}" data-label="{escape(series.label)}">']
    if len(series.low):
        lower, upper = _runs(frame, series.x, series.low), _runs(frame, series.x, series.high)
        for down, up in zip(lower, upper, strict=False):
            parts.append(f'<path class="band" d="{drawing.path([*down, *reversed(up)])}Z"/>')
    for run in _runs(frame, series.x, series.y):
        line = len(run) > 1 and not series.dots
        parts += [f'<path class="curve" d="{drawing.path(run)}"/>'] if line else []
        if series.marker or not line:
            radius = 5 if len(series.x) == 1 else 4.2 if series.marker == "diamond" else 3.2
            parts += [drawing.point(series.marker, x, y, radius) for x, y in run]
    return "".join([*parts, "</g>"])


def _draw_mark(frame: _Frame, mark: Mark) -> str:
    right, bottom = frame.width - RIGHT, frame.height - BOTTOM
    if mark.upright:
        x = frame.at_x(mark.at)
        return drawing.line(x, TOP, x, bottom, "mark")
    y = frame.at_y(mark.at)
    return drawing.line(frame.left, y, right, y, "mark")


def _name_mark(frame: _Frame, mark: Mark) -> str:
    right = frame.width - RIGHT
    if mark.upright:
        x = frame.at_x(mark.at)
        near_right = x > frame.left + 0.75 * (right - frame.left)
        place, anchor = (x - 6, "end") if near_right else (x + 6, "start")
        return drawing.text(place, TOP + 12, mark.label, "note", anchor)
    return drawing.text(right, frame.at_y(mark.at) - 5, mark.label, "note", "end")


def line_chart(
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    *,
    description: str,
    marks: Sequence[Mark] = (),
    width: int = WIDTH,
    height: int = HEIGHT,
    inverse_x: bool = False,
    log_x: bool = False,
) -> Markup:
    """Lines over a common x axis.

    The pointer's read-out shows Å where `inverse_x` says that x is 1/Å, e^x where `log_x` says it is a log.
    """
    longest = max((len(text) for _, text in y.ticks), default=0)
    frame = _Frame(x, y, width, height, left=max(LEFT, round(34 + TICK_LETTER * longest)))
    parts = _grid(frame)
    parts += [_draw_mark(frame, mark) for mark in marks]
    parts += [_draw_series(frame, one) for one in series]
    # Names go over the curves: their paper-coloured outline keeps them readable there.
    parts += [_name_mark(frame, mark) for mark in marks]
    box = f"{frame.left} {TOP} {frame.width - RIGHT} {frame.height - BOTTOM}"
    data = f' data-box="{box}" data-x="{x.low:g} {x.high:g}" data-y="{y.low:g} {y.high:g}"'
    data += ' data-inverse="1"' if inverse_x else ""
    data += ' data-log="1"' if log_x else ""
    return drawing.svg(frame.width, frame.height, parts, description, data)


def _room(names: Sequence[str]) -> int:
    """Width of the column of names."""
    return round(min(24 + TICK_LETTER * max(map(len, names), default=0), 0.45 * WIDE))


def dot_chart(dots: Sequence[Dot], x: Axis, *, description: str) -> Markup:
    """One line a dot: its name, its value with interval, its group as a heading; published ones hollow."""
    step, head = 24, 28
    groups = [dot.group for dot in dots]
    starts = [
        index for index, group in enumerate(groups) if group and (index == 0 or groups[index - 1] != group)
    ]
    height = TOP + BOTTOM + step * len(dots) + head * len(starts)
    frame = _Frame(x, Axis("", 0, 1, []), width=WIDE, height=height, left=_room([dot.label for dot in dots]))
    parts = [*_uprights(frame), *_grid(frame)]
    top = float(TOP)
    for index, dot in enumerate(dots):
        if index in starts:
            parts.append(drawing.text(2, top + 18, dot.group, "head", "start"))
            top += head
        parts.append(_draw_dot(frame, dot, top + step / 2))
        top += step
    return drawing.svg(frame.width, height, parts, description)


def _draw_dot(frame: _Frame, dot: Dot, y: float) -> str:
    kind = "published" if dot.published else f"s{dot.style}"
    parts = [f'<g class="dot {kind}"><title>{escape(dot.label)}: {escape(dot.text)}</title>']
    parts.append(drawing.text(frame.left - 12, y + 4, dot.label, "name", "end"))
    if math.isfinite(dot.low) and math.isfinite(dot.high):
        low, high = max(dot.low, frame.x.low), min(dot.high, frame.x.high)
        parts.append(drawing.line(frame.at_x(low), y, frame.at_x(high), y, "interval"))
    if math.isfinite(dot.value):
        x = frame.at_x(min(max(dot.value, frame.x.low), frame.x.high))
        parts.append(drawing.point("diamond" if dot.published else "circle", x, y, 5))
    if math.isfinite(dot.other):
        x = frame.at_x(min(max(dot.other, frame.x.low), frame.x.high))
        parts.append(f'<g class="other">{drawing.point("diamond", x, y, 5)}</g>')
    return "".join([*parts, "</g>"])


def bar_chart(bars: Sequence[tuple[str, float, str]], label: str, *, description: str) -> Markup:
    """Horizontal bars (name, value, text at the end) from zero."""
    step, left = 26, _room([name for name, _, _ in bars])
    scale = axis(label, [0.0, *(1.12 * value for _, value, _ in bars)], low=0.0)
    height = TOP + BOTTOM + step * len(bars)
    frame = _Frame(scale, Axis("", 0, 1, []), width=WIDE, height=height, left=left)
    parts = [*_uprights(frame), *_grid(frame)]
    for index, (name, value, text) in enumerate(bars):
        y = TOP + step * index
        length = max(frame.at_x(value) - left, 1.0)
        parts.append(drawing.text(left - 10, y + 17, name, "name", "end"))
        parts.append(f'<rect class="bar" x="{left}" y="{y + 5}" width="{length:.1f}" height="16" rx="2"/>')
        parts.append(drawing.text(left + length + 6, y + 17, text, "tick", "start"))
    return drawing.svg(frame.width, height, parts, description)
