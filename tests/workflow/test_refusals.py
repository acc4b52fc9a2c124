"""What is wrong with a configuration is said before any job, in one line, with the path in the YAML."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from workspace import ROOT, Workspace, smallest

from vitreous.config.load import load_file
from vitreous.errors import SettingsError

Edit = Callable[[dict[str, Any]], Any]
WRONG: dict[str, tuple[Edit, str]] = {
    "unknown key": (
        lambda c: c["compute"].update(bathces=3),
        "compute.bathces: unknown key; did you mean 'batches'?",
    ),
    "unknown key at the top": (
        lambda c: c.update(pickerz={}),
        "pickerz: unknown key; did you mean 'pickers'?",
    ),
    "text for a number": (
        lambda c: c["datasets"]["simulated"].update(snr="1e-1"),
        "datasets.simulated.snr: found the text '1e-1', expected a number; YAML reads this as text, "
        "write 0.1",
    ),
    "a wrong choice": (
        lambda c: c["compute"].update(device="tpu"),
        "compute.device: found 'tpu', expected 'auto'",
    ),
    "a wrong variant": (
        lambda c: c["pickers"]["log"].update(variant="blub"),
        "pickers.log.variant: found 'blub', expected one of 'blob', ",
    ),
    "a float for a count": (
        lambda c: c["datasets"]["simulated"].update(micrographs=2.5),
        "simulated.micrographs",
    ),
    "a number out of range": (
        lambda c: c["compute"].update(max_failed_share=2.0),
        "compute.max_failed_share",
    ),
    "not a number": (lambda c: c["datasets"]["simulated"].update(pixel_size_A=float("nan")), "pixel_size_A"),
    "an undefined picker": (
        lambda c: c["matrix"][0]["pickers"].append("nobody"),
        "matrix.0.pickers: no picker is called 'nobody'; there are: ",
    ),
    "an undefined model": (
        lambda c: c["pickers"]["template"].update(model="x"),
        "pickers.template.model: no model",
    ),
    "a trained variant without a model": (
        lambda c: c["pickers"].update(bare={"variant": "template"}),
        "pickers.bare: variant 'template' is trained; put it into models.picking",
    ),
    "a reserved name": (
        lambda c: c["pickers"].update(truth={"variant": "blob"}),
        "pickers.truth: this name is reserved",
    ),
    "a wrong symmetry": (
        lambda c: c["datasets"]["simulated"]["targets"][0].update(symmetry="C8"),
        "symmetry",
    ),
    "maps without particles": (lambda c: c["matrix"][-1].update(extract=False), "engines need particles"),
    "a name with capitals": (lambda c: c.update(run="Test"), "run: "),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_configuration_is_refused_with_its_path(case: str, tmp_path: Path) -> None:
    edit, message = WRONG[case]
    workspace = Workspace(tmp_path, smallest())
    workspace.edit(edit)
    with pytest.raises(SettingsError) as caught:
        load_file(workspace.config)
    assert message in str(caught.value)
    assert str(workspace.config) in str(caught.value)


def test_a_key_given_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("run: a\nseed: 1\nseed: 2\n")
    with pytest.raises(SettingsError, match="line 3.*'seed' is given twice"):
        load_file(path)


def test_the_workflow_refuses_before_any_job_and_without_a_traceback(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, smallest())
    workspace.edit(WRONG["text for a number"][0])
    run = workspace.run()
    assert run.status != 0
    assert WRONG["text for a number"][1] in run.text
    assert "Traceback" not in run.text
    assert not run.jobs


def test_settings_are_read_without_torch_and_numpy() -> None:
    code = (
        "import sys, vitreous.config.workflow; "
        "print([name for name in ('torch', 'scipy', 'pandas', 'matplotlib') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert found.stdout.strip() == "[]", found.stderr
