"""What of a row may be written over what iconik holds: people work there too.

Some values are only a beginning (a title that may be renamed), some only step on certain others (draft on withdrawn,
never on published), some are added to or taken out of a field that others fill as well.
"""

from __future__ import annotations

from typing import Any

from commerce_sync.systems.iconik import catalogue, metadata
from commerce_sync.systems.iconik.client import IconikClient, Row
from commerce_sync.systems.iconik.metadata import View
from commerce_sync.systems.iconik.reasons import NOT_FOUND, IconikRefusal
from commerce_sync.systems.iconik.targets import METADATA, WriteOptions

MODES = {"add": "append", "remove": "delete"}
"""Ending of a mapped metadata field -> how iconik is asked to write it: ``sku.add`` appends to ``sku``."""
NOTHING = ""
"""How ``over`` names a field without a value."""


def split(name: str) -> tuple[str, str]:
    """``sku.add`` -> (``sku``, ``append``); a plain name is overwritten."""
    field, _, ending = name.rpartition(".")
    return (field, MODES[ending]) if field and ending in MODES else (name, "overwrite")


def passes(fields: Row) -> list[dict[str, tuple[str, Any]]]:
    """Fields as the writes they need, name -> (mode, value): one call takes a field once.

    What is taken out goes last, so that a renamed value is never missing in between; empty lists need no call.
    """
    first: dict[str, tuple[str, Any]] = {}
    last: dict[str, tuple[str, Any]] = {}
    for full, value in fields.items():
        name, mode = split(full)
        if mode != "overwrite" and not value:
            continue
        (last if mode == "delete" else first)[name] = (mode, value)
    return [one for one in (first, last) if one]


async def allowed(
    client: IconikClient, kind: catalogue.Kind, stored: Row, values: Row, *, options: WriteOptions, view: View | None
) -> Row:
    """The values of a row that may be written on an object that is there already."""
    kept = {name: value for name, value in values.items() if name not in options.at_creation}
    asked = [name for name in kept if str(kept[name]) in options.over.get(name, {})]
    if not asked:
        return kept
    held: dict[str, list[Any]] = {}
    if view is not None and any(name.startswith(METADATA) for name in asked):
        held = await metadata.values(client, kind, stored["id"], view.id) or {}
    for name in asked:
        if _present(stored, held, name) not in options.over[name][str(kept[name])]:
            del kept[name]
    return kept


def _present(stored: Row, held: dict[str, list[Any]], name: str) -> str:
    if not name.startswith(METADATA):
        return str(stored.get(name) or NOTHING)
    listed = held.get(name.removeprefix(METADATA)) or []
    return str(listed[0]) if listed else NOTHING


async def refuse_gone(client: IconikClient, kind: catalogue.Kind, key: str) -> None:
    """Raises IconikRefusal when the object is deleted, or was never there: metadata of a deleted one can be written."""
    found = await catalogue.read(client, kind, key)
    if found is None or found.get("status") == catalogue.DELETED:
        what = "is deleted" if found else "is not"
        raise IconikRefusal(
            f"{kind.removesuffix('s')} {key} {what} in iconik, but something still speaks of it",
            code=NOT_FOUND,
            reason_class="reference",
        )
