"""Comparisons and the papers' experiments as targets of the workflow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from workspace import ROOT, Workspace, smallest

from vitreous.config.experiments import variations
from vitreous.config.hours import picking_hours, training_gain, training_hours
from vitreous.config.load import load_file, validate
from vitreous.config.models import Config, TrainedPicker
from vitreous.config.plan import Plan
from vitreous.errors import SettingsError
from vitreous.picking.emmae.settings import EmmaeSettings
from vitreous.runtime.files import read_json

TRAINED = "average-on-simulated-first-1"
TARGETS = ("picking_table1", "picking_curve", "picking_clusters", "picking_latents", "picking_sets20")


def _with_templates() -> dict[str, Any]:
    """The smallest workflow on three micrographs, an experiment with a method that trains in a second."""
    config = smallest()
    config["datasets"]["simulated"] |= {"micrographs": 3, "batches": 1}
    config["matrix"] = [{"datasets": ["simulated"], "pickers": ["log"]}]
    config["comparisons"] = {
        "two": {
            "groups": [
                {"name": "whole", "datasets": ["simulated"]},
                {"name": "inner", "datasets": ["simulated"], "border_px": 60},
            ],
            "pickers": ["log", TRAINED],
            "against": ["log"],
        }
    }
    experiments = config["experiments"]["picking"]
    experiments["methods"] = {"average": {"variant": "template"}}
    experiments["curve"] = {
        "methods": ["average"], "train": ["simulated"], "sizes": [1], "test": ["simulated"],
    }  # fmt: skip
    for name in ("table1", "clusters", "sets20", "latents"):
        del experiments[name]
    return config


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("experiments"), _with_templates())


def test_every_experiment_of_the_smallest_configuration_is_a_target(tmp_path: Path) -> None:
    planned = Workspace(tmp_path, smallest()).run("--dry-run", *TARGETS)
    assert planned.status == 0, planned.text[-3000:]
    jobs = planned.jobs
    # emmae on all, on the first and the first three micrographs, and the joint model of sets20
    assert jobs["train_picker"] == 4
    assert jobs["gather_experiment"] == jobs["write_table"] == 4
    assert jobs["project_latents"] == 1
    # four models, two numbers of clusters of one of them, and the blob picker, in two batches each
    assert jobs["pick_batch"] == 2 * 7
    assert all(jobs[target] == 1 for target in TARGETS)
    assert "report" not in jobs


def test_the_full_configuration_holds_the_papers_experiments_and_shares_their_models() -> None:
    plan = Plan(load_file(ROOT / "config/full.yaml"))
    table1 = plan.tables.experiments["table1"]
    assert (len(table1.train), len(table1.test)) == (4, 14)
    assert plan.tables.experiments["curve"].sizes == [1, 3, 5, 20, 40, 80, 120, 160]
    assert len(plan.tables.experiments["sets20"].train) == 20 and plan.tables.experiments["sets20"].together
    wanted = {
        name: {one.model for one in variations(plan.config, name, block) if one.model}
        for name, block in plan.tables.experiments.items()
    }
    # the numbers of clusters are varied of models that Table 1 trains, and latents are of one of them
    assert wanted["clusters"] <= wanted["table1"]
    assert plan.tables.latents_model().split("/")[-4] in wanted["table1"]
    model = plan.config.models.picking["emmae-on-empiar-10291-first-5"]
    assert model.train is not None and model.train.micrographs == 5
    own = plan.config.pickers["emmae-on-empiar-10291-first-180-k7"]
    assert isinstance(own, TrainedPicker) and own.settings is not None
    assert own.settings.model_dump()["clusters"]["refine"] == [3, 4, 5, 6, 7]


def test_only_a_part_of_the_micrographs_changes_what_a_training_depends_on() -> None:
    config = _config()
    whole, part = (
        Plan(config).training_settings("picking", f"average-on-simulated{end}") for end in ("", "-first-2")
    )
    assert "train" not in whole  # so that what was trained before this option came stays as it is
    assert part == {**whole, "train": {"micrographs": 2}}


def test_experiments_are_made_when_named_and_with_every_run_only_if_the_configuration_says_so() -> None:
    named, always = Plan(_config()), Plan(_config(in_report=True))
    assert not [path for path in named.results() if "picking_" in path]
    assert [Path(path).name for path in always.results() if "picking_" in path] == [
        "picking_table1.csv",
        "picking_table1.md",
        "picking_curve.csv",
        "picking_curve.md",
    ]
    assert ("average-on-simulated-first-2", 0) in always.models_trained("picking")
    assert always.tables.provenance() == [
        f"results/test/tables/{name}.provenance.json"
        for name in ("picking_table1", "picking_table1.md", "picking_curve", "picking_curve.md")
    ]


def test_the_hours_of_a_training_follow_its_sizes() -> None:
    paper, small, raw = (
        EmmaeSettings.model_validate({"preset": preset, "tokens": {"source": source}})
        for preset, source in (("paper", "encoder"), ("small", "encoder"), ("paper", "raw"))
    )
    # 2.5 h for 100 micrographs at 400 epochs on the paper's GPU
    published = paper.model_copy(
        update={"training": paper.training.model_copy(update={"epoch_windows": None})}
    )
    assert training_hours(published, 100) / training_gain(published) == pytest.approx(2.5, rel=0.1)
    assert training_hours(raw, 100) < training_hours(small, 100) < 0.1 * training_hours(published, 100)
    assert picking_hours(raw) < picking_hours(small) < picking_hours(paper)


def _config(*, in_report: bool = False, **changes: Any) -> Config:
    """The smallest configuration with two experiments on a method that is known to train."""
    data = smallest()
    data["experiments"] = {
        "in_report": in_report,
        "picking": {
            "methods": {"log": {"variant": "blob"}, "average": {"variant": "template"}},
            "table1": {"methods": ["average", "log"], "train": ["simulated"], "test": ["simulated"]},
            "curve": {"methods": ["average"], "train": ["simulated"], "sizes": [2], "test": ["simulated"]},
            **changes,
        },
    }
    return validate(data)


@pytest.mark.parametrize(
    ("key", "block", "said"),
    [
        (
            "table1",
            {"methods": ["none"], "test": ["simulated"]},
            "experiments.picking.table1.methods: no method",
        ),
        ("table1", {"methods": ["average"], "test": ["simulated"]}, "method 'average' is trained"),
        ("table1", {"methods": ["log"], "test": ["elsewhere"]}, "no dataset is called 'elsewhere'"),
        ("curve", {"methods": ["log"], "test": ["simulated"]}, "give `sizes`"),
        (
            "clusters",
            {"methods": ["average"], "train": ["simulated"], "clusters": [3], "test": ["simulated"]},
            "method 'average' has no clusters",
        ),
        (
            "latents",
            {"method": "average", "train": "simulated", "dataset": "simulated"},
            "method 'average' has no latents",
        ),
    ],
)
def test_an_experiment_that_cannot_be_is_refused_before_any_job(
    key: str, block: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        _config(**{key: block})


def test_a_name_that_an_experiment_needs_may_not_stand_for_something_else() -> None:
    with pytest.raises(SettingsError, match="pickers.log: an experiment's method of this name is another"):
        _config(methods={"log": {"variant": "blob", "scale": 0.5}, "average": {"variant": "template"}})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pickers": ["nobody"]}, "comparisons.two.pickers: no picker is called 'nobody'"),
        ({"against": ["template"]}, "comparisons.two.against: no row of this comparison"),
        ({"families": {"best": ["template"]}}, "comparisons.two.families.best: no picker of this comparison"),
        ({"families": {"log": ["log"]}}, "comparisons.two.families.log: a picker of this comparison has"),
        (
            {"groups": [{"name": "a", "datasets": ["simulated"]}] * 2},
            "comparisons.two.groups.1.name: another group is called 'a'",
        ),
    ],
)
def test_a_comparison_that_cannot_be_is_refused(change: dict[str, Any], said: str) -> None:
    data = smallest()
    block = {"groups": [{"name": "a", "datasets": ["simulated"]}], "pickers": ["log"], **change}
    with pytest.raises(SettingsError, match=re.escape(said)):
        validate(data | {"comparisons": {"two": block}})


def test_settings_to_pick_with_must_be_of_the_models_variant() -> None:
    data = smallest()
    data["pickers"]["template"]["settings"] = {"variant": "blob"}
    with pytest.raises(SettingsError, match="the variant of model 'average' is 'template'"):
        validate(data)
    data["pickers"]["template"]["settings"] = {"variant": "template", "border": 0.5}
    plan = Plan(validate(data))
    assert plan.picker_settings("template")["border"] == 0.5
    assert "border" not in plan.training_settings("picking", "average")


def test_a_curve_trains_on_the_first_micrographs_and_ends_in_a_table(workspace: Workspace) -> None:
    run = workspace.run("--", "picking_curve", "comparison_two")
    assert run.status == 0, run.text[-3000:]
    tables = workspace.folder / "results/test/tables"
    table = pd.read_csv(tables / "picking_curve.csv")
    means = table[(table["dataset"] == "mean-of-1") & (table["metric"] == "f1_micro")]
    assert means[["picker", "training_micrographs"]].values.tolist() == [["average", 1]]
    assert means["value"].between(0.5, 1).all()
    text = (tables / "picking_curve.md").read_text()
    assert "trained on simulated" in text and "training micrographs" in text
    model = workspace.folder / f"results/test/models/picking/{TRAINED}/all/seed-0"
    assert read_json(model / "provenance.json")["micrographs"] == 1


def test_a_comparison_has_intervals_and_paired_differences(workspace: Workspace) -> None:
    tables = workspace.folder / "results/test/tables"
    scores = pd.read_csv(tables / "comparison-two.csv")
    f1 = scores[scores["metric"] == "f1_micro"].set_index(["group", "picker"])
    assert ((f1["low"] <= f1["value"]) & (f1["value"] <= f1["high"])).all()
    truth = scores[scores["metric"] == "count_truth"].set_index(["group", "picker"])["value"]
    assert truth["inner", "log"] < truth["whole", "log"] == truth["whole", TRAINED]
    differences = pd.read_csv(tables / "comparison-two.differences.csv")
    assert set(differences["against_at"]) == {"automatic", "best"}
    whole = differences[(differences["group"] == "whole") & (differences["against_at"] == "automatic")]
    wanted = f1["value"]["whole", TRAINED] - f1["value"]["whole", "log"]
    assert whole["difference"].tolist() == pytest.approx([wanted])


def test_a_second_run_makes_no_table_again_and_the_report_shows_them(workspace: Workspace) -> None:
    run = workspace.run("--", "picking_curve", "comparison_two")
    assert run.status == 0 and "Nothing to be done" in run.text, run.text[-2000:]
    run = workspace.run()
    assert run.status == 0, run.text[-3000:]
    page = (workspace.folder / "results/test/report.html").read_text()
    assert "Paired differences of F1" in page


def _compared(groups: list[dict[str, Any]]) -> Config:
    data = smallest()
    data["datasets"]["other"] = {**data["datasets"]["simulated"], "seed": 5}
    block = {"groups": groups, "pickers": ["log", "emmae"], "against": ["log"]}
    return validate(data | {"comparisons": {"two": block}})


def test_a_method_in_a_comparison_is_trained_for_each_group() -> None:
    config = _compared(
        [
            {"name": "Both sets", "datasets": ["simulated", "other"]},
            {"name": "inner", "datasets": ["simulated", "other"], "border_px": 20},
        ]
    )
    trained = {name: model.train for name, model in config.models.picking.items() if name != "average"}
    assert trained["emmae-on-simulated-and-1-more"].datasets == ["simulated", "other"]
    folders = Plan(config).tables.comparison_folders("two")
    assert folders["simulated"]["emmae"].endswith("simulated/picks/raw/emmae-on-simulated-and-1-more")
    assert folders["other"]["log"].endswith("other/picks/raw/log")


def test_a_group_may_take_models_of_other_sets_and_of_few_micrographs() -> None:
    config = _compared(
        [{"name": "far", "datasets": ["simulated"], "trained_on": ["other"], "training_micrographs": 2}]
    )
    model = config.models.picking["emmae-on-other-first-2"]
    assert model.train is not None
    assert (model.train.datasets, model.train.micrographs) == (["other"], 2)
    assert (
        Plan(config).tables.comparison_folders("two")["simulated"]["emmae"].endswith("emmae-on-other-first-2")
    )


def test_one_data_set_judged_by_two_trainings_in_one_comparison_is_refused() -> None:
    with pytest.raises(SettingsError, match="with another training; compare apart"):
        _compared(
            [
                {"name": "own", "datasets": ["simulated"]},
                {"name": "far", "datasets": ["simulated"], "trained_on": ["other"]},
            ]
        )


@pytest.mark.parametrize("name", ["minimal", "test", "full"])
def test_a_picker_that_an_experiment_also_uses_is_edited_in_one_place(tmp_path: Path, name: str) -> None:
    text = (ROOT / "config" / f"{name}.yaml").read_text(encoding="utf-8")
    edited = text.replace("log: &log {variant: blob}", "log: &log {variant: blob, threshold: 6.0}")
    assert edited != text
    (tmp_path / "edited.yaml").write_text(edited, encoding="utf-8")
    plan = Plan(load_file(tmp_path / "edited.yaml"))
    assert plan.picker_settings("log")["threshold"] == 6.0
