"""Exact reruns, with real runs: each test continues the workspace that the tests before it left."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from workspace import Workspace, smallest

from vitreous.config.estimate import count_jobs
from vitreous.config.load import load_file
from vitreous.config.plan import Plan

EVALUATION = {"evaluate_picks", "evaluate_map", "evaluate_ctf", "report", "all"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("reruns"), smallest())


def _ended(jobs: Counter[str], expected: dict[str, int]) -> None:
    assert {rule: jobs[rule] for rule in jobs if rule != "all"} == expected


def test_a_first_run_makes_the_report_with_the_jobs_of_the_plan(workspace: Workspace) -> None:
    run = workspace.run()
    assert run.status == 0, run.text[-3000:]
    assert (workspace.folder / "results/test/report.html").stat().st_size > 10_000
    assert run.jobs == count_jobs(Plan(load_file(workspace.config)))


def test_a_second_run_has_nothing_to_do(workspace: Workspace) -> None:
    run = workspace.run()
    assert run.status == 0
    assert "Nothing to be done" in run.text
    assert not run.jobs


def test_comments_key_order_and_defaults_written_out_rerun_nothing(workspace: Workspace) -> None:
    config = yaml.safe_load(workspace.config.read_text())

    def turned(node: Any) -> Any:
        return {key: turned(node[key]) for key in reversed(node)} if isinstance(node, dict) else node

    config = turned(config) | {"evaluation": {"bootstrap": 1000, **config.get("evaluation", {})}}
    workspace.config.write_text("# a comment\n" + yaml.safe_dump(config, sort_keys=False))
    run = workspace.run()
    assert "Nothing to be done" in run.text, run.text[-3000:]


def test_an_evaluation_setting_reruns_evaluation_and_report_only(workspace: Workspace) -> None:
    workspace.edit(lambda config: config.setdefault("evaluation", {}).update(radius=20.0))
    run = workspace.run()
    assert run.status == 0, run.text[-3000:]
    assert {"evaluate_picks", "report"} <= set(run.jobs) <= EVALUATION


def test_a_training_setting_reruns_that_training_and_what_follows(workspace: Workspace) -> None:
    workspace.edit(lambda config: config["models"]["picking"]["average"]["settings"].update(rounds=2))
    run = workspace.run()
    assert run.status == 0, run.text[-3000:]
    _ended(
        run.jobs, {"train_picker": 1, "pick_batch": 2, "collect_picks": 1, "evaluate_picks": 1, "report": 1}
    )


def test_a_block_that_nothing_uses_reruns_nothing(workspace: Workspace) -> None:
    workspace.edit(lambda config: config["pickers"].update(unused={"variant": "blob", "filter": "dog"}))
    workspace.edit(lambda config: config.setdefault("compute", {}).update(max_failed_share=0.3))
    run = workspace.run()
    assert "Nothing to be done" in run.text, run.text[-3000:]


def test_an_added_micrograph_is_computed_alone(workspace: Workspace) -> None:
    images = sorted((workspace.folder / "datasets/simulated/micrographs").iterdir())
    before = {path.name: path.stat().st_mtime_ns for path in images}
    # The other combinations would follow as well; they are left out to keep the test short.
    workspace.edit(lambda config: config.update(matrix=[{"datasets": ["simulated"], "pickers": ["log"]}]))
    workspace.edit(lambda config: config["datasets"]["simulated"].update(micrographs=len(images) + 1))
    run = workspace.run()
    assert run.status == 0, run.text[-3000:]
    gathered = {"collect_simulated": 1, "collect_picks": 1, "evaluate_picks": 1, "report": 1}
    _ended(run.jobs, {"simulate_batch": 1, "pick_batch": 1, **gathered})
    after = {path.name: path.stat().st_mtime_ns for path in images}
    assert after == before
    assert len(list((workspace.folder / "datasets/simulated/micrographs").iterdir())) == len(images) + 1
    for stage in ("simulate/simulated-01-of-02.log", "pick/simulated-raw-log-01-of-02.log"):
        log = (workspace.folder / "results/test/logs" / stage).read_text()
        assert "micrographs: 1 computed, 2 kept from before, 0 failed" in log, stage


def test_an_edit_undone_has_nothing_to_do_after_a_rerun(workspace: Workspace) -> None:
    workspace.edit(lambda config: config["evaluation"].update(radius=21.0))
    workspace.edit(lambda config: config["evaluation"].update(radius=20.0))
    assert "Nothing to be done" in workspace.run("--dry-run").text


def test_results_lie_where_the_house_says(workspace: Workspace) -> None:
    results = workspace.folder / "results/test"
    for name in (
        "sets/simulated/picks/raw/log/picks.star",
        "sets/simulated/picks/raw/log/matches.csv",
        "sets/simulated/particles/raw/truth/particles.star",
        "sets/simulated/maps/raw/truth/all/protein/native/half1.mrc",
        "sets/simulated/maps/raw/truth/all/protein/native/fsc.csv",
        "models/picking/average/all/seed-0/model.pt",
    ):
        assert (results / name).is_file(), name
    assert not list(Path(results).rglob(".*-*.star"))
