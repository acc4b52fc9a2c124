"""The page's section on maps: resolutions, Fourier shell correlation, slices and projections."""

from __future__ import annotations

import math

import pandas as pd

from vitreous.errors import VitreousError
from vitreous.io.mrc import read_volume
from vitreous.report import charts
from vitreous.report.blocks import (
    Block,
    Cell,
    Chart,
    Charts,
    Column,
    Figure,
    Fold,
    Gallery,
    Heading,
    Key,
    Prose,
    Row,
    Section,
    Table,
    count,
    fixed,
)  # fmt: skip
from vitreous.report.material import Material
from vitreous.report.pictures import map_pictures
from vitreous.report.results import Result, read_facts, read_table
from vitreous.report.scores import Score, Subject, best_of, column, name_of, part, published_beside

NAMES = ("denoiser", "picker", "selection", "target", "engine")
SHOWN = (
    "resolution_corrected_0.143", "resolution_masked_0.143", "resolution_unmasked_0.143",
    "resolution_corrected_0.5",
    "resolution_truth_0.5", "resolution_truth_0.143", "mean_fsc_truth", "real_space_correlation",
)  # fmt: skip
CURVES = (("corrected", 0), ("masked", 2), ("unmasked", 1), ("randomised", 3), ("truth", 4))
LEVELS = (charts.Mark(0.143, "0.143"), charts.Mark(0.5, "0.5"))


def maps_section(material: Material) -> Section:
    """Everything about maps."""
    section = Section(
        "maps",
        "Maps",
        "Resolution is where the Fourier shell correlation of two half-maps falls through 0.143, corrected "
        "for the mask by phase randomisation; against a true map 0.5 counts.",
        empty="No map was made in this run.",
    )
    results = material.run.of("maps")
    scored = material.scores("maps")
    if scored:
        section.blocks.append(_resolutions(material, scored))
        few = max((score.seeds for scores in scored.values() for score in scores.values()), default=0)
        if few < 3:
            section.blocks.append(
                Prose("Each map was made with fewer than three seeds: small differences carry nothing.")
            )
    groups = dict.fromkeys((result.names["dataset"], result.names["target"]) for result in results)
    for dataset, target in groups:
        own = [r for r in results if (r.names["dataset"], r.names["target"]) == (dataset, target)]
        section.blocks += _target_blocks(material, f"{dataset}, {target}", own)
    return section


def _resolutions(material: Material, scored: dict[Subject, dict[str, Score]]) -> Table:
    present = {metric for scores in scored.values() for metric in scores}
    metrics = [metric for metric in SHOWN if metric in present]
    rows: list[Row] = []
    for dataset in dict.fromkeys(part(subject, "dataset") for subject in scored):
        subjects = [subject for subject in scored if part(subject, "dataset") == dataset]
        best = {metric: best_of([scored[s].get(metric) for s in subjects], metric) for metric in metrics}
        for index, subject in enumerate(subjects):
            seeds = max(score.seeds for score in scored[subject].values())
            cells = [Cell(name_of(subject, *NAMES)), Cell(count(_particles(material, subject)))]
            cells += [material.cell(scored[subject].get(metric), best[metric]) for metric in metrics]
            rows.append(Row([*cells, Cell(str(seeds), sort=seeds)], group=dataset if index == 0 else ""))
        beside = published_beside(material.published.rows(), dataset, material.accession(dataset), metrics)
        for name, found in beside:
            cells = [Cell(name), Cell("")]
            for metric in metrics:
                row = found.get(metric)
                text = f"{row['value']:g}{'*' if row.get('note') else ''}" if row else ""
                title = "; ".join(str(row[key]) for key in ("note", "source") if row.get(key)) if row else ""
                cells.append(Cell(text, title=title))
            rows.append(Row([*cells, Cell("")], kind="published"))
    columns = [Column("map"), Column("particles", numeric=True), *(column(metric) for metric in metrics)]
    note = (
        "Medians over seeds, with their range, where there are several. Italics: from a paper; * wrong map."
    )
    return Table([*columns, Column("seeds", numeric=True)], rows, caption="Resolution", note=note)


def _particles(material: Material, subject: Subject) -> float:
    for result in material.run.of("maps"):
        if all(part(subject, name) == result.names[name] for name in ("dataset", *NAMES)):
            facts = read_facts(result.file("reconstruct.json"))
            for name in ("used", "particles"):
                if isinstance(facts.get(name), int | float):
                    return float(facts[name])
    return math.nan


def _target_blocks(material: Material, title: str, results: list[Result]) -> list[Block]:
    curves = {result: read_table(result.file("fsc.csv")) for result in results}
    drawn = {result: curve for result, curve in curves.items() if "resolution_A" in curve and len(curve)}
    blocks: list[Block] = [Heading(title)]
    lines = [_compared(drawn)] if len(drawn) > 1 else []
    lines += [_fsc_chart(material, result, curve) for result, curve in list(drawn.items())[:6]]
    if lines:
        blocks.append(Charts(lines))
    else:
        blocks.append(Prose("No Fourier shell correlation was computed for these maps.", kind="empty"))
    for index, result in enumerate(results):
        blocks += _pictures(material, result, first=index == 0)
    more = [_fsc_chart(material, result, curve) for result, curve in list(drawn.items())[6:]]
    return [*blocks, Fold("Further curves", [Charts(more)])] if more else blocks


def _frequency(curve: pd.DataFrame) -> list[float]:
    return [1 / value if value and math.isfinite(value) else 0.0 for value in curve["resolution_A"]]


def _fsc_axes(highest: float) -> tuple[charts.Axis, charts.Axis]:
    places = [-0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    y = charts.Axis("Fourier shell correlation", -0.2, 1.0, [(place, f"{place:g}") for place in places])
    return charts.resolution_axis(highest), y


def _fsc_chart(material: Material, result: Result, curve: pd.DataFrame) -> Chart:
    x, keys, series = _frequency(curve), [], []
    for name, style in CURVES:
        if name in curve and curve[name].notna().any():
            label = "with the true map" if name == "truth" else name
            series.append(charts.Series(label, x, list(curve[name]), style))
            keys.append(Key(label, f"s{style}"))
    score = _score(material, result, "resolution_corrected_0.143")
    marks = list(LEVELS)
    if score is not None and math.isfinite(score.value) and score.value > 0:
        marks.append(charts.Mark(1 / score.value, f"{fixed(score.value, 2)} Å", upright=True))
    svg = charts.line_chart(
        series, *_fsc_axes(max(x)), marks=marks, inverse_x=True,
        description=f"Fourier shell correlation of {result.label}",
    )  # fmt: skip
    return Chart(result.label, svg, keys)


def _score(material: Material, result: Result, metric: str) -> Score | None:
    for subject, scores in material.scores("maps").items():
        if all(part(subject, name) == result.names[name] for name in ("dataset", *NAMES)):
            return scores.get(metric)
    return None


def _compared(curves: dict[Result, pd.DataFrame]) -> Chart:
    series, keys = [], []
    for index, (result, curve) in enumerate(list(curves.items())[:7]):
        series.append(charts.Series(result.label, _frequency(curve), list(curve["corrected"]), index))
        keys.append(Key(result.label, f"s{index}"))
    highest = max(max(one.x) for one in series)
    svg = charts.line_chart(
        series, *_fsc_axes(highest), marks=LEVELS, inverse_x=True,
        description="Corrected Fourier shell correlation of all maps of this target",
    )  # fmt: skip
    note = f"The first 7 of {len(curves)} maps." if len(curves) > 7 else ""
    return Chart("All maps, corrected", svg, keys, note=note)


def _pictures(material: Material, result: Result, *, first: bool) -> list[Block]:
    path = result.file("map.mrc")
    if path is None:
        return [Prose(f"{result.label}: map.mrc is missing.", kind="warning")]
    try:
        volume, pixel_size_A = read_volume(path)
    except (VitreousError, OSError, ValueError) as error:
        return [Prose(f"{result.label}: the map is not shown: {error}", kind="warning")]
    figures = []
    for name, picture in map_pictures(volume).items():
        kind, axis = name.split()
        if material.budget.take(len(picture.address)):
            title = f"{'slice' if kind == 'slice' else 'sum'} along {axis}"
            figures.append(Figure(picture.element(f"{result.label}, {title}"), title))
    side = len(volume)
    note = f"{side} voxels of {fixed(pixel_size_A, 3)} Å a side, {fixed(side * pixel_size_A, 0)} Å in all; "
    note += "bright is dense."
    return [
        Fold(f"{result.label}: slices and projections", [Gallery(figures, small=True, note=note)], open=first)
    ]
