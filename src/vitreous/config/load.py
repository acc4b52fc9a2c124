"""Read a configuration and refuse what is wrong with it: path in the YAML, value found, what is expected."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from vitreous.config.checks import check, check_experiments
from vitreous.config.experiments import expanded
from vitreous.config.explain import explain
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
        faults = list(dict.fromkeys(explain(fault, plain) for fault in error.errors()))
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
