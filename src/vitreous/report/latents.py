"""Latents of a micrograph in their principal components: a cloud of tokens, and where each token lies."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup

from vitreous.report import charts
from vitreous.report.blocks import Block, Chart, Charts, Figure, Gallery, Key, Prose, count, plural
from vitreous.report.pictures import colour_picture
from vitreous.report.results import read_table

NEEDED = ("row", "column", "component1", "component2", "component3", "cluster", "particle")
# So many tokens show the shape of a cloud; all of them would make the page heavy.
POINTS = 900
# Particles are orange in every such chart.
PARTICLES, OTHERS = 1, (0, 2, 3, 4, 5, 6)
PAIRS = (("component1", "component2"), ("component1", "component3"))


def latents_blocks(path: Path) -> list[Block]:
    """Charts of the projected tokens by cluster, and the micrograph's tokens coloured by their components."""
    table, variance = read_table(path), read_table(path.with_name(f"{path.stem}.variance.csv"))
    if table.empty or not set(NEEDED) <= set(table):
        return [Prose("The table of latents is empty.", kind="empty")]
    shares = dict(zip(variance.get("component", []), variance.get("share", []), strict=False))
    drawn = [_cloud(table, pair, shares) for pair in PAIRS]
    return [Charts(drawn), Gallery([_map(table)])]


def _cloud(table: pd.DataFrame, pair: tuple[str, str], shares: dict[int, float]) -> Chart:
    shown = table.iloc[np.unique(np.linspace(0, len(table) - 1, min(POINTS, len(table))).round().astype(int))]
    series, keys, others = [], [], itertools.cycle(OTHERS)
    for cluster, own in shown.groupby("cluster", sort=True):
        particle = bool(own["particle"].to_numpy().any())
        style = PARTICLES if particle else next(others)
        name = f"cluster {cluster}" + (", particles" if particle else "")
        series.append(charts.Series(name, list(own[pair[0]]), list(own[pair[1]]), style, dots=True))
        keys.append(Key(name, f"s{style}", "circle"))
    x, y = (charts.axis(_label(name, shares), list(shown[name])) for name in pair)
    svg = charts.line_chart(series, x, y, description=f"Tokens in {pair[0]} and {pair[1]}, by cluster")
    note = f"{count(len(shown))} of the micrograph's {plural(len(table), 'token')} are drawn."
    title = f"Tokens, components {pair[0][-1]} and {pair[1][-1]}"
    return Chart(title, svg, keys, note=note if len(shown) < len(table) else "")


def _label(name: str, shares: dict[int, float]) -> str:
    share = shares.get(int(name[-1]), math.nan)
    return f"component {name[-1]}" + (f" ({share:.0%} of the variance)" if math.isfinite(share) else "")


def _map(table: pd.DataFrame) -> Figure:
    """The micrograph's tokens, their first three components as red, green and blue."""
    rows, columns = (table[name].to_numpy(int) for name in ("row", "column"))
    values = table[[f"component{index}" for index in (1, 2, 3)]].to_numpy(float)
    low, high = np.percentile(values, [2, 98], axis=0)
    shade = np.clip((values - low) / np.where(high > low, high - low, 1), 0, 1)
    image = np.zeros((rows.max() + 1, columns.max() + 1, 3))
    image[rows, columns] = shade
    picture = colour_picture((image * 255).round().astype(np.uint8))
    alt = "Every token of the micrograph, its first three components as red, green and blue"
    return Figure(Markup(picture.element(alt)), "tokens", "components 1 to 3 as red, green and blue")
