from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vitreous.cli.main as command_line
from vitreous.cli.main import main
from vitreous.io.mrc import write_volume

CTF = ["--pixel-size-A", "1.5", "--voltage-kv", "300", "--cs-mm", "2.7", "--amplitude-contrast", "0.1"]


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("text.mrc").write_text("<html>404</html>")
    Path("empty.mrc").write_bytes(b"")
    Path("folder").mkdir()
    Path("there.star").write_text("data_\n")
    Path("bad.yaml").write_text("run: x\nsede: 1\n")
    write_volume("map.mrc", np.zeros((8, 8, 8), np.float32) + np.arange(8), 2.0)
    write_volume("other.mrc", np.zeros((10, 10, 10), np.float32) + np.arange(10), 2.0)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fsc", "absent.mrc", "absent.mrc"], "absent.mrc"),
        (["fsc", "text.mrc", "text.mrc"], "text.mrc"),
        (["fsc", "empty.mrc", "empty.mrc"], "empty.mrc"),
        (["fsc", "map.mrc", "other.mrc"], "half-maps differ"),
        (["fsc", "map.mrc", "map.mrc", "--mask", "other.mrc"], "mask of another box"),
        (["check", "absent.star"], "absent.star: file not found"),
        (["pick", "absent", "--pixel-size-A", "1.5", "--diameter-A", "130"], "file not found"),
        (["pick", "folder", "--pixel-size-A", "1.5", "--diameter-A", "130"], "no micrographs here"),
        (
            ["pick", "map.mrc", "--pixel-size-A", "1.5", "--diameter-A", "130", "--threshold", "high"],
            "--threshold",
        ),
        (
            ["pick", "map.mrc", "--pixel-size-A", "1.5", "--diameter-A", "130", "--picker", "eye"],
            "no such picker",
        ),
        (
            ["pick", "map.mrc", "--pixel-size-A", "1.5", "--diameter-A", "130", "--out", "there.star"],
            "--force",
        ),
        (["ctf", "text.mrc", *CTF], "text.mrc"),
        (
            [
                "extract",
                "map.mrc",
                "--picks",
                "p.star",
                "--pixel-size-A",
                "1",
                "--diameter-A",
                "50",
                "--box-px",
                "33",
            ],
            "box",
        ),
        (["reconstruct", "absent.star"], "absent.star: file not found"),
        (["simulate", "--diameter-A", "900", "--size-px", "128"], "900"),
        (["simulate", "bad.yaml", "--snr", "0.1"], "the YAML file says this"),
        (
            ["init", "text.mrc", "--pixel-size-A", "1.5", "--diameter-A", "130"],
            "none of these files is a micrograph",
        ),
        (["init", "folder", "--pixel-size-A", "1.5", "--diameter-A", "130"], "no micrographs here"),
        (["run", "absent.yaml"], "absent.yaml: configuration file not found"),
        (["run", "bad.yaml"], "did you mean 'seed'"),
        (["run", "bad.yaml", "--profile", "moon"], "bad.yaml"),
        (["report", "bad.yaml"], "bad.yaml"),
        (["clean", "folder", "--yes"], "not the folder of a run"),
        (["clean", "absent"], "no such run or configuration"),
        (["convert", "absent.star", "out.box"], "absent.star"),
        (["convert", "there.star", "out.star", "--flip-in"], "--micrographs"),
    ],
)
def test_bad_input_is_one_line_that_names_it(
    there: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    *before, last = capsys.readouterr().err.splitlines()
    assert says in last
    assert last.startswith("error: ")
    # What is left out on the way is said in a line each, as `micrograph left out: …`.
    assert not [line for line in before if not line.startswith("micrograph left out")]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["frobnicate"], "frobnicate"),
        (["run", "--cores", "0"], "--cores"),
        (["run", "--device", "quantum"], "--device"),
        (["run", "--colour"], "--colour"),
        (["pick"], "vitreous pick --help"),
        (["pick", "a.mrc", "--pixel-size-A", "wide", "--diameter-A", "130"], "--pixel-size-A"),
        (["pick", "a.mrc", "--pixel-size-A", "-1", "--diameter-A", "130"], "--pixel-size-A"),
        (["reconstruct", "a.star", "--engine", "steam"], "--engine"),
    ],
)
def test_wrong_options_are_one_line_that_names_the_option(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def raising(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(command_line, "app", fail)


def test_a_fault_of_vitreous_itself_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(KeyError("x"), monkeypatch)
    assert main([]) == 70
    said = capsys.readouterr().err
    assert "a fault of vitreous itself: KeyError" in said
    assert said.count("\n") == 1


def test_the_traceback_is_shown_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VITREOUS_DEBUG", "1")
    raising(KeyError("x"), monkeypatch)
    assert main([]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_a_full_disk_is_said_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(OSError(28, "No space left on device", "results/map.mrc"), monkeypatch)
    assert main([]) == 1
    assert capsys.readouterr().err == (
        "error: results/map.mrc: disk full (found No space left on device); "
        "free some space and run again, finished work is kept\n"
    )


def test_what_the_operating_system_refuses_is_one_line_with_the_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(PermissionError(13, "Permission denied", "results/map.mrc"), monkeypatch)
    assert main([]) == 1
    assert capsys.readouterr().err == (
        "error: results/map.mrc: Permission denied; mend it and run again, finished work is kept\n"
    )


def test_an_interrupted_command_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(KeyboardInterrupt(), monkeypatch)
    assert main([]) == 130
    assert "run again to go on" in capsys.readouterr().err
