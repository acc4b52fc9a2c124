"""What the metrics say to input that cannot be scored: an error that names it, never a number."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from vitreous.errors import InputError
from vitreous.io.dataset import DatasetInfo, write_dataset
from vitreous.io.mrc import write_image, write_volume
from vitreous.io.picks import write_picks
from vitreous.metrics.angles import angular_error_deg
from vitreous.metrics.correlation import real_space_correlation
from vitreous.metrics.fsc import fourier_ring_correlation, fourier_shell_correlation, resolution_at
from vitreous.metrics.pick_confidence import bootstrap_interval, paired_bootstrap
from vitreous.metrics.pick_curve import threshold_curve
from vitreous.metrics.pick_frame import frame_check
from vitreous.metrics.pick_matching import match
from vitreous.metrics.pick_overlap import iou_one_to_one
from vitreous.metrics.pick_scores import match_micrographs
from vitreous.metrics.postprocess import corrected_fsc, default_mask
from vitreous.metrics.sampling import match_sampling
from vitreous.metrics.settings import EvaluationSettings
from vitreous.metrics.stages import evaluate_ctf, evaluate_map, evaluate_picks
from vitreous.runtime.device import Runtime

ONE = np.zeros((1, 2))


def test_maps_that_cannot_be_compared_are_refused() -> None:
    good = torch.randn(8, 8, 8, generator=torch.Generator().manual_seed(0))
    for other in (good[:6, :6, :6], good[:6]):
        with pytest.raises(InputError, match="different shape"):
            fourier_shell_correlation(good, other)
    with pytest.raises(InputError, match="cube"):
        fourier_shell_correlation(good[:6], good[:6])
    bad = good.clone()
    bad[0, 0, 0] = math.nan
    with pytest.raises(InputError, match="not finite"):
        fourier_shell_correlation(good, bad)
    with pytest.raises(InputError, match="not finite"):
        fourier_ring_correlation(bad[0], good[0])
    with pytest.raises(InputError, match="not finite"):
        real_space_correlation(good, bad)


def test_constant_map_has_no_correlation() -> None:
    with pytest.raises(InputError, match="constant"):
        real_space_correlation(torch.ones(4), torch.arange(4.0))


def test_empty_mask_and_tiny_box_are_refused() -> None:
    volume = torch.randn(16, 16, 16, generator=torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match="not all zero"):
        corrected_fsc(volume, volume, torch.zeros(16, 16, 16), pixel_size_A=1.0)
    with pytest.raises(InputError, match="edge"):
        default_mask(12)


def test_a_batch_of_curves_has_no_single_resolution() -> None:
    with pytest.raises(InputError, match="one curve"):
        resolution_at(torch.zeros(2, 9), 0.5, 16, 1.0)


def test_poses_must_be_matrices() -> None:
    with pytest.raises(InputError, match="rotation matrices"):
        angular_error_deg(torch.zeros(4, 3), torch.zeros(4, 3))


def test_true_map_on_an_odd_grid_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be sampled"):
        match_sampling(torch.zeros(32, 32, 32), 1.0, 32, 1.01)


def test_centres_must_be_pairs_of_numbers() -> None:
    with pytest.raises(InputError, match="x, y"):
        match(np.zeros((3, 3)), ONE, 5)
    with pytest.raises(InputError, match="row 2"):
        match(ONE, np.array([[0.0, 0.0], [math.nan, 0.0]]), 5)
    for radius in (0.0, -1.0, math.nan):
        with pytest.raises(InputError, match="radius"):
            match(ONE, ONE, radius)
    with pytest.raises(InputError, match="side"):
        iou_one_to_one({"a": ONE}, {"a": ONE}, 0)


def test_picks_of_an_unknown_micrograph_are_an_error_everywhere() -> None:
    truth, picks = {"a": ONE}, {"b": ONE}
    with pytest.raises(InputError, match="does not list"):
        match_micrographs(truth, picks, 5)
    with pytest.raises(InputError, match="does not list"):
        threshold_curve(truth, picks, {"b": np.ones(1)}, 5)
    with pytest.raises(InputError, match="does not list"):
        frame_check(truth, picks, {"b": (10, 10)}, 5)


def test_candidates_without_a_score_are_refused() -> None:
    for scores in (np.array([math.nan]), np.empty(0)):
        with pytest.raises(InputError, match="no score"):
            threshold_curve({"a": ONE}, {"a": ONE}, {"a": scores}, 5)


def test_intervals_need_micrographs_and_pairs_the_same_ones() -> None:
    counts = pd.DataFrame({"micrograph": ["a"], "truth": [1], "picks": [1], "hits": [1]})
    with pytest.raises(InputError, match="no micrograph"):
        bootstrap_interval(counts[:0])
    with pytest.raises(InputError, match="different micrographs"):
        paired_bootstrap(counts, counts.assign(micrograph="b"))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "toy"
    (folder / "micrographs").mkdir(parents=True)
    image = np.random.default_rng(0).normal(size=(32, 32)).astype(np.float32)
    write_image(folder / "micrographs" / "a.mrc", image, 2.0)
    info = DatasetInfo(
        name="toy", source="test", pixel_size_A=2.0, targets=[{"name": "ball", "diameter_A": 20.0}]
    )
    write_dataset(folder, info, pd.DataFrame({"rlnMicrographName": ["micrographs/a.mrc"]}))
    return folder


def common(folder: Path) -> dict[str, object]:
    return {
        "settings": EvaluationSettings(),
        "labels": {},
        "provenance": folder / "p.json",
        "runtime": Runtime(),
    }


def picks_of(name: str) -> pd.DataFrame:
    return pd.DataFrame({"micrograph": [name], "x": [3.0], "y": [4.0], "score": [1.0]})


def test_picks_without_truth_or_of_another_data_set_are_refused(dataset: Path, tmp_path: Path) -> None:
    write_picks(tmp_path / "picks.star", picks_of("micrographs/a.mrc"))
    with pytest.raises(InputError, match="no annotated micrograph"):
        evaluate_picks(tmp_path / "picks.star", None, dataset, tmp_path, **common(tmp_path))
    write_picks(dataset / "truth" / "picks.star", picks_of("micrographs/a.mrc"))
    write_picks(tmp_path / "picks.star", picks_of("micrographs/other.mrc"))
    with pytest.raises(InputError, match=r"micrographs/other\.mrc"):
        evaluate_picks(tmp_path / "picks.star", None, dataset, tmp_path, **common(tmp_path))
    assert not (tmp_path / "scores.csv").exists()


def test_half_maps_of_different_sampling_are_refused(dataset: Path, tmp_path: Path) -> None:
    volume = np.random.default_rng(0).normal(size=(16, 16, 16)).astype(np.float32)
    for name, pixel_size_A in (("half1", 2.0), ("half2", 2.1), ("map", 2.0)):
        write_volume(tmp_path / f"{name}.mrc", volume, pixel_size_A)
    with pytest.raises(InputError, match=r"half2\.mrc.*different size"):
        evaluate_map(tmp_path, dataset, "ball", tmp_path, **common(tmp_path))


def test_unknown_target_is_named_with_those_there_are(dataset: Path, tmp_path: Path) -> None:
    volume = np.random.default_rng(0).normal(size=(16, 16, 16)).astype(np.float32)
    for name in ("half1", "half2", "map"):
        write_volume(tmp_path / f"{name}.mrc", volume, 2.0)
    with pytest.raises(InputError, match="rod.*ball"):
        evaluate_map(tmp_path, dataset, "rod", tmp_path, **common(tmp_path))


def test_ctf_table_must_hold_every_micrograph(dataset: Path, tmp_path: Path) -> None:
    from vitreous.io.star import write_star

    table = pd.DataFrame({"rlnMicrographName": ["micrographs/b.mrc"], "rlnDefocusU": [1.0]})
    write_star(tmp_path / "ctf.star", {"micrographs": table})
    with pytest.raises(InputError, match=r"without a row.*micrographs/a\.mrc"):
        evaluate_ctf(tmp_path / "ctf.star", dataset, tmp_path, **common(tmp_path))


@pytest.mark.parametrize(
    "wrong",
    [
        {"radius": "half"},
        {"radius": 0},
        {"radius": math.inf},
        {"thresholds": []},
        {"typo": 1},
        {"level": 1.0},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EvaluationSettings(**wrong)
