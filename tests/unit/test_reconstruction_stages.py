"""The room's stages on a small data set: what is written, counted, resumed and left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from vitreous.errors import InputError, StageError
from vitreous.io.dataset import DatasetInfo, Target, write_batches, write_dataset
from vitreous.io.mrc import open_stack, read_volume, write_image
from vitreous.io.particles import ParticleSet, image_locations, origins_A, read_particles
from vitreous.io.picks import read_picks, write_picks
from vitreous.io.star import read_star, write_star
from vitreous.physics.insertion import Grid
from vitreous.reconstruction import native
from vitreous.reconstruction.halves import half_sets, subsets
from vitreous.reconstruction.settings import CtfSettings, ExtractionSettings, NativeEngine
from vitreous.reconstruction.stages import (
    collect_ctf,
    collect_particles,
    estimate_ctf_batch,
    extract_batch,
    given_ctf,
    reconstruct,
)
from vitreous.runtime.device import Runtime

PIXEL_A, SHAPE, RUNTIME = 3.0, (300, 320), Runtime(seed=3)
NAMES = [f"micrographs/m{i}.mrc" for i in range(4)]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Four micrographs of dark Gaussian discs (sigma 5 px) at known places, with made-up poses and CTFs."""
    folder, rng = tmp_path / "ds", np.random.default_rng(0)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    tables = []
    for name in NAMES:
        centres = np.stack(np.meshgrid([40, 110, 180, 250], [50, 130, 210]), -1).reshape(-1, 2) + rng.uniform(
            0, 1, (12, 2)
        )
        image = rng.normal(50, 3, SHAPE)
        for x, y in centres:
            image -= 12 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 50)
        (folder / "micrographs").mkdir(parents=True, exist_ok=True)
        write_image(folder / name, image, PIXEL_A)
        tables.append(pd.DataFrame(centres, columns=["x", "y"]).assign(micrograph=name, score=1.0))
    picks = pd.concat(tables, ignore_index=True)[["micrograph", "x", "y", "score"]]
    truth = pd.DataFrame({"rlnMicrographName": picks["micrograph"], "rlnOpticsGroup": 1})
    truth["rlnCoordinateX"], truth["rlnCoordinateY"] = picks["x"], picks["y"]
    for label, top in (("rlnAngleRot", 360), ("rlnAngleTilt", 180), ("rlnAnglePsi", 360)):
        truth[label] = rng.uniform(0, top, len(truth))
    info = DatasetInfo(
        name="ds",
        source="test",
        pixel_size_A=PIXEL_A,
        voltage_kv=300,
        cs_mm=2.7,
        amplitude_contrast=0.1,
        targets=[Target(name="disc", diameter_A=60.0)],
    )
    micrographs = pd.DataFrame({"rlnMicrographName": NAMES, "rlnDefocusU": 9000.0, "rlnDefocusV": 8800.0})
    micrographs["rlnDefocusAngle"] = 20.0
    optics = pd.DataFrame({"rlnOpticsGroup": [1], "rlnImagePixelSize": [PIXEL_A]})
    write_dataset(folder, info, micrographs, picks=picks, particles=ParticleSet(optics, truth))
    write_batches(folder, NAMES, 2)
    return folder


def provenance(path: Path) -> Path:
    return path.with_suffix(".provenance.json")


def extracted(dataset: Path, picks: Path, ctf: Path | None = None, **settings: object) -> Path:
    """Particles of both batches, gathered."""
    folder = dataset.parent / "particles"
    batches = [folder / f"batch-0{i}-of-02.star" for i in (1, 2)]
    for batch in batches:
        extract_batch(
            dataset / batch.name,
            dataset,
            picks,
            ctf,
            batch,
            settings=ExtractionSettings(**settings),
            max_failed_share=0.5,
            provenance=provenance(batch),
            runtime=RUNTIME,
        )
    star = folder / "particles.star"
    collect_particles(batches, star, provenance=provenance(star), runtime=RUNTIME)
    return star


def counts(star: Path) -> dict[str, int]:
    return dict(read_star(star)["vitreous_counts"])


def test_true_picks_become_centred_bright_particles_with_poses_and_half_sets(dataset: Path) -> None:
    ctf = dataset.parent / "ctf" / "micrographs.star"
    given_ctf(dataset, ctf, provenance=provenance(ctf), runtime=RUNTIME)
    star = extracted(dataset, dataset / "truth" / "picks.star", ctf)
    particles = read_particles(star)
    assert counts(star)["particles"] == counts(star)["with_pose"] == len(particles) == 48
    truth = read_particles(dataset / "truth" / "particles.star").particles
    joined = particles.particles.merge(
        truth, on=["rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY"], suffixes=("", "_t")
    )
    assert len(joined) == 48
    np.testing.assert_allclose(joined["rlnAngleRot"], joined["rlnAngleRot_t"])
    centre = joined[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy()
    np.testing.assert_allclose(origins_A(particles), (np.floor(centre + 0.5) - centre) * PIXEL_A, atol=1e-9)
    assert set(particles.particles["rlnDefocusU"]) == {9000.0}
    assert particles.optics["rlnImagePixelSize"].tolist() == [PIXEL_A]
    halves = half_sets(NAMES, RUNTIME.seed)
    assert particles.particles["rlnRandomSubset"].tolist() == [
        halves[n] for n in particles.particles["rlnMicrographName"]
    ]
    path, index = image_locations(particles, star)[5]
    image = open_stack(path)[index]
    assert image.shape == (32, 32)
    assert image[12:21, 12:21].mean() > image[[0, -1]].mean() + 3


def test_picks_near_a_true_particle_get_its_pose_and_an_origin_that_points_to_it(dataset: Path) -> None:
    picks = read_star(dataset / "truth" / "picks.star")["particles"]
    table = pd.DataFrame(
        {
            "micrograph": picks["rlnMicrographName"],
            "x": picks["rlnCoordinateX"] - 4.3,
            "y": picks["rlnCoordinateY"] + 2.2,
            "score": 0.5,
        }
    )
    stray = pd.DataFrame({"micrograph": [NAMES[0]], "x": [145.0], "y": [90.0], "score": [0.1]})
    path = dataset.parent / "picks.star"
    write_picks(path, pd.concat([table, stray]))
    star = extracted(dataset, path)
    particles = read_particles(star)
    assert counts(star)["particles"] == 49 and counts(star)["with_pose"] == 48
    table = particles.particles
    posed = table["vitreousHasPose"].to_numpy() == 1
    box_centre = np.floor(table[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy() + 0.5)
    true = box_centre - origins_A(particles) / PIXEL_A
    shift = true - table[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy()
    np.testing.assert_allclose(shift[posed], np.tile([4.3, -2.2], (48, 1)), atol=1e-6)
    # Without a pose only the rounding is in the origin.
    assert np.abs(true[~posed] - [[145.0, 90.0]]).max() < 1e-6


def test_edges_are_dropped_or_padded_and_strays_outside_counted(dataset: Path) -> None:
    rng = np.random.default_rng(1)
    inside = pd.DataFrame(rng.uniform(30, 270, (40, 2)), columns=["x", "y"])
    edge = pd.DataFrame({"x": [3.0, 318.0], "y": [100.0, 298.0]})
    outside = pd.DataFrame({"x": [330.0], "y": [10.0]})
    table = pd.concat([inside, edge, outside]).assign(micrograph=NAMES[0], score=np.nan)
    path = dataset.parent / "picks.star"
    write_picks(path, table)
    dropped = counts(extracted(dataset, path, poses="none"))
    assert (dropped["picks"], dropped["over_edge"], dropped["outside"], dropped["particles"]) == (
        43,
        2,
        1,
        40,
    )
    padded = counts(extracted(dataset, path, poses="none", edge="pad"))
    assert (padded["over_edge"], padded["outside"], padded["particles"]) == (2, 1, 42)


def test_picks_of_a_larger_or_a_binned_micrograph_are_refused(dataset: Path) -> None:
    rng, path = np.random.default_rng(2), dataset.parent / "picks.star"
    names = np.repeat(NAMES, 30)
    write_picks(
        path,
        pd.DataFrame({"micrograph": names, "x": rng.uniform(0, 640, 120), "y": rng.uniform(0, 600, 120)}),
    )
    with pytest.raises(StageError, match="another micrograph size"):
        extracted(dataset, path)
    write_picks(
        path,
        pd.DataFrame({"micrograph": names, "x": rng.uniform(0, 160, 120), "y": rng.uniform(0, 150, 120)}),
    )
    with pytest.raises(InputError, match="another micrograph size or binning.*expected 320 x 300 px"):
        extracted(dataset, path)


def test_micrographs_whose_ctf_failed_give_no_particles(dataset: Path) -> None:
    ctf = dataset.parent / "ctf" / "batch-01-of-02.star"
    batches = []
    for batch in ("batch-01-of-02.star", "batch-02-of-02.star"):
        batches.append(ctf.with_name(batch))
        # Discs on white noise have no Thon rings.
        estimate_ctf_batch(
            dataset / batch,
            dataset,
            batches[-1],
            settings=CtfSettings(window_px=256),
            max_failed_share=0.5,
            provenance=provenance(batches[-1]),
            runtime=RUNTIME,
        )
    gathered = ctf.with_name("micrographs.star")
    collect_ctf(batches, gathered, provenance=provenance(gathered), runtime=RUNTIME)
    table = read_star(gathered)["micrographs"]
    assert table["vitreousCtfFailed"].tolist() == [1, 1, 1, 1]
    assert pd.read_csv(ctf.with_name("failed.csv"))["error"].str.contains("no Thon rings").all()
    curves = pd.read_csv(ctf.with_name("curves.csv"))
    assert curves.columns.tolist() == ["micrograph", "frequency_per_A", "measured", "model"]
    # What failed for its quality was fitted too, and may be looked at.
    assert list(curves["micrograph"].unique()) == NAMES and curves.groupby("micrograph").size().max() <= 200
    own, row = curves[curves["micrograph"] == NAMES[1]], table.set_index("rlnMicrographName").loc[NAMES[1]]
    # At most 200 points means all of them here, so the quality comes back, up to the rounding of the table.
    quality = np.corrcoef(own["measured"], own["model"])[0, 1]
    assert quality == pytest.approx(row["rlnCtfFigureOfMerit"], abs=1e-4)
    star = extracted(dataset, dataset / "truth" / "picks.star", gathered)
    assert counts(star)["ctf_failed"] == 48 and counts(star)["particles"] == 0
    assert len(read_particles(star)) == 0


def test_an_unreadable_micrograph_is_listed_and_the_others_go_on(dataset: Path) -> None:
    (dataset / NAMES[2]).write_bytes(b"<html>" + b" " * 2000)
    out = dataset.parent / "ctf" / "batch-01-of-02.star"
    estimate_ctf_batch(
        dataset / out.name,
        dataset,
        out,
        settings=CtfSettings(window_px=256, min_quality=0.0),
        max_failed_share=0.5,
        provenance=provenance(out),
        runtime=RUNTIME,
    )
    table = read_star(out)["micrographs"].set_index("rlnMicrographName")
    assert table["vitreousCtfFailed"].to_dict() == {NAMES[0]: 0, NAMES[2]: 1}
    assert pd.read_csv(out.with_suffix(".failed.csv"))["micrograph"].tolist() == [NAMES[2]]
    assert set(pd.read_csv(out.with_suffix(".curves.csv"))["micrograph"]) == {NAMES[0]}
    star = extracted(dataset, dataset / "truth" / "picks.star")
    assert counts(star)["particles"] == 36
    assert pd.read_csv(star.with_name("failed.csv"))["micrograph"].tolist() == [NAMES[2]]


def test_a_rerun_makes_only_what_is_missing_and_the_same_bytes(dataset: Path) -> None:
    star = extracted(dataset, dataset / "truth" / "picks.star")
    stacks = star.parent / "stacks"
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in stacks.iterdir()}
    text = star.read_text()
    (stacks / "m1.mrcs").unlink()
    star.unlink()
    extracted(dataset, dataset / "truth" / "picks.star")
    after = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in stacks.iterdir()}
    assert {name for name in before if before[name][0] != after[name][0]} == {"m1.mrcs"}
    assert {name: data for name, (_, data) in before.items()} == {
        name: data for name, (_, data) in after.items()
    }
    assert star.read_text() == text


def test_no_picks_give_an_empty_valid_table_and_empty_maps(dataset: Path) -> None:
    path, out = dataset.parent / "picks.star", dataset.parent / "maps"
    write_picks(path, pd.DataFrame({"micrograph": [], "x": [], "y": [], "score": []}))
    star = extracted(dataset, path)
    reconstruct(
        star, out, settings=NativeEngine(), symmetry="C1", provenance=out / "provenance.json", runtime=RUNTIME
    )
    facts = json.loads((out / "reconstruct.json").read_text())
    assert facts["status"] == "empty" and facts["used"] == 0
    volume, size_A = read_volume(out / "half1.mrc")
    assert volume.shape == (32, 32, 32) and not volume.any() and size_A == PIXEL_A


def reconstructed(star: Path, out: Path, **settings: Any) -> dict[str, Any]:
    """The facts of a reconstruction of a few shells."""
    chosen = NativeEngine(ctf=False, max_resolution_A=18.0, **settings)
    reconstruct(
        star, out, settings=chosen, symmetry="C1", provenance=out / "provenance.json", runtime=RUNTIME
    )
    return dict(json.loads((out / "reconstruct.json").read_text()))


@pytest.mark.parametrize("picks", [1, 12])
def test_particles_of_one_half_only_give_empty_maps_and_a_loud_warning(
    dataset: Path, picks: int, caplog: pytest.LogCaptureFixture
) -> None:
    table = read_picks(dataset / "truth" / "picks.star")
    path, out = dataset.parent / "picks.star", dataset.parent / "maps"
    write_picks(path, table[table["micrograph"] == NAMES[0]].head(picks))
    star = extracted(dataset, path)
    facts = reconstructed(star, out)
    assert facts["status"] == "empty" and facts["used"] == picks
    assert sorted([facts["half1"], facts["half2"]]) == [0, picks]
    assert "TOO FEW PARTICLES" in caplog.text
    assert not any(read_volume(out / f"{name}.mrc")[0].any() for name in ("half1", "half2", "map"))
    stack = star.parent / "stacks" / "m0.mrcs"
    spoilt = bytearray(stack.read_bytes())
    spoilt[-4:] = np.float32(np.nan).tobytes()
    stack.write_bytes(spoilt)
    with pytest.raises(InputError, match="NaN"):
        reconstructed(star, out)


def test_picks_of_micrographs_that_are_not_here_are_counted_and_named(
    dataset: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table, path = read_picks(dataset / "truth" / "picks.star"), dataset.parent / "picks.star"
    strange = table.assign(micrograph="micrographs/strange.mrc")
    write_picks(path, pd.concat([table, strange.head(3)]))
    star = extracted(dataset, path)
    # Both batches see the three; they are counted once.
    assert counts(star)["unknown_micrograph"] == 3 and counts(star)["picks"] == 48
    assert "3 picks of 1 micrograph not here left out (micrographs/strange.mrc)" in caplog.text
    write_picks(path, strange)
    with pytest.raises(InputError, match="no micrograph of the data set.*strange.*micrographs/m0.mrc"):
        extracted(dataset, path)


def test_a_full_gpu_halves_the_batch_and_the_maps_stay_the_same(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    star = extracted(dataset, dataset / "truth" / "picks.star")
    out, room = dataset.parent / "maps", 5
    reconstructed(star, out)
    plain = (out / "map.mrc").read_bytes(), (out / "half2.mrc").read_bytes()
    insert = native.insert_particles

    def insert_where_there_is_room(grid: Grid, particles: ParticleSet, *rest: Any) -> None:
        insert(grid, particles, *rest)  # what has been added before the error must not count twice
        if len(particles) > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(native, "insert_particles", insert_where_there_is_room)
    reconstructed(star, out, batch=16)
    assert "batches of 8" in caplog.text and "batches of 4" in caplog.text and "of 2" not in caplog.text
    # Images are added one after the other, whatever the batch: not a bit is different.
    assert plain == ((out / "map.mrc").read_bytes(), (out / "half2.mrc").read_bytes())
    room = 0
    with pytest.raises(StageError, match="too little memory.*Tried to allocate"):
        reconstructed(star, out)


def test_a_second_reconstruction_gives_the_same_bytes(dataset: Path) -> None:
    star = extracted(dataset, dataset / "truth" / "picks.star")
    kept: list[dict[str, bytes]] = []
    for out in (dataset.parent / "a", dataset.parent / "b"):
        reconstructed(star, out)
        kept.append({path.name: path.read_bytes() for path in out.iterdir() if path.stem != "provenance"})
    assert kept[0] == kept[1] and len(kept[0]) == 4
    assert json.loads((out / "provenance.json").read_text())["seconds"] >= 0


def test_particles_of_the_discs_give_a_ball(dataset: Path) -> None:
    star, out = extracted(dataset, dataset / "truth" / "picks.star"), dataset.parent / "maps"
    settings = NativeEngine(ctf=False, max_resolution_A=18.0, fsc_weighting=True)
    reconstruct(
        star,
        out,
        settings=settings,
        symmetry="C2",
        target="disc",
        provenance=out / "provenance.json",
        runtime=Runtime(threads=2),
    )
    facts = json.loads((out / "reconstruct.json").read_text())
    assert facts["status"] == "ok" and facts["half1"] == facts["half2"] == 24
    volume, _ = read_volume(out / "map.mrc")
    # Gaussian discs are projections of a Gaussian ball with sigma 5 px; its centre stands at n//2, give or
    # take a voxel for the noise on its flat top.
    assert np.abs(np.array(np.unravel_index(volume.argmax(), volume.shape)) - 16).max() <= 1
    assert volume[16, 16, 21] / volume[16, 16, 16] == pytest.approx(np.exp(-0.5), abs=0.12)
    assert not (out / "engine.work").exists()
    record = json.loads((out / "provenance.json").read_text())
    assert "vitreous.reconstruction.native:reconstruct_halves" in record["modules"]


def test_half_sets_are_equal_in_size_and_do_not_depend_on_the_batch() -> None:
    names = [f"m{i}" for i in range(101)]
    halves = half_sets(names, 7)
    assert sorted(np.bincount(list(halves.values()))[1:]) == [50, 51]
    assert half_sets(names[::-1], 7) == halves != half_sets(names, 8)
    assert subsets(["m5", "m9"], names, 7).tolist() == [halves["m5"], halves["m9"]]
    assert subsets(["only"] * 4, ["only"], 7).tolist() == [1, 2, 1, 2]


def test_the_given_ctf_needs_a_data_set_that_brings_one(dataset: Path) -> None:
    table = read_star(dataset / "micrographs.star")
    write_star(
        dataset / "micrographs.star",
        {**table, "micrographs": table["micrographs"].drop(columns="rlnDefocusU")},
    )
    with pytest.raises(InputError, match="brings no CTF"):
        given_ctf(dataset, dataset.parent / "c.star", provenance=dataset.parent / "p.json", runtime=RUNTIME)


def test_a_ctf_is_not_estimated_with_an_unknown_voltage(dataset: Path) -> None:
    info = json.loads((dataset / "dataset.json").read_text()) | {"voltage_kv": None}
    (dataset / "dataset.json").write_text(json.dumps(info))
    with pytest.raises(InputError, match="voltage_kv"):
        estimate_ctf_batch(
            dataset / "batch-01-of-02.star",
            dataset,
            dataset.parent / "c.star",
            settings=CtfSettings(),
            max_failed_share=1.0,
            provenance=dataset.parent / "p.json",
            runtime=RUNTIME,
        )
