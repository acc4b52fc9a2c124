"""What a configuration may not say (design §7): no YAML, and symmetry, box and diameter that contradict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vitreous.config.load import load_file, validate
from vitreous.errors import SettingsError, VitreousError
from vitreous.physics.symmetry import parse

GROUPS = "C1 c4 C60 C0 C C-1 C1.5 D1 d7 D D0 T t O I I0 I1 I2 I3 I4 I5 X9 CC1 C10000 T1 O2 none"
TARGET = {"name": "protein", "phantom": "d2", "diameter_A": 120, "count": 8}
MINE: dict[str, Any] = {
    "source": "local",
    "folder": "mine",
    "micrographs": "*.mrc",
    "coordinates": "*.csv",
    "pixel_size_A": 2.0,
    "targets": [{"name": "protein", "diameter_A": 100.0, "symmetry": "D2"}],
}
SIMULATED = {"source": "simulate", "shape": [256, 256], "pixel_size_A": 4.0, "targets": [TARGET]}


def config(mine: dict[str, Any] | None = None, **blocks: Any) -> dict[str, Any]:
    both = {"mine": MINE | (mine or {}), "simulated": SIMULATED}
    wanted = [{"datasets": ["mine"], "pickers": ["blob", "truth"], "extract": True}]
    return {"datasets": both, "pickers": {"blob": {"variant": "blob"}}, "matrix": wanted, **blocks}


CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "a point group that does not exist": (
        config({"targets": [MINE["targets"][0] | {"symmetry": "X9"}]}),
        "datasets.mine.targets.0.symmetry: found 'X9', expected C<n>, D<n>, T, O, I, I1 to I4",
    ),
    "a symmetry that the phantom does not have": (
        config() | {"datasets": {"s": SIMULATED | {"targets": [TARGET | {"symmetry": "C8"}]}}},
        "target protein: phantom d2 has symmetry D2, found symmetry: C8",
    ),
    "a box smaller than the particle": (
        config(extraction={"box_px": 32}),
        "extraction.box_px: a box of 64 Å is smaller than the particles of dataset 'mine', 100 Å; "
        "give 50 px or more",
    ),
    "a box smaller than the particle after rescaling": (
        config(extraction={"box_px": 20, "pixel_size_A": 4.0}),
        "a box of 80 Å is smaller than the particles of dataset 'mine', 100 Å; give 25 px or more",
    ),
    "pixels below those of the micrographs": (
        config(extraction={"pixel_size_A": 1.5}),
        "extraction.pixel_size_A: found 1.5 Å, below that of dataset 'mine', 2 Å",
    ),
    "a box larger than the micrograph": (
        config(
            extraction={"box_px": 300},
            matrix=[{"datasets": ["simulated"], "pickers": ["truth"], "extract": True}],
        ),
        "extraction: a box of 1200 Å is larger than the micrographs of dataset 'simulated', 1024 Å",
    ),
    "a particle larger than the micrograph": (
        config() | {"datasets": {"s": SIMULATED | {"targets": [TARGET | {"diameter_A": 900}]}}},
        "a diameter of 900 A does not fit a micrograph of 1024 A; expected at most half of it",
    ),
    "particles without a diameter": (
        config({"targets": []}),
        "datasets.mine.targets: none, so no diameter for the box of its particles",
    ),
    "picks that cannot be scored": (
        config({"targets": []}),
        "datasets.mine.targets: none, so no diameter to score its picks with",
    ),
    "a picker without a diameter": (
        config({"targets": []}),
        "pickers.blob.diameter_A: missing, and dataset 'mine' names no target",
    ),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_symmetry_box_and_diameter_that_contradict_are_refused_before_the_run(case: str) -> None:
    data, message = CONTRADICTIONS[case]
    with pytest.raises(SettingsError) as caught:
        validate(data, "c.yaml")
    assert message in str(caught.value) and str(caught.value).startswith("c.yaml: ")


def test_what_does_not_contradict_is_taken() -> None:
    validate(config())
    validate(config(extraction={"box_px": 64, "pixel_size_A": 4.0}))
    own = {"blob": {"variant": "blob", "diameter_A": 90}}
    only_picks = [{"datasets": ["mine"], "pickers": ["blob"]}]
    validate(config({"targets": [], "coordinates": []}, pickers=own, matrix=only_picks))
    # the header decides what a pixel is, so nothing is known before the run
    validate(config({"trust": "header"}, extraction={"box_px": 32}))


@pytest.mark.parametrize("name", GROUPS.split())
def test_the_configuration_knows_the_point_groups_that_the_stages_know(name: str) -> None:
    def refused(what: Callable[[], object]) -> bool:
        try:
            what()
        except VitreousError:
            return True
        return False

    data = config({"targets": [MINE["targets"][0] | {"symmetry": name}]})
    assert refused(lambda: parse(name)) == refused(lambda: validate(data))


SAID: dict[str, tuple[dict[str, Any], str]] = {
    "a key of another source": (
        {"datasets": {"x": {"source": "cryoppp", "entry": "10017", "image_set": "sums"}}},
        r"datasets\.x\.image_set: unknown key; known: .*\blite\b(?!.*expected_files)",
    ),
    "a key of another variant": (
        {"pickers": {"x": {"variant": "blob", "checkpoint": 1}}},
        r"pickers\.x\.checkpoint: unknown key; known: .*\bmin_distance\b(?!.*\bmodel\b)",
    ),
    "a key in a list of a tagged block": (
        {"datasets": {"x": SIMULATED | {"targets": [TARGET | {"radius": 3}]}}},
        r"datasets\.x\.targets\.0\.radius: unknown key; known: assembly, .*phantom",
    ),
    "a key that is nearly one": (
        {"datasets": {"x": MINE | {"folderr": "a"}}},
        r"datasets\.x\.folderr: unknown key; did you mean 'folder'",
    ),
    "no source": (
        {"datasets": {"x": {"entry": 10017}}},
        r"datasets\.x\.source: missing; expected one of 'local', 'empiar', 'cryoppp', 'cesped', 'simulate'$",
    ),
    "no variant further in": (
        {"models": {"picking": {"x": {"settings": {}}}}},
        r"models\.picking\.x\.settings\.variant: missing; expected one of 'blob', ",
    ),
    "a wrong source": (
        {"downloads": {"x": {"source": "emd", "entry": "2660"}}},
        r"downloads\.x\.source: found 'emd', expected one of 'empiar', 'cryoppp', ",
    ),
    "a number too small": (
        {"compute": {"batches": 0}},
        r"compute\.batches: found 0, expected greater than or equal to 1$",
    ),
    "a sentence of its own": ({"run": "A"}, r"run: found 'A'; string should match pattern"),
}


@pytest.mark.parametrize("case", SAID)
def test_a_wrong_block_is_told_with_the_keys_and_choices_that_stand_there(case: str) -> None:
    data, message = SAID[case]
    with pytest.raises(SettingsError, match=rf"^c\.yaml: {message}"):
        validate(data, "c.yaml")


NO_YAML = {
    "a folder": (None, "configuration cannot be read"),
    "binary": (b"run: a\0b\n", "not a text file"),
    "latin-1": ("run: \u00e9\n".encode("latin-1"), "not a text file"),
    "a tab": (b"run:\n\tx: 1\n", "line 2, column 1: not valid YAML"),
    "an open bracket": (b"datasets: {a: [1, 2\n", "line 2, column 1: not valid YAML"),
    "a list for a key": (b"? [a, b]\n: 1\n", "line 1, column 3: not valid YAML: a key must be"),
    "a date for a key": (b"2026-01-01: 1\n", "line 1, column 1: not valid YAML: a key must be"),
    "an alias of nothing": (b"run: *other\n", "line 1, column 6: not valid YAML: found undefined alias"),
    "an alias inside of itself": (b"run: &a [*a]\n", "an alias .* stands inside of what it names"),
    "code": (b"run: !!python/object/apply:os.getcwd []\n", "line 1, column 6: not valid YAML"),
    "a list": (b"- 1\n", "not a configuration .found list"),
}


@pytest.mark.parametrize("case", NO_YAML)
def test_what_is_no_yaml_is_refused_with_file_and_line(tmp_path: Path, case: str) -> None:
    content, message = NO_YAML[case]
    path = tmp_path / "c.yaml"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(SettingsError, match=rf"c\.yaml: {message}"):
        load_file(path)
