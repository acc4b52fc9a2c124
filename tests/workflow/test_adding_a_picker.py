"""The page that adds a picker works as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from workspace import ROOT, Workspace, smallest

PAGE = (ROOT / "docs/adding-a-picker.md").read_text()


def _block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_worked_example_is_short() -> None:
    assert len(_block("python").splitlines()) + len(_block("yaml").splitlines()) <= 60


def test_the_worked_example_runs_and_picks(tmp_path: Path) -> None:
    (tmp_path / "my_picker.py").write_text(_block("python"))
    config: dict[str, Any] = {
        key: value for key, value in smallest().items() if key not in ("models", "engines")
    }
    workspace = Workspace(tmp_path, config | yaml.safe_load(_block("yaml")))
    run = workspace.run()
    assert run.status == 0, run.text[-3000:]
    scores = pd.concat(map(pd.read_csv, tmp_path.glob("results/test/sets/simulated/picks/raw/*/scores.csv")))
    f1 = scores[scores["metric"] == "f1_micro"].set_index("picker")["value"]
    assert set(f1.index) == {"log", "disc"}
    # Round particles at high contrast: a disc finds nearly as many of them as a LoG does.
    assert f1["disc"] > 0.85
