"""The house's own laws: floors, versions, generated files, nothing of this machine in the repository."""

from __future__ import annotations

import json
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import yaml
from shared import ROOT

from vitreous.config.docs import manual, schema_text

TRACKED = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True).stdout.split(
    "\0"
)


def _texts() -> dict[str, str]:
    texts = {}
    for name in filter(None, TRACKED):
        path = ROOT / name
        if path.is_file() and not path.is_symlink() and path.stat().st_size < 1_000_000:
            try:
                texts[name] = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
    return texts


def test_the_installed_torch_is_the_one_of_the_lock() -> None:
    lock = (ROOT / "envs/lock.txt").read_text()
    pinned = re.search(r"^torch==(\S+)$", lock, flags=re.MULTILINE)
    assert pinned is not None
    assert version("torch").split("+")[0] == pinned.group(1)


def test_the_lock_installs_anywhere() -> None:
    lines = (ROOT / "envs/lock.txt").read_text().split()
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+", line) for line in lines)
    assert not any(line.lower().startswith(("nvidia", "triton", "torchvision", "topaz")) for line in lines)
    assert len({line.split("==")[0].lower() for line in lines}) == len(lines)


def test_every_needed_package_is_in_the_lock() -> None:
    names = {line.split("==")[0].lower() for line in (ROOT / "envs/lock.txt").read_text().split()}
    given = {
        "snakemake",
        "torch",
        "numpy",
        "mrcfile",
        "starfile",
        "pandas",
        "healpy",
        "e3nn",
        "requests",
        "pytest",
    }
    assert given <= names


def test_the_manual_of_the_configuration_is_up_to_date() -> None:
    assert (ROOT / "config/README.md").read_text() == manual(), "run `make config-docs`"
    assert (ROOT / "config/schema.json").read_text() == schema_text(), "run `make config-docs`"


def test_every_model_has_a_description_of_every_key() -> None:
    schema = json.loads(schema_text())
    blocks = {"Config": schema, **schema["$defs"]}
    for name, block in blocks.items():
        for key, node in block.get("properties", {}).items():
            assert node.get("description") or key in ("variant", "source"), f"{name}.{key} has no description"


def test_no_path_of_a_machine_and_no_registry_stands_in_the_repository() -> None:
    forbidden = re.compile(r"(?<![\w.])/(work|farm|root|home)/|pypi\.org|debian\.org/|registry\.npmjs")
    for name, text in _texts().items():
        if name != "tests/law/test_house.py":
            assert not forbidden.search(text), name


def test_rooms_and_floors_have_empty_package_files() -> None:
    for path in (ROOT / "src/vitreous").rglob("__init__.py"):
        assert path.read_text() == "", path


def test_every_rule_calls_one_script_and_says_what_it_needs() -> None:
    rules = "\n".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
    for block in re.split(r"^rule ", rules, flags=re.MULTILINE)[1:]:
        name = block.split(":")[0]
        assert f'"../scripts/{name}.py"' in block, name
        assert "log:" in block and "conda:" in block and "message:" in block, name
        assert "resources:" in block or "localrule: True" in block, name
    scripts = {path.stem for path in (ROOT / "workflow/scripts").glob("*.py")}
    assert scripts == set(re.findall(r"^rule (\w+):", rules, flags=re.MULTILINE))


def test_the_catalogue_files_stand_where_the_catalogue_looks() -> None:
    assert yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert (ROOT / "workflow/Snakefile").is_file()
    for name in ("LICENSE", "CITATION.cff", "CHANGELOG.md", "README.md"):
        assert (ROOT / name).stat().st_size > 400, name
    assert Path(ROOT / "CHANGELOG.md").read_text().count(version("vitreous")) >= 1
