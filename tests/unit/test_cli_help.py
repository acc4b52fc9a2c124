from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import typer

from vitreous.cli.main import app, main


def _commands(group: Any, before: str = "") -> dict[str, Any]:
    """Every command by its words, those of families such as `data list` too."""
    found = {}
    for name, command in group.commands.items():
        found[f"{before}{name}"] = command
        if hasattr(command, "commands"):
            found |= _commands(command, f"{before}{name} ")
    return found


ALL = _commands(typer.main.get_command(app))
COMMANDS = sorted(ALL)


def test_the_commands_of_the_design_are_there() -> None:
    wanted = (
        "data init run simulate pick ctf extract reconstruct fsc convert check doctor selftest report clean"
    )
    assert set(wanted.split()) <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    said = capsys.readouterr().out
    assert "Example" in said
    assert f"vitreous {command}" in said.split("Example", 1)[1]


def test_every_option_says_what_it_is_for() -> None:
    silent = [
        f"{name} {parameter.name}"
        for name, command in ALL.items()
        for parameter in command.params
        if parameter.name != "help" and not getattr(parameter, "help", None)
    ]
    assert silent == []


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    assert "From cryo-EM micrographs" in capsys.readouterr().out


def test_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("vitreous ")
    assert said.count("\n") == 1


def test_help_imports_nothing_heavy() -> None:
    # Each of these takes from half a second to three; help must answer at once.
    program = (
        "import sys; from vitreous.cli.main import main; main(['run', '--help']); "
        "heavy = {'torch', 'numpy', 'pandas', 'snakemake', 'yaml', 'matplotlib'}; "
        "print(*heavy & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""
