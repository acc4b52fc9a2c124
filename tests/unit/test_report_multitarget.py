"""The report's section on multi-target detection: tables, charts, recovered images, where detection ends."""

from __future__ import annotations

import io
import re
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_fixture import make_run
from report_multitarget_fixture import Made, Method, make_experiment, make_prior
from shared import ROOT

from vitreous.io.mrc import open_stack, write_stack
from vitreous.report.blocks import Chart, Fold, Mosaic, Prose, Table
from vitreous.report.material import Material
from vitreous.report.multitarget import best_errors, multitarget_section
from vitreous.report.multitarget_charts import breakdown_chart, error_charts, snr_axis
from vitreous.report.multitarget_pictures import picture_blocks, short_names
from vitreous.report.multitarget_results import read_experiment
from vitreous.report.multitarget_tables import Limit, limit, limits_table, result_table
from vitreous.report.pictures import Budget
from vitreous.report.records import provenance_section
from vitreous.report.results import find_results
from vitreous.report.settings import ReportSettings
from vitreous.report.stages import make_sections, read_material, write_report
from vitreous.report.summary import verdict
from vitreous.report.table_stages import write_table
from vitreous.runtime.device import Runtime

PUBLISHED = ROOT / "config" / "published.yaml"
SIDE, DIGITS = 12, 3
METHODS = {
    "published-no-prior": Method({1.0: 0.47, 0.1: 0.89}, e_step="patch", m_step="gradient"),
    "whole": Method({1.0: 0.27, 0.1: 1.02}),
    "digits": Method(
        {1.0: 0.085, 0.1: 0.215}, prior="digits-prior", denoised={1.0: 0.08, 0.1: 0.2}, false_alarms=0.0
    ),
}


def truth(count: int = DIGITS) -> np.ndarray:
    """Images (count, L, L) without symmetry, with a margin of 2 px."""
    images = np.zeros((count, SIDE, SIDE), np.float32)
    images[:, 2:-2, 2:-2] = np.random.default_rng(3).uniform(0.1, 1, (count, SIDE - 4, SIDE - 4))
    return images


def names(count: int = DIGITS) -> list[str]:
    return [f"digit-{index}-train-{100 + index}" for index in range(count)]


MADE = Made(truth(), names(), METHODS, title="Figure 4: digits", controls=1)


def material_of(run: Path, files: list[Path] | None = None) -> Material:
    material = read_material(run, {}, ReportSettings(), PUBLISHED, {"name": "mtd"}, files)
    material.budget = Budget(10**7)
    return material


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "mtd"
    rng = np.random.default_rng(0)
    make_experiment(folder, "figure4", MADE, rng)
    ends = {
        "whole": Method({1.0: 0.2, 0.1: 0.9}),
        "digits": Method({1.0: 0.1, 0.1: 0.2}, prior="digits-prior"),
    }
    for name, size in (("breakdown", 11), ("breakdown-22", 22)):
        made = Made(truth(), names(), ends, size_in_images=size, controls=1)
        make_experiment(folder, name, made, rng)
    make_prior(folder, "digits-prior")
    make_prior(folder, "known-exactly", epochs=1)
    return folder


@pytest.fixture(scope="module")
def material(run: Path) -> Material:
    return material_of(run)


def table_of(run: Path, name: str) -> Path:
    return run / "tables" / f"multitarget_{name}.csv"


def images_of(block: Mosaic) -> dict[str, list[np.ndarray]]:
    """The decoded grey values of a mosaic's pictures by row."""
    found = {}
    for row in block.rows:
        texts = [re.search(r"base64,([^\"]+)", figure.picture) for figure in row.figures]
        files = [io.BytesIO(b64decode(text[1])) for text in texts if text]
        found[row.name] = [np.asarray(Image.open(file).convert("L"), dtype=float) for file in files]
    return found


def test_every_method_and_snr_has_a_row_with_its_error_floor_and_ratio(run: Path) -> None:
    experiment = read_experiment(table_of(run, "figure4"))
    table = result_table(experiment)
    assert [row.group for row in table.rows] == ["SNR 1", "", "", "SNR 0.1", "", ""]
    labels = [column.label for column in table.columns]
    digits = dict(zip(labels, table.rows[2].cells, strict=True))
    error = experiment.value("digits", 1.0, "error_aligned")
    assert digits["aligned error"].text == f"{error:.3f}" and digits["aligned error"].note.startswith("± 0.0")
    assert digits["known poses, denoised"].text == "0.080"
    assert digits["ratio to floor"].text == f"{error / 0.08:.2f}"
    assert (
        digits["found / planted"].text == "12.4 / 13" and digits["claimed / in noise"].text == "1.00 / 0.00"
    )
    whole = dict(zip(labels, table.rows[1].cells, strict=True))
    known = 1 / np.sqrt(13)
    assert whole["ratio to floor"].text == f"{experiment.value('whole', 1.0, 'error_aligned') / known:.2f}"
    assert [row.cells[1].kind for row in table.rows] == ["", "", "best", "", "", "best"]
    assert "below 0.45" in table.note and all(column.title for column in table.columns[1:])


def test_columns_that_say_nothing_are_left_out(tmp_path: Path) -> None:
    made = replace(MADE, methods={"whole": METHODS["whole"]}, controls=0, with_facts=False)
    table = result_table(read_experiment(make_experiment(tmp_path, "own", made, np.random.default_rng(0))))
    labels = {column.label for column in table.columns}
    assert labels.isdisjoint({"prior alone", "known poses, denoised", "claimed / in noise", "FRC 0.5"})
    assert "below the configured number" in table.note


def test_section_has_titles_numbers_that_lead_to_their_origin_and_definitions(material: Material) -> None:
    section = multitarget_section(material)
    headings = [block.text for block in section.blocks if block.block == "heading"]
    assert headings == ["Figure 4: digits", "Where detection breaks down"]
    table = next(block for block in section.blocks if isinstance(block, Table))
    assert table.rows[0].cells[1].href.startswith("#made-")
    assert "without numbers" in section.lead and "whole box" in section.lead
    folds = [block.summary for block in section.blocks if isinstance(block, Fold)]
    assert "What the methods are" in folds and any("N = 22 L, K = 4" in text for text in folds)


def test_errors_are_drawn_with_bands_over_their_floors(run: Path) -> None:
    (chart,) = error_charts(read_experiment(table_of(run, "figure4")))
    svg = str(chart.svg)
    assert svg.count('class="series s') == 3 and svg.count('class="band"') == 3
    assert 'class="series floor-0" data-label="known poses"' in svg
    assert 'class="series floor-1" data-label="known poses, denoised by digits-prior"' in svg
    assert svg.count(">prior alone<") == 1 and 'data-log="1"' in svg
    assert [key.kind for key in chart.keys] == ["floor-0", "floor-1", "s0", "s1", "s2"]


def test_many_methods_are_drawn_on_two_charts_with_one_scale(tmp_path: Path) -> None:
    few = {"published-a": METHODS["published-no-prior"]} | {f"own-{n}": METHODS["whole"] for n in range(8)}
    made = replace(MADE, methods=few, seeds=1, controls=0)
    found = error_charts(read_experiment(make_experiment(tmp_path, "own", made, np.random.default_rng(0))))
    assert [len([key for key in chart.keys if key.kind.startswith("s")]) for chart in found] == [1, 7, 1]
    assert [chart.title.split(": ")[1] for chart in found] == ["as published", *["beyond the paper"] * 2]
    assert len({re.search(r'data-y="[^"]+"', str(chart.svg))[0] for chart in found}) == 1  # type: ignore[index]


def test_one_snr_is_not_drawn_as_a_chart(tmp_path: Path) -> None:
    made = replace(MADE, methods={"whole": Method({1.0: 0.3})})
    table = make_experiment(tmp_path, "figure5", made, np.random.default_rng(0))
    assert error_charts(read_experiment(table)) == []


def test_ticks_of_an_snr_axis_keep_apart_and_hold_both_ends() -> None:
    made = snr_axis([1, 0.5, 0.48, 0.1, 0.02, 0.021])
    assert [text for _, text in made.ticks] == ["0.02", "0.1", "0.48", "1"]
    assert made.low < made.ticks[0][0] and made.ticks[-1][0] < made.high


@pytest.mark.parametrize("rotations", [4, 12])
def test_estimates_are_drawn_turned_and_moved_onto_the_truth(tmp_path: Path, rotations: int) -> None:
    made = replace(MADE, methods={"whole": Method({1.0: 0.3})}, controls=1, rotations=rotations)
    make_experiment(tmp_path, "figure5", made, np.random.default_rng(0))
    folder = tmp_path / "experiments/multitarget/figure5/whole/snr-1"
    estimates = open_stack(folder / "estimates.mrcs")[:].copy()
    for index, image in enumerate(made.truth):  # the first draw of each target; others and controls are noise
        estimates[index * 3] = np.roll(np.rot90(image, index + 1), (1, -2), (0, 1))
    write_stack(folder / "estimates.mrcs", estimates, 1.0)
    material = material_of(tmp_path)
    (mosaic,) = picture_blocks(material, read_experiment(table_of(tmp_path, "figure5")))
    assert isinstance(mosaic, Mosaic) and [column.label for column in mosaic.columns] == ["0", "1", "2"]
    shown = images_of(mosaic)
    assert len(shown["truth"]) == DIGITS and shown["truth"][0].max() == 255
    for planted, found in zip(shown["truth"], shown["whole"], strict=True):
        assert np.abs(planted - found).max() <= 1
    alts = re.findall(r'alt="([^"]+)"', "".join(figure.picture for figure in mosaic.rows[1].figures))
    assert re.fullmatch(r"whole at SNR 1: digit-0-train-100, aligned error 0\.\d{3}", alts[0])
    assert material.budget.taken == 1


def test_pictures_of_several_snrs_are_folded_the_lowest_open(material: Material, run: Path) -> None:
    folds = picture_blocks(material, read_experiment(table_of(run, "figure4")))
    assert [(fold.summary, fold.open) for fold in folds if isinstance(fold, Fold)] == [
        ("Recovered images at SNR 0.1", True), ("Recovered images at SNR 1", False)
    ]  # fmt: skip
    first = folds[0].blocks[0] if isinstance(folds[0], Fold) else None
    assert isinstance(first, Mosaic) and [row.name for row in first.rows] == ["truth", *METHODS]


def test_at_most_ten_targets_are_drawn(tmp_path: Path) -> None:
    made = Made(truth(12), names(12), {"whole": Method({1.0: 0.3})}, seeds=1)
    make_experiment(tmp_path, "own", made, np.random.default_rng(0))
    (mosaic,) = picture_blocks(material_of(tmp_path), read_experiment(table_of(tmp_path, "own")))
    assert isinstance(mosaic, Mosaic) and {len(row.figures) for row in mosaic.rows} == {10}


def test_images_that_are_missing_or_damaged_are_said(tmp_path: Path) -> None:
    methods = {name: Method({1.0: 0.3}) for name in ("a", "b")}
    made = replace(MADE, methods=methods, with_targets=False, with_facts=False)
    table = make_experiment(tmp_path, "own", made, np.random.default_rng(0))
    (said,) = picture_blocks(material_of(tmp_path), read_experiment(table))
    assert isinstance(said, Prose) and "targets.mrcs" in said.text
    table = make_experiment(tmp_path, "own", replace(made, with_targets=True), np.random.default_rng(0))
    (tmp_path / "experiments/multitarget/own/a/snr-1/estimates.mrcs").write_bytes(b"<html>")
    mosaic, said = picture_blocks(material_of(tmp_path), read_experiment(table))
    assert isinstance(mosaic, Mosaic) and [row.name for row in mosaic.rows] == ["truth", "b"]
    assert isinstance(said, Prose) and said.text.startswith("a at SNR 1 is not shown")


def test_pictures_beyond_the_budget_are_left_out(tmp_path: Path) -> None:
    table = make_experiment(tmp_path, "own", replace(MADE, seeds=1), np.random.default_rng(0))
    material = material_of(tmp_path)
    material.budget = Budget(0)
    folds = picture_blocks(material, read_experiment(table))
    said = [
        one.text for fold in folds if isinstance(fold, Fold) for one in fold.blocks if isinstance(one, Prose)
    ]
    assert len(said) == 2 * len(METHODS) and "keep the page small" in said[0]


@pytest.mark.parametrize(
    "given, short",
    [
        (["digit-6-train-25684", "digit-1-test-2"], ["6", "1"]),
        (["emd_3488-0", "emd_3488-1"], ["0", "1"]),
        (["cat", "dog"], ["cat", "dog"]),
        (["only-one"], ["only"]),
    ],
)
def test_names_of_targets_are_cut_to_what_differs(given: list[str], short: list[str]) -> None:
    assert short_names(given) == short


def test_limit_is_interpolated_in_log_snr_and_says_where_it_lies_outside(tmp_path: Path) -> None:
    def of(low: float, high: float) -> Limit | None:
        made = replace(MADE, methods={"a": Method({1.0: 0.3, 0.01: 0.3})})
        experiment = read_experiment(make_experiment(tmp_path, "breakdown", made, np.random.default_rng(0)))
        for snr, share in ((1.0, high), (0.01, low)):
            own = experiment.means["a", snr]
            own["recovered"] = replace(own["recovered"], value=share)
        return limit(experiment, "a")

    found = of(0.0, 1.0)
    assert found is not None and found.snr == pytest.approx(0.1) and found.text == "0.1"
    assert of(0.6, 1.0) == Limit(0.01, "<") and of(0.0, 0.4) == Limit(1.0, ">")


def test_breakdown_shows_every_measurement_and_method_and_what_the_prior_gains(run: Path) -> None:
    experiments = [read_experiment(table_of(run, name)) for name in ("breakdown", "breakdown-22")]
    chart = breakdown_chart(experiments)
    assert isinstance(chart, Chart)
    labels = re.findall(r'data-label="([^"]+)"', str(chart.svg))
    assert labels == [f"N = {size} L, K = 4 · {name}" for size in (11, 22) for name in ("whole", "digits")]
    assert [key.label for key in chart.keys][-2:] == ["digits (prior digits-prior)", "whole (no prior)"]
    table = limits_table(experiments)
    assert [cell.text for cell in table.rows[0].cells] == ["N = 11 L, K = 4", "0.32", "< 0.1", "> 3.2 ×"]
    assert table.rows[0].cells[2].kind == "best"


def test_run_of_such_experiments_alone_has_a_verdict_and_a_tile(run: Path, tmp_path: Path) -> None:
    material = material_of(run)
    assert "no results" not in verdict(material)[0]
    (tile,) = best_errors(material, 4)
    assert tile.label == "best aligned error, figure4" and tile.note == "digits at SNR 1; known poses 0.080"
    table = table_of(tmp_path, "own")
    table.parent.mkdir()
    table.write_bytes(table_of(run, "figure4").read_bytes())
    alone = material_of(tmp_path)
    assert alone.run.results == [] and "no results" not in verdict(alone)[0]
    assert [one.label for one in best_errors(alone, 4)] == ["best aligned error, own"]


def test_trials_of_the_tables_asked_for_are_found_and_no_others(run: Path) -> None:
    found = find_results(run, [table_of(run, "figure4"), run / "tables" / "multitarget_figure4.md"])
    trials = [result.names for result in found if result.kind == "trials"]
    assert {one["experiment"] for one in trials} == {"figure4"} and len(trials) == 6
    assert {one["snr"] for one in trials} == {"1", "0.1"}


def test_provenance_of_trials_is_gathered_by_experiment(material: Material) -> None:
    folds = [block for block in provenance_section(material).blocks if isinstance(block, Fold)]
    grouped = {fold.summary: len(fold.blocks) for fold in folds if "experiments/" in fold.summary}
    assert grouped == {
        "mtd/experiments/multitarget/breakdown · 4 results": 4,
        "mtd/experiments/multitarget/breakdown-22 · 4 results": 4,
        "mtd/experiments/multitarget/figure4 · 6 results": 6,
    }


def test_training_of_priors_is_drawn_where_something_was_trained(material: Material) -> None:
    section = next(one for one in make_sections(material) if one.anchor == "training")
    headings = [(block.text, block.note) for block in section.blocks if block.block == "heading"]
    assert headings == [("digits-prior", "multitarget, trained on all images, seeds 0")]
    (drawn,) = [block for block in section.blocks if block.block == "charts"]
    assert [chart.title for chart in drawn.charts] == ["Loss"]  # the learning rate is the same throughout


def test_text_of_an_experiment_has_its_table_and_the_definitions(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "figure4.md"
    record = tmp_path / "figure4.md.provenance.json"
    write_table(
        table_of(run, "figure4"), out, published=PUBLISHED, provenance=record, runtime=Runtime(device="cpu")
    )
    text = out.read_text(encoding="utf-8")
    assert text.startswith("### Figure 4: digits · N = 11 L, K = 4 · 6 measurements a row\n")
    assert re.search(r"\| digits \| \*\*0\.0\d\d\*\* \(± 0\.0\d\d\) \|", text)
    assert "| whole | none | whole measurement | closed form | 30 |" in text
    assert "without numbers" in text and "experiment.json" in record.read_text(encoding="utf-8")
    write_table(
        table_of(run, "breakdown"), out, published=PUBLISHED, provenance=record, runtime=Runtime(device="cpu")
    )
    assert "SNR at which half of the measurements are recovered" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize("content", ["", "method,snr\n", "nonsense"])
def test_damaged_table_gives_a_section_that_says_so(tmp_path: Path, content: str) -> None:
    for name in ("figure4", "breakdown"):
        table = table_of(tmp_path, name)
        table.parent.mkdir(exist_ok=True)
        table.write_text(content)
    material = material_of(tmp_path)
    blocks = multitarget_section(material).blocks
    said = [one for block in blocks for one in (block.blocks if isinstance(block, Fold) else [block])]
    assert [one.text for one in said if isinstance(one, Prose)] == ["The table is empty."] * 2
    assert best_errors(material, 4) == []


def pages(folder: Path, tmp_path: Path) -> dict[str, str]:
    """The sections of a run's page by anchor, without the numbers of provenance entries."""
    out = tmp_path / "report.html"
    write_report(folder, {}, out, settings=ReportSettings(), published=PUBLISHED, run_info={"name": "x"})
    text = re.sub(r"made-\d+", "made", out.read_text(encoding="utf-8"))
    return {one[1]: one[0] for one in re.finditer(r'<section id="(\w+)">.*?</section>', text, re.S)}


def test_other_sections_are_the_same_with_and_without_such_results(tmp_path: Path) -> None:
    made = make_run(tmp_path, micrographs=3, seeds=1)
    plain = pages(made.folder, tmp_path)
    assert "No experiment on multi-target detection was made" in plain["multitarget"]
    assert "<table" not in plain["multitarget"] and "<svg" not in plain["multitarget"]
    make_experiment(made.folder, "figure4", MADE, np.random.default_rng(0))
    page = pages(made.folder, tmp_path)
    assert "Figure 4: digits" in page["multitarget"] and page["multitarget"].count("<img") == 2 * 12
    other = {"multitarget", "provenance"}
    assert list(page) == list(plain)
    assert [name for name in page if page[name] != plain[name] and name not in other] == []


def test_pictures_on_the_page_say_what_they_show(run: Path, tmp_path: Path) -> None:
    page = pages(run, tmp_path)["multitarget"]
    for picture in re.findall(r"<img [^>]*>", page):
        assert re.search(r'alt="[^"]{10,}"', picture) and re.search(r'width="\d+"', picture)
    assert page.count('<th scope="row"') >= 4 and page.count('<th scope="col" title="digit-') >= DIGITS
