"""An object's describe as fields of ``systems.metadata``. Source: REST API Developer Guide, sObject Describe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from commerce_sync.mapping import Field, Source, Target
from commerce_sync.systems.metadata import Seen

NUMBERS = ("double", "currency", "percent")


def objects_of(part: Source | Target, fields: Sequence[Field] = ()) -> dict[str, str]:
    """The objects a source or target names, the main one first; each is a document of its own."""
    main = part.entity_set if isinstance(part, Source) else part.object
    parents = [field.lookup.object for field in fields if field.lookup]
    return {name: name for name in dict.fromkeys([main, *parents])}


def seen(described: dict[str, Any]) -> dict[str, Seen]:
    """Field -> how the connection's user sees it."""
    return {str(spec["name"]): _field(spec) for spec in described["fields"]}


def _field(spec: dict[str, Any]) -> Seen:
    is_number = spec["type"] in NUMBERS
    closed = spec["restrictedPicklist"]
    return Seen(
        type=spec["type"],
        label=spec["label"],
        length=spec["length"] or None,
        precision=spec["precision"] if is_number else None,
        scale=spec["scale"] if is_number else None,
        required=spec["createable"] and not spec["nillable"] and not spec["defaultedOnCreate"],
        createable=spec["createable"],
        updateable=spec["updateable"],
        unique=spec["unique"],
        values=tuple(str(one["value"]) for one in spec["picklistValues"] if one["active"]) if closed else None,
        refers=tuple(spec["referenceTo"]),
    )
