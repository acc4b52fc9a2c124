"""The manual of the configuration, written from the models: `config/README.md` and `config/schema.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vitreous.config.models import Config
from vitreous.runtime.files import write_text

INTRODUCTION = """# The configuration

Written from the models in `src/vitreous` by `make config-docs`; a test holds it up to date. Files here:

| file | what it runs |
|---|---|
| `minimal.yaml` | the default: simulated micrographs and two real ones, minutes on two cores |
| `test.yaml` | the smallest workflow, for tests: 4 x 512^2 |
| `test-multitarget.yaml` | the smallest experiment on multi-target detection, for tests |
| `shared-data.yaml` | ten micrographs of EMPIAR-10146 and eight of EMPIAR-10017 from a folder of yours |
| `public-data.yaml` | EMPIAR-10017 fetched from CryoPPP in its small form, three pickers |
| `picking.yaml` | pickers, controls and rivals compared on two real sets and a simulated hard one |
| `picking-development.yaml` | simulated sets on which pickers are tuned, of the kind of the hard ones |
| `pretrained.yaml` | the training of the model that comes along with `vitreous pick` |
| `small.yaml` | simulated sets that separate good pickers from bad ones, at most an hour on two cores |
| `multitarget.yaml` | multi-target detection: paper 001 and beyond, an hour on two cores |
| `full.yaml` | the data sets of the papers, fetched, and their experiments |
| `datasets.tsv` | the registry of public datasets: what is known of each (docs/datasets.md) |
| `published.yaml` | the papers' numbers, shown beside ours in the report |

Rules: an unknown key, a wrong type and a name that no block defines are refused before any job starts. YAML
reads `1e-3` as text: write `1.0e-3`. Relative paths are relative to the configuration file, default paths to
the working directory, a local dataset's `folder` to `data_root`. Names are lower-case letters, digits and
hyphens; `raw`, `truth`, `given` and `all` are reserved. What equals a default may be left out; that reruns
nothing.
"""


def _reference(node: Mapping[str, Any]) -> str | None:
    return str(node["$ref"]).rsplit("/", 1)[1] if "$ref" in node else None


def _kind(node: Mapping[str, Any]) -> str:
    """A schema node's type in words."""
    reference = _reference(node)
    if reference:
        return f"[{reference}](#{reference.lower()})"
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return " or ".join(f"`{value}`" for value in node["enum"])
    options = node.get("anyOf") or node.get("oneOf")
    if options:
        return " or ".join(dict.fromkeys(_kind(option) for option in options))
    if node.get("type") == "array":
        inner = node.get("items") or {"type": "value"}
        return f"list of {_kind(inner)}" if inner is not True else "list"
    named = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
    if node.get("type") == "object" and isinstance(named[0], dict):
        return f"names, each with {_kind(named[0])}"
    words = {"integer": "whole number", "string": "text", "boolean": "true or false", "null": "nothing"}
    return words.get(str(node.get("type")), str(node.get("type", "value")))


def _bounds(node: Mapping[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    nodes = [node, *(node.get("anyOf") or [])]
    return ", ".join(f"{sign} {part[key]:g}" for part in nodes for key, sign in signs.items() if key in part)


def _default(node: Mapping[str, Any], required: bool) -> str:
    if required:
        return "**needed**"
    value = node.get("default")
    text = json.dumps(value, ensure_ascii=False)
    return "nothing" if value is None else f"`{text}`" if len(text) < 40 else "see there"


def _rows(block: Mapping[str, Any]) -> Iterator[str]:
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    for key, node in block.get("properties", {}).items():
        bounds = _bounds(node)
        kind = _kind(node) + (f", {bounds}" if bounds else "")
        meaning = str(node.get("description", "")).replace("|", "or").replace("\n", " ")
        default = _default(node, key in block.get("required", []))
        yield f"| `{key}` | {kind.replace('|', 'or')} | {default} | {meaning} |"


def manual() -> str:
    """The text of `config/README.md`."""
    schema = Config.model_json_schema()
    parts = [INTRODUCTION, "## Config", "", *_rows(schema), ""]
    for name, block in sorted(schema["$defs"].items()):
        if "properties" not in block:
            continue
        parts += [
            f"## {name}",
            "",
            " ".join(str(block.get("description", "")).split()),
            "",
            *_rows(block),
            "",
        ]
    return "\n".join(parts)


def schema_text() -> str:
    """The JSON schema of the configuration, for editors."""
    return json.dumps(Config.model_json_schema(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write_manual(folder: Path) -> None:
    """Write `README.md` and `schema.json` into the configuration's folder."""
    write_text(folder / "README.md", manual())
    write_text(folder / "schema.json", schema_text())


if __name__ == "__main__":
    write_manual(Path("config"))
