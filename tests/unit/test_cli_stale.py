from __future__ import annotations

from pathlib import Path

import pytest

from vitreous.cli.stale import stale_files
from vitreous.cli.workflow import Run, open_run
from vitreous.runtime.files import write_json
from vitreous.runtime.provenance import write_provenance

CONFIG = """
datasets:
  a:
    source: simulate
    batches: 2
    targets: [{name: x, phantom: c1, diameter_A: 100}]
pickers:
  blob: {variant: blob}
matrix:
  - datasets: [a]
    pickers: [blob]
"""
PICKS = "results/run/sets/a/picks/raw/blob"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "vitreous.yaml").write_text(CONFIG)
    return open_run(tmp_path / "vitreous.yaml")


def fresh(path: Path) -> None:
    write_provenance(path, stage="vitreous.errors:VitreousError", settings={}, inputs=[], seed=0)


def old(path: Path) -> None:
    write_json(path, {"code": "0", "modules": ["vitreous.errors"]})


def test_results_of_todays_code_are_not_stale(run: Run) -> None:
    fresh(run.directory / PICKS / "provenance.json")
    assert stale_files(run) == []


def test_results_of_older_code_are_named_as_the_workflow_names_them(run: Run) -> None:
    names = [
        f"{PICKS}/batch-02-of-02.provenance.json",
        f"{PICKS}/provenance.json",
        "results/run/report.provenance.json",
    ]
    for name in names:
        old(run.directory / name)
    fresh(run.directory / PICKS / "batch-01-of-02.provenance.json")
    assert stale_files(run) == names


def test_what_an_earlier_configuration_left_is_not_remade(run: Run) -> None:
    old(run.directory / PICKS / "batch-01-of-08.provenance.json")
    old(run.directory / "results/run/sets/a/picks/raw/gone/provenance.json")
    old(run.directory / "results/run/sets/b/picks/raw/blob/provenance.json")
    assert stale_files(run) == []


def test_a_provenance_file_that_cannot_be_read_counts_as_stale(run: Run) -> None:
    path = run.directory / PICKS / "provenance.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"code": ')
    assert stale_files(run) == [f"{PICKS}/provenance.json"]


def test_a_comparison_made_by_older_code_is_stale_and_one_that_is_not_asked_for_is_not(run: Run) -> None:
    comparison = """
comparisons:
  two: {groups: [{name: one, datasets: [a]}], pickers: [blob]}
"""
    run.file.write_text(CONFIG + comparison)
    old(run.directory / "results/run/tables/comparison-two.provenance.json")
    old(run.directory / "results/run/tables/comparison-other.provenance.json")
    assert stale_files(open_run(run.file)) == ["results/run/tables/comparison-two.provenance.json"]
