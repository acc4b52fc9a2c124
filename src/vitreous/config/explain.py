"""One validation error as a place in the YAML and a sentence, with the keys or choices that stand there."""

from __future__ import annotations

import contextlib
import difflib
import functools
from collections.abc import Iterable, Mapping
from typing import Any

from vitreous.config.models import Config

Schema = Mapping[str, Any]
_UNTAGGED = ("union_tag_not_found", "union_tag_invalid")


def explain(error: Mapping[str, Any], data: Any) -> tuple[str, str]:
    """Place in the YAML and a sentence about one of pydantic's errors; `data` is the whole configuration."""
    kind, location = error["type"], tuple(error["loc"])
    steps = _yaml_path(location, data)
    if kind == "extra_forbidden":
        parent = _yaml_path(location[:-1], data)
        return _dotted(*parent, location[-1]), f"unknown key; {_hint(str(location[-1]), parent, data)}"
    if kind == "missing":
        return _dotted(*steps, location[-1]), "missing"
    if kind in _UNTAGGED:
        return _explain_tag(error, steps, data)
    return _dotted(*steps) or "(top)", _explain_value(error)


def known_keys(place: tuple[Any, ...], data: Any) -> list[str]:
    """Names of the keys that may stand at `place`: in a tagged union those of the member that is named."""
    nodes, value = _nodes_at(place, data)
    members = [member for node in nodes for member in _members(node, value)]
    return sorted({key for member in members for key in member.get("properties", {})})


def known_tags(place: tuple[Any, ...], data: Any) -> list[str]:
    """What the key that tells the members of a union apart may say at `place`."""
    return [tag for node in _nodes_at(place, data)[0] for tag in _tags(node)]


def _hint(key: str, parent: tuple[Any, ...], data: Any) -> str:
    known = known_keys(parent, data)
    near = difflib.get_close_matches(key, known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"


def _explain_tag(error: Mapping[str, Any], steps: tuple[Any, ...], data: Any) -> tuple[str, str]:
    """Of a block that does not say which member of a union it is, or says one that there is not."""
    context = error["ctx"]
    key = context["discriminator"].strip("'")
    choices = "expected one of " + ", ".join(repr(tag) for tag in known_tags(steps, data))
    missing = error["type"] == "union_tag_not_found"
    return _dotted(*steps, key), f"missing; {choices}" if missing else f"found {context['tag']!r}, {choices}"


def _explain_value(error: Mapping[str, Any]) -> str:
    kind, value, context = error["type"], error.get("input"), error.get("ctx") or {}
    if kind == "value_error":
        return str(context.get("error", error["msg"]))
    if isinstance(value, str) and kind in ("float_type", "int_type", "float_parsing", "int_parsing"):
        text = f"found the text {value!r}, expected a number"
        with contextlib.suppress(ValueError):
            text += f"; YAML reads this as text, write {float(value)!r} or {float(value):.1e}"
        return text
    message = str(error["msg"])
    wanted = context.get("expected") or message.removeprefix("Input should be ")
    if wanted == message:  # a sentence of its own, such as `String should match pattern …`
        return f"found {value!r}; {message[:1].lower()}{message[1:]}"
    return f"found {value!r}, expected {wanted}"


def _dotted(*steps: Any) -> str:
    return ".".join(map(str, steps))


def _yaml_path(steps: Iterable[Any], data: Any) -> tuple[Any, ...]:
    """The steps of pydantic's location that exist in the YAML (names of union members are left out)."""
    kept: list[Any] = []
    for step in steps:
        inside = isinstance(data, dict) and step in data
        if inside or (isinstance(data, list) and isinstance(step, int) and step < len(data)):
            data = data[step]
            kept.append(step)
    return tuple(kept)


# the walk through the JSON schema


@functools.cache
def _schema() -> Schema:
    return Config.model_json_schema()


def _nodes_at(place: tuple[Any, ...], data: Any) -> tuple[list[Schema], Any]:
    """What the schema says of a place that is in the YAML, and what stands there."""
    nodes = [_schema()]
    for step in place:
        nodes = [below for node in nodes for member in _members(node, data) for below in _below(member, step)]
        data = data[step]
    return nodes, data


def _below(node: Schema, step: Any) -> list[Schema]:
    if isinstance(step, int):
        return [node["items"]] if "items" in node else []
    if step in node.get("properties", {}):
        return [node["properties"][step]]
    others = node.get("additionalProperties")
    return [*node.get("patternProperties", {}).values(), *([others] if isinstance(others, dict) else [])]


def _members(node: Schema, value: Any) -> list[Schema]:
    """The objects that may stand where `node` is; of a tagged union the one that `value` names."""
    node = _resolved(node)
    options = node.get("anyOf") or node.get("oneOf")
    if not options:
        return [node]
    tagged = node.get("discriminator", {})
    tag = value.get(tagged.get("propertyName")) if isinstance(value, dict) else None
    if isinstance(tag, str) and tag in tagged.get("mapping", {}):
        options = [{"$ref": tagged["mapping"][tag]}]
    return [member for option in options for member in _members(option, value)]


def _tags(node: Schema) -> list[str]:
    node = _resolved(node)
    if "discriminator" in node:
        names = {reference: tag for tag, reference in node["discriminator"]["mapping"].items()}
        return [names[option["$ref"]] for option in node["oneOf"] if option.get("$ref") in names]
    return [tag for option in node.get("anyOf") or [] for tag in _tags(option)]


def _resolved(node: Schema) -> Schema:
    while "$ref" in node:
        node = _schema()["$defs"][node["$ref"].rsplit("/", 1)[1]]
    return node
