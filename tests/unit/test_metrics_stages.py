"""The stages of the evaluation on a small data set whose scores are known."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from vitreous.io.dataset import DatasetInfo, write_dataset
from vitreous.io.mrc import write_image, write_volume
from vitreous.io.picks import write_picks
from vitreous.io.star import read_star, write_star
from vitreous.io.tidy import read_tidy
from vitreous.metrics.correlation import real_space_correlation
from vitreous.metrics.fsc import fourier_shell_correlation, resolution_at
from vitreous.metrics.sampling import match_sampling, mirror
from vitreous.metrics.settings import EvaluationSettings
from vitreous.metrics.stages import evaluate_ctf, evaluate_map, evaluate_picks
from vitreous.physics.masks import soft_ball
from vitreous.runtime.device import Runtime
from vitreous.runtime.files import read_json

SHAPE = (80, 100)
INFO = DatasetInfo(
    name="toy",
    source="made in a test",
    pixel_size_A=2.0,
    targets=[{"name": "ball", "diameter_A": 20.0}, {"name": "rod", "diameter_A": 60.0}],
)
TRUTH = {
    "micrographs/a.mrc": [(20, 20), (60, 30), (80, 70), (30, 60)],
    "micrographs/b.mrc": [(10, 10), (50, 50)],
    "micrographs/c.mrc": [],
    "micrographs/unseen.mrc": [],
}
PICKS = {
    "micrographs/a.mrc": [(21, 22, 0.9), (61, 32, 0.8), (81, 72, 0.3), (5, 70, 0.7)],
    "micrographs/c.mrc": [(40, 40, 0.2)],
    "micrographs/unseen.mrc": [(40, 40, 0.9)],
}
LABELS = {"dataset": "toy", "picker": "blob"}
SETTINGS = EvaluationSettings(bootstrap=100, phase_seeds=2)


def picks_table(picks: dict[str, list[tuple[float, float, float]]]) -> pd.DataFrame:
    rows = [(name, *row) for name, group in picks.items() for row in group]
    return pd.DataFrame(rows, columns=["micrograph", "x", "y", "score"])


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "datasets" / "toy"
    for index, name in enumerate(TRUTH):
        image = np.random.default_rng(index).normal(size=SHAPE).astype(np.float32)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(folder / name, image, INFO.pixel_size_A)
    micrographs = pd.DataFrame(
        {
            "rlnMicrographName": list(TRUTH),
            "rlnDefocusU": [10000.0, 12000.0, 14000.0, 16000.0],
            "rlnDefocusV": [9600.0, 12000.0, 14000.0, 16000.0],
            "rlnDefocusAngle": [10.0, 0.0, 0.0, 0.0],
        }
    )
    truth = picks_table({name: [(x, y, math.nan) for x, y in rows] for name, rows in TRUTH.items()})
    write_dataset(folder, INFO, micrographs, picks=truth, annotated=list(TRUTH)[:3])
    return folder


def scores_of(path: Path) -> dict[str, float]:
    frame = read_tidy(path)
    assert not frame["metric"].duplicated().any()
    return dict(zip(frame["metric"], frame["value"], strict=True))


def run_picks(dataset: Path, out: Path, picks: pd.DataFrame, *, failed: str = "", **changes: object) -> None:
    out.mkdir(parents=True, exist_ok=True)
    write_picks(out / "candidates.star", picks)
    write_picks(out / "picks.star", picks[picks["score"] > 0.25])
    (out / "failed.csv").write_text("micrograph,error\n" + failed)
    evaluate_picks(
        out / "picks.star",
        out / "candidates.star",
        dataset,
        out,
        failed_csv=out / "failed.csv",
        settings=SETTINGS.model_copy(update=changes),
        labels=LABELS,
        provenance=out / "scores.provenance.json",
        runtime=Runtime(),
    )


def test_picks_are_scored_on_the_annotated_micrographs_only(dataset: Path, tmp_path: Path) -> None:
    run_picks(dataset, tmp_path / "out", picks_table(PICKS), failed="micrographs/b.mrc,truncated\n")
    found = scores_of(tmp_path / "out" / "scores.csv")
    # radius 5 px: 3 hits of 4 picks on a, b failed, c empty and without picks above the threshold
    assert found["matching_radius"] == 5
    assert (found["count_truth"], found["count_picks"], found["count_hits"]) == (6, 4, 3)
    assert found["f1_micro"] == pytest.approx(6 / 10)
    assert found["f1_macro"] == pytest.approx((6 / 8 + 0) / 2)
    assert found["micrographs_missing"] == 1
    assert (found["offset_x"], found["offset_y"]) == pytest.approx((1, 2))
    assert found["median_distance"] == pytest.approx(5**0.5)
    # candidates in order: hit, hit, false, hit, false; recall counts six particles
    assert found["average_precision"] == pytest.approx((1 + 1 + 3 / 4) / 6)
    assert (found["oracle_threshold"], found["oracle_f1"]) == (0.3, pytest.approx(6 / 10))
    assert found["frame_warning"] == 0


def test_tables_of_matches_and_micrographs_name_every_pick_and_particle(
    dataset: Path, tmp_path: Path
) -> None:
    run_picks(dataset, tmp_path / "out", picks_table(PICKS))
    matches = pd.read_csv(tmp_path / "out" / "matches.csv")
    assert matches.groupby("kind").size().to_dict() == {"false": 1, "hit": 3, "miss": 3}
    hits = matches[matches["kind"] == "hit"]
    assert hits["partner"].tolist() == [0, 1, 2]
    assert hits["score"].tolist() == [0.9, 0.8, 0.3]
    assert set(matches[matches["kind"] == "miss"]["x"]) == {30.0, 10.0, 50.0}
    counts = pd.read_csv(tmp_path / "out" / "per_micrograph.csv", index_col="micrograph")
    assert list(counts.index) == list(TRUTH)[:3]
    assert counts.loc["micrographs/b.mrc", ["truth", "picks", "hits"]].tolist() == [2, 0, 0]
    curve = pd.read_csv(tmp_path / "out" / "curve.csv")
    assert curve["count"].tolist() == [1, 2, 3, 4, 5]


def test_rows_carry_the_labels_and_a_spread(dataset: Path, tmp_path: Path) -> None:
    run_picks(dataset, tmp_path / "out", picks_table(PICKS))
    rows = read_tidy(tmp_path / "out" / "scores.csv").set_index("metric")
    assert rows.loc["f1_micro", "picker"] == "blob"
    assert rows.loc["f1_micro", "n"] == 3
    assert rows.loc["f1_micro", "low"] <= rows.loc["f1_micro", "value"] <= rows.loc["f1_micro", "high"]
    assert rows.loc["f1_macro", "spread_kind"] == "sd over micrographs"


def test_same_seed_gives_the_same_bytes(dataset: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        run_picks(dataset, tmp_path / name, picks_table(PICKS))
    for file in ("scores.csv", "matches.csv", "per_micrograph.csv", "curve.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_radius_in_pixels_replaces_half_the_diameter(dataset: Path, tmp_path: Path) -> None:
    run_picks(dataset, tmp_path / "out", picks_table(PICKS), radius=2.0)
    assert scores_of(tmp_path / "out" / "scores.csv")["count_hits"] == 0


def test_picks_without_scores_have_no_curve(dataset: Path, tmp_path: Path) -> None:
    picks = picks_table(PICKS).assign(score=math.nan)
    write_picks(tmp_path / "picks.star", picks)
    evaluate_picks(
        tmp_path / "picks.star",
        None,
        dataset,
        tmp_path / "out",
        settings=SETTINGS,
        labels=LABELS,
        provenance=tmp_path / "out" / "p.json",
        runtime=Runtime(),
    )
    found = scores_of(tmp_path / "out" / "scores.csv")
    assert "average_precision" not in found
    assert found["count_picks"] == 5
    assert len(pd.read_csv(tmp_path / "out" / "curve.csv")) == 0


def test_picks_flipped_in_y_are_reported_and_not_repaired(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(0)
    truth = picks_table({"micrographs/a.mrc": [(*row, 1.0) for row in rng.uniform(5, 75, (12, 2))]})
    write_picks(dataset / "truth" / "picks.star", truth)
    flipped = truth.assign(y=SHAPE[0] - 1 - truth["y"])
    with caplog.at_level(logging.WARNING):
        run_picks(dataset, tmp_path / "out", flipped)
    found = scores_of(tmp_path / "out" / "scores.csv")
    assert found["frame_warning"] == 1
    assert found["f1_if_y_flipped"] == 1.0
    assert found["f1_micro"] < 0.8
    assert "y flipped" in caplog.text
    assert "y flipped" in read_json(tmp_path / "out" / "scores.provenance.json")["frame_warning"]


def phantom(box: int) -> torch.Tensor:
    """A map without symmetry, smooth enough for half its band."""
    grid = torch.arange(box, dtype=torch.float64) - box // 2
    z, y, x = torch.meshgrid(grid, grid, grid, indexing="ij")
    total = torch.zeros(box, box, box, dtype=torch.float64)
    for cx, cy, cz, width in ((-3, 0, 2, 2.0), (4, 3, 0, 1.5), (0, -5, -3, 1.3), (2, 1, 5, 1.8)):
        total += torch.exp(-((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2) / (2 * width**2))
    return total


def write_maps(folder: Path, volume: torch.Tensor, noise: float, pixel_size_A: float) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    halves = [volume + noise * torch.randn(volume.shape, generator=generator).double() for _ in range(2)]
    maps = [*halves, (halves[0] + halves[1]) / 2]
    for name, array in zip(("half1", "half2", "map"), maps, strict=True):
        write_volume(folder / f"{name}.mrc", array.float().numpy(), pixel_size_A)
    return maps


def run_map(dataset: Path, folder: Path, **changes: object) -> dict[str, float]:
    evaluate_map(
        folder,
        dataset,
        "rod",
        folder,
        settings=SETTINGS.model_copy(update=changes),
        labels=LABELS,
        provenance=folder / "scores.provenance.json",
        runtime=Runtime(),
    )
    return scores_of(folder / "scores.csv")


def test_map_is_scored_by_its_halves_and_by_the_true_map(dataset: Path, tmp_path: Path) -> None:
    truth = phantom(40)
    write_volume(dataset / "truth" / "maps" / "rod.mrc", truth.float().numpy(), 2.0)
    maps = write_maps(tmp_path / "maps", truth, 0.1, 2.0)
    found = run_map(dataset, tmp_path / "maps")
    # 60 Å are 30 px; the edge of 6 px leaves 14 of the half box of 20
    mask = soft_ball(40, 14, 6)
    curve = fourier_shell_correlation(maps[2].float() * mask, truth.float() * mask)
    assert found["resolution_truth_0.5"] == pytest.approx(resolution_at(curve, 0.5, 40, 2.0), rel=1e-5)
    correlation = real_space_correlation(maps[2], truth, mask)
    assert found["real_space_correlation"] == pytest.approx(float(correlation), abs=1e-5)
    # the law: half against half F goes with sqrt(2F/(1+F)) against the truth, so 0.143 goes with 0.5
    assert found["resolution_corrected_0.143"] == pytest.approx(found["resolution_truth_0.5"], rel=0.1)
    table = pd.read_csv(tmp_path / "maps" / "fsc.csv")
    assert table["shell"].tolist() == list(range(21))
    assert table["truth"].to_numpy() == pytest.approx(curve.numpy(), abs=1e-5)
    assert {"unmasked", "masked", "randomised", "corrected"} <= set(table)
    rows = read_tidy(tmp_path / "maps" / "scores.csv").set_index("metric")
    assert rows.loc["resolution_corrected_0.143", "spread_kind"] == "range over phase seeds"
    assert rows.loc["resolution_corrected_0.143", "target"] == "rod"


def test_true_map_of_finer_sampling_is_brought_to_the_grid(dataset: Path, tmp_path: Path) -> None:
    truth = phantom(40)
    fine = match_sampling(truth, 2.0, 80, 1.0)
    padded = torch.nn.functional.pad(fine, (4, 4) * 3)
    write_maps(tmp_path / "maps", truth, 0.001, 2.0)
    curves = []
    for volume, pixel_size_A in ((truth, 2.0), (padded, 1.0)):
        write_volume(dataset / "truth" / "maps" / "rod.mrc", volume.float().numpy(), pixel_size_A)
        run_map(dataset, tmp_path / "maps")
        curves.append(pd.read_csv(tmp_path / "maps" / "fsc.csv")["truth"].to_numpy())
    # padding in either space loses nothing but part of the Nyquist plane, which the mask smears a little
    assert curves[1][:20] == pytest.approx(curves[0][:20], abs=1e-3)
    assert curves[0][:10].min() > 0.99


def test_without_a_true_map_its_column_is_empty(dataset: Path, tmp_path: Path) -> None:
    write_maps(tmp_path / "maps", phantom(32), 0.1, 2.0)
    found = run_map(dataset, tmp_path / "maps")
    assert not any("truth" in name for name in found)
    assert pd.read_csv(tmp_path / "maps" / "fsc.csv")["truth"].isna().all()


def test_the_other_hand_is_seen_only_when_asked_for(dataset: Path, tmp_path: Path) -> None:
    truth = phantom(32)
    write_volume(dataset / "truth" / "maps" / "rod.mrc", mirror(truth).float().numpy(), 2.0)
    write_maps(tmp_path / "maps", truth, 0.01, 2.0)
    given = run_map(dataset, tmp_path / "maps")
    both = run_map(dataset, tmp_path / "maps", hands="both")
    assert "hand_mirrored" not in given
    assert both["hand_mirrored"] == 1
    assert both["mean_fsc_truth"] > given["mean_fsc_truth"] + 0.2


@pytest.mark.parametrize("box", [8, 9])
def test_mirror_keeps_the_centre_and_undoes_itself(box: int) -> None:
    volume = torch.randn(box, box, box, generator=torch.Generator().manual_seed(0))
    other = mirror(volume)
    centre = box // 2
    assert torch.equal(other[:, :, centre], volume[:, :, centre])
    assert torch.equal(other[:, :, centre + 1], volume[:, :, centre - 1])
    assert torch.equal(mirror(other), volume)


def test_ctf_is_compared_with_the_one_that_came_with_the_data(dataset: Path, tmp_path: Path) -> None:
    found = pd.DataFrame(
        {
            "rlnMicrographName": list(TRUTH),
            # a: 30 Å too much, U and V exchanged with the angle turned by 90 degrees, which is no error
            "rlnDefocusU": [9630.0, 12050.0, 14000.0, 99999.0],
            "rlnDefocusV": [10030.0, 12050.0, 13900.0, 99999.0],
            "rlnDefocusAngle": [100.0, 77.0, 20.0, 0.0],
            "rlnCtfFigureOfMerit": [0.8, 0.7, 0.6, 0.0],
            "vitreousCtfFailed": [0, 0, 0, 1],
        }
    )
    write_star(tmp_path / "micrographs.star", {"micrographs": found})
    evaluate_ctf(
        tmp_path / "micrographs.star",
        dataset,
        tmp_path,
        settings=SETTINGS,
        labels={"dataset": "toy", "ctf": "own"},
        provenance=tmp_path / "p.json",
        runtime=Runtime(),
    )
    scores = scores_of(tmp_path / "scores.csv")
    assert (scores["ctf_failed"], scores["ctf_quality_median"]) == (1, pytest.approx(0.7))
    assert scores["defocus_error_median"] == pytest.approx(50)
    assert scores["defocus_bias_median"] == pytest.approx(30)
    assert scores["astigmatism_error_median"] == pytest.approx(0, abs=1e-6)
    # only micrograph a has an astigmatism whose angle means something
    assert scores["astigmatism_angle_error_median"] == pytest.approx(0, abs=1e-6)
    assert set(read_tidy(tmp_path / "scores.csv")["engine"]) == {"own"}


def test_the_true_ctf_goes_before_the_columns_of_the_data_set(dataset: Path, tmp_path: Path) -> None:
    own = read_star(dataset / "micrographs.star")["micrographs"]
    true = own.assign(rlnDefocusU=own["rlnDefocusU"] + 70, rlnDefocusV=own["rlnDefocusV"] + 70)
    write_star(dataset / "truth" / "micrographs.star", {"micrographs": true})
    write_star(tmp_path / "found.star", {"micrographs": own})
    common = {"settings": SETTINGS, "labels": LABELS, "provenance": tmp_path / "p.json", "runtime": Runtime()}
    evaluate_ctf(tmp_path / "found.star", dataset, tmp_path, **common)
    assert scores_of(tmp_path / "scores.csv")["defocus_bias_median"] == pytest.approx(-70)
