"""From an accession in the configuration to picks and their scores, through a server on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from archive_trees import DIAMETER, PIXEL_A, cesped_half, cryoppp_entry, emdb_entry, empiar_entry, mask_record
from fake_archive import FakeArchive
from workspace import Workspace, smallest

from vitreous.io.dataset import Dataset
from vitreous.io.particles import image_locations, read_particles


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[FakeArchive]:
    served = tmp_path / "served"
    served.mkdir()
    cryoppp_entry(served, tmp_path, count=4)
    empiar_entry(served)
    cesped_half(served, 8353634, 0, chunk=2000)
    cesped_half(served, 8353702, 1)
    mask_record(served, "10166")
    emdb_entry(served)
    with FakeArchive(served) as archive:
        yield archive


def config(archive: FakeArchive) -> dict[str, Any]:
    target = {"name": "disc", "diameter_A": DIAMETER * PIXEL_A, "symmetry": "C1"}
    known = {"pixel_size_A": PIXEL_A, "targets": [target]}
    return {
        "run": "fetching", "data_root": "data", "dataset_root": "datasets", "results_root": "results",
        "network": {"mirrors": archive.mirrors, "backoff_s": 0.05, "keep_free_gb": 0},
        "datasets": {
            "plaques": {"source": "cryoppp", "entry": "10028", "batches": 2, **known},
            "falcon": {"source": "empiar", "entry": 10017, "count": 2, "batches": 1, **known},
            "proteasome": {"source": "cesped", "entry": "10166"},
        },
        "downloads": {"ribosome": {"source": "emdb", "entry": "2660"}},
        "pickers": {"log": {"variant": "blob"}},
        "matrix": [{"datasets": ["plaques"], "pickers": ["log"]}],
    }  # fmt: skip


def test_an_accession_in_the_configuration_becomes_scored_picks(archive: FakeArchive, tmp_path: Path) -> None:
    space = Workspace(tmp_path / "run", config(archive))
    planned = space.run("-n")
    assert planned.status == 0, planned.text[-3000:]
    assert not archive.log, "a dry run connects to nothing"
    assert "on 300 micrographs" in planned.text
    done = space.run()
    assert done.status == 0, done.text[-3000:]
    assert {rule: done.jobs[rule] for rule in ("fetch", "import_fetched", "fetched_batch")} == {
        "fetch": 1, "import_fetched": 1, "fetched_batch": 2,
    }  # fmt: skip
    dataset = Dataset(space.folder / "datasets/plaques")
    assert len(dataset.micrographs()) == 4 and len(dataset.annotated()) == 3
    assert "FIT BETTER" not in dataset.info.verified["coordinates"]
    scores = pd.read_csv(space.folder / "results/fetching/sets/plaques/picks/raw/log/scores.csv")
    assert scores.loc[scores["metric"] == "f1_micro", "value"].iloc[0] > 0.8
    manifest = json.loads((dataset.folder / "manifest.json").read_text())["files"]
    images = [one for one in manifest if one["path"].startswith("micrographs/")]
    assert all(one["url"].startswith(archive.url) and one["licence"] == "CC BY 4.0" for one in images)
    archive.clear_log()
    again = space.run()
    assert "Nothing to be done" in again.text and not archive.log
    space.edit(lambda plain: plain["network"].update(connections=1, hang_timeout_s=3))
    assert "Nothing to be done" in space.run().text, "how the network is used reruns nothing"


def test_targets_fetch_check_list_and_import_everything(archive: FakeArchive, tmp_path: Path) -> None:
    space = Workspace(tmp_path / "run", config(archive))
    done = space.run("--", "data_fetch", "data_import", "data_check", "data_list")
    assert done.status == 0, done.text[-3000:]
    assert done.jobs["fetch"] == 4 and done.jobs["check_fetched"] == 4 and done.jobs["import_particles"] == 1
    falcon = Dataset(space.folder / "datasets/falcon")
    assert falcon.micrographs()["rlnMicrographName"].tolist() == [
        "micrographs/mic_0.mrc",
        "micrographs/mic_2.mrc",
    ]
    assert falcon.info.accession == "EMPIAR-10017" and falcon.info.source == "EMPIAR, entry 10017"
    assert "cs_mm" in falcon.info.verified["registry"]
    star = space.folder / "datasets/proteasome/particles.star"
    particles = read_particles(star)
    assert particles.particles["rlnRandomSubset"].tolist() == [1] * 6 + [2] * 6
    assert len({path for path, _ in image_locations(particles, star)}) == 2
    results = space.folder / "results/fetching/data"
    checked = pd.read_csv(results / "check-proteasome.csv")
    assert set(checked["state"]) == {"good"} and len(checked) == 7
    assert space.run("--", "data_size").jobs["list_data"] == 1, "more is here, so the table is made again"
    size = pd.read_csv(results / "size.tsv", sep="\t").set_index("name")
    assert size.loc["ribosome", "here_bytes"] > 0
    assert (space.folder / "data/emdb/EMD-2660/map/emd_2660.map.gz").exists()
    other = Workspace(tmp_path / "other", config(archive) | {"data_root": "../run/data"})
    shared_data = other.run("--", "data_import")
    assert shared_data.status == 0, shared_data.text[-3000:]
    assert shared_data.jobs["fetch"] == 0 and shared_data.jobs["import_fetched"] == 2


def test_a_fetch_that_fails_keeps_what_is_here_and_the_next_run_goes_on(
    archive: FakeArchive, tmp_path: Path
) -> None:
    space = Workspace(tmp_path / "run", config(archive))
    archive.add_fault("status:404", match="*mic_2.mrc")
    failed = space.run("--", "fetch_falcon")
    assert failed.status != 0 and "mic_2.mrc: not found on the server" in failed.text
    assert "Traceback" not in failed.text
    archive.clear()
    done = space.run("--", "datasets/falcon/dataset.json")
    assert done.status == 0, done.text[-3000:]
    asked = [request.path for request in archive.log if request.path.endswith(".mrc")]
    assert len(asked) == 1 and asked[0].endswith("mic_2.mrc")


def test_particles_without_micrographs_are_refused_where_micrographs_are_wanted(
    archive: FakeArchive, tmp_path: Path
) -> None:
    plain = config(archive)
    plain["matrix"] = [{"datasets": ["proteasome"], "pickers": ["log"]}]
    refused = Workspace(tmp_path / "run", plain).run("-n")
    assert refused.status != 0
    assert "matrix.0.datasets: dataset 'proteasome' holds particles and no micrographs" in refused.text


def test_atoms_of_a_simulated_set_and_digits_are_fetched_before_they_are_used(
    archive: FakeArchive, tmp_path: Path
) -> None:
    plain = smallest("test-multitarget.yaml") | {"network": {"mirrors": archive.mirrors}}
    target = {"name": "shell", "atoms": "data/pdb/7a4m.cif.gz", "assembly": "1", "diameter_A": 130}
    simulated = {
        "source": "simulate",
        "micrographs": 1,
        "shape": [256, 256],
        "pixel_size_A": 4.0,
        "batches": 1,
    }
    plain["datasets"] = {"twin": {**simulated, "targets": [target]}}
    plain["downloads"] = {"atoms": {"source": "pdb", "entry": "7a4m"}, "digits": {"source": "mnist"}}
    plain["pickers"] = {"log": {"variant": "blob"}}
    plain["matrix"] = [{"datasets": ["twin"], "pickers": ["log"]}]
    images = plain["experiments"]["multitarget"]["images"]
    images["mnist"] = {"source": "mnist", "folder": "mnist"}
    table = next(iter(plain["experiments"]["multitarget"]["tables"].values()))
    plain["experiments"]["multitarget"]["tables"] = {"digits": {**table, "images": "mnist"}}
    plain["experiments"]["in_report"] = True
    planned = Workspace(tmp_path / "run", plain).run("-n")
    assert planned.status == 0, planned.text[-3000:]
    assert planned.jobs["fetch"] == 2
    assert f"plan from nothing: {sum(planned.jobs.values())} jobs" in planned.text


def test_a_configuration_of_data_alone_fetches_and_imports_all_of_it(
    archive: FakeArchive, tmp_path: Path
) -> None:
    plain = {key: value for key, value in config(archive).items() if key not in ("pickers", "matrix")}
    space = Workspace(tmp_path / "run", plain)
    planned = space.run("-n")
    assert planned.status == 0, planned.text[-3000:]
    assert f"plan from nothing: {sum(planned.jobs.values())} jobs" in planned.text
    done = space.run()
    assert done.status == 0, done.text[-3000:]
    assert done.jobs["fetch"] == 4 and done.jobs["import_fetched"] == 2 and done.jobs["import_particles"] == 1
    assert (space.folder / "results/fetching/report.html").exists()


def test_another_choice_is_another_fetch_and_files_that_change_are_checked_again(
    archive: FakeArchive, tmp_path: Path
) -> None:
    plain = config(archive)
    plain["matrix"], plain["datasets"] = [], {"falcon": plain["datasets"]["falcon"]}
    del plain["downloads"]
    space = Workspace(tmp_path / "run", plain)
    assert space.run("--", "data_import", "data_check").status == 0
    space.edit(lambda edited: edited["datasets"]["falcon"].update(count=3))
    more = space.run("--", "data_import")
    assert more.jobs["fetch"] == 1 and len(Dataset(space.folder / "datasets/falcon").micrographs()) == 3
    space.edit(lambda edited: edited["datasets"]["falcon"].update(count=2))
    fewer = space.run("--", "data_import")
    assert fewer.jobs["fetch"] == 0 and len(Dataset(space.folder / "datasets/falcon").micrographs()) == 2
    assert "Nothing to be done" in space.run("--", "data_check").text
    gone = space.folder / "data/empiar/10017/data/grid square 0/mic_0.mrc"
    gone.unlink()
    failed = space.run("--", "data_check")
    assert failed.status != 0 and "mic_0.mrc: missing" in failed.text


def test_after_a_report_of_a_half_finished_run_the_next_run_makes_the_rest(
    archive: FakeArchive, tmp_path: Path
) -> None:
    space = Workspace(tmp_path / "run", config(archive))
    space.edit(lambda plain: plain["matrix"].append({"datasets": ["falcon"], "pickers": ["log"]}))
    archive.add_fault("status:404", match="*mic_2.mrc")
    assert space.run().status != 0
    report = [sys.executable, "-m", "vitreous.cli.main", "report", str(space.config)]
    said = subprocess.run(report, capture_output=True, text=True, cwd=space.folder)
    assert said.returncode == 0 and "results not there yet" in said.stdout, said.stderr
    archive.clear()
    done = space.run()
    assert done.status == 0 and done.jobs["fetch"] == 1 and done.jobs["report"] == 1, done.text[-3000:]
    assert (space.folder / "datasets/falcon/dataset.json").exists()
