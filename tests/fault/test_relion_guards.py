"""What RELION would pass in silence is refused before it is called, and its own words are shown where it
fails.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vitreous.errors import InputError, MissingToolError, SettingsError, StageError
from vitreous.io.mrc import write_stack, write_volume
from vitreous.io.particles import ParticleSet, write_particles
from vitreous.reconstruction.registry import engine
from vitreous.reconstruction.relion import check_mask, find_program, plain_lines, read_map, run_relion
from vitreous.reconstruction.settings import NativeEngine, RelionEngine
from vitreous.reconstruction.stages import reconstruct
from vitreous.runtime.device import Runtime

needs_relion = pytest.mark.skipif(
    shutil.which("relion_reconstruct") is None, reason="RELION is not on the PATH"
)
ENGINES = [
    NativeEngine(),
    pytest.param(RelionEngine(skip_gridding=True), marks=[pytest.mark.relion, needs_relion]),
]


def particles(folder: Path, **changes: object) -> Path:
    """Eight particles of 16 px ready for reconstruction, with columns changed, or dropped where None."""
    rng = np.random.default_rng(0)
    stack = rng.standard_normal((8, 16, 16)).astype(np.float32)
    write_stack(folder / "p.mrcs", stack, 4.0)
    columns = {
        "rlnImageName": [f"{i + 1:06d}@p.mrcs" for i in range(8)],
        "rlnOpticsGroup": 1,
        "rlnAngleRot": rng.uniform(0, 360, 8),
        "rlnAngleTilt": rng.uniform(0, 180, 8),
        "rlnAnglePsi": rng.uniform(0, 360, 8),
        "rlnDefocusU": 9000.0,
        "rlnDefocusV": 9000.0,
        "rlnDefocusAngle": 0.0,
        "rlnRandomSubset": [1, 2] * 4,
    }
    columns = {key: value for key, value in {**columns, **changes}.items() if value is not None}
    optics = {
        "rlnOpticsGroupName": ["g"],
        "rlnOpticsGroup": [1],
        "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7],
        "rlnAmplitudeContrast": [0.1],
        "rlnImagePixelSize": [4.0],
        "rlnImageSize": [16],
        "rlnImageDimensionality": [2],
    }
    write_particles(folder / "particles.star", ParticleSet(pd.DataFrame(optics), pd.DataFrame(columns)))
    return folder / "particles.star"


def run(star: Path, settings: NativeEngine | RelionEngine, symmetry: str = "C1") -> Path:
    out = star.parent / "maps"
    reconstruct(
        star, out, settings=settings, symmetry=symmetry, provenance=out / "provenance.json", runtime=Runtime()
    )
    return out


@pytest.mark.parametrize("settings", ENGINES)
def test_good_particles_pass(tmp_path: Path, settings: NativeEngine | RelionEngine) -> None:
    folder = tmp_path / "a folder's $name"
    folder.mkdir()
    assert (run(particles(folder), settings, "D2") / "map.mrc").exists()


@pytest.mark.parametrize("settings", ENGINES)
def test_a_nan_pixel_is_refused_with_stack_and_index(
    tmp_path: Path, settings: NativeEngine | RelionEngine
) -> None:
    star = particles(tmp_path)
    with open(tmp_path / "p.mrcs", "r+b") as handle:
        handle.seek(1024 + 4 * (5 * 256 + 17))
        handle.write(np.float32("nan").tobytes())
    with pytest.raises(InputError, match=r"p\.mrcs: image 5"):
        run(star, settings)
    assert not (tmp_path / "maps" / "map.mrc").exists()


@pytest.mark.parametrize("settings", ENGINES)
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rlnRandomSubset": [1, 2, 3, 1] * 2}, "a half-set is 1 or 2"),
        ({"rlnDefocusV": None}, "rlnDefocusV"),
        ({"rlnAngleTilt": None}, "rlnAngleTilt"),
        ({"rlnImageName": [f"{i + 5:06d}@p.mrcs" for i in range(8)]}, "image beyond the stack"),
        ({"rlnImageName": [f"{i + 1:06d}@gone.mrcs" for i in range(8)]}, "not found"),
    ],
)
def test_tables_that_no_engine_may_see_are_refused(
    tmp_path: Path, settings: NativeEngine | RelionEngine, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        run(particles(tmp_path, **changes), settings)


def test_a_symmetry_and_an_engine_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such point group.*X9"):
        run(particles(tmp_path), NativeEngine(), "X9")
    with pytest.raises(SettingsError, match="expected native, relion"):
        engine("cisTEM")


def test_particles_of_two_box_sizes_are_refused(tmp_path: Path) -> None:
    write_stack(tmp_path / "other.mrcs", np.random.default_rng(1).standard_normal((1, 18, 18)), 4.0)
    names = [f"{i + 1:06d}@p.mrcs" for i in range(7)] + ["000001@other.mrcs"]
    star = particles(tmp_path, rlnImageName=names)
    with pytest.raises(InputError, match="several sizes"):
        run(star, NativeEngine())


def test_without_relion_one_line_says_which_why_and_how(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match="relion_reconstruct is not on the PATH.*apt install relion"):
        run(particles(tmp_path), RelionEngine())


@pytest.mark.relion
@needs_relion
def test_an_option_that_relion_only_warns_of_is_an_error(tmp_path: Path) -> None:
    star = particles(tmp_path)
    command = [find_program("relion_reconstruct"), "--i", star.name, "--o", "x.mrc", "--no_such_option", "3"]
    with pytest.raises(StageError, match="no_such_option"):
        run_relion(command, tmp_path)


@pytest.mark.relion
@needs_relion
def test_relions_own_error_is_shown(tmp_path: Path) -> None:
    with pytest.raises(
        StageError,
        match=r"relion_reconstruct failed .found MetaDataTable::read: File absent\.star does not exist,",
    ):
        run_relion([find_program("relion_reconstruct"), "--i", "absent.star", "--o", "x.mrc"], tmp_path)


def test_progress_bars_are_filtered_out_of_the_log() -> None:
    output = (
        '  + Back-projecting all images ...\n000/??? sec ~~(,_,">   [oo]\r   1/   2 sec ....~~(,_,">\r'
        '6.83/11.38 min ....~~(,_,">\r\n  + Done!\n\n'
    )
    assert plain_lines(output) == ["+ Back-projecting all images ...", "+ Done!"]


def test_an_empty_map_and_an_empty_or_full_mask_are_refused(tmp_path: Path) -> None:
    write_volume(tmp_path / "empty.mrc", np.zeros((8, 8, 8)), 1.0)
    for path in (tmp_path / "empty.mrc", tmp_path / "absent.mrc"):
        with pytest.raises(StageError, match="no usable map"):
            read_map(path, 8)
    with pytest.raises(InputError, match="mask is empty"):
        check_mask(np.zeros((4, 4, 4), np.float32))
    with pytest.raises(InputError, match="mask is full"):
        check_mask(np.ones((4, 4, 4), np.float32))
    with pytest.raises(InputError, match="within 0 and 1"):
        check_mask(np.full((4, 4, 4), 3, np.float32))
