"""The receiver's file: sources with their limits, and which flows their events start.

    sources:
      sap_commerce: {max_bytes: 8388608, per_minute: 3000, keep_days: 14, keep_payload: false}
      storefront: {}                # every other name is a feed of include/feeds
    receipts: {success_days: 14, error_days: 90}
    starts:
      salesforce_orders:            # a flow
        sap_commerce: [OrderSync.*] # its events, with * and ?

COMMERCE_SYNC_RECEIVER   the file   (default: receiver.yaml beside the folder of the mappings)
Without the file there is no source, and everything is refused.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from commerce_sync import places
from commerce_sync.errors import ConfigurationError

SYSTEMS = ("sap_commerce", "iconik", "opentext_iot")
"""Sources with a protocol of their own; any other is a feed."""
SOURCE = {"max_bytes": int, "per_minute": int, "keep_days": int, "keep_payload": bool}
RECEIPTS = {"success_days": int, "error_days": int}
PARTS = ("sources", "receipts", "starts")


@dataclass(frozen=True, slots=True)
class SourceRules:
    """What one source may send.

    max_bytes: of one delivery.   per_minute: deliveries, in each process of the API server.   keep_days: how long the
    inbox keeps its events (a feed's file says so itself).   keep_payload: whether the events keep what was delivered
    besides keys.
    """

    name: str
    max_bytes: int = 8 << 20
    per_minute: int = 3000
    keep_days: int = 14
    keep_payload: bool = False

    @property
    def is_feed(self) -> bool:
        """Whether it delivers events of a feed, and not in a system's own protocol."""
        return self.name not in SYSTEMS


@dataclass(frozen=True, slots=True)
class Settings:
    """The file. starts: flow -> source -> patterns of event types."""

    sources: dict[str, SourceRules] = field(default_factory=dict)
    success_days: int = 14
    error_days: int = 90
    starts: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)


def path() -> Path:
    """Where the file is, or would be."""
    named = os.environ.get("COMMERCE_SYNC_RECEIVER")
    return Path(named) if named else places.mappings().parent / "receiver.yaml"


def load(file: Path | None = None) -> Settings:
    """What the file says; nothing when there is none. Raises ConfigurationError with file, line and legal names."""
    file = file or path()
    if not file.is_file():
        return Settings()
    try:
        node = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(f"{file}:{line}: not readable as YAML: {error.problem}") from error
    if node is None:
        return Settings()
    parts = {name: child for name, child, _ in _items(file, node, legal=PARTS)}
    sources = dict(_sources(file, parts.get("sources")))
    receipts = _values(file, parts["receipts"], RECEIPTS) if "receipts" in parts else {}
    return Settings(sources, starts=dict(_starts(file, parts.get("starts"), sources)), **receipts)


def _sources(file: Path, node: yaml.Node | None) -> Iterator[tuple[str, SourceRules]]:
    for name, child, line in _items(file, node):
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ConfigurationError(f"{file}:{line}: source {name!r}; small letters, digits and '_' are legal")
        yield name, SourceRules(name, **_values(file, child, SOURCE))


def _starts(
    file: Path, node: yaml.Node | None, sources: Collection[str]
) -> Iterator[tuple[str, dict[str, tuple[str, ...]]]]:
    for flow, child, _line in _items(file, node):
        yield flow, {name: _patterns(file, value) for name, value, _ in _items(file, child, legal=sources)}


def _patterns(file: Path, node: yaml.Node) -> tuple[str, ...]:
    value = yaml.SafeLoader("").construct_object(node, deep=True)
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
        where = f"{file}:{node.start_mark.line + 1}"
        raise ConfigurationError(f"{where}: {value!r}; a list of event types is needed, such as [OrderSync.*]")
    return tuple(value)


def _values(file: Path, node: yaml.Node, legal: Mapping[str, type]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, child, line in _items(file, node, legal=legal):
        value: Any = yaml.SafeLoader("").construct_object(child, deep=True)
        if not _fits(value, legal[name]):
            needed = "a number from 1 on" if legal[name] is int else "true or false"
            raise ConfigurationError(f"{file}:{line}: {name} is {value!r}; it must be {needed}")
        found[name] = value
    return found


def _fits(value: Any, kind: type) -> bool:
    """Whether a value is of its kind; true and false are no numbers, numbers begin with 1."""
    if kind is bool:
        return isinstance(value, bool)
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _items(
    file: Path, node: yaml.Node | None, *, legal: Collection[str] | None = None
) -> Iterator[tuple[str, yaml.Node, int]]:
    """Key, value and line of each entry of a YAML mapping whose keys are legal and stand once."""
    if node is None or (isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"):
        return
    if not isinstance(node, yaml.MappingNode):
        raise ConfigurationError(f"{file}:{node.start_mark.line + 1}: names with values are needed here")
    seen: set[str] = set()
    for key_node, child in node.value:
        name, line = str(key_node.value), key_node.start_mark.line + 1
        if legal is not None and name not in legal:
            near = difflib.get_close_matches(name, list(legal), n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ConfigurationError(f"{file}:{line}: unknown {name!r}{hint}; legal: {', '.join(legal) or 'none'}")
        if name in seen:
            raise ConfigurationError(f"{file}:{line}: {name!r} stands twice; keep one")
        seen.add(name)
        yield name, child, line
