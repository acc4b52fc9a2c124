from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vitreous.errors import InputError
from vitreous.io.dataset import (
    Dataset,
    DatasetInfo,
    Target,
    batch_of,
    read_batch,
    write_batches,
    write_dataset,
)
from vitreous.io.mrc import write_image
from vitreous.io.particles import ParticleSet
from vitreous.io.tidy import COLUMNS, read_tidy, tidy_row, write_tidy
from vitreous.runtime.files import read_json, sha256_file, write_json

NAMES = [f"micrographs/m{i}.mrc" for i in range(5)]


def make(folder: Path, **more: object) -> Dataset:
    for name in NAMES:
        write_image(folder / name, np.eye(8), 1.5)
    info = DatasetInfo(
        name="d", source="test", pixel_size_A=1.5, voltage_kv=300, targets=[Target(name="a", diameter_A=9)]
    )
    table = pd.DataFrame({"rlnMicrographName": NAMES, "rlnDefocusU": 1e4})
    write_dataset(folder, info, table, **more)  # type: ignore[arg-type]
    return Dataset(folder)


def picks() -> pd.DataFrame:
    return pd.DataFrame(
        {"micrograph": NAMES[:2], "x": [1.5, 2.0], "y": [3.0, 4.0], "score": [np.nan, np.nan]}
    )


def test_what_is_written_is_what_the_dataset_says(tmp_path: Path) -> None:
    optics = pd.DataFrame({"rlnOpticsGroup": [1], "rlnVoltage": [300.0]})
    particles = ParticleSet(optics, pd.DataFrame({"rlnOpticsGroup": [1, 1], "rlnAngleRot": [1.0, 2.0]}))
    dataset = make(tmp_path, picks=picks(), annotated=NAMES[:3], particles=particles)
    assert dataset.micrographs()["rlnMicrographName"].tolist() == NAMES
    assert dataset.micrographs()["rlnOpticsGroup"].tolist() == [1] * 5
    assert "rlnSphericalAberration" not in dataset.optics() and dataset.optics()["rlnVoltage"][0] == 300
    assert dataset.annotated() == set(NAMES[:3])
    truth, poses = dataset.truth_picks(), dataset.truth_poses()
    assert truth is not None and truth["x"].tolist() == [1.5, 2.0] and poses is not None and len(poses) == 2
    assert dataset.truth_map("a") is None and dataset.target("a").diameter_A == 9
    assert dataset.micrograph_path(NAMES[0]).is_file()


def test_without_a_list_every_micrograph_of_a_set_with_truth_is_annotated(tmp_path: Path) -> None:
    assert make(tmp_path / "a", picks=picks()).annotated() == set(NAMES)
    assert make(tmp_path / "b").annotated() == set()


def test_the_manifest_names_every_file_with_its_size_and_hash(tmp_path: Path) -> None:
    make(tmp_path, picks=picks())
    files = {entry["path"]: entry for entry in read_json(tmp_path / "manifest.json")["files"]}
    assert set(files) == {"dataset.json", "micrographs.star", "truth/picks.star", *NAMES}
    for name, entry in files.items():
        assert entry["bytes"] == (tmp_path / name).stat().st_size and entry["sha256"] == sha256_file(
            tmp_path / name
        )


def test_batches_take_every_nth_name_and_may_be_empty(tmp_path: Path) -> None:
    paths = write_batches(tmp_path, reversed(NAMES), 2)
    assert [path.name for path in paths] == ["batch-01-of-02.star", "batch-02-of-02.star"]
    assert read_batch(paths[0]) == NAMES[::2] and read_batch(paths[1]) == NAMES[1::2]
    assert [len(read_batch(path)) for path in write_batches(tmp_path / "more", NAMES[:1], 3)] == [1, 0, 0]
    before = paths[0].read_bytes()
    write_batches(tmp_path, NAMES, 2)
    assert paths[0].read_bytes() == before


def test_a_hash_spreads_micrographs_over_batches_and_never_moves_one() -> None:
    batches = {f"m{i}": batch_of(f"m{i}", 8) for i in range(4000)}
    counts = np.bincount(list(batches.values()), minlength=8)
    # binomial of 4000 in 8: 500 ± 21; six standard deviations
    assert np.abs(counts - 500).max() < 126
    assert batch_of("m1", 8) == batches["m1"] == 1


def test_faults_are_told_with_file_and_place(tmp_path: Path) -> None:
    dataset = make(tmp_path)
    with pytest.raises(InputError, match="no such target.*found b, expected a"):
        dataset.target("b")
    with pytest.raises(InputError, match="leads out of the dataset"):
        dataset.micrograph_path("../secret")
    with pytest.raises(InputError, match="micrograph not found"):
        dataset.micrograph_path("micrographs/none.mrc")
    write_json(tmp_path / "dataset.json", {"name": "d", "source": "s", "pixel_size_A": -1})
    with pytest.raises(InputError, match="dataset.json: pixel_size_A.*found -1"):
        Dataset(tmp_path)
    with pytest.raises(InputError, match="file not found"):
        Dataset(tmp_path / "absent")
    info = DatasetInfo(name="d", source="test", pixel_size_A=1.5)
    with pytest.raises(InputError, match="stands twice"):
        write_dataset(tmp_path, info, pd.DataFrame({"rlnMicrographName": [NAMES[0]] * 2}))
    with pytest.raises(InputError, match="unknown micrograph.*m0"):
        write_dataset(tmp_path, info, pd.DataFrame({"rlnMicrographName": NAMES[1:]}), picks=picks())


def test_tidy_rows_have_all_columns_and_come_back(tmp_path: Path) -> None:
    rows = [
        tidy_row(metric="f1", value=0.5, dataset="001", n=3, seed=1),
        tidy_row(metric="p", value=1 / 3, low=0.1),
    ]
    write_tidy(tmp_path / "t.csv", rows)
    table = read_tidy(tmp_path / "t.csv")
    assert tuple(table) == COLUMNS and table["value"].tolist() == [0.5, 1 / 3]
    assert table["dataset"].tolist() == ["001", ""] and np.isnan(table["high"]).all() and table["n"][0] == 3
    write_tidy(tmp_path / "e.csv", [])
    assert len(read_tidy(tmp_path / "e.csv")) == 0
    with pytest.raises(ValueError, match="colour"):
        tidy_row(metric="f1", value=1, colour="red")
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="not a tidy table"):
        read_tidy(tmp_path / "bad.csv")
