"""YAML with line numbers, checked against a JSON schema.

Every fault is a ConfigurationError that names the file, the line, the value and the legal names.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from commerce_sync.errors import ConfigurationError

KeyPath = tuple[str | int, ...]
Lines = dict[KeyPath, int]
Schema = dict[str, Any]


def parse(path: Path, text: str, schema: Schema, *, what: str) -> tuple[Any, Lines]:
    """The plain values of ``text``, and the line of every key path. Raises ConfigurationError.

    what: how the file is spoken of, "a mapping file".
    """
    lines: Lines = {}
    content = _plain(_compose(path, text, schema, what), lines, ())
    _check_shape(path, content, lines, schema)
    return content, lines


def similar(name: str, legal: Iterable[str]) -> str:
    """`` (did you mean 'x'?)``, or nothing when no legal name is near."""
    near = difflib.get_close_matches(name, list(legal), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _compose(path: Path, text: str, schema: Schema, what: str) -> yaml.Node:
    loader = yaml.SafeLoader(text)
    loader.name = str(path)
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(f"{path}:{line}: not readable as YAML: {error.problem}") from error
    finally:
        loader.dispose()
    if not isinstance(node, yaml.MappingNode):
        raise ConfigurationError(
            f"{path}:1: {what} is a YAML mapping with the keys {', '.join(sorted(schema['properties']))}"
        )
    return node


def _plain(node: yaml.Node, lines: Lines, at: KeyPath) -> Any:
    """The node as plain Python values; fills ``lines`` with the line of every key on the way."""
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return _plain_mapping(node, lines, at)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, lines, (*at, index)) for index, item in enumerate(node.value)]
    return yaml.SafeLoader("").construct_object(node)


def _plain_mapping(node: yaml.MappingNode, lines: Lines, at: KeyPath) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value)
        line = key_node.start_mark.line + 1
        if key in found:
            raise ConfigurationError(f"{node.start_mark.name}:{line}: key {key!r} stands twice; keep one")
        lines[(*at, key)] = line
        found[key] = _plain(value_node, lines, (*at, key))
    return found


def _check_shape(path: Path, content: Any, lines: Lines, schema: Schema) -> None:
    error = best_match(Draft202012Validator(schema).iter_errors(content))
    if error is None:
        return
    error = _deepest(error)
    at: KeyPath = tuple(error.absolute_path)
    unknown = _unknown_keys(error)
    line = lines.get((*at, unknown[0]) if unknown else at, 1)
    raise ConfigurationError(f"{path}:{line}: {_explain(error, at, unknown)}")


def _deepest(error: ValidationError) -> ValidationError:
    """Of the alternatives of an anyOf, the complaint that is furthest inside: the one the writer meant."""
    while error.context:
        error = max(error.context, key=lambda item: (len(item.absolute_path), item.validator == "additionalProperties"))
    return error


def _properties(error: ValidationError) -> list[str]:
    schema = error.schema
    return sorted(schema.get("properties", {})) if isinstance(schema, dict) else []


def _unknown_keys(error: ValidationError) -> list[str]:
    if error.validator != "additionalProperties" or not isinstance(error.instance, dict):
        return []
    return [key for key in error.instance if key not in _properties(error)]


def _explain(error: ValidationError, at: KeyPath, unknown: list[str]) -> str:
    where = ".".join(str(item) for item in at) or "the file"
    values: Any = error.validator_value
    if unknown:
        legal = _properties(error)
        return f"unknown key {unknown[0]!r} in {where}{similar(unknown[0], legal)}; legal keys: {', '.join(legal)}"
    if error.validator == "enum":
        return f"{where} is {error.instance!r}; legal values: {', '.join(str(item) for item in values)}"
    if error.validator == "required":
        return f"{where}: {error.message}; needed are: {', '.join(values)}"
    return f"{where}: {error.message}"
