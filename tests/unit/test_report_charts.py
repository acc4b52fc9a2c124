"""Charts: round ticks, points where they belong, gaps where numbers are missing, valid SVG."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest

from vitreous.report import charts


def coordinates(svg: str) -> list[tuple[float, float]]:
    paths = re.findall(r'class="curve" d="([^"]+)"', svg)
    return [(float(x), float(y)) for path in paths for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]


@pytest.mark.parametrize("low, high", [(0, 1), (0, 0.001), (-3, 12), (1e4, 2.6e4)])
def test_ticks_are_round_evenly_spaced_and_inside(low: float, high: float) -> None:
    places = charts.ticks(low, high)
    steps = {round(b - a, 9) for a, b in zip(places, places[1:], strict=False)}
    assert 3 <= len(places) <= 12 and len(steps) == 1
    assert min(places) >= low and max(places) <= high + 1e-9


def test_axis_of_equal_values_still_has_a_width() -> None:
    made = charts.axis("x", [2.0, 2.0, math.nan])
    assert made.low < 2.0 < made.high or made.low <= 2.0 < made.high


@pytest.mark.parametrize("low, start", [(0.93, 0.9), (0.25, 0.2), (1.0, 0.9), (-0.004, 0.0), (math.nan, 0.7)])
def test_share_axis_begins_at_the_tenth_below_the_lowest_end_and_ends_at_one(
    low: float, start: float
) -> None:
    made = charts.share_axis("F1", [charts.Dot("a", max(low, 0.0) if low == low else 0.75, low, 1.0)])
    assert (made.low, made.high) == (pytest.approx(start), 1.0)


def test_the_name_of_a_mark_stands_over_the_curves() -> None:
    x, y = charts.Axis("x", 0, 10, []), charts.Axis("y", 0, 1, [])
    lines = [charts.Series("a", [0, 10], [0, 1])]
    svg = charts.line_chart(lines, x, y, marks=[charts.Mark(3, "here", upright=True)], description="a line")
    assert svg.index('class="mark"') < svg.index('class="curve"') < svg.index(">here<")


def test_resolution_axis_is_linear_in_frequency_and_written_in_angstrom() -> None:
    made = charts.resolution_axis(1 / 3)
    texts = dict((text, place) for place, text in made.ticks)
    assert texts["3"] == pytest.approx(1 / 3) and texts["6"] == pytest.approx(1 / 6)
    assert all(place == pytest.approx(1 / float(text)) for text, place in texts.items())
    assert [place for place, _ in made.ticks] == sorted(texts.values())


def test_ends_of_a_line_stand_at_the_ends_of_the_axes() -> None:
    x, y = charts.Axis("x", 0, 10, [(0, "0")]), charts.Axis("y", 0, 1, [(0, "0")])
    svg = charts.line_chart([charts.Series("a", [0, 10], [0, 1])], x, y, description="a line")
    (x0, y0), (x1, y1) = coordinates(svg)
    assert (x0, y0) == (charts.LEFT, charts.HEIGHT - charts.BOTTOM)
    assert (x1, y1) == (charts.WIDTH - charts.RIGHT, charts.TOP)


def test_line_breaks_where_a_value_is_missing_and_never_leaves_the_frame() -> None:
    x, y = charts.Axis("x", 0, 4, []), charts.Axis("y", 0, 1, [])
    svg = charts.line_chart(
        [charts.Series("a", [0, 1, 2, 3, 4], [0.1, 0.2, math.nan, 9.0, 0.4])], x, y, description="a line"
    )
    assert svg.count('class="curve"') == 2
    assert min(height for _, height in coordinates(svg)) == charts.TOP


def test_charts_are_well_formed_and_escape_names() -> None:
    name = 'a<b & "c"'
    dots = [
        charts.Dot(name, 0.5, 0.4, 0.6, group=name, text=name),
        charts.Dot("none", math.nan, published=True),
    ]
    unit = charts.axis("F1", [0, 1], low=0, high=1)
    marks = [charts.Mark(0.5, name), charts.Mark(0.2, name, upright=True)]
    band = charts.Series(name, [0, 1], [0, 1], low=[0, 0.9], high=[0.1, 1])
    drawn = [
        charts.dot_chart(dots, unit, description=name),
        charts.line_chart([band], unit, unit, description=name, marks=marks),
        charts.bar_chart([(name, 3.0, name)], name, description=name),
    ]
    for svg in drawn:
        tree = ElementTree.fromstring(svg)
        assert tree.attrib["aria-label"] == name
        assert "nan" not in svg
