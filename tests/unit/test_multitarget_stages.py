from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from vitreous.errors import InputError
from vitreous.io.mrc import open_stack
from vitreous.metrics.image_errors import rotation_error
from vitreous.multitarget import stages
from vitreous.multitarget.image_settings import GaussianImages
from vitreous.multitarget.images.registry import target_images
from vitreous.multitarget.prior_settings import GaussianPriorSettings, ImplicitPriorSettings, PriorSettings
from vitreous.multitarget.prior_training import stored_model, train_prior, trained_prior
from vitreous.multitarget.settings import EmSettings, MeasurementSettings
from vitreous.multitarget.stages import gather_trials, run_trials
from vitreous.multitarget.trials import mean_and_error
from vitreous.nets.model_files import write_model
from vitreous.runtime.device import Runtime

IMAGES = GaussianImages(targets=2)
RUNTIME = Runtime(seed=5)
METHOD = EmSettings(iterations=8)


def try_out(folder: Path, **changes: Any) -> pd.DataFrame:
    """A tiny experiment, written to `folder`: two targets, two seeds, one control, at SNR 5."""
    arguments: dict[str, Any] = {
        "settings": METHOD, "images": IMAGES, "measurement": MeasurementSettings(), "snr": 5.0, "seeds": 2,
        "controls": 1, "root": folder, "prior": None, "provenance": folder / "provenance.json",
        "runtime": RUNTIME,
    }  # fmt: skip
    files = [folder / name for name in ("trials.csv", "estimates.mrcs", "targets.mrcs")]
    run_trials(*files, **arguments | changes)
    return pd.read_csv(files[0])


def prior_in(folder: Path, settings: PriorSettings | None = None, size: int = 5) -> Path:
    train_prior(
        folder / "prior.pt", folder / "training.csv", settings=settings or GaussianPriorSettings(),
        images=GaussianImages(size=size), root=folder, provenance=folder / "prior.json", runtime=RUNTIME,
    )  # fmt: skip
    return folder / "prior.pt"


def gathered(folder: Path, tables: list[Path], **changes: Any) -> pd.DataFrame:
    arguments: dict[str, Any] = {
        "rows": [{"method": f"m{i}", "snr": 5.0, "dataset": "gaussian"} for i in range(len(tables))],
        "labels": {"paper": "001", "room": "multitarget"}, "facts": {"methods": {}}, "recovered": 0.5,
        "provenance": folder / "gathered.json", "runtime": RUNTIME,
    }  # fmt: skip
    arguments |= changes
    rows = arguments.pop("rows")
    gather_trials(tables, rows, folder / "table.csv", folder / "facts.json", **arguments)
    return pd.read_csv(folder / "table.csv")


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trials")
    try_out(folder, prior=prior_in(folder))
    return folder


def test_every_measurement_has_a_row_and_an_image(tried: Path) -> None:
    trials = pd.read_csv(tried / "trials.csv")
    kinds = [(0, 0), (1, 0), (0, 1)]  # seed and control
    expected = [[f"gaussian-{index}", *kind] for index in (0, 1) for kind in kinds]
    assert trials[["target", "seed", "control"]].to_numpy().tolist() == expected
    images = torch.tensor(open_stack(tried / "estimates.mrcs")[:])
    targets = target_images(IMAGES, tried, RUNTIME)
    assert np.array_equal(open_stack(tried / "targets.mrcs")[:], targets.images.numpy())
    for row in (0, 1, 3, 4):
        error = rotation_error(images[row : row + 1], targets.images[row // 3])
        assert float(error) == pytest.approx(trials["error"][row], rel=1e-5)


def test_a_row_says_what_to_read_it_against(tried: Path) -> None:
    trials = pd.read_csv(tried / "trials.csv")
    planted = trials[trials["control"] == 0]
    assert (planted["planted"] == 12).all() and (trials["planted"][trials["control"] == 1] == 0).all()
    # 1 / sqrt(12 x 5) = 0.129; an error of 25 pixels varies by 14 %.
    assert planted["known_error"].between(0.07, 0.2).all()
    assert (planted["known_prior_error"] < planted["known_error"] * 1.05).all()
    assert planted["prior_error"].between(0.2, 0.6).all()
    assert (planted["error_aligned"] <= planted["error"] + 1e-9).all()
    assert planted["pose_recall"].min() > 0.5 and planted["error"].max() < 0.3
    assert trials["error"][trials["control"] == 1].isna().all()


def test_a_second_run_computes_nothing_and_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = try_out(tmp_path)

    def never(*_: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(stages, "run_target", never)
    pd.testing.assert_frame_equal(try_out(tmp_path), first)
    with pytest.raises(AssertionError, match="computed again"):
        try_out(tmp_path, snr=4.0)


def test_a_killed_run_goes_on_with_the_next_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = try_out(tmp_path / "whole") if (tmp_path / "whole").mkdir() is None else None
    done: list[str] = []
    run_target = stages.run_target

    def killed(image: Any, name: str, *rest: Any) -> Any:
        if name == "gaussian-1" and "killed" not in done:
            done.append("killed")
            raise KeyboardInterrupt
        done.append(name)
        return run_target(image, name, *rest)

    monkeypatch.setattr(stages, "run_target", killed)
    with pytest.raises(KeyboardInterrupt):
        try_out(tmp_path)
    assert not list(tmp_path.glob("*.csv")) and not list(tmp_path.glob("*.mrcs"))
    resumed = try_out(tmp_path)
    assert done == ["gaussian-0", "killed", "gaussian-1"]
    pd.testing.assert_frame_equal(resumed, whole)


def test_methods_and_snrs_share_poses_and_noise(tried: Path, tmp_path: Path) -> None:
    here, there = pd.read_csv(tried / "trials.csv"), try_out(tmp_path, snr=20.0)
    ratio = here["known_error"].dropna() / there["known_error"].dropna()
    np.testing.assert_allclose(ratio, 2.0, rtol=1e-6)  # the same noise, half as strong


def test_the_published_protocol_runs_with_its_count(tmp_path: Path) -> None:
    trials = try_out(
        tmp_path, settings=EmSettings(published=True, iterations=3),
        measurement=MeasurementSettings(count="published"),
    )  # fmt: skip
    assert set(trials["planted"][trials["control"] == 0]) <= {12, 13} and (trials["iterations"] == 3).all()


def test_a_prior_that_was_trained_on_a_target_is_refused(tmp_path: Path) -> None:
    settings = ImplicitPriorSettings(width=4, steps=1, samples=2)
    targets = target_images(IMAGES, tmp_path, RUNTIME).images
    write_model(tmp_path / "seen.pt", stored_model(trained_prior(targets, settings, RUNTIME), settings))
    with pytest.raises(InputError, match=r"seen\.pt: the prior was trained on a target .*gaussian-0"):
        try_out(tmp_path, prior=tmp_path / "seen.pt")


def test_a_prior_for_images_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"another size \(found 6 px, expected 5 px\)"):
        try_out(tmp_path, prior=prior_in(tmp_path, size=6))


def test_a_table_holds_means_with_errors_over_targets(tried: Path, tmp_path: Path) -> None:
    trials = pd.read_csv(tried / "trials.csv")
    table = gathered(tmp_path, [tried / "trials.csv"]).set_index("metric")
    means = trials[trials["control"] == 0].groupby("target")["error"].mean()
    row = table.loc["error"]
    assert row["value"] == pytest.approx(means.mean()) and row["n"] == 4
    assert row["high"] - row["value"] == pytest.approx(means.std(ddof=1) / math.sqrt(2))
    assert row["spread_kind"] == "standard error over targets"
    assert (row["paper"], row["method"], row["snr"]) == (1, "m0", 5.0)
    assert table.loc["recovered", "value"] == 1 and table.loc["control_grown", "n"] == 2
    # no evidence was asked for, so nothing is said of claims
    assert "claimed" not in table.index and "control_claimed" not in table.index
    assert json.loads((tmp_path / "facts.json").read_text()) == {"methods": {}, "recovered": 0.5}


def test_methods_are_gathered_one_after_the_other(tried: Path, tmp_path: Path) -> None:
    table = gathered(tmp_path, [tried / "trials.csv"] * 2)
    assert list(dict.fromkeys(table["method"])) == ["m0", "m1"]
    assert (table.groupby("metric").size() == 2).all()


def test_trials_without_controls_or_prior_are_gathered(tmp_path: Path) -> None:
    try_out(tmp_path, controls=0, seeds=1)
    metrics = set(gathered(tmp_path, [tmp_path / "trials.csv"])["metric"])
    assert "error" in metrics and not {"control_grown", "prior_error"} & metrics


def test_a_file_without_trials_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("target,seed,control\n")
    with pytest.raises(InputError, match=r"empty\.csv: no trials"):
        gathered(tmp_path, [tmp_path / "empty.csv"])


def test_an_error_of_a_mean_is_that_of_the_targets() -> None:
    mean, error, count = mean_and_error(np.array([1.0, 3.0, 5.0, np.nan]), np.array(["a", "a", "b", "b"]))
    # Targets of 2 and 5: a deviation of 2.12 over the square root of two. The mean is over the trials.
    assert (mean, count) == (3.0, 3) and error == pytest.approx(1.5)
    assert mean_and_error(np.array([1.0, 3.0]), np.array(["a", "a"]))[1] == pytest.approx(1.0)
    assert math.isnan(mean_and_error(np.array([2.0]), np.array(["a"]))[1])
    assert mean_and_error(np.array([np.nan]), np.array(["a"]))[2] == 0
