"""Settings that make no sense are refused before anything runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from vitreous.simulate.settings import ParticlesSettings, SimulateSettings, TargetSettings

TARGET = {"name": "a", "phantom": "c1", "diameter_A": 120}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"phantom": None}, "give one of"),
        ({"atoms": "x.cif"}, "give one of"),
        ({"phantom": "d2", "symmetry": "C8"}, "has symmetry D2"),
        ({"phantom": "o", "elongation": 2.0}, "cannot be elongated"),
        ({"phantom": None, "map": "m.mrc", "elongation": 2.0}, "phantoms only"),
        ({"name": "A b"}, "pattern"),
        ({"radius": 3}, "Extra inputs"),
    ],
)
def test_target_that_contradicts_itself_is_refused(change: dict, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TargetSettings(**{**TARGET, **change})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"targets": [TARGET, TARGET]}, "names must differ"),
        ({"shape": [128, 128], "pixel_size_A": 1.0}, "does not fit"),
        ({"shape": [1024, 20]}, "64 to 16384"),
        ({"defocus_A": 3000.0}, "overfocus"),
        ({"snr": 0.0}, "greater than 0"),
        ({"artefacts": {"ice_balls": [3, 1]}}, "first <= second"),
        ({"source": "empiar"}, "simulate"),
    ],
)
def test_data_set_that_cannot_be_is_refused(change: dict, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        SimulateSettings(**{"targets": [TARGET], **change})


def test_box_too_small_for_its_particle_is_refused() -> None:
    with pytest.raises(ValidationError, match="even number of at least 67"):
        ParticlesSettings(targets=[TARGET], pixel_size_A=2.0, box_px=64)


def test_settings_import_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, vitreous.simulate.settings; "
        "sys.exit(int(any(name in sys.modules for name in ('torch', 'numpy', 'pandas'))))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_block_from_json_with_strict_types_is_read() -> None:
    target = '{"name": "a", "map": "x.mrc", "diameter_A": 120}'
    text = '{"source": "simulate", "shape": [512, 512], "targets": [' + target + "]}"
    assert SimulateSettings.model_validate_json(text, strict=True).shape == (512, 512)


def test_an_assembly_is_one_of_atoms() -> None:
    with pytest.raises(ValidationError, match="an assembly is one of atoms"):
        TargetSettings(name="a", phantom="d2", diameter_A=100, assembly="1")
    assert TargetSettings(name="a", atoms=Path("a.cif"), diameter_A=100, assembly="1").assembly == "1"
