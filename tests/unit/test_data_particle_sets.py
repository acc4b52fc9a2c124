"""Particles without micrographs in the standard form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vitreous.data.particle_sets import import_halves, import_particles, import_particles_of
from vitreous.data.settings import LocalSettings
from vitreous.errors import InputError
from vitreous.io.dataset import Dataset, DatasetInfo
from vitreous.io.mrc import open_stack, write_stack
from vitreous.io.particles import ParticleSet, image_locations, read_particles, write_particles
from vitreous.runtime.files import read_json

INFO = DatasetInfo(name="ds", source="test", pixel_size_A=1.5)


def job(folder: Path, names: dict[str, int], pixel_A: float = 1.5, voltage: float = 300.0) -> Path:
    """A particle STAR over stacks of so many images each; every image is its own number."""
    images = []
    for number, (name, count) in enumerate(names.items()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        values = np.arange(count, dtype=float)[:, None, None] + 100 * number
        write_stack(folder / name, np.broadcast_to(values, (count, 8, 8)), 1.5)
        images += [f"{index + 1:06d}@{name}" for index in range(count)]
    group = {"rlnOpticsGroup": 1, "rlnOpticsGroupName": "opticsGroup1"}
    optics = pd.DataFrame([{**group, "rlnVoltage": voltage, "rlnImagePixelSize": pixel_A}])
    table = pd.DataFrame({"rlnImageName": images, "rlnOpticsGroup": 1})
    posed = table.assign(rlnAngleRot=1.0, rlnAngleTilt=2.0, rlnAnglePsi=3.0)
    write_particles(folder / "p.star", ParticleSet(optics, posed))
    return folder / "p.star"


def images_of(folder: Path) -> list[float]:
    star = folder / "particles.star"
    places = image_locations(read_particles(star), star)
    return [float(open_stack(path)[index].mean()) for path, index in places]


def test_particles_keep_their_images_and_poses_and_stacks_are_linked(tmp_path: Path) -> None:
    star = job(tmp_path / "mine", {"a.mrcs": 3, "b.mrcs": 2})
    import_particles(tmp_path / "ds", star, INFO)
    assert images_of(tmp_path / "ds") == [0, 1, 2, 100, 101]
    assert (tmp_path / "ds/particles/a.mrcs").is_symlink()
    dataset = Dataset(tmp_path / "ds")
    assert dataset.info.verified["particles"] == "5 particles in 2 stacks of box 8, with poses"
    assert dataset.info.verified["pixel_size_A"].startswith("as the optics of the file say")
    paths = [one["path"] for one in read_json(tmp_path / "ds/manifest.json")["files"]]
    assert sorted(paths) == ["dataset.json", "particles.star", "particles/a.mrcs", "particles/b.mrcs"]


def test_stacks_of_one_name_in_two_folders_stay_apart(tmp_path: Path) -> None:
    star = job(tmp_path / "mine", {"Extract/one/m.mrcs": 1, "Extract/two/m.mrcs": 1})
    import_particles(tmp_path / "ds", star, INFO)
    assert images_of(tmp_path / "ds") == [0, 100]


def test_copies_are_made_where_links_are_not_wanted(tmp_path: Path) -> None:
    import_particles(tmp_path / "ds", job(tmp_path / "mine", {"a.mrcs": 1}), INFO, link=False)
    assert not (tmp_path / "ds/particles/a.mrcs").is_symlink()


def test_particles_of_a_local_folder_come_by_its_settings(tmp_path: Path) -> None:
    job(tmp_path / "mine", {"a.mrcs": 2})
    settings = LocalSettings(folder="mine", particles="p.star", pixel_size_A=1.5, licence="CC0")
    import_particles_of(tmp_path / "ds", settings, root=tmp_path)
    info = Dataset(tmp_path / "ds").info
    assert info.source == "local folder mine" and info.licence == "CC0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pixel_A": 2.0}, r"pixel size differs.*found 2 Å, expected 1.5 Å"),
        ({"missing": True}, "file named in the STAR file not found"),
        ({"short": True}, "image beyond the stack"),
        ({"boxes": True}, "several box sizes"),
    ],
)
def test_particles_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    folder = tmp_path / "mine"
    star = job(folder, {"a.mrcs": 3, "b.mrcs": 1}, pixel_A=change.get("pixel_A", 1.5))
    if "missing" in change:
        (folder / "a.mrcs").unlink()
    if "short" in change:
        write_stack(folder / "a.mrcs", np.zeros((2, 8, 8)), 1.5)
    if "boxes" in change:
        write_stack(folder / "b.mrcs", np.zeros((1, 10, 10)), 1.5)
    with pytest.raises(InputError, match=message):
        import_particles(tmp_path / "ds", star, INFO)


def half(folder: Path, number: int, symmetry: str = "C1", voltage: float = 300.0) -> None:
    star = job(folder, {f"particles_{number}.mrcs": 2 + number}, voltage=voltage)
    star.rename(folder / f"particles_{number}.star")
    (folder / f"info_{number}.json").write_text(f'{{"symmetry": "{symmetry}"}}')


def test_one_half_can_be_used_before_the_other_is_here(tmp_path: Path) -> None:
    half(tmp_path / "e", 0)
    assert import_halves(tmp_path / "ds", tmp_path / "e", [0, 1], INFO) == [0]
    assert read_particles(tmp_path / "ds/particles.star").particles["rlnRandomSubset"].tolist() == [1, 1]
    assert Dataset(tmp_path / "ds").info.verified["halves"] == "0 of 2 halves wanted"
    half(tmp_path / "e", 1)
    assert import_halves(tmp_path / "ds", tmp_path / "e", [0, 1], INFO) == [0, 1]
    particles = read_particles(tmp_path / "ds/particles.star")
    assert particles.particles["rlnRandomSubset"].tolist() == [1, 1, 2, 2, 2] and len(particles.optics) == 1
    assert images_of(tmp_path / "ds") == [0, 1, 0, 1, 2]


def test_halves_of_other_optics_keep_them_and_halves_of_other_symmetry_are_refused(tmp_path: Path) -> None:
    half(tmp_path / "e", 0)
    half(tmp_path / "e", 1, voltage=200.0)
    import_halves(tmp_path / "ds", tmp_path / "e", [0, 1], INFO)
    particles = read_particles(tmp_path / "ds/particles.star")
    assert particles.optics["rlnVoltage"].tolist() == [300, 200]
    assert particles.particles["rlnOpticsGroup"].tolist() == [1, 1, 2, 2, 2]
    (tmp_path / "e/info_1.json").write_text('{"symmetry": "C2"}')
    with pytest.raises(InputError, match="halves of different symmetry"):
        import_halves(tmp_path / "ds", tmp_path / "e", [0, 1], INFO)
    with pytest.raises(InputError, match="no half of the entry is here"):
        import_halves(tmp_path / "ds", tmp_path / "nothing", [0, 1], INFO)


def test_stacks_are_never_replaced_by_links_to_themselves(tmp_path: Path) -> None:
    star = job(tmp_path / "mine", {"particles/a.mrcs": 2})
    before = (tmp_path / "mine/particles/a.mrcs").read_bytes(), star.read_bytes()
    with pytest.raises(InputError, match="would be written over its own source"):
        import_particles(tmp_path / "mine", star, INFO)
    assert ((tmp_path / "mine/particles/a.mrcs").read_bytes(), star.read_bytes()) == before


def test_a_stack_that_is_no_longer_wanted_goes(tmp_path: Path) -> None:
    half(tmp_path / "e", 0)
    half(tmp_path / "e", 1)
    import_halves(tmp_path / "ds", tmp_path / "e", [0, 1], INFO)
    import_halves(tmp_path / "ds", tmp_path / "e", [0], INFO)
    assert [path.name for path in (tmp_path / "ds/particles").iterdir()] == ["particles_0.mrcs"]


def test_a_set_of_particles_is_checked_as_one_and_an_empty_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from vitreous.cli.main import main

    star = job(tmp_path / "mine", {"a.mrcs": 3})
    import_particles(tmp_path / "ds", star, INFO)
    assert main(["check", str(tmp_path / "ds")]) == 0
    assert "3 particles in 1 stack, pixel size 1.5 Å" in capsys.readouterr().out
    (tmp_path / "mine/a.mrcs").unlink()
    assert main(["check", str(tmp_path / "ds")]) == 1
    particles = read_particles(star)
    write_particles(star, particles.subset([]))
    with pytest.raises(InputError, match="no particles in the file"):
        import_particles(tmp_path / "ds", star, INFO)
