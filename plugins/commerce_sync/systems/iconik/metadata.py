"""Metadata: fields, views, and the values of an object in a view.

Source: the metadata service's OpenAPI document and a recorded PUT. A value travels as
``{field: {"field_values": [{"value": X}]}}``; a field that is not named stays, an empty list clears it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from commerce_sync.errors import ConfigurationError
from commerce_sync.systems.iconik.catalogue import Kind
from commerce_sync.systems.iconik.client import IconikClient, Row, is_id

SEPARATOR = "__separator__"
NUMBERS = {"integer", "float"}


@dataclass(frozen=True, slots=True)
class View:
    """A metadata view. ``fields``: name -> its definition (field_type, multi, read_only, options, ...)."""

    id: str
    name: str
    fields: dict[str, Row]

    def legal(self) -> str:
        """The names of its fields, for messages."""
        return ", ".join(sorted(self.fields))


async def view(client: IconikClient, name_or_id: str) -> View:
    """The view with its field definitions. Raises ConfigurationError when there is none, or two of that name."""
    key = name_or_id if is_id(name_or_id) else await _id_of(client, name_or_id)
    found = await client.find(f"metadata/v1/views/{key}/", merge_fields="true")
    if found is None:
        raise ConfigurationError(f"{client.name}: iconik has no metadata view {name_or_id!r} (or it is not shared)")
    fields = {one["name"]: one for one in found["view_fields"] if one["name"] != SEPARATOR}
    if any("field_type" not in one for one in fields.values()):
        known = {one["name"]: one for one in await client.by_last_name("metadata/v1/fields/")}
        fields = {name: known.get(name, {}) | one for name, one in fields.items()}
    return View(id=found["id"], name=found["name"], fields=fields)


async def _id_of(client: IconikClient, name: str) -> str:
    rows = (await client.get("metadata/v1/views/"))["objects"]
    keys = [row["id"] for row in rows if row["name"] == name]
    if len(keys) == 1:
        return str(keys[0])
    names = ", ".join(sorted(row["name"] for row in rows))
    what = "has no metadata view" if not keys else f"has {len(keys)} metadata views"
    raise ConfigurationError(f"{client.name}: iconik {what} named {name!r}; it has: {names}; an id would be clear")


async def values(client: IconikClient, kind: Kind, key: str, view_id: str) -> dict[str, list[Any]] | None:
    """Field -> its values (empty when unset) of an object's latest version; None when there is no such object."""
    found = await client.find(f"metadata/v1/{kind}/{key}/views/{view_id}/")
    return None if found is None else plain(found)


def plain(document: Row) -> dict[str, list[Any]]:
    """Field -> list of bare values."""
    return {
        name: [one.get("value") for one in (entry or {}).get("field_values") or []]
        for name, entry in (document.get("metadata_values") or {}).items()
        if name != SEPARATOR
    }


async def put(
    client: IconikClient, kind: Kind, key: str, view_id: str, entries: Row, *, ignore_unchanged: bool = True
) -> Row:
    """Overwrite the named fields. entries: see ``entry``. Raises IconikRefusal naming fields iconik refuses."""
    body = {"metadata_values": entries}
    flag = {"ignore_unchanged": "true"} if ignore_unchanged else {}
    written: Row = await client.change("PUT", f"metadata/v1/{kind}/{key}/views/{view_id}/", body, **flag)
    return written


def entry(value: Any, definition: Row, *, mode: str = "overwrite") -> Row:
    """A value as iconik takes it: None and an empty list clear, a list has several.

    mode: ``append`` adds values to those that are there, ``delete`` takes values out.
    """
    listed = value if isinstance(value, list) else [value]
    kind = str(definition.get("field_type") or "string")
    found: Row = {"field_values": [{"value": _sent(one, kind)} for one in listed if one is not None]}
    return found if mode == "overwrite" else found | {"mode": mode}


def _sent(value: Any, kind: str) -> Any:
    if kind == "boolean" or isinstance(value, bool):
        return value
    if kind in NUMBERS:
        return _number(value, kind)
    if isinstance(value, datetime):
        at = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return at.date().isoformat() if kind == "date" else at.isoformat()
    if isinstance(value, date):
        return value.isoformat() if kind == "date" else f"{value.isoformat()}T00:00:00+00:00"
    return str(value)


def _number(value: Any, kind: str) -> Any:
    if isinstance(value, Decimal | float | int):
        exact = int(value) == value
        return int(value) if kind == "integer" and exact else float(value)
    return value
