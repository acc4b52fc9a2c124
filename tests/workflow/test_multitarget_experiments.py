"""Experiments on multi-target detection as targets of the workflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from workspace import ROOT, Workspace, smallest

from vitreous.config.load import load_file, validate
from vitreous.config.plan import Plan
from vitreous.errors import SettingsError
from vitreous.runtime.files import read_json

TARGET = "multitarget_gaussian"
FOLDER = "results/test-multitarget/experiments/multitarget/gaussian"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The smallest configuration with its experiment made."""
    made = Workspace(tmp_path_factory.mktemp("multitarget"), smallest("test-multitarget.yaml"))
    run = made.run("--", TARGET)
    assert run.status == 0, run.text[-3000:]
    # two priors, two methods at two SNRs
    assert run.jobs["train_prior"] == 2 and run.jobs["run_trials"] == 4
    return made


def _methods(config: dict[str, Any]) -> dict[str, Any]:
    methods: dict[str, Any] = config["experiments"]["multitarget"]["methods"]
    return methods


def test_an_experiment_ends_in_a_table_of_every_method_at_every_snr(workspace: Workspace) -> None:
    table = pd.read_csv(workspace.folder / "results/test-multitarget/tables/multitarget_gaussian.csv")
    errors = table[table["metric"] == "error_aligned"]
    assert set(zip(errors["method"], errors["snr"], strict=True)) == {
        (method, snr) for method in ("published", "whole") for snr in (1.0, 10.0)
    }
    assert set(errors["n"]) == {4.0}  # two targets, two seeds
    known = table[(table["metric"] == "known_error") & (table["method"] == "whole")].set_index("snr")["value"]
    # known poses: the error falls as 1 / sqrt(SNR), the same noise being scaled
    assert known[1.0] / known[10.0] == pytest.approx(10**0.5, rel=1e-6)
    assert set(table["metric"]) >= {"control_grown", "control_claimed", "pose_recall", "recovered"}
    # what asks for no evidence is not said to claim anything
    claims = table[table["metric"].isin(["claimed", "control_claimed"])]
    assert set(claims["method"]) == {"whole"}


def test_a_control_of_noise_alone_grows_nothing(workspace: Workspace) -> None:
    trials = pd.read_csv(workspace.folder / FOLDER / "whole/snr-1/trials.csv")
    assert (trials.loc[trials["control"] == 1, "claimed"] == 0).all()
    assert (trials.loc[trials["control"] == 1, "grown"] == 0).all()


def test_every_trial_has_its_image_and_the_facts_stand_beside(workspace: Workspace) -> None:
    from vitreous.io.mrc import open_stack

    folder = workspace.folder / FOLDER
    trials = pd.read_csv(folder / "whole/snr-1/trials.csv")
    assert len(open_stack(folder / "whole/snr-1/estimates.mrcs")) == len(trials)
    assert len(open_stack(folder / "whole/snr-1/targets.mrcs")) == trials["target"].nunique()
    facts = read_json(folder / "experiment.json")
    assert facts["methods"]["whole"]["prior"] == "exact" and facts["measurement"]["rotations"] == 4


def test_a_second_run_has_nothing_to_do_and_an_edit_reruns_its_own_method(workspace: Workspace) -> None:
    assert not workspace.run("--dry-run", TARGET).jobs
    workspace.edit(lambda config: _methods(config)["whole"].update(iterations=6))
    jobs = workspace.run("--dry-run", TARGET).jobs
    assert jobs["run_trials"] == 2 and "train_prior" not in jobs
    workspace.edit(lambda config: _methods(config)["whole"].update(iterations=5))
    workspace.edit(lambda config: config["models"]["multitarget"]["learned"]["settings"].update(steps=90))
    jobs = workspace.run("--dry-run", TARGET).jobs
    assert jobs["run_trials"] == 2 and jobs["train_prior"] == 1
    workspace.edit(lambda config: config["models"]["multitarget"]["learned"]["settings"].pop("steps"))


def test_the_published_protocol_is_the_values_that_it_stands_for(workspace: Workspace) -> None:
    def spelled(config: dict[str, Any]) -> None:
        method = _methods(config)["published"]
        method.pop("published")
        method.update(e_step="patch", m_step="gradient")

    workspace.edit(spelled)
    assert not workspace.run("--dry-run", TARGET).jobs


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: one["methods"]["whole"].update(prior="exaxt"), "no prior of `models.multitarget`"),
        (
            lambda one: one["methods"]["published"].update(m_step="plug-and-play"),
            "has a score and no denoiser",
        ),
        (lambda one: one["methods"]["whole"].update(prior=None, orient=True), "need a `prior`"),
        (lambda one: one["methods"]["whole"].update(shifts="free"), "`shifts` is about patches"),
        (lambda one: one["tables"]["gaussian"].update(snr=[0.0]), "greater than 0"),
        (lambda one: one["tables"]["gaussian"].update(snr=[1, 1.0]), "expected each once"),
        (lambda one: one["tables"]["gaussian"].update(images="gauss"), "no set of images"),
        (
            lambda one: one["tables"]["gaussian"].update(measurement={"size_in_images": 10.5}),
            "need a whole number",
        ),
        (lambda one: one["tables"]["gaussian"].update(measurement={"density": 2}), "less than 1"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(change: Any, said: str) -> None:
    config = smallest("test-multitarget.yaml")
    change(config["experiments"]["multitarget"])
    with pytest.raises(SettingsError, match=said):
        validate(config)


def test_a_configuration_may_hold_experiments_alone_but_not_nothing() -> None:
    config = smallest("test-multitarget.yaml")
    assert Plan(validate(config)).multitarget.targets() == {
        TARGET: [f"results/test-multitarget/tables/multitarget_gaussian.{end}" for end in ("csv", "md")]
    }
    del config["experiments"]
    with pytest.raises(SettingsError, match="nothing is wanted"):
        validate(config)


def test_the_configuration_of_the_paper_plans_without_its_data(tmp_path: Path) -> None:
    plan = Plan(load_file(ROOT / "config/multitarget.yaml"))
    assert {"figure3", "figure4", "figure5", "breakdown", "proteins"} <= set(plan.multitarget.experiments)
    jobs = plan.multitarget.jobs(list(plan.multitarget.experiments))
    assert jobs["train_prior"] == 5
    for name in plan.multitarget.experiments:
        assert len(plan.multitarget.gathered(name)) == len(plan.multitarget.rows(name))
