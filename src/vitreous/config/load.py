"""Read a configuration and refuse what is wrong with it: path in the YAML, value found, what is expected."""

from __future__ import annotations

import contextlib
import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from vitreous.config.checks import check, check_experiments
from vitreous.config.experiments import expanded
from vitreous.config.models import Config
from vitreous.config.relative import resolve_paths
from vitreous.errors import SettingsError


class _UniqueKeys(yaml.SafeLoader):
    """A YAML loader that refuses a key given twice; PyYAML silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            plain = isinstance(key, str | int | float | None)
            if not plain or key in seen:
                what = f"key {key!r} is given twice" if plain else "a key must be a word or a number"
                raise yaml.constructor.ConstructorError(None, None, what, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping; raises SettingsError with the line."""
    path = Path(path)
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except FileNotFoundError as error:
        raise SettingsError("configuration file not found", file=path) from error
    except OSError as error:
        raise SettingsError("configuration cannot be read", file=path, found=error.strerror) from error
    except (UnicodeDecodeError, yaml.reader.ReaderError) as error:
        raise SettingsError("not a text file", file=path, expected="YAML") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else None
        raise SettingsError(f"not valid YAML: {error.problem}", file=path, place=place) from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SettingsError(
            "not a configuration", file=path, found=type(value).__name__, expected="a mapping"
        )
    return value


def _choices(error: Mapping[str, Any]) -> str | None:
    context = error.get("ctx") or {}
    return str(context.get("expected") or context.get("expected_tags") or "") or None


def _known_keys(model: type[BaseModel], place: tuple[Any, ...]) -> list[str]:
    """Field names of the models that may stand at `place`, found by walking the JSON schema."""
    schema = model.model_json_schema()

    def resolve(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        if "$ref" in node:
            return resolve(schema["$defs"][node["$ref"].rsplit("/", 1)[1]])
        options = node.get("anyOf") or node.get("oneOf")
        return [found for option in options for found in resolve(option)] if options else [node]

    nodes = resolve(schema)
    for step in place:
        following: list[Mapping[str, Any]] = []
        for node in nodes:
            if isinstance(step, int):
                following += resolve(node["items"]) if "items" in node else []
            elif step in node.get("properties", {}):
                following += resolve(node["properties"][step])
            elif isinstance(node.get("additionalProperties"), dict):
                following += resolve(node["additionalProperties"])
        nodes = following or nodes
    return sorted({key for node in nodes for key in node.get("properties", {})})


def _yaml_path(steps: Iterable[Any], data: Any) -> tuple[Any, ...]:
    """The steps of pydantic's location that exist in the YAML (names of union members are left out)."""
    kept: list[Any] = []
    for step in steps:
        inside = isinstance(data, dict) and step in data
        if inside or (isinstance(data, list) and isinstance(step, int) and step < len(data)):
            data = data[step]
            kept.append(step)
    return tuple(kept)


def _explain(error: Mapping[str, Any], data: Any) -> tuple[str, str]:
    """Place in the YAML and a sentence about one validation error."""
    kind, location = error["type"], tuple(error["loc"])
    if kind == "extra_forbidden":
        parent = _yaml_path(location[:-1], data)
        known = _known_keys(Config, parent)
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
        return ".".join(map(str, (*parent, location[-1]))), f"unknown key; {hint}"
    steps = _yaml_path(location, data)
    if kind == "missing":
        return ".".join(map(str, (*steps, location[-1]))), "missing"
    value = error.get("input")
    text = f"found {value!r}, expected {_choices(error) or error['msg']}"
    if isinstance(value, str) and kind in ("float_type", "int_type", "float_parsing", "int_parsing"):
        text = f"found the text {value!r}, expected a number"
        with contextlib.suppress(ValueError):
            text += f"; YAML reads this as text, write {float(value)!r} or {float(value):.1e}"
    if kind == "value_error":
        text = str((error.get("ctx") or {}).get("error", error["msg"]))
    return ".".join(map(str, steps)) or "(top)", text


def validate(data: Mapping[str, Any], file: str | Path | None = None) -> Config:
    """Make the typed configuration of plain data; raises SettingsError that names every fault on one line."""
    try:
        text = json.dumps(data, default=str)
    except ValueError as error:
        raise SettingsError("an alias (`*name`) stands inside of what it names", file=file) from error
    try:
        config = Config.model_validate_json(text, strict=True)
        check_experiments(config)
        config = expanded(config)
        check(config)
        return config
    except SettingsError as error:
        raise SettingsError(error.what, file=file) from None
    except ValidationError as error:
        plain = json.loads(text)
        faults = list(dict.fromkeys(_explain(fault, plain) for fault in error.errors()))
        first = " | ".join(f"{place}: {what}" for place, what in faults[:5])
        more = f" | and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise SettingsError(first + more, file=file) from error


def load(data: Mapping[str, Any], configfiles: Iterable[str | Path]) -> Config:
    """The configuration of a workflow: `data` as Snakemake merged it, paths relative to the last file."""
    files = [Path(path) for path in configfiles]
    for path in files:
        read_yaml(path)
    config = validate(data, files[-1] if files else None)
    return resolve_paths(config, files[-1].resolve().parent if files else Path.cwd())


def load_file(path: str | Path) -> Config:
    """Read and validate one configuration file."""
    path = Path(path)
    return resolve_paths(validate(read_yaml(path), path), path.resolve().parent)
