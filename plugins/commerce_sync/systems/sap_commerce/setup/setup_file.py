"""The file of the set-up: read, checked for its shape and for names that lead nowhere."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from commerce_sync import schema_file
from commerce_sync.errors import ConfigurationError
from commerce_sync.schema_file import KeyPath, Lines

HOOKS_TARGET = "webhookServices"
"""The product's destination target for webhooks. Source: SAP Commerce 2211, webhook destinations."""
Problem = tuple[KeyPath, str]


@dataclass(frozen=True, slots=True)
class SetupFile:
    """A valid file; ``section`` gives a part of it, empty when it is absent."""

    path: Path
    content: dict[str, Any]
    lines: Lines

    def section(self, name: str) -> Any:
        """One of ``setup.SECTIONS``."""
        return self.content.get(name, [] if name == "webhooks" else {})

    @property
    def owns(self) -> list[str]:
        """Patterns of names that are ours alone."""
        return list(self.content.get("owns", []))

    @property
    def compares_secrets(self) -> bool:
        """Whether the shop gives secrets back in clear."""
        return bool(self.content.get("secrets") == "compare")


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    """The JSON schema of the file."""
    text = resources.files(__package__).joinpath("setup_schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def load(path: Path) -> SetupFile:
    """Raises ConfigurationError with file, line, value and legal names."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(f"there is no set-up file {path}; name one with --file") from None
    content, lines = schema_file.parse(path, text, schema(), what="a set-up file")
    found = SetupFile(path, content, lines)
    for at, problem in _problems(found):
        line = next((lines[at[:end]] for end in range(len(at), 0, -1) if at[:end] in lines), 1)
        raise ConfigurationError(f"{path}:{line}: {problem}")
    return found


def _problems(file: SetupFile) -> Iterator[Problem]:
    for code, item in file.section("integration_objects").items():
        yield from _object_problems(("integration_objects", code), code, item)
    destinations, credentials = file.section("destinations"), file.section("credentials")
    for name, item in destinations.items():
        yield from _unknown(("destinations", name, "credential"), item["credential"], credentials, "credential")
    objects = file.section("integration_objects")
    for name, item in file.section("outbound_channels").items():
        at: KeyPath = ("outbound_channels", name)
        yield from _unknown((*at, "integration_object"), item["integration_object"], objects, "integration object")
        yield from _unknown((*at, "destination"), item["destination"], destinations, "destination")
        yield from _channel_problems(at, item)
    yield from _webhook_problems(file)


def _object_problems(at: KeyPath, code: str, content: dict[str, Any]) -> Iterator[Problem]:
    items = content["items"]
    roots = [name for name, item in items.items() if item.get("root")]
    if len(roots) > 1:
        yield (*at, "items", roots[1], "root"), f"{code} has two root items, {', '.join(roots)}; at most one is legal"
    for name, item in items.items():
        place = (*at, "items", name)
        if not any(attribute.get("key") for attribute in item["attributes"].values()):
            yield place, f"item {code}/{name} has no key attribute; mark at least one with `key: true`"
        for part in ("attributes", "classification"):
            for attribute, spec in item.get(part, {}).items():
                if "returns" in spec:
                    yield from _unknown((*place, part, attribute, "returns"), spec["returns"], items, "item")
        yield from _returned_twice(place, item["attributes"])


def _returned_twice(at: KeyPath, attributes: dict[str, Any]) -> Iterator[Problem]:
    """Two key attributes of one item may not return the same item. Source: SAP Commerce 2211, modelling limits."""
    seen: dict[str, str] = {}
    for name, spec in attributes.items():
        returned = spec.get("returns")
        if spec.get("key") and returned:
            if returned in seen:
                yield (
                    (*at, "attributes", name),
                    (
                        f"the key attributes {seen[returned]!r} and {name!r} return the same item {returned!r}; give "
                        "the type a second item under another code"
                    ),
                )
            seen[returned] = name


def _channel_problems(at: KeyPath, item: dict[str, Any]) -> Iterator[Problem]:
    if not item.get("auto_generate", True) and not item.get("streams"):
        yield at, "a channel without auto_generate needs `streams`: the types whose changes it sends"


def _webhook_problems(file: SetupFile) -> Iterator[Problem]:
    seen = set()
    for index, item in enumerate(file.section("webhooks")):
        at: KeyPath = ("webhooks", index)
        objects, destinations = file.section("integration_objects"), file.section("destinations")
        yield from _unknown((*at, "integration_object"), item["integration_object"], objects, "integration object")
        yield from _unknown((*at, "destination"), item["destination"], destinations, "destination")
        target = destinations.get(item["destination"], {}).get("target", HOOKS_TARGET)
        if target != HOOKS_TARGET:
            yield (
                (*at, "destination"),
                (f"destination {item['destination']!r} has the target {target!r}; webhooks need {HOOKS_TARGET!r}"),
            )
        key = (item["integration_object"], item["event"], item["destination"])
        if key in seen:
            yield at, f"the webhook {' '.join(key)} stands twice; keep one"
        seen.add(key)


def _unknown(at: KeyPath, name: str, legal: Collection[str], what: str) -> Iterator[Problem]:
    if name not in legal:
        near = schema_file.similar(name, legal)
        yield at, f"there is no {what} {name!r} in this file{near}; there are: {', '.join(sorted(legal)) or 'none'}"
