"""The report's parts on pickers: comparisons, the papers' experiments, latents, counts of picks."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_fixture import FakeRun, make_run
from shared import ROOT

from vitreous.io.picks import write_picks
from vitreous.io.tidy import COLUMNS
from vitreous.metrics.pick_comparison import DIFFERENCES
from vitreous.metrics.picking_experiments import OF_EXPERIMENT, OF_GROUP
from vitreous.report.comparison import comparison_section
from vitreous.report.counts import count_chart
from vitreous.report.experiments import experiment_blocks, experiments_section
from vitreous.report.markdown import markdown
from vitreous.report.page import render
from vitreous.report.picking import best_first
from vitreous.report.published import read_published
from vitreous.report.results import find_results, find_tables
from vitreous.report.scores import part
from vitreous.report.settings import ReportSettings
from vitreous.report.stages import read_material
from vitreous.report.table_stages import write_table
from vitreous.runtime.device import Runtime

PUBLISHED = ROOT / "config" / "published.yaml"
GROUPS = {"membrane": "empiar-10291", "hard": "hard-a+hard-b"}


def _rows(columns: tuple[str, ...], rows: list[dict[str, object]]) -> pd.DataFrame:
    return pd.DataFrame(
        [{name: row.get(name, "") for name in columns} for row in rows], columns=list(columns)
    )


def _comparison(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    for (group, dataset), (picker, f1) in (
        (group, picker)
        for group in GROUPS.items()
        for picker in (("log", 0.7), ("emmae", 0.8), ("best-of", 0.9))
    ):
        about = {"group": group, "border_px": 0, "dataset": dataset, "picker": picker}
        about |= {"member": "topaz-16"} if picker == "best-of" else {}
        rows += [
            {**about, "metric": "f1_micro", "value": f1, "low": f1 - 0.05, "high": f1 + 0.05},
            {**about, "metric": "oracle_f1", "value": f1 + 0.01},
            {**about, "metric": "precision_micro", "value": f1 + 0.02},
            {**about, "metric": "recall_micro", "value": f1 - 0.02},
            {**about, "metric": "centre_error", "value": 0.031, "unit": "D"},
        ]
    _rows((*OF_GROUP, *COLUMNS), rows).to_csv(folder / "comparison-all.csv", index=False)
    ahead: list[dict[str, object]] = [
        {
            "group": group, "picker": "emmae", "picker_at": "automatic", "against": "log", "against_at": at,
            "difference": 0.1, "low": low, "high": 0.2, "share_ahead": 0.99, "n": 8, "level": 0.95,
        }
        for group in GROUPS for at, low in (("automatic", 0.05), ("best", -0.01))
    ]  # fmt: skip
    _rows(DIFFERENCES, ahead).to_csv(folder / "comparison-all.differences.csv", index=False)


def _experiment(path: Path, varied: str | None = None) -> None:
    """Table 1 on two test sets, or a curve over three values of what is varied."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    for step, value in enumerate((1, 3, 20) if varied else ("",)):
        for dataset in ("empiar-10028", "empiar-10017", "mean-of-2"):
            for metric in ("f1_micro", "iou_published", "iou_published_f1"):
                about = {
                    "picker": "emmae",
                    "trained_on": "empiar-10291",
                    "dataset": dataset,
                    "metric": metric,
                }
                rows.append({**about, "value": 0.5 + 0.1 * step, **({varied: value} if varied else {})})
    rows.append({"picker": "log", "dataset": "mean-of-2", "metric": "f1_micro", "value": 0.654})
    _rows((*OF_EXPERIMENT, *COLUMNS), rows).to_csv(path, index=False)


def _latents(folder: Path) -> None:
    rng = np.random.default_rng(0)
    row, column = (values.ravel() for values in np.mgrid[:24, :32])
    table = pd.DataFrame({"row": row, "column": column})
    for index in (1, 2, 3):
        table[f"component{index}"] = rng.normal(0, 1, len(table))
    table["cluster"] = row // 8
    table["particle"] = (table["cluster"] == 1).astype(int)
    table.to_csv(folder / "picking_latents.csv", index=False)
    shares = pd.DataFrame({"component": [1, 2, 3], "share": [0.5, 0.2, 0.1]})
    shares.to_csv(folder / "picking_latents.variance.csv", index=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> FakeRun:
    run = make_run(tmp_path_factory.mktemp("picking"), micrographs=2, seeds=1)
    tables = run.folder / "tables"
    _comparison(tables)
    _experiment(tables / "picking_table1.csv")
    _experiment(tables / "picking_curve.csv", "training_micrographs")
    _latents(tables)
    return run


@pytest.fixture(scope="module")
def page(made: FakeRun) -> str:
    return _page(made)


def _page(run: FakeRun) -> str:
    """The sections on tables alone; the whole page is tested elsewhere."""
    material = read_material(run.folder, run.datasets, ReportSettings(), PUBLISHED, {}, None)
    sections = [comparison_section(material), experiments_section(material)]
    return render(name="x", written=datetime.now(UTC), verdict=("", ""), tiles=[], sections=sections)


def _section(page: str, anchor: str) -> str:
    found = re.search(rf'<section id="{anchor}">.*?</section>', page, flags=re.DOTALL)
    assert found is not None
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found[0]))


def test_a_comparison_shows_f1_best_thresholds_differences_and_printed_numbers(page: str) -> None:
    text = _section(page, "comparison")
    assert "F1 of every picker on every group" in text and "0.650–0.750" in text
    assert "F1 less that of log at its best threshold" in text and "−0.010 to +0.200" in text
    assert "topaz-16" in text  # which of a family it was
    assert "0.631" in text and "paper 000" in text  # printed for EMPIAR-10291


def test_only_a_difference_whose_interval_is_above_zero_is_marked(tmp_path: Path) -> None:
    _comparison(tmp_path)
    write_table(
        tmp_path / "comparison-all.csv",
        tmp_path / "comparison-all.md",
        differences=tmp_path / "comparison-all.differences.csv",
        published=PUBLISHED,
        provenance=tmp_path / "provenance.json",
        runtime=Runtime(device="cpu", threads=1, seed=0),
    )
    text = (tmp_path / "comparison-all.md").read_text()
    assert text.count("**+0.100** (+0.050 to +0.200)") == 2
    assert text.count("| +0.100 (−0.010 to +0.200)") == 2
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert "| log | 0.700 (0.650–0.750) | 0.710 |" in table[2]


def test_table_1_stands_beside_the_printed_one() -> None:
    text = ""
    for metric in ("f1_micro", "iou_published_f1"):
        rows = [
            {"picker": "emmae", "trained_on": "empiar-10291", "dataset": one, "metric": metric, "value": 0.5}
            for one in ("empiar-10028", "mean-of-1")
        ]
        table = _rows((*OF_EXPERIMENT, *COLUMNS), rows)
        text += markdown(experiment_blocks("table1", table, read_published(PUBLISHED)))
    assert "| *cryo-emmae, printed* | *0.512* |" in text
    assert "**trained on empiar-10077**" in text  # printed although we have not trained there
    assert "Printed: means over 14 test sets." in text
    assert "**mean over training sets**" in text and "| *0.497* |" in text  # methods/picking.md §6


def test_test_sets_go_down_where_there_are_more_of_them_than_methods() -> None:
    about = {"picker": "emmae", "trained_on": "empiar-10291", "metric": "f1_micro", "training_micrographs": 1}
    rows = [{**about, "dataset": f"set-{index}", "value": 0.1 * index} for index in range(3)]
    table = _rows((*OF_EXPERIMENT, *COLUMNS), [*rows, {**about, "dataset": "mean-of-3", "value": 0.1}])
    text = markdown(experiment_blocks("curve", table, read_published(PUBLISHED)))
    assert "| test set | emmae · on empiar-10291 · 1 micrograph |" in text
    assert "| set-2 | 0.200 |" in text


def test_pictures_of_the_best_picker_of_each_data_set_come_first(made: FakeRun) -> None:
    material = read_material(made.folder, made.datasets, ReportSettings(), PUBLISHED, {}, None)
    scored = material.scores("picks")
    ordered = best_first(material, material.run.of("picks"), scored)
    f1 = {(part(one, "dataset"), part(one, "picker")): own["f1_micro"].value for one, own in scored.items()}
    names = [(result.names["dataset"], result.names["picker"]) for result in ordered]
    assert {dataset for dataset, _ in names[:2]} == set(made.datasets)
    assert all(f1[best] >= f1[next(one for one in names[2:] if one[0] == best[0])] for best in names[:2])


def test_a_curve_is_drawn_against_what_was_varied_with_a_level_line_for_the_rest(page: str) -> None:
    text = _section(page, "experiments")
    assert "F1 against training micrographs" in text and "saturates" in text
    svg = next(part for part in page.split("<svg") if 'aria-label="F1 against training' in part)
    assert 'data-log="1"' in svg
    assert ">20<" in svg and ">log<" in svg


def test_latents_are_drawn_by_cluster_with_the_variance_of_each_component(page: str) -> None:
    text = _section(page, "experiments")
    assert "component 1 (50% of the variance)" in text and "cluster 1, particles" in text
    assert "components 1 to 3 as red, green and blue" in text


def test_the_count_against_the_threshold_marks_what_was_taken(made: FakeRun) -> None:
    result = next(one for one in find_results(made.folder) if one.kind == "picks")
    assert count_chart(result) is None  # no candidates yet
    scores = np.linspace(1, 0, 200)
    candidates = pd.DataFrame({"micrograph": "micrographs/m001.mrc", "x": 10.0, "y": 10.0, "score": scores})
    write_picks(result.folder / "candidates.star", candidates)
    chart = count_chart(result)
    assert chart is not None
    assert "automatic 0.42" in chart.svg
    assert "116 of 200 candidates are picked." in chart.note
    assert {key.label for key in chart.keys} == {"candidates with this score or more", "of them hits"}


def test_a_run_without_tables_says_how_to_get_them(tmp_path: Path) -> None:
    assert find_tables(tmp_path) == []
    run = make_run(tmp_path, micrographs=2, seeds=1)
    page = _page(run)
    assert "block comparisons" in _section(page, "comparison")
    assert "picking_table1" in _section(page, "experiments")


def test_only_the_tables_asked_for_are_shown(made: FakeRun) -> None:
    wanted = made.folder / "tables" / "picking_curve.csv"
    assert find_tables(made.folder, [wanted]) == [wanted]
    assert [path.name for path in find_tables(made.folder)] == [
        "comparison-all.csv",
        "picking_curve.csv",
        "picking_latents.csv",
        "picking_table1.csv",
    ]
