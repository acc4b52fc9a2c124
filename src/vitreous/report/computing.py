"""The page's sections on computing: training curves, run time and memory."""

from __future__ import annotations

import pandas as pd

from vitreous.report import charts
from vitreous.report.blocks import (
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
    count,
    duration,
    fixed,
)  # fmt: skip
from vitreous.report.material import Material
from vitreous.report.results import Result, read_benchmarks, read_table

STEPS = ("step", "steps", "iteration", "epoch")
LARGEST = 14


def training_section(material: Material) -> Section:
    """The training curves of every model, its seeds on one chart."""
    section = Section("training", "Training", empty="No model was trained in this run.")
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for result in material.run.of("model"):
        key = (result.names["room"], result.names["model"], result.names["half"])
        groups.setdefault(key, []).append(result)
    for (room, model, half), results in groups.items():
        tables = {result.names["seed"]: read_table(result.file("training.csv")) for result in results}
        # One row is a model that is known exactly: nothing was trained.
        drawn = _training_charts({seed: table for seed, table in tables.items() if len(table) > 1})
        if drawn:
            what = "images" if room == "multitarget" else "micrographs"
            note = f"{room}, trained on {half.replace('all', f'all {what}')}, seeds {', '.join(tables)}"
            section.blocks += [Heading(model, note=note), Charts(drawn)]
    return section


def _training_charts(tables: dict[str, pd.DataFrame]) -> list[Chart]:
    if not tables:
        return []
    first = next(iter(tables.values()))
    step = next((name for name in STEPS if name in first), None)
    numeric = [str(name) for name in first.select_dtypes("number") if str(name) not in (*STEPS, "seed")]
    # What is the same from beginning to end draws an empty chart.
    numeric = [name for name in numeric if first[name].nunique() > 1]
    losses = [name for name in numeric if "loss" in name]
    groups = [losses] if losses else []
    groups += [[name] for name in numeric if name not in losses]
    return [_training_chart(tables, step, group) for group in groups[:4]]


def _training_chart(tables: dict[str, pd.DataFrame], step: str | None, names: list[str]) -> Chart:
    series = []
    for table in tables.values():
        own = table.iloc[:: max(1, len(table) // 400)]
        x = list(own[step]) if step else list(own.index)
        series += [
            charts.Series(name.replace("_", " "), x, list(own[name]), style, faint=len(tables) > 3)
            for style, name in enumerate(names)
            if name in own
        ]
    title = "Loss" if len(names) > 1 or "loss" in names[0] else names[0].replace("_", " ").capitalize()
    svg = charts.line_chart(
        series,
        charts.axis(step or "row", [value for one in series for value in one.x]),
        charts.axis(title.lower(), [value for one in series for value in one.y]),
        description=f"{title} while training, {len(tables)} seeds",
    )
    keys = [Key(name.replace("_", " "), f"s{style}") for style, name in enumerate(names)]
    note = f"One line a seed, {len(tables)} seeds." if len(tables) > 1 else ""
    return Chart(title, svg, keys, note=note)


def computing_section(material: Material) -> Section:
    """Run time and memory of every job, from Snakemake's benchmark files."""
    section = Section(
        "computing",
        "Run time and memory",
        "From the workflow's `benchmark:` files. Memory is sampled: jobs under a few seconds read as almost "
        "nothing.",
        empty="This run has no benchmark files.",
    )
    table = read_benchmarks(material.run.folder)
    if table.empty or "s" not in table:
        return section
    for name in ("max_rss", "cpu_time"):
        if name not in table:
            table[name] = float("nan")
    table["group"] = table["job"].str.split("/").str[0]
    totals = (
        table.groupby("group").agg(jobs=("s", "size"), s=("s", "sum"), rss=("max_rss", "max")).reset_index()
    )
    totals = totals.sort_values("s", ascending=False)
    bars = [
        (f"{row['group']} ({row['jobs']})", row["s"] / 60, duration(row["s"]))
        for row in totals.head(LARGEST).to_dict("records")
    ]
    svg = charts.bar_chart(bars, "time of all jobs together (min)", description="Time by kind of job")
    section.blocks.append(Chart("Time by kind of job (number of jobs)", svg, wide=True))
    section.blocks.append(_totals(totals))
    section.blocks.append(Fold("Every job", [_jobs(table, material.settings.rows_per_table)]))
    return section


def _totals(totals: pd.DataFrame) -> Table:
    rows = [
        Row([
            Cell(str(row["group"])), Cell(count(row["jobs"]), sort=row["jobs"]),
            Cell(duration(row["s"]), sort=row["s"]), Cell(fixed(row["rss"], 0), sort=row["rss"]),
        ])
        for row in totals.to_dict("records")
    ]  # fmt: skip
    columns = [
        Column("kind of job"), Column("jobs", numeric=True), Column("time", numeric=True),
        Column("most memory", "MB", numeric=True),
    ]  # fmt: skip
    return Table(columns, rows, caption="Time and memory by kind of job", sortable=True)


def _jobs(table: pd.DataFrame, most: int) -> Table:
    shown = table.sort_values("s", ascending=False).head(most)
    rows = [
        Row([
            Cell(str(row["job"]), kind="name"), Cell(duration(row["s"]), sort=row["s"]),
            Cell(duration(row["cpu_time"]), sort=row["cpu_time"]),
            Cell(fixed(row["max_rss"], 0), sort=row["max_rss"]),
        ])
        for row in shown.to_dict("records")
    ]  # fmt: skip
    columns = [
        Column("job"), Column("wall time", numeric=True), Column("CPU time", numeric=True),
        Column("memory", "MB", numeric=True),
    ]  # fmt: skip
    note = f"The {len(shown)} longest of {len(table)}." if len(shown) < len(table) else ""
    return Table(columns, rows, caption="Jobs, longest first", note=note, sortable=True)
