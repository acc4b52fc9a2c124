"""The page's section on the contrast transfer function: defocus, quality, failed fits."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping

import pandas as pd

from vitreous.errors import VitreousError
from vitreous.io.star import read_star
from vitreous.report import charts
from vitreous.report.blocks import (
    Block,
    Cell,
    Chart,
    Charts,
    Column,
    Fold,
    Heading,
    Key,
    Row,
    Section,
    Table,
    fixed,
    plural,
)  # fmt: skip
from vitreous.report.material import Material
from vitreous.report.results import Result, read_table
from vitreous.report.scores import Score, Subject, as_number, best_of, column, part

SHOWN = (
    "ctf_failed", "defocus_u_median", "astigmatism_median", "ctf_max_resolution_median", "ctf_quality_median",
    "defocus_error_median", "defocus_bias_median", "astigmatism_error_median",
    "astigmatism_angle_error_median",
)  # fmt: skip
COLUMNS = (
    ("rlnDefocusU", "defocus U", "Å", 0), ("rlnDefocusV", "defocus V", "Å", 0),
    ("rlnDefocusAngle", "angle", "°", 1), ("vitreousCtfAstigmatism", "astigmatism", "Å", 0),
    ("rlnPhaseShift", "phase shift", "°", 1), ("rlnCtfMaxResolution", "fits to", "Å", 1),
    ("rlnCtfFigureOfMerit", "quality", "", 3),
)  # fmt: skip
CURVES = ("frequency_per_A", "measured", "model")


def ctf_section(material: Material) -> Section:
    """Everything about the CTF."""
    section = Section(
        "ctf",
        "CTF",
        "Defocus is positive where the microscope was underfocused. The quality is the estimator's own "
        "figure of merit.",
        empty="No CTF was estimated in this run.",
    )
    scored = material.scores("ctf")
    if scored:
        section.blocks.append(_scores_table(material, scored))
    for result in material.run.of("ctf"):
        if result.names["ctf"] != "given":
            section.blocks += _estimate_blocks(material, result)
    return section


def _scores_table(material: Material, scored: dict[Subject, dict[str, Score]]) -> Table:
    present = {metric for scores in scored.values() for metric in scores}
    metrics = [metric for metric in SHOWN if metric in present]
    rows = []
    for dataset in dict.fromkeys(part(subject, "dataset") for subject in scored):
        subjects = [subject for subject in scored if part(subject, "dataset") == dataset]
        best = {metric: best_of([scored[s].get(metric) for s in subjects], metric) for metric in metrics}
        for index, subject in enumerate(subjects):
            cells = [Cell(part(subject, "ctf") or part(subject, "engine"))]
            cells += [material.cell(scored[subject].get(metric), best[metric]) for metric in metrics]
            rows.append(Row(cells, group=dataset if index == 0 else ""))
    columns = [Column("estimator"), *(column(metric) for metric in metrics)]
    note = "Medians with quartiles; errors against the data set's own values where it has them."
    return Table(columns, rows, caption="Estimates", note=note)


def _estimate_blocks(material: Material, result: Result) -> list[Block]:
    table = _read(result)
    title = f"{result.names['dataset']}, {result.names['ctf']}"
    if table.empty:
        return [Heading(title, note="micrographs.star is missing or empty")]
    failed = (
        table["vitreousCtfFailed"].astype(float) == 1 if "vitreousCtfFailed" in table else table.index < 0
    )
    note = f"{plural(len(table), 'micrograph')}, {int(failed.sum())} without a usable fit"
    drawn = [*_charts(table[~failed]), *_fit_charts(table, read_table(result.file("curves.csv")))]
    blocks: list[Block] = [Heading(title, note=note), Charts(drawn)]
    rows = [
        Row(
            [Cell(str(row["rlnMicrographName"]), kind="name"), *_numbers(row, table)],
            kind="failed" if bad else "",
        )
        for row, bad in zip(table.to_dict("records"), failed, strict=True)
    ]
    rows = sorted(rows, key=lambda row: row.kind != "failed")[: material.settings.rows_per_table]
    columns = [Column("micrograph")]
    columns += [Column(label, unit, numeric=True) for name, label, unit, _ in COLUMNS if name in table]
    more = f"{len(rows)} of {len(table)} shown." if len(rows) < len(table) else ""
    listed = Table(columns, rows, caption="Micrographs, failed ones first", note=more, sortable=True)
    return [*blocks, Fold(f"{title}: micrograph by micrograph", [listed])]


def _read(result: Result) -> pd.DataFrame:
    path = result.file("micrographs.star")
    try:
        block = read_star(path).get("micrographs") if path else None
    except (VitreousError, OSError):
        block = None
    return block if isinstance(block, pd.DataFrame) and "rlnMicrographName" in block else pd.DataFrame()


def _numbers(row: Mapping[Hashable, object], table: pd.DataFrame) -> list[Cell]:
    cells = []
    for name, _, _, decimals in COLUMNS:
        if name in table:
            value = as_number(row[name])
            cells.append(Cell(fixed(value, decimals), sort=value if math.isfinite(value) else None))
    return cells


def _charts(table: pd.DataFrame) -> list[Chart]:
    drawn = []
    if {"rlnDefocusU", "rlnDefocusV"} <= set(table) and len(table):
        ordered = table.sort_values("rlnDefocusU")
        places = list(range(1, len(ordered) + 1))
        series = [
            charts.Series(label, places, [value / 1e4 for value in ordered[name]], style, dots=True)
            for style, (name, label) in enumerate(
                (("rlnDefocusU", "defocus U"), ("rlnDefocusV", "defocus V"))
            )
        ]
        values = [value for one in series for value in one.y]
        svg = charts.line_chart(
            series, charts.axis("micrograph, by defocus", [0, len(ordered) + 1], low=0),
            charts.axis("defocus (µm)", [0.0, *values], low=0.0 if min(values) >= 0 else None),
            description="Defocus of every micrograph, from low to high",
        )  # fmt: skip
        drawn.append(Chart("Defocus", svg, [Key(one.label, f"s{one.style}", "circle") for one in series]))
    if {"rlnDefocusU", "rlnCtfMaxResolution"} <= set(table) and len(table):
        defocus = [value / 1e4 for value in table["rlnDefocusU"]]
        reach = [float(value) for value in table["rlnCtfMaxResolution"]]
        svg = charts.line_chart(
            [charts.Series("micrograph", defocus, reach, 0, dots=True)],
            charts.axis("defocus U (µm)", [0.97 * min(defocus), 1.03 * max(defocus)]),
            charts.axis("fit good to (Å)", [0.95 * min(reach), 1.05 * max(reach)]),
            description="Resolution to which the fit is good against defocus, one dot a micrograph",
        )  # fmt: skip
        drawn.append(Chart("How far the fit is good", svg))
    return drawn


def _fit_charts(table: pd.DataFrame, curves: pd.DataFrame) -> list[Chart]:
    """Measured rings and model of the best, the middle and the worst fit that left its curves."""
    if not {"micrograph", *CURVES} <= set(curves) or "rlnCtfFigureOfMerit" not in table:
        return []
    fits = table[table["rlnMicrographName"].isin(set(curves["micrograph"]))]
    ordered = fits.sort_values("rlnCtfFigureOfMerit", ascending=False).to_dict("records")
    if not ordered:
        return []
    # Of one or two fits a place has several names: the last given counts.
    places = {len(ordered) - 1: "worst", (len(ordered) - 1) // 2: "middle", 0: "best"}
    return [_fit_chart(ordered[place], word, curves) for place, word in sorted(places.items())]


def _fit_chart(row: Mapping[Hashable, object], word: str, curves: pd.DataFrame) -> Chart:
    name = str(row["rlnMicrographName"])
    own = curves[curves["micrograph"] == name].sort_values("frequency_per_A")
    x, measured = list(own["frequency_per_A"]), list(own["measured"])
    # The model has no height of its own: least squares bring it onto the measured curve.
    model = own["model"] - own["model"].mean()
    height = float((model * own["measured"]).sum() / max(float((model**2).sum()), 1e-12))
    scaled = list(own["measured"].mean() + height * model)
    series = [charts.Series("measured", x, measured, 0), charts.Series("model", x, scaled, 1)]
    reach = as_number(row.get("rlnCtfMaxResolution"))
    marks = [charts.Mark(1 / reach, f"fits to {fixed(reach, 1)} Å", True)] if 0 < reach < math.inf else []
    whole = charts.resolution_axis(max(x))
    ticks = [tick for tick in whole.ticks if tick[0] >= min(x) * 0.999]
    svg = charts.line_chart(
        series, charts.Axis(whole.label, min(x), max(x), ticks),
        charts.axis("power over its background, less 1", [*measured, *scaled]),
        description=f"Thon rings of {name} and the fitted model over resolution", marks=marks, inverse_x=True,
    )  # fmt: skip
    quality = fixed(as_number(row["rlnCtfFigureOfMerit"]), 2)
    failed = ", failed" if as_number(row.get("vitreousCtfFailed")) == 1 else ""
    title = f"Rings of the {word} fit, quality {quality}{failed}"
    note = f"{name}; mean over rings of equal phase. The model is scaled to the measured curve."
    return Chart(title, svg, [Key(one.label, f"s{one.style}") for one in series], note=note)
