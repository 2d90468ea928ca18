"""Feed files: where a feed's events come from, as YAML with a closed list of keys, faults named by file and line.

    feed: storefront
    kind: file                     # or http
    path: feeds/storefront/*.jsonl # file: fsspec address with a glob; a relative one is below COMMERCE_SYNC_HOME
    types: [product.viewed]        # default: every type the schema knows

COMMERCE_SYNC_FEEDS   folder of the feed files   (default: ../include/feeds beside the DAGs folder)
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from commerce_sync import places
from commerce_sync.errors import ConfigurationError
from commerce_sync.systems.inbox.checking import feed_types

TEXT, NUMBER, NAMES = "text", "number", "names"
SHARED = {"feed": TEXT, "kind": TEXT, "types": NAMES, "keep_days": NUMBER}
KEYS = {
    "file": SHARED | {"path": TEXT},
    "http": SHARED
    | {"connection": TEXT, "path": TEXT, "cursor_param": TEXT, "size_param": TEXT, "size": NUMBER, "events": TEXT,
       "next": TEXT, "max_pages": NUMBER},
}  # fmt: skip
NEEDED = {"file": ("feed", "path"), "http": ("feed", "connection", "path")}


@dataclass(frozen=True, slots=True)
class FeedFile:
    """One feed. path: glob of JSONL files (file), or path below the connection's host (http).

    types: what it takes.   keep_days: how long its events are kept; None as long as those of any feed.
    cursor_param, size_param: query parameters that say where to go on and how many events a page may have.
    events, next: keys of the answer that hold the page's events and where to go on (a cursor, a path or an address).
    max_pages: pages of one poll at most; the next poll goes on.
    """

    feed: str
    kind: str
    path: str
    types: frozenset[str]
    keep_days: int | None = None
    connection: str = ""
    cursor_param: str = "after"
    size_param: str | None = None
    size: int = 1000
    events: str = "events"
    next: str = "next"
    max_pages: int = 1000


def folder() -> Path:
    """The folder of the feed files."""
    named = os.environ.get("COMMERCE_SYNC_FEEDS")
    return Path(named) if named else places.mappings().parent / "feeds"


def find(feed: str) -> FeedFile:
    """The feed of that name. Raises ConfigurationError when there is no file of it."""
    path = folder() / f"{feed}.yaml"
    if not path.is_file():
        known = sorted(item.stem for item in folder().glob("*.yaml"))
        raise ConfigurationError(f"no feed {feed!r} ({path}); there are: {', '.join(known) or 'none'}")
    return load(path)


def load(path: Path) -> FeedFile:
    """The feed in ``path``. Raises ConfigurationError with file, line, value and legal names."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(f"{path}:{line}: not readable as YAML: {error.problem}") from error
    if not isinstance(node, yaml.MappingNode):
        raise ConfigurationError(f"{path}:1: a feed file is a YAML mapping with the keys {', '.join(KEYS['http'])}")
    values = _values(path, node)
    return _build(path, values)


def _values(path: Path, node: yaml.MappingNode) -> dict[str, Any]:
    kind = next((item.value for key, item in node.value if key.value == "kind"), None)
    if kind not in KEYS:
        raise ConfigurationError(f"{path}:1: kind is {kind!r}; legal values: {', '.join(KEYS)}")
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key, where = str(key_node.value), f"{path}:{key_node.start_mark.line + 1}"
        if key not in KEYS[kind]:
            near = difflib.get_close_matches(key, list(KEYS[kind]), n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            legal = ", ".join(sorted(KEYS[kind]))
            raise ConfigurationError(f"{where}: unknown key {key!r} in a {kind} feed{hint}; legal keys: {legal}")
        if key in found:
            raise ConfigurationError(f"{where}: key {key!r} stands twice; keep one")
        found[key] = _value(where, key, value_node, wanted=KEYS[kind][key])
    missing = [key for key in NEEDED[kind] if key not in found]
    if missing:
        raise ConfigurationError(f"{path}:1: a {kind} feed needs {', '.join(NEEDED[kind])}; missing: {missing[0]}")
    return found


def _value(where: str, key: str, node: yaml.Node, *, wanted: str) -> Any:
    value = yaml.SafeLoader("").construct_object(node, deep=True)
    fits = {
        TEXT: isinstance(value, str) and bool(value),
        NUMBER: isinstance(value, int) and not isinstance(value, bool) and value > 0,
        NAMES: isinstance(value, list) and all(isinstance(item, str) for item in value),
    }
    if not fits[wanted]:
        needed = {TEXT: "a text", NUMBER: "a number from 1 on", NAMES: "a list of names"}[wanted]
        raise ConfigurationError(f"{where}: {key} is {value!r}; it must be {needed}")
    return value


def _build(path: Path, values: dict[str, Any]) -> FeedFile:
    if values["feed"] != path.stem or not re.fullmatch(r"[a-z][a-z0-9_]*", values["feed"]):
        raise ConfigurationError(
            f"{path}:1: feed is {values['feed']!r}; it must be the file's name {path.stem!r}, in small letters, digits "
            "and '_'"
        )
    try:
        types = feed_types(values.pop("types", None))
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}:1: {error}") from error
    return FeedFile(types=types, **values)
