"""Stages: the standard form, resumption, added micrographs, particle stacks."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vitreous.errors import InputError
from vitreous.io.dataset import Dataset, read_batch
from vitreous.io.mrc import open_stack, read_image, read_pixel_size_A, read_volume
from vitreous.io.particles import euler_angles, image_locations, read_particles
from vitreous.io.star import read_star
from vitreous.runtime.device import Runtime
from vitreous.simulate.settings import ParticlesSettings, SimulateSettings
from vitreous.simulate.stages import collect_dataset, simulate_batch, simulate_particles

RUNTIME = Runtime(seed=1)
TARGETS = [
    {"name": "big", "phantom": "c1", "diameter_A": 120, "count": 4},
    {"name": "small", "phantom": "d2", "diameter_A": 90, "count": 4},
]
SETTINGS = SimulateSettings(
    micrographs=3, shape=(192, 224), pixel_size_A=5.0, targets=TARGETS, half_doses=True
)


def make(folder: Path, settings: SimulateSettings, batches: int = 2) -> list[Path]:
    files = [folder / f"batch-{i + 1:02d}-of-{batches:02d}.star" for i in range(batches)]
    for i, file in enumerate(files):
        simulate_batch(file, range(i, settings.micrographs, batches), folder, settings, RUNTIME)
    collect_dataset(files, folder, settings, RUNTIME, name="sim")
    return files


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.mrc"))
    }


def test_data_set_has_the_standard_form(tmp_path: Path) -> None:
    files = make(tmp_path, SETTINGS)
    data = Dataset(tmp_path)
    assert data.info.contrast == "dark" and [t.symmetry for t in data.info.targets] == ["C1", "D2"]
    table = data.micrographs()
    assert list(table["rlnMicrographName"]) == [f"micrographs/m0000{i}.mrc" for i in (1, 2, 3)]
    assert "rlnDefocusU" not in table
    truth = read_star(tmp_path / "truth" / "micrographs.star")["micrographs"]
    assert isinstance(truth, pd.DataFrame) and (truth["rlnDefocusU"] >= truth["rlnDefocusV"]).all()
    assert read_batch(files[0]) == ["micrographs/m00001.mrc", "micrographs/m00003.mrc"]
    name = table["rlnMicrographName"][0]
    assert read_image(data.micrograph_path(name)).shape == (192, 224)
    assert read_pixel_size_A(data.micrograph_path(name)) == pytest.approx(5.0)
    picks, poses = data.truth_picks(), data.truth_poses()
    assert picks is not None and poses is not None and len(picks) == len(poses) > 8
    assert np.array_equal(picks["x"], poses.particles["rlnCoordinateX"])
    assert set(poses.particles["vitreousTarget"]) == {"big", "small"}
    assert picks["x"].between(0, 223).all() and picks["y"].between(0, 191).all()
    for target in ("big", "small"):
        path = data.truth_map(target)
        assert path is not None
        volume, pixel_A = read_volume(path)
        assert pixel_A == pytest.approx(5.0) and volume.shape[0] % 2 == 0
    whole, *halves = (read_image(tmp_path / f / "m00001.mrc") for f in ("micrographs", "half1", "half2"))
    assert np.allclose(halves[0] + halves[1], whole, atol=1e-3)
    assert (tmp_path / "truth" / "masks" / "m00001.png").exists()
    assert (tmp_path / "manifest.json").exists() and (tmp_path / "provenance.json").exists()


def test_added_micrograph_is_made_alone_and_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    make(tmp_path, SETTINGS)
    before = hashes(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "micrographs").glob("*.mrc")}
    make(tmp_path, SETTINGS.model_copy(update={"micrographs": 4}))
    after = hashes(tmp_path)
    assert set(after) - set(before) == {f"{f}/m00004.mrc" for f in ("micrographs", "half1", "half2")}
    assert all(after[name] == digest for name, digest in before.items())
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def test_same_bytes_in_another_folder_and_fewer_micrographs_leave_none_over(tmp_path: Path) -> None:
    make(tmp_path / "a", SETTINGS)
    make(tmp_path / "b", SETTINGS, batches=1)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    picks = [(tmp_path / f / "truth" / "particles.star").read_bytes() for f in "ab"]
    assert picks[0] == picks[1]
    make(tmp_path / "a", SETTINGS.model_copy(update={"micrographs": 1}))
    assert [path.name for path in (tmp_path / "a" / "micrographs").iterdir()] == ["m00001.mrc"]


def test_damaged_micrograph_is_made_again(tmp_path: Path) -> None:
    make(tmp_path, SETTINGS)
    before = hashes(tmp_path)
    (tmp_path / "micrographs" / "m00002.mrc").write_bytes(b"gone")
    (tmp_path / "half1" / "m00001.mrc").unlink()
    make(tmp_path, SETTINGS)
    assert hashes(tmp_path) == before


def test_no_micrographs_and_no_particles_give_valid_empty_files(tmp_path: Path) -> None:
    make(tmp_path / "none", SETTINGS.model_copy(update={"micrographs": 0}))
    data = Dataset(tmp_path / "none")
    picks = data.truth_picks()
    assert picks is not None and len(picks) == 0 and len(data.micrographs()) == 0
    bare = [{**target, "count": 0} for target in TARGETS]
    settings = SimulateSettings(**{**SETTINGS.model_dump(), "targets": bare, "micrographs": 2})
    make(tmp_path / "bare", settings)
    poses = Dataset(tmp_path / "bare").truth_poses()
    assert poses is not None and len(poses) == 0
    assert len(Dataset(tmp_path / "bare").micrographs()) == 2


@pytest.mark.parametrize(("kind", "mode"), [("int8", 0), ("uint16", 6), ("float16", 12)])
def test_number_formats_are_written_and_read(tmp_path: Path, kind: str, mode: int) -> None:
    settings = SETTINGS.model_copy(update={"micrographs": 1, "format": kind, "half_doses": False})
    simulate_batch(tmp_path / "b.star", [0], tmp_path, settings, RUNTIME)
    path = tmp_path / "micrographs" / "m00001.mrc"
    first = path.read_bytes()
    assert int.from_bytes(first[12:16], "little") == mode
    assert read_image(path).std() > 0 and read_pixel_size_A(path) == pytest.approx(5.0)
    path.unlink()
    simulate_batch(tmp_path / "b.star", [0], tmp_path, settings, RUNTIME)
    assert path.read_bytes() == first


def test_missing_model_file_is_named(tmp_path: Path) -> None:
    target = {"name": "a", "atoms": str(tmp_path / "none.cif"), "diameter_A": 100}
    settings = SimulateSettings(targets=[target], shape=(256, 256), pixel_size_A=4.0)
    with pytest.raises(InputError, match="none.cif"):
        simulate_batch(tmp_path / "b.star", [0], tmp_path, settings, RUNTIME)


def test_particle_stack_has_the_asked_snr_and_readable_rows(tmp_path: Path) -> None:
    settings = ParticlesSettings(
        targets=[TARGETS[0]], pixel_size_A=5.0, box_px=40, particles=300, batch=128, snr=0.2, shift_A=0.0
    )
    star = tmp_path / "p" / "particles.star"
    simulate_particles(settings, star, RUNTIME)
    found = read_particles(star, require=("rlnDefocusU", "rlnAngleRot", "rlnOriginXAngst"))
    locations = image_locations(found, star)
    assert len(found) == len(locations) == 300 and locations[299][1] == 299
    assert euler_angles(found).shape == (300, 3)
    with_name = star.with_suffix(".mrcs")
    images = open_stack(with_name)[list(range(300))]
    y, x = np.indices((40, 40)) - 20
    disc = np.hypot(x, y) <= 12
    # noise has variance 1; 300 discs of 450 px, the spread of defocus moves the signal by some percent
    signal = images[:, disc].var(axis=1).mean() - 1
    assert signal == pytest.approx(0.2, rel=0.15)
    assert images[:, disc].mean() > images[:, ~disc].mean()
    volume, _ = read_volume(star.with_name("particles-big.mrc"))
    assert volume.shape == (40, 40, 40)
