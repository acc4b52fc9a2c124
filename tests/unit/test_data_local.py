from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import ValidationError
from shared import shared

from vitreous.data.local import import_local, local_files
from vitreous.data.settings import LocalSettings
from vitreous.errors import InputError, StageError
from vitreous.io.dataset import Dataset, read_batch
from vitreous.io.mrc import write_image, write_stack
from vitreous.io.particles import ParticleSet, image_locations, write_particles

H, W = 160, 200


def micrograph(seed: int, count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """An image (h, w) with dark discs of diameter 12 px and their centres (n, 2) x, y."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(8, [W - 8, H - 8], (count, 2))
    y, x = np.mgrid[:H, :W]
    image = rng.normal(size=(H, W))
    for cx, cy in centres:
        image -= 2.0 * ((x - cx) ** 2 + (y - cy) ** 2 < 36)
    return image.astype(np.float32), centres


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("a.1", "b", "c")):
        image, centres = micrograph(seed)
        write_image(tmp_path / "mine/mics" / f"{name}.mrc", image, 2.0)
        if name != "c":
            (tmp_path / "mine/coords").mkdir(exist_ok=True)
            pd.DataFrame(centres, columns=["x", "y"]).to_csv(
                tmp_path / f"mine/coords/{name}.csv", index=False
            )
    return tmp_path


def settings(**more: Any) -> LocalSettings:
    given = {
        "folder": "mine",
        "micrographs": "mics/*.mrc",
        "coordinates": "coords/*.csv",
        "pixel_size_A": 2.0,
    }
    target = {"name": "disc", "diameter_A": 24.0}
    return LocalSettings.model_validate({**given, "voltage_kv": 300, "targets": [target], **more})


def imported(root: Path, **more: Any) -> Dataset:
    import_local(root / "out/ds", settings(**more), root=root)
    return Dataset(root / "out/ds")


def test_a_folder_becomes_a_dataset_with_links_truth_and_counts(folder: Path) -> None:
    dataset = imported(folder)
    assert dataset.micrographs()["rlnMicrographName"].tolist() == [
        f"micrographs/{n}.mrc" for n in ("a.1", "b", "c")
    ]
    assert dataset.micrograph_path("micrographs/b.mrc").readlink() == folder / "mine/mics/b.mrc"
    assert dataset.annotated() == {"micrographs/a.1.mrc", "micrographs/b.mrc"}
    truth = dataset.truth_picks()
    assert truth is not None and len(truth) == 80
    assert np.allclose(truth[truth["micrograph"] == "micrographs/b.mrc"][["x", "y"]], micrograph(1)[1])
    assert dataset.info.verified["pixel_size_A"] == "stated in 3 of 3 headers (within 1 %)"
    assert dataset.info.verified["coordinates"].startswith("80 read, 0 outside")
    assert dataset.info.voltage_kv == 300 and dataset.info.cs_mm is None


def test_the_same_folder_gives_the_same_bytes_again(folder: Path) -> None:
    def contents() -> dict[str, bytes]:
        root = folder / "out/ds"
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }

    imported(folder, batches=2)
    first = contents()
    imported(folder, batches=2)
    assert contents() == first and "batch-02-of-02.star" in first


def test_batches_hold_each_micrograph_once_and_keep_it_when_more_come(folder: Path) -> None:
    imported(folder, batches=3)
    files = sorted((folder / "out/ds").glob("batch-*.star"))
    before = [read_batch(path) for path in files]
    assert sorted(sum(before, [])) == [f"micrographs/{n}.mrc" for n in ("a.1", "b", "c")]
    write_image(folder / "mine/mics/new.mrc", micrograph(9)[0], 2.0)
    imported(folder, batches=3)
    for path, names in zip(files, before, strict=True):
        assert set(names) <= set(read_batch(path)) <= {*names, "micrographs/new.mrc"}


def test_copies_are_made_where_links_are_not_wanted_and_what_is_gone_goes(folder: Path) -> None:
    dataset = imported(folder, link=False)
    assert not dataset.micrograph_path("micrographs/b.mrc").is_symlink()
    (folder / "mine/mics/c.mrc").unlink()
    dataset = imported(folder)
    assert sorted(path.name for path in (dataset.folder / "micrographs").iterdir()) == ["a.1.mrc", "b.mrc"]
    assert dataset.micrograph_path("micrographs/b.mrc").is_symlink()


def test_pictures_stay_as_they_are(folder: Path) -> None:
    image = micrograph(0)[0]
    Image.fromarray((image * 10 + 128).clip(0, 255).astype(np.uint8)).save(folder / "mine/mics/p.png")
    dataset = imported(folder, micrographs=["mics/*.png", "mics/b.mrc"])
    assert dataset.micrographs()["rlnMicrographName"].tolist() == ["micrographs/b.mrc", "micrographs/p.png"]
    assert dataset.info.verified["pixel_size_A"].startswith("stated in 1 of 2")


def test_coordinates_of_absent_micrographs_are_counted_and_named(folder: Path) -> None:
    (folder / "mine/coords/stranger.csv").write_text("x,y\n1,2\n3,4\n")
    said = imported(folder).info.verified["coordinates"]
    assert said.startswith("82 read, 2 of 1 micrograph not here (stranger")


def test_names_of_cryosparc_meet_those_of_the_files(folder: Path) -> None:
    for path in list((folder / "mine/coords").iterdir()):
        path.rename(path.with_name(f"000123456789012345678_{path.stem}_patch_aligned_doseweighted.csv"))
    assert len(imported(folder).annotated()) == 2


def test_a_flip_is_reported_and_not_repaired(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, seed in (("a.1", 0), ("b", 1)):
        x, y = micrograph(seed)[1].T
        pd.DataFrame({"x": x, "y": H - 1 - y}).to_csv(folder / f"mine/coords/{name}.csv", index=False)
    dataset = imported(folder)
    assert "FIT BETTER FLIPPED IN Y" in dataset.info.verified["coordinates"] and "flipped in y" in caplog.text
    turned = imported(folder, flip_y=True)
    truth = turned.truth_picks()
    assert "FIT BETTER" not in turned.info.verified["coordinates"] and truth is not None
    assert np.allclose(truth[truth["micrograph"] == "micrographs/b.mrc"]["y"], micrograph(1)[1][:, 1])


def test_coordinates_of_another_binning_are_refused_with_both_sizes(folder: Path) -> None:
    for name, seed in (("a.1", 0), ("b", 1)):
        table = pd.DataFrame(micrograph(seed)[1], columns=["x", "y"])
        (2 * table).to_csv(folder / f"mine/coords/{name}.csv", index=False)
    with pytest.raises(InputError, match=r"lie outside.*coordinates up to.*micrographs of 200 x 160"):
        imported(folder)
    truth = imported(folder, coordinates_scale=0.5).truth_picks()
    assert truth is not None and len(truth) == 80
    for name, seed in (("a.1", 0), ("b", 1)):
        table = pd.DataFrame(micrograph(seed)[1], columns=["x", "y"])
        (table / 2).to_csv(folder / f"mine/coords/{name}.csv", index=False)
    with pytest.raises(InputError, match="one corner only"):
        imported(folder)
    assert imported(folder, coordinates_scale=1.0).truth_picks() is not None


def test_a_few_coordinates_outside_are_counted_and_left_out(folder: Path) -> None:
    with open(folder / "mine/coords/b.csv", "a") as handle:
        handle.write("500,10\n")
    assert "1 outside their micrograph left out" in imported(folder).info.verified["coordinates"]
    with pytest.raises(InputError, match="1 of 81 coordinates lie outside"):
        imported(folder, max_outside_share=0.0)


def test_a_pixel_size_that_contradicts_the_header_is_refused_unless_one_is_trusted(folder: Path) -> None:
    with pytest.raises(InputError, match=r"a.1.mrc.*found 2 Å, expected 1.5 Å"):
        imported(folder, pixel_size_A=1.5)
    assert imported(folder, pixel_size_A=1.5, trust="settings").info.pixel_size_A == 1.5
    assert imported(folder, pixel_size_A=1.5, trust="header").info.pixel_size_A == 2.0
    write_image(folder / "mine/mics/d.mrc", micrograph(4)[0], 3.0)
    with pytest.raises(InputError, match="different pixel sizes"):
        imported(folder, trust="header")


def test_a_corrupt_micrograph_is_listed_and_too_many_fail(folder: Path) -> None:
    (folder / "mine/mics/bad.mrc").write_bytes(b"<html>" + b"404" * 500)
    dataset = imported(folder, max_failed_share=0.3)
    failed = pd.read_csv(dataset.folder / "failed.csv")
    assert failed["micrograph"].tolist() == ["micrographs/bad.mrc"] and "HTML" in failed["error"][0]
    assert len(dataset.micrographs()) == 3 and dataset.info.verified["micrographs"].startswith("1 of 4")
    with pytest.raises(StageError, match="too many micrographs.*found 1 of 4"):
        imported(folder)


def test_movies_are_refused(folder: Path) -> None:
    write_stack(folder / "mine/mics/movie.mrc", np.zeros((5, 8, 8)), 2.0)
    with pytest.raises(StageError, match="5 frames.*sums are needed"):
        imported(folder)


def test_micrographs_without_coordinates_are_empty_only_where_that_is_said(folder: Path) -> None:
    assert len(imported(folder, coordinates_complete=True).annotated()) == 3


def test_particles_come_along_under_the_names_of_the_dataset(folder: Path) -> None:
    write_stack(folder / "mine/s.mrcs", np.zeros((4, 8, 8)), 2.0)
    optics = pd.DataFrame({"rlnOpticsGroup": [1], "rlnVoltage": [300.0], "rlnImagePixelSize": [2.0]})
    table = pd.DataFrame({"rlnImageName": [f"{i}@s.mrcs" for i in (1, 2, 3, 4)], "rlnOpticsGroup": 1})
    table["rlnMicrographName"] = ["a.1.mrc", "x/b.mrc", "nowhere.mrc", "b.mrc"]
    table["rlnCoordinateX"], table["rlnCoordinateY"] = 10.0, 20.0
    write_particles(folder / "mine/p.star", ParticleSet(optics, table))
    dataset = imported(folder, coordinates=[], particles="p.star")
    poses, truth = dataset.truth_poses(), dataset.truth_picks()
    assert poses is not None and truth is not None and len(poses) == len(truth) == 3
    assert poses.particles["rlnMicrographName"].tolist() == [
        f"micrographs/{n}.mrc" for n in ("a.1", "b", "b")
    ]
    locations = image_locations(poses, dataset.folder / "truth/particles.star")
    assert locations == [(folder / "mine/s.mrcs", index) for index in (0, 1, 3)]
    assert dataset.info.verified["particles"] == "4 rows read, 1 of micrographs that are not here"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"folder": "nowhere"}, "folder not found"),
        ({"micrographs": "mics/*.tif"}, "no micrograph matches"),
        ({"coordinates": "coords/*.star"}, "no coordinate file matches"),
        ({"micrographs": "/mics/*.mrc"}, "glob must be relative"),
        ({"micrographs": ["mics/*.mrc", "again/*.mrc"]}, "two micrographs whose names differ only"),
        ({"coordinates": "strange/*.csv"}, "coordinates match no micrograph.*found x"),
    ],
)
def test_a_folder_that_does_not_fit_the_settings_is_refused(
    folder: Path, change: dict[str, Any], message: str
) -> None:
    write_image(folder / "mine/again/b.mrc", micrograph(1)[0], 2.0)
    (folder / "mine/strange").mkdir()
    (folder / "mine/strange/x.csv").write_text("x,y\n1,2\n")
    with pytest.raises(InputError, match=message):
        imported(folder, **change)


def test_excluded_micrographs_stay_out_and_files_are_listed(folder: Path) -> None:
    some = settings(exclude=["mics/b*"])
    names = [path.name for path in local_files(some, root=folder)]
    assert names == ["a.1.mrc", "c.mrc", "a.1.csv", "b.csv"]
    assert [path.name for path in local_files(some, root=folder, coordinates=False)] == ["a.1.mrc", "c.mrc"]


def test_unknown_keys_and_numbers_without_sense_are_refused() -> None:
    for wrong in (
        {"pixelsize": 1},
        {"pixel_size_A": 0},
        {"pixel_size_A": float("nan")},
        {"contrast": "grey"},
    ):
        with pytest.raises(ValidationError):
            settings(**wrong)


def test_settings_and_file_lists_import_neither_torch_nor_numpy() -> None:
    code = "import sys, vitreous.data.local; print({'torch', 'numpy', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_empiar_10146_comes_in_with_its_picks_and_the_blurred_one_unannotated(tmp_path: Path) -> None:
    shared("data/empiar-10146")
    given = LocalSettings.model_validate(
        {
            "folder": str(shared("data/empiar-10146")), "micrographs": ["micrographs/*.mrc", "bad/*.mrc"],
            "coordinates": "coords/*.csv", "pixel_size_A": 1.5, "voltage_kv": 300, "cs_mm": 0.001,
            "amplitude_contrast": 0.07,
            "targets": [{"name": "apoferritin", "diameter_A": 130, "symmetry": "O"}],
        }
    )  # fmt: skip
    import_local(tmp_path / "ds", given, root=tmp_path)
    dataset = Dataset(tmp_path / "ds")
    truth = dataset.truth_picks()
    assert truth is not None and len(truth) == 1648 and len(dataset.annotated()) == 10
    assert len(dataset.micrographs()) == 11 and truth["score"].min() > 0.5
    assert (truth["micrograph"] == "micrographs/May08_03.05.02.bin_avg.mrc").sum() == 158
    assert "FIT BETTER" not in dataset.info.verified["coordinates"]


def test_empiar_10017_lite_comes_in_as_jpg_with_cryoppp_picks(tmp_path: Path) -> None:
    given = LocalSettings.model_validate(
        {
            "folder": str(shared("data/empiar-10017-lite")), "micrographs": "micrographs/*35_0.jpg",
            "coordinates": "ground_truth/*.csv", "pixel_size_A": 1.77,
            "targets": [{"name": "betagal", "diameter_A": 191, "symmetry": "D2"}],
        }
    )  # fmt: skip
    import_local(tmp_path / "ds", given, root=tmp_path)
    dataset = Dataset(tmp_path / "ds")
    truth = dataset.truth_picks()
    assert truth is not None and len(truth) == 629 and len(dataset.micrographs()) == 1
    assert dataset.info.verified["coordinates"].startswith("4861 read, 4232 of 7 micrographs not here")
    assert "FIT BETTER" not in dataset.info.verified["coordinates"]
    wrong = given.model_copy(update={"flip_y": True})
    import_local(tmp_path / "ds", wrong, root=tmp_path)
    assert "FIT BETTER FLIPPED IN Y" in Dataset(tmp_path / "ds").info.verified["coordinates"]


def test_a_dataset_is_never_written_over_its_own_source(folder: Path) -> None:
    before = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    mine = folder / "mine"
    (mine / "micrographs").mkdir()
    for path in (mine / "mics").iterdir():
        path.rename(mine / "micrographs" / path.name)
    moved = {path: path.read_bytes() for path in sorted(mine.rglob("*")) if path.is_file()}
    for given, out in (
        (settings(micrographs="micrographs/*.mrc"), mine),
        (settings(folder="mine/micrographs", micrographs="*.mrc", coordinates=[]), mine),
        (settings(folder="mine/micrographs", micrographs="*.mrc", coordinates=[], link=False), mine),
    ):
        with pytest.raises(InputError, match="would be written over its own source"):
            import_local(out, given, root=folder)
    assert {path: path.read_bytes() for path in sorted(mine.rglob("*")) if path.is_file()} == moved
    assert sorted(moved.values()) == sorted(before.values())


def test_files_of_the_user_in_the_output_stay_and_one_in_the_way_is_told(folder: Path) -> None:
    dataset = imported(folder)
    (dataset.folder / "micrographs/notes.txt").write_text("mine")
    (folder / "mine/mics/c.mrc").unlink()
    imported(folder)
    assert not (dataset.folder / "micrographs/c.mrc").is_symlink()
    assert (dataset.folder / "micrographs/notes.txt").read_text() == "mine"
    write_image(folder / "mine/mics/d.mrc", micrograph(4)[0], 2.0)
    (dataset.folder / "micrographs/d.mrc").write_text("also mine")
    with pytest.raises(InputError, match="a file that no import placed is in the way"):
        imported(folder)
    assert (dataset.folder / "micrographs/d.mrc").read_text() == "also mine"
