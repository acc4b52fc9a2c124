"""What bad input gets (design §7) where whole stages meet it: real files, on a small simulated data set."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from shared import ROOT

from vitreous.errors import InputError, MissingToolError, StageError
from vitreous.io.check import check_file
from vitreous.io.dataset import write_batch
from vitreous.io.mrc import read_image, read_volume, write_image, write_stack
from vitreous.io.particles import ParticleSet, image_locations, read_particles, write_particles
from vitreous.io.picks import read_picks, write_picks
from vitreous.io.star import read_star
from vitreous.io.tidy import read_tidy
from vitreous.metrics.settings import EvaluationSettings
from vitreous.metrics.stages import evaluate_map, evaluate_picks
from vitreous.picking.settings import BlobSettings, PickerSettings, TopazSettings
from vitreous.picking.stages import collect_picks, pick_batch
from vitreous.reconstruction.settings import CtfSettings, ExtractionSettings, NativeEngine
from vitreous.reconstruction.stages import (
    collect_particles,
    estimate_ctf_batch,
    extract_batch,
    reconstruct,
)
from vitreous.report.settings import ReportSettings
from vitreous.report.stages import write_report
from vitreous.runtime.device import Runtime
from vitreous.simulate.settings import SimulateSettings
from vitreous.simulate.stages import collect_dataset, simulate_batch

RUNTIME = Runtime()
BATCH = "batch-01-of-01.star"
NAMES = [f"micrographs/m{index:05d}.mrc" for index in (1, 2, 3, 4)]
TARGET = {"name": "protein", "phantom": "d2", "diameter_A": 120, "count": 8}
SETTINGS = SimulateSettings(micrographs=4, shape=(256, 256), pixel_size_A=4.0, snr=0.5, targets=[TARGET])


def simulated(folder: Path, settings: SimulateSettings = SETTINGS) -> Path:
    simulate_batch(folder / BATCH, range(settings.micrographs), folder, settings, RUNTIME)
    collect_dataset([folder / BATCH], folder, settings, RUNTIME, name=folder.name)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("datasets") / "tiny")


@pytest.fixture
def dataset(made: Path, tmp_path: Path) -> Path:
    """Four micrographs of 256 px with some seven particles each; a copy that a test may spoil."""
    return Path(shutil.copytree(made, tmp_path / "datasets" / "tiny"))


def pick(dataset: Path, out: Path, share: float = 0.2, settings: PickerSettings | None = None) -> None:
    pick_batch(
        dataset / BATCH,
        dataset,
        out,
        settings=settings or BlobSettings(),
        max_failed_share=share,
        provenance=out.with_suffix(".json"),
        runtime=RUNTIME,
    )


def fit(dataset: Path, out: Path, share: float = 0.2) -> None:
    estimate_ctf_batch(
        dataset / BATCH,
        dataset,
        out,
        # images of 256 px show no rings to speak of: every fit is taken
        settings=CtfSettings(window_px=128, band_A=(40, 10), min_quality=0.0),
        max_failed_share=share,
        provenance=out.with_suffix(".json"),
        runtime=RUNTIME,
    )


def extract(dataset: Path, out: Path, share: float = 0.2, picks: Path | None = None) -> None:
    extract_batch(
        dataset / BATCH,
        dataset,
        picks or dataset / "truth" / "picks.star",
        None,
        out,
        settings=ExtractionSettings(),
        max_failed_share=share,
        provenance=out.with_suffix(".json"),
        runtime=RUNTIME,
    )


STAGES: dict[str, Callable[..., None]] = {"picking": pick, "CTF": fit, "extraction": extract}


def spoil(dataset: Path) -> None:
    """A NaN pixel in the first micrograph, one value everywhere in the third."""
    raw = bytearray((dataset / NAMES[0]).read_bytes())
    raw[1024 + 4 * 777 : 1024 + 4 * 778] = np.float32(np.nan).tobytes()
    (dataset / NAMES[0]).write_bytes(raw)
    write_image(dataset / NAMES[2], np.full((256, 256), 7.0), 4.0)


@pytest.mark.parametrize("stage", STAGES)
def test_nan_and_constant_micrographs_are_listed_and_the_stage_goes_on(
    dataset: Path, tmp_path: Path, stage: str, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(dataset)
    out = tmp_path / "out" / BATCH
    STAGES[stage](dataset, out, share=0.5)
    failed = pd.read_csv(out.with_suffix(".failed.csv"))
    assert failed["micrograph"].tolist() == [NAMES[0], NAMES[2]]
    assert "NaN or infinite" in failed["error"][0] and "found 1 of them" in failed["error"][0]
    assert "constant image (found every pixel is 7)" in failed["error"][1]
    assert f"left out {NAMES[0]}" in caplog.text
    blocks = read_star(out)
    table = blocks["micrographs" if stage == "CTF" else "particles"]
    assert isinstance(table, pd.DataFrame)
    good = table[table["vitreousCtfFailed"] == 0] if stage == "CTF" else table
    assert set(good["rlnMicrographName"]) == {NAMES[1], NAMES[3]}


@pytest.mark.parametrize("stage", STAGES)
def test_too_many_bad_micrographs_end_the_stage_with_the_share_and_finished_work_is_kept(
    dataset: Path, tmp_path: Path, stage: str, caplog: pytest.LogCaptureFixture
) -> None:
    whole = {name: (dataset / name).read_bytes() for name in (NAMES[0], NAMES[2])}
    spoil(dataset)
    out = tmp_path / "out" / BATCH
    with pytest.raises(StageError, match="2 of 4 micrographs failed.*expected at most 20%"):
        STAGES[stage](dataset, out)
    assert not out.exists()
    for name, content in whole.items():
        (dataset / name).write_bytes(content)
    caplog.set_level("INFO")
    STAGES[stage](dataset, out)
    assert "2 computed, 2 kept from before, 0 failed" in caplog.text
    assert out.exists()


def test_no_picks_go_the_whole_road_to_valid_empty_files_and_a_loud_report(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "results" / "run"
    sets, labels = run / "sets" / "tiny", {"dataset": "tiny", "denoiser": "raw", "picker": "blob"}
    picks, particles = sets / "picks/raw/blob", sets / "particles/raw/blob"
    maps = sets / "maps/raw/blob/all/protein/native"
    scoring: dict[str, Any] = {"settings": EvaluationSettings(bootstrap=100), "runtime": RUNTIME}

    pick(dataset, picks / BATCH)
    none = BlobSettings(threshold=1e9)
    provenance = picks / "provenance.json"
    collect_picks([picks / BATCH], dataset, picks, settings=none, provenance=provenance, runtime=RUNTIME)
    assert len(read_picks(picks / "picks.star")) == 0 and len(read_picks(picks / "candidates.star")) > 0
    assert "NO PICKS" in caplog.text
    scores = {**scoring, "labels": labels, "failed_csv": picks / "failed.csv", "provenance": picks / "e.json"}
    evaluate_picks(picks / "picks.star", picks / "candidates.star", dataset, picks, **scores)
    found = read_tidy(picks / "scores.csv").set_index("metric")["value"]
    assert found["count_picks"] == found["recall_micro"] == found["f1_micro"] == 0

    extract(dataset, particles / BATCH, picks=picks / "picks.star")
    star = particles / "particles.star"
    collect_particles([particles / BATCH], star, provenance=particles / "provenance.json", runtime=RUNTIME)
    assert len(read_particles(star)) == 0 and "NO PARTICLES: the table is valid and empty" in caplog.text
    engine = {"settings": NativeEngine(), "symmetry": "D2", "target": "protein", "runtime": RUNTIME}
    reconstruct(star, maps, provenance=maps / "provenance.json", **engine)  # type: ignore[arg-type]
    assert not any(read_volume(maps / f"{name}.mrc")[0].any() for name in ("half1", "half2", "map"))
    assert "the maps are empty" in caplog.text
    map_labels = {**labels, "engine": "native", "selection": "all"}
    evaluate_map(maps, dataset, "protein", maps, **scoring, labels=map_labels, provenance=maps / "e.json")
    found = read_tidy(maps / "scores.csv").set_index("metric")["value"]
    assert np.isinf(found["resolution_corrected_0.143"]) and np.isnan(found["real_space_correlation"])
    assert "EMPTY MAP" in caplog.text

    out, published = run / "report.html", ROOT / "config" / "published.yaml"
    info = {"name": "run", "seed": 0, "configfile": "none.yaml"}
    write_report(run, {"tiny": dataset}, out, settings=ReportSettings(), published=published, run_info=info)
    page = out.read_text()
    assert "tiny, blob: no picks at all" in page and "no or too few particles, so the map is empty" in page


def test_carbon_without_a_particle_passes_picking_and_its_evaluation(tmp_path: Path) -> None:
    bare = SETTINGS.model_dump() | {"targets": [TARGET | {"count": 0}], "micrographs": 2}
    bare["artefacts"] = {"carbon_probability": 1.0, "hole_radius_A": 100.0}
    carbon = simulated(tmp_path / "carbon", SimulateSettings(**bare))
    out = tmp_path / "picks"
    pick(carbon, out / BATCH)
    collect_picks(
        [out / BATCH], carbon, out, settings=BlobSettings(), provenance=out / "p.json", runtime=RUNTIME
    )
    scoring: dict[str, Any] = {
        "settings": EvaluationSettings(bootstrap=100),
        "labels": {},
        "runtime": RUNTIME,
    }
    evaluate_picks(out / "picks.star", None, carbon, out, provenance=out / "e.json", **scoring)
    found = read_tidy(out / "scores.csv").set_index("metric")["value"]
    assert found["count_truth"] == found["count_hits"] == 0
    assert not found["precision_micro"] > 0


def test_an_empty_batch_passes_every_stage(dataset: Path, tmp_path: Path) -> None:
    write_batch(dataset / BATCH, [])
    for name, stage in STAGES.items():
        out = tmp_path / name / BATCH
        stage(dataset, out)
        assert len(pd.read_csv(out.with_suffix(".failed.csv"))) == 0
        block = read_star(out)["micrographs" if name == "CTF" else "particles"]
        assert len(block) == 0


def test_a_box_larger_than_the_micrographs_is_refused_with_both_sizes(dataset: Path, tmp_path: Path) -> None:
    write_image(dataset / NAMES[1], read_image(dataset / NAMES[1])[:40, :40], 4.0)
    write_picks(tmp_path / "picks.star", pd.DataFrame({"micrograph": [NAMES[1]], "x": [20.0], "y": [20.0]}))
    with pytest.raises(
        StageError, match="box is larger than the micrograph .found 48 px, expected at most 40"
    ):
        extract(dataset, tmp_path / "out" / BATCH, share=0.0, picks=tmp_path / "picks.star")


# pixel sizes of particles


def particles(folder: Path, pixel_size_A: float, header_A: float = 4.0) -> Path:
    write_stack(folder / "p.mrcs", np.random.default_rng(0).normal(size=(2, 16, 16)), header_A)
    table = pd.DataFrame({"rlnImageName": ["1@p.mrcs", "2@p.mrcs"], "rlnOpticsGroup": 1})
    optics = pd.DataFrame({"rlnOpticsGroup": [1], "rlnImagePixelSize": [pixel_size_A]})
    write_particles(folder / "p.star", ParticleSet(optics, table))
    return folder / "p.star"


def test_particles_without_a_pixel_size_are_refused_with_the_line(tmp_path: Path) -> None:
    star = particles(tmp_path, 4.0)
    for wrong in ("0", "-1.5"):
        star.write_text(re.sub(r"(?m)^1 4.0$", f"1 {wrong}", star.read_text()))
        message = rf"p\.star: line \d+, column rlnImagePixelSize: pixel size is not above 0 .found {wrong}"
        with pytest.raises(InputError, match=message):
            read_particles(star)
        star = particles(tmp_path, 4.0)
    with pytest.raises(InputError, match="pixel size is not above 0"):
        particles(tmp_path, 0.0)


def test_a_stack_whose_header_contradicts_the_optics_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    star = particles(tmp_path, 4.0)
    assert len(image_locations(read_particles(star), star)) == 2 and not caplog.text
    star = particles(tmp_path, 4.0, header_A=1.0)
    assert len(image_locations(read_particles(star), star)) == 2
    assert "pixels of 4 Å, as data_optics says, though the header of p.mrcs says 1 Å" in caplog.text


def test_a_fault_of_a_relion_30_file_is_named_by_its_row(tmp_path: Path) -> None:
    labels = ("rlnImageName", "rlnVoltage", "rlnDetectorPixelSize", "rlnMagnification")
    head = "data_\n\nloop_\n" + "".join(f"_{label}\n" for label in labels)
    (tmp_path / "old.star").write_text(head + "1@a.mrcs 300 5 10000\n2@a.mrcs nan 5 10000\n")
    with pytest.raises(InputError, match=r"old\.star: row 2, column rlnVoltage: not a finite number"):
        read_particles(tmp_path / "old.star")


# programs and packages that are not there, files that are odd and do no harm


def test_without_topaz_one_line_says_which_why_and_how(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "topaz"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "topaz", None)  # type: ignore[arg-type]  # as on a machine without it
    with pytest.raises(
        MissingToolError, match="the picker `topaz` needs topaz-em .*install it with `make topaz`"
    ):
        pick(dataset, tmp_path / BATCH, settings=TopazSettings())


def test_without_a_package_for_compressed_tiff_one_line_says_so(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.arange(99, dtype=np.uint8).reshape(9, 11), compression="lzw")
    code = (
        "import sys; sys.modules['imagecodecs'] = None\n"
        "from vitreous.io.micrograph import read_micrograph\n"
        "try: read_micrograph('a.tif')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True).stdout
    assert said.startswith("MissingToolError a.tif: compressed TIFF (found no package imagecodecs)")


def test_harmless_oddities_of_an_mrc_file_are_remarks_and_doubts_are_faults(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(size=(6, 8))
    write_image(tmp_path / "a.mrc", image, 2.0)
    raw = bytearray((tmp_path / "a.mrc").read_bytes())
    raw[16:20] = np.int32(-3).tobytes()  # nxstart
    raw[208:216] = bytes(8)  # MAP word and machine stamp
    (tmp_path / "a.mrc").write_bytes(raw)
    report = check_file(tmp_path / "a.mrc")
    assert not report.faults and len(report.remarks) == 3
    assert np.array_equal(read_image(tmp_path / "a.mrc"), image.astype(np.float32))
    (tmp_path / "a.mrc").write_bytes(raw + bytes(5))
    assert check_file(tmp_path / "a.mrc").faults == ["5 bytes more than the header says; ignored"]
    assert len(check_file(tmp_path / "a.mrc").remarks) == 3


# the list itself


def test_every_test_that_the_list_of_answers_names_exists() -> None:
    text = (ROOT / "docs" / "bad-input.md").read_text()
    named = set(re.findall(r"`(tests/\S+\.py)::(test_\w+)`", text))
    assert len(named) >= 40
    for file, test in sorted(named):
        assert (ROOT / file).is_file(), file
        assert re.search(rf"^def {test}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file}::{test}"
    assert not re.findall(r"tests/\S+\.py(?!\S*::test_)", text), "name the test, not only the file"
