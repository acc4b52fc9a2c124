"""The self-trained picker on pictures whose particles, balls of ice and clumps are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vitreous.errors import InputError, SettingsError, StageError
from vitreous.metrics.pick_matching import match
from vitreous.picking.selftrained import labels as label_module
from vitreous.picking.selftrained.fitting import Example, draw_field
from vitreous.picking.selftrained.labels import (
    CONTAMINATION,
    ELSEWHERE,
    IGNORED,
    PARTICLE,
    gaps_of,
    label_plane,
    signs_of,
)
from vitreous.picking.selftrained.network import REACH_PX, ScoreNetwork
from vitreous.picking.selftrained.picker import find_candidates, load_model, score_map
from vitreous.picking.selftrained.scene import Scene, scene_of
from vitreous.picking.selftrained.settings import SelfTrainedSettings
from vitreous.picking.selftrained.training import train
from vitreous.picking.training import Source, Training
from vitreous.picking.working import working_image
from vitreous.runtime.device import Runtime

CPU = Runtime()
DIAMETER = 24.0
QUICK = SelfTrainedSettings(max_steps=100, batch=4, width=8, template_rounds=1)
Image = NDArray[np.float32]
Points = NDArray[np.float64]


def _picture(seed: int, count: int = 45, side: int = 400, balls: int = 3) -> tuple[Image, Points]:
    """Dark ellipses 2 : 1 in noise with a few large dark balls; centres x, y (n, 2) of the ellipses."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    image = rng.standard_normal((side, side)).astype(np.float32)
    taken = [(*rng.uniform(60, side - 60, 2), rng.uniform(28, 45)) for _ in range(balls)]
    for cx, cy, radius in taken:
        inside = np.hypot(x - cx, y - cy) < radius
        image[inside] -= 5
    centres: list[tuple[float, float]] = []
    for _ in range(20_000):
        cx, cy = rng.uniform(15, side - 15, 2)
        clear = all(np.hypot(cx - bx, cy - by) > radius + DIAMETER for bx, by, radius in taken)
        if clear and all(np.hypot(cx - ox, cy - oy) > 1.1 * DIAMETER for ox, oy in centres):
            centres.append((cx, cy))
            angle = rng.uniform(0, np.pi)
            along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
            across = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
            image -= 1.2 * (np.hypot(along, 2 * across) < DIAMETER / 2)
        if len(centres) == count:
            break
    return image, np.array(centres).reshape(-1, 2)


def _source(image: Image, name: str = "a", dataset: str = "set") -> Source:
    return Source(dataset, name, 1.0, DIAMETER, "dark", lambda: image)


def _saved(training: Training, folder: Path) -> Path:
    path = folder / "model.pt"
    torch.save(dict(training.model), path)
    return path


@pytest.fixture(scope="module")
def trained() -> Training:
    return train([_source(_picture(seed)[0], str(seed)) for seed in (1, 2)], QUICK, CPU)


def test_it_finds_the_particles_of_another_picture_and_leaves_balls_of_ice(
    trained: Training, tmp_path: Path
) -> None:
    model = load_model(_saved(trained, tmp_path), CPU)
    image, truth = _picture(3)
    found = find_candidates(image, 1.0, DIAMETER, "dark", QUICK, CPU, model)
    taken = found.score >= found.decision
    picks = np.stack([found.x, found.y], axis=1)[taken]
    pairs = match(truth, picks, DIAMETER / 2)
    # 45 particles: three misses and three false picks would still pass
    assert len(pairs) >= 0.93 * len(truth)
    assert len(pairs) >= 0.93 * len(picks)
    offset = (picks[pairs.pick_index] - truth[pairs.truth_index]).mean(axis=0)
    # a centre is good to about 1 px: the mean of 45 to 0.15
    assert np.abs(offset).max() < 0.5


def test_the_model_file_is_small_and_read_without_running_code(trained: Training, tmp_path: Path) -> None:
    path = _saved(trained, tmp_path)
    assert path.stat().st_size < 1_000_000
    assert torch.load(path, weights_only=True)["kind"] == trained.model["kind"]


def test_training_is_repeatable() -> None:
    quick = QUICK.model_copy(update={"max_steps": 3, "min_particles": 10, "template_rounds": 0})
    pictures = [_source(_picture(4, side=300, count=25)[0])]
    first, second = (train(pictures, quick, CPU).model for _ in range(2))
    assert first["decision"] == second["decision"]
    assert all(torch.equal(first["state"][key], second["state"][key]) for key in first["state"])


def test_noise_alone_trains_no_network_and_gives_hardly_a_pick(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.random.default_rng(1).standard_normal((300, 300)).astype(np.float32)
    training = train([_source(noise)], QUICK.model_copy(update={"template_rounds": 0}), CPU)
    assert "state" not in training.model
    assert training.log[0]["network"] == 0
    assert "NO NETWORK" in caplog.text
    model = load_model(_saved(training, tmp_path), CPU)
    found = find_candidates(noise, 1.0, DIAMETER, "dark", QUICK, CPU, model)
    assert found.decision == 0
    assert np.count_nonzero(found.score >= 0) <= 5
    assert len(found.x) > 20  # the others are kept, below the decision


def test_few_particles_are_found_without_a_network_and_balls_of_ice_are_not(tmp_path: Path) -> None:
    image, truth = _picture(6, count=15)
    quick = QUICK.model_copy(update={"template_rounds": 1})
    training = train([_source(image)], quick, CPU)
    assert training.log[0]["network"] == 0
    model = load_model(_saved(training, tmp_path), CPU)
    found = find_candidates(image, 1.0, DIAMETER, "dark", QUICK, CPU, model)
    picks = np.stack([found.x, found.y], axis=1)[found.score >= 0]
    hits = len(match(truth, picks, DIAMETER / 2))
    assert hits >= 10
    assert len(picks) <= hits + 5


def test_a_picture_and_its_mirror_image_have_mirrored_scores() -> None:
    torch.manual_seed(0)
    network = ScoreNetwork(4).eval()
    torch.nn.init.normal_(network.head.weight)
    work = working_image(_picture(7, side=200, count=5, balls=0)[0], DIAMETER, "dark")
    scene = scene_of(work, 16)
    turned = Scene(*(plane[::-1].copy() for plane in (scene.image, scene.cover, scene.roughness)),
                   scene.contaminated, 1.0, 1.0, 16)  # fmt: skip
    scores, mirrored = (score_map(network, s, torch.device("cpu")) for s in (scene, turned))
    np.testing.assert_allclose(mirrored[::-1], scores, atol=1e-4)  # sums of float32 in another order


def test_the_network_sees_as_far_as_it_says_and_no_further() -> None:
    torch.manual_seed(0)
    network = ScoreNetwork(4).eval()
    torch.nn.init.normal_(network.head.weight)
    planes = torch.zeros(1, 2, 61, 61, requires_grad=True)
    network(planes)[0, 30, 30].backward()
    assert planes.grad is not None
    rows = torch.nonzero(planes.grad.abs().sum(dim=(0, 1, 3)) > 0).flatten()
    assert int(rows.min()) >= 30 - REACH_PX
    assert int(rows.max()) <= 30 + REACH_PX
    assert int(rows.max() - rows.min()) > 24  # 1.5 diameters of 16 px


def test_coordinates_go_to_the_scene_and_back() -> None:
    work = working_image(_picture(8, side=333, count=5)[0], DIAMETER, "dark")
    scene = scene_of(work, 16)
    x, y = np.array([0.0, 100.3, 332.0]), np.array([5.0, 200.0, 332.0])
    back = scene.to_full(*scene.from_full(x, y))
    np.testing.assert_allclose(back, (x, y), atol=1e-9)


def test_a_candidate_in_a_ball_is_contamination_and_one_beside_it_is_not() -> None:
    image, truth = _picture(9)
    work = working_image(image, DIAMETER, "dark")
    scene = scene_of(work, 16)
    x, y = scene.from_full(truth[:, 0], truth[:, 1])
    picked = np.ones(len(x), dtype=bool)
    signs, gaps = signs_of(scene, x, y), gaps_of(scene, x, y, picked)
    typical = label_module.typical_of([picked], [signs], [gaps])
    found = label_module.sort_candidates(picked, signs, gaps, typical)
    assert np.count_nonzero(found == PARTICLE) > 0.8 * len(x)
    balls = np.argwhere(scene.image * scene.cover > 3.5)
    middle = balls[len(balls) // 2].astype(float)
    bx, by = middle[1:], middle[:1]
    one = np.ones(1, dtype=bool)
    ball = label_module.sort_candidates(one, signs_of(scene, bx, by), np.full(1, np.inf), typical)
    assert ball[0] == CONTAMINATION


def test_labels_are_drawn_as_small_discs_with_a_margin_that_says_nothing() -> None:
    work = working_image(_picture(10, side=200, count=5, balls=0)[0], DIAMETER, "dark")
    scene = scene_of(work, 16)
    plane = label_plane(scene, np.array([50.0]), np.array([60.0]), np.array([PARTICLE], dtype=np.uint8))
    assert plane[60, 50] == PARTICLE
    assert plane[60, 53] == IGNORED  # 3 px: beyond a tenth of 16, within a quarter
    assert plane[60, 56] == ELSEWHERE
    assert np.count_nonzero(plane == PARTICLE) == 9


def test_a_field_larger_than_the_micrograph_is_filled_with_what_is_ignored() -> None:
    planes = torch.ones(2, 40, 50)
    example = Example("set", planes, np.full((40, 50), ELSEWHERE, dtype=np.uint8), np.zeros((0, 2)), 0.5)
    field, labels = draw_field(example, QUICK, np.random.default_rng(0))
    assert field.shape == (2, 80, 80)
    assert int((labels == ELSEWHERE).sum()) == int(field[1].sum()) == 2000


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.pt"
    torch.save({"kind": "something else"}, other)
    with pytest.raises(InputError, match="another kind|not a model"):
        load_model(other, CPU)
    other.write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a model file"):
        load_model(other, CPU)


def test_without_a_model_or_a_polarity_there_are_no_picks(trained: Training, tmp_path: Path) -> None:
    image = _picture(11, side=200, count=5)[0]
    with pytest.raises(SettingsError, match="needs a model"):
        find_candidates(image, 1.0, DIAMETER, "dark", QUICK, CPU)
    model = load_model(_saved(trained, tmp_path), CPU)
    with pytest.raises(SettingsError, match="polarity"):
        find_candidates(image, 1.0, DIAMETER, "auto", QUICK, CPU, model)


def test_unusable_micrographs_are_left_out_and_none_at_all_is_an_error() -> None:
    tiny = np.zeros((20, 20), dtype=np.float32)
    with pytest.raises(StageError, match="no micrograph can be used"):
        train([_source(tiny)], QUICK, CPU)
    quick = QUICK.model_copy(update={"max_steps": 1, "template_rounds": 0})
    training = train([_source(tiny, "x"), _source(_picture(12)[0], "y")], quick, CPU)
    assert training.log[0]["failed"] == 1
