"""The stages of picking on a small dataset of discs whose places are known."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from discs import micrograph, scattered

from vitreous.errors import InputError, SettingsError, StageError
from vitreous.io.dataset import NAME, DatasetInfo, write_batches, write_dataset
from vitreous.io.mrc import write_image
from vitreous.io.picks import read_picks
from vitreous.io.star import read_star
from vitreous.metrics.pick_matching import match
from vitreous.picking.settings import BlobSettings, PickerSettings, PluginSettings, TemplateSettings
from vitreous.picking.stages import collect_picks, pick_batch, train_picker
from vitreous.picking.template import KIND
from vitreous.runtime.device import Runtime
from vitreous.runtime.files import read_json

SHAPE, PIXEL_SIZE_A, DIAMETER_PX = (260, 330), 2.0, 26.0
INFO = DatasetInfo(
    name="discs",
    source="made in a test",
    pixel_size_A=PIXEL_SIZE_A,
    targets=[
        {"name": "small", "diameter_A": 20.0},
        {"name": "disc", "diameter_A": PIXEL_SIZE_A * DIAMETER_PX},
    ],
)
NAMES = [f"micrographs/m{index}.mrc" for index in range(6)]
BATCHES = ["batch-01-of-02.star", "batch-02-of-02.star"]
RUNTIME = Runtime()
TEMPLATE = TemplateSettings(rounds=3)
CALLS = """
from vitreous.picking.candidates import Candidates
import numpy as np

def pick(image, pixel_size_A, diameter_A, contrast, settings, runtime, model=None):
    return Candidates(*(np.array(values, dtype=float) for values in {values}))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six micrographs, some twenty discs each."""
    folder = tmp_path_factory.mktemp("datasets") / "discs"
    (folder / "micrographs").mkdir(parents=True)
    rows = []
    for index, name in enumerate(NAMES):
        rng = np.random.default_rng([index, 21])
        centres = scattered(rng, SHAPE, 20, 1.2 * DIAMETER_PX, 0.6 * DIAMETER_PX)
        rows += [(name, x, y, 1.0) for x, y in centres]
        image = micrograph(rng, SHAPE, centres, DIAMETER_PX, 1.5)
        write_image(folder / name, image, PIXEL_SIZE_A)
    picks = pd.DataFrame(rows, columns=["micrograph", "x", "y", "score"])
    write_dataset(folder, INFO, pd.DataFrame({NAME: NAMES}), picks=picks)
    write_batches(folder, NAMES, 2)
    return folder


@pytest.fixture
def dataset(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(made, tmp_path / "datasets" / "discs"))


@pytest.fixture(scope="module")
def trained(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of three rounds on the dataset, its log beside it."""
    return train(made, tmp_path_factory.mktemp("model"))


def pick(
    dataset: Path,
    out: Path,
    settings: PickerSettings | None = None,
    share: float = 0.0,
    model: Path | None = None,
    batches: Sequence[str] = BATCHES,
) -> list[Path]:
    paths = [out / name for name in batches]
    for path in paths:
        pick_batch(
            dataset / path.name, dataset, path, settings=settings or BlobSettings(),
            max_failed_share=share, model=model, provenance=path.with_suffix(".json"), runtime=RUNTIME,
        )  # fmt: skip
    return paths


def collect(dataset: Path, paths: Sequence[Path], settings: PickerSettings | None = None) -> Path:
    out = paths[0].parent
    collect_picks(
        paths, dataset, out, settings=settings or BlobSettings(), provenance=out / "p.json", runtime=RUNTIME
    )
    return out


def train(dataset: Path, out: Path, settings: PickerSettings | None = None) -> Path:
    chosen = settings or TEMPLATE
    train_picker(
        [dataset], out / "model.pt", out / "training.csv",
        settings=chosen, provenance=out / "provenance.json", runtime=RUNTIME,
    )  # fmt: skip
    return out / "model.pt"


def plugin(folder: Path, values: str) -> PluginSettings:
    file = folder / "own.py"
    file.write_text(CALLS.replace("{values}", values))
    return PluginSettings(entry=f"{file}:pick", threshold=0.0)


def f1_of(dataset: Path, picks: pd.DataFrame) -> float:
    truth, hits = read_picks(dataset / "truth" / "picks.star"), 0
    for name in NAMES:
        true, picked = (
            table.loc[table["micrograph"] == name, ["x", "y"]].to_numpy(float) for table in (truth, picks)
        )
        hits += len(match(true, picked, DIAMETER_PX / 2))
    return 2 * hits / (len(truth) + len(picks))


# --- Batches


def test_batches_hold_the_candidates_of_their_micrographs_and_what_noise_puts_into_them(
    dataset: Path, tmp_path: Path
) -> None:
    paths = pick(dataset, tmp_path / "picks")
    blocks = read_star(paths[0])
    table, particles = blocks["micrographs"], blocks["particles"]
    assert isinstance(table, pd.DataFrame) and isinstance(particles, pd.DataFrame)
    assert table[NAME].tolist() == NAMES[::2]
    assert table["vitreousCandidates"].tolist() == particles[NAME].value_counts()[NAMES[::2]].tolist()
    assert (table["vitreousScoreNoise"] < table["vitreousScoreSpread"]).all()
    assert len(pd.read_csv(paths[0].with_suffix(".failed.csv"))) == 0
    assert read_json(paths[0].with_suffix(".json"))["stage"].endswith("pick_batch")


def test_bad_micrographs_are_listed_and_the_batch_goes_on(dataset: Path, tmp_path: Path) -> None:
    write_image(dataset / NAMES[0], np.ones(SHAPE), PIXEL_SIZE_A)
    raw = bytearray((dataset / NAMES[1]).read_bytes())
    raw[-4000:-3996] = np.float32(np.nan).tobytes()
    (dataset / NAMES[1]).write_bytes(raw)
    whole = (dataset / NAMES[2]).read_bytes()
    (dataset / NAMES[2]).write_bytes(whole[: len(whole) // 2])
    out = collect(dataset, pick(dataset, tmp_path / "picks", share=0.7))
    failed = pd.read_csv(out / "failed.csv").set_index("micrograph")["error"]
    assert set(failed.index) == set(NAMES[:3])
    assert "constant" in failed[NAMES[0]] and "NaN" in failed[NAMES[1]] and NAMES[2] in failed[NAMES[2]]
    assert set(read_picks(out / "picks.star")["micrograph"]) == set(NAMES[3:])


def test_too_many_bad_micrographs_end_the_batch(dataset: Path, tmp_path: Path) -> None:
    for name in NAMES[:3]:
        write_image(dataset / name, np.ones(SHAPE), PIXEL_SIZE_A)
    with pytest.raises(StageError, match="2 of 3 micrographs failed"):
        pick(dataset, tmp_path / "picks", share=0.5)
    assert not (tmp_path / "picks" / BATCHES[0]).exists()


def test_an_empty_batch_succeeds(dataset: Path, tmp_path: Path) -> None:
    write_batches(dataset, [], 1)
    (path,) = pick(dataset, tmp_path / "picks", batches=["batch-01-of-01.star"])
    assert len(read_picks(path)) == 0
    paths = [*pick(dataset, tmp_path / "picks"), path]
    assert len(read_picks(collect(dataset, paths) / "picks.star")) > 100


def test_a_second_attempt_takes_up_what_the_first_had_finished(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = {name: (dataset / name).read_bytes() for name in (NAMES[0], NAMES[4])}
    for name in whole:
        write_image(dataset / name, np.ones(SHAPE), PIXEL_SIZE_A)
    with pytest.raises(StageError, match="2 of 3 micrographs failed"):
        pick(dataset, tmp_path / "picks", batches=BATCHES[:1])
    for name, content in whole.items():
        (dataset / name).write_bytes(content)
    caplog.set_level(logging.INFO)
    (path,) = pick(dataset, tmp_path / "picks", batches=BATCHES[:1])
    assert "2 computed, 1 kept from before, 0 failed" in caplog.text
    (fresh,) = pick(dataset, tmp_path / "fresh", batches=BATCHES[:1])
    assert fresh.read_bytes() == path.read_bytes()


def test_the_diameter_is_the_largest_target_unless_given(dataset: Path, tmp_path: Path) -> None:
    given = BlobSettings(diameter_A=PIXEL_SIZE_A * DIAMETER_PX)
    paths = [pick(dataset, tmp_path / name, settings)[0] for name, settings in (("a", None), ("b", given))]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_without_target_and_diameter_the_settings_are_asked_for(dataset: Path, tmp_path: Path) -> None:
    bare = INFO.model_copy(update={"targets": []})
    write_dataset(dataset, bare, pd.DataFrame({NAME: NAMES}))
    with pytest.raises(SettingsError, match="no particle diameter .*diameter_A"):
        pick(dataset, tmp_path / "picks")


# --- The threshold of a dataset


def test_collected_picks_are_the_particles_and_their_files_agree(dataset: Path, tmp_path: Path) -> None:
    out = collect(dataset, pick(dataset, tmp_path / "picks"))
    picks, candidates = read_picks(out / "picks.star"), read_picks(out / "candidates.star")
    facts = read_json(out / "threshold.json")
    assert f1_of(dataset, picks) > 0.95
    assert facts["automatic"] == facts["threshold"] and "expected F1" in facts["rule"]
    assert (facts["candidates"], facts["picks"]) == (len(candidates), len(picks))
    # what is written comes back: the same rows, by micrograph, best first
    kept = candidates[candidates["score"] >= facts["threshold"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(picks, kept)
    for _, group in picks.groupby("micrograph"):
        assert group["score"].is_monotonic_decreasing
    joined = pd.concat([read_picks(out / name) for name in BATCHES])
    order = ["micrograph", "x", "y"]
    pd.testing.assert_frame_equal(
        candidates.sort_values(order, ignore_index=True), joined.sort_values(order, ignore_index=True)
    )


def test_a_threshold_that_is_given_is_used(dataset: Path, tmp_path: Path) -> None:
    paths = pick(dataset, tmp_path / "picks")
    scores = np.sort(np.concatenate([read_picks(path)["score"].to_numpy(float) for path in paths]))
    value = float(scores[-40:-38].mean())
    out = collect(dataset, paths, BlobSettings(threshold=value))
    facts = read_json(out / "threshold.json")
    assert facts["threshold"] == value and "automatic" not in facts and "given" in facts["rule"]
    assert len(read_picks(out / "picks.star")) == 39


def test_no_candidates_give_valid_empty_files_and_a_warning(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nothing = plugin(tmp_path, "([], [], [])").model_copy(update={"threshold": "auto"})
    out = collect(dataset, pick(dataset, tmp_path / "picks", nothing), nothing)
    assert "NO PICKS" in caplog.text and "0 candidates" in caplog.text
    for name in ("picks.star", "candidates.star"):
        assert len(read_picks(out / name)) == 0
    assert read_json(out / "threshold.json")["rule"] == "no candidates"
    assert len(pd.read_csv(out / "failed.csv")) == 0


def test_batches_of_another_dataset_are_refused(dataset: Path, tmp_path: Path) -> None:
    paths = pick(dataset, tmp_path / "picks")
    with pytest.raises(InputError, match="batches do not match the dataset .*3 micrographs missing"):
        collect(dataset, paths[:1])


# --- Plugins


def test_a_plugin_file_picks_through_the_stage(dataset: Path, tmp_path: Path) -> None:
    settings = plugin(tmp_path, "([10.5], [20.25], [3.0])")
    picks = read_picks(collect(dataset, pick(dataset, tmp_path / "picks", settings), settings) / "picks.star")
    assert picks["micrograph"].tolist() == NAMES
    assert set(zip(picks["x"], picks["y"], picks["score"], strict=True)) == {(10.5, 20.25, 3.0)}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("([1], [2, 3], [4])", "unequal or non-finite"),
        ("([1], [float('nan')], [4])", "unequal or non-finite"),
        ("([1], [900], [4])", "outside the image"),
    ],
)
def test_what_a_plugin_does_wrong_is_said(dataset: Path, tmp_path: Path, values: str, words: str) -> None:
    settings = plugin(tmp_path, values)
    with pytest.raises(StageError, match=words):
        pick(dataset, tmp_path / "picks", settings)


def test_an_edited_plugin_picks_again(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (NAMES[2], NAMES[4]):
        write_image(dataset / name, np.ones(SHAPE), PIXEL_SIZE_A)
    settings = plugin(tmp_path, "([1], [2], [3])")
    with pytest.raises(StageError, match="2 of 3 micrographs failed"):
        pick(dataset, tmp_path / "picks", settings, batches=BATCHES[:1])
    plugin(tmp_path, "([4], [5], [6])")
    caplog.set_level(logging.INFO)
    (path,) = pick(dataset, tmp_path / "picks", settings, share=0.7, batches=BATCHES[:1])
    assert "1 computed, 0 kept from before, 2 failed" in caplog.text
    assert set(read_picks(path)["x"]) == {4.0}


def test_a_plugin_that_is_not_there_ends_the_stage_before_any_micrograph(
    dataset: Path, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="picker cannot be imported .*nowhere.py"):
        pick(dataset, tmp_path / "picks", PluginSettings(entry="nowhere.py:pick"))


# --- Training


def test_a_trained_template_picks_what_it_was_never_told(made: Path, tmp_path: Path, trained: Path) -> None:
    stored = torch.load(trained, weights_only=True)
    profile = stored["profile"].numpy()
    # a disc ends at bin 16; the mean over a bin at the centre, which has few pixels, is noise
    assert stored["kind"] == KIND and profile[1:12].min() > 0 > profile[17:20].max()
    out = collect(made, pick(made, tmp_path / "picks", TEMPLATE, model=trained), TEMPLATE)
    assert f1_of(made, read_picks(out / "picks.star")) > 0.9


def test_the_log_of_training_settles(trained: Path) -> None:
    log = pd.read_csv(trained.with_name("training.csv"))
    assert log["round"].tolist() == [1, 2, 3] and (log["micrographs"] == len(NAMES)).all()
    assert (log["half_correlation"] > 0.95).all()  # of averages over some sixty discs
    changes = log["picks"].diff().abs()[1:]
    assert changes.iloc[-1] <= max(changes.iloc[0], 3)  # a pick or two may go to and fro


def test_the_same_training_gives_the_same_bytes(made: Path, tmp_path: Path, trained: Path) -> None:
    again = train(made, tmp_path / "again")
    for name in ("model.pt", "training.csv"):
        assert again.with_name(name).read_bytes() == trained.with_name(name).read_bytes()


def test_training_goes_past_bad_micrographs_and_counts_them(dataset: Path, tmp_path: Path) -> None:
    write_image(dataset / NAMES[0], np.ones(SHAPE), PIXEL_SIZE_A)
    model = train(dataset, tmp_path / "model", TemplateSettings(rounds=1))
    log = pd.read_csv(model.with_name("training.csv"))
    assert (log["failed"].tolist(), log["micrographs"].tolist()) == ([1], [len(NAMES) - 1])


def test_models_go_with_the_pickers_that_learn_and_with_no_other(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not trained"):
        train(dataset, tmp_path / "model", BlobSettings())
    with pytest.raises(SettingsError, match="needs a trained model"):
        pick(dataset, tmp_path / "picks", TemplateSettings())
    with pytest.raises(SettingsError, match="takes no model"):
        pick(dataset, tmp_path / "picks", BlobSettings(), model=dataset / "dataset.json")
