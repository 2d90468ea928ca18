"""Taking media out of use: every reference to a Media is removed before the Media is.

Links are looked for where they may stand (``unlink`` of the target's options) by reading those records once per load,
and only in loads that delete: a collection cannot be filtered by what it holds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from commerce_sync.errors import ConfigurationError
from commerce_sync.systems.sap_commerce.client import SapCommerceClient
from commerce_sync.systems.sap_commerce.schema import EntityType, Schema

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where media may be linked: an entity set, its references to a Media, its collections of media or containers."""

    service: str
    entity_set: str
    references: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: Any) -> Place:
        """Validate one entry of ``unlink``. Raises ConfigurationError naming the legal keys."""
        legal = [item.name for item in fields(cls)]
        if not isinstance(given, Mapping) or set(given) - set(legal) or not {"service", "entity_set"} <= set(given):
            raise ConfigurationError(f"an entry of target option unlink is {given!r}; legal keys: {', '.join(legal)}")
        lists = {name: tuple(given.get(name) or ()) for name in ("references", "collections")}
        return cls(given["service"], given["entity_set"], **lists)


async def retract(client: SapCommerceClient, place: Place, gone: Collection[str]) -> int:
    """Remove every link to ``gone`` (integration keys of media and of containers); gives the number of records changed.

    client: of the place's service.   Raises RejectedError when the shop refuses, RetryableError when it is down.
    """
    entity = (await client.metadata()).entity(place.entity_set)
    changed = 0
    async for page in client.pages(place.entity_set, {"$expand": _expand(entity, place, await client.metadata())}):
        for row in page:
            changed += await _clean(client, place, entity, row, gone)
    return changed


def _expand(entity: EntityType, place: Place, schema: Schema) -> str:
    """The links, and what identifies the record itself."""
    missing = [name for name in (*place.references, *place.collections) if name not in entity.navigations]
    if missing:
        known = ", ".join(entity.navigations)
        raise ConfigurationError(f"unlink: {place.service}/{place.entity_set} has no {missing}; it has: {known}")
    paths = list(place.references)
    for name in place.collections:
        inner = _key_paths(schema.types[entity.navigations[name].target], schema)
        paths += [f"{name}/{path}" for path in inner] or [name]
    return ",".join([*paths, *_key_paths(entity, schema)])


def _key_paths(entity: EntityType, schema: Schema) -> list[str]:
    found = []
    for item in entity.navigations.values():
        if item.unique and not item.many:
            inner = _key_paths(schema.types[item.target], schema)
            found += [f"{item.name}/{path}" for path in inner] or [item.name]
    return found


async def _clean(client: SapCommerceClient, place: Place, entity: EntityType, row: Row, gone: Collection[str]) -> bool:
    cleared = [name for name in place.references if (row.get(name) or {}).get("integrationKey") in gone]
    if cleared:  # a PATCH may replace a reference but not clear it
        await client.upsert(place.entity_set, identity(row, entity) | dict.fromkeys(cleared))
    shortened = {name: kept for name in place.collections if (kept := _kept(row, name, gone)) is not None}
    if shortened:
        await client.update(place.entity_set, str(row["integrationKey"]), shortened)
    return bool(cleared or shortened)


def _kept(row: Row, name: str, gone: Collection[str]) -> list[Row] | None:
    """The elements that stay; None when all do."""
    held: Sequence[Row] = (row.get(name) or {}).get("results", [])
    stay = [item for item in held if item["integrationKey"] not in gone]
    return [_plain(item) for item in stay] if len(stay) < len(held) else None


def _plain(item: Row) -> Row:
    """An element by its own values and references that were expanded."""
    kept = {}
    for name, value in item.items():
        if name in ("__metadata", "integrationKey", "localizedAttributes") or _is_deferred(value):
            continue
        kept[name] = _plain(value) if isinstance(value, dict) else value
    return kept


def _is_deferred(value: Any) -> bool:
    return isinstance(value, dict) and ("__deferred" in value or "results" in value)


def identity(row: Row, entity: EntityType) -> Row:
    """The key of a record as a body names it."""
    names = [item.name for item in entity.properties.values() if item.unique]
    found = {name: row[name] for name in names if name in row}
    for item in entity.navigations.values():
        if item.unique and isinstance(row.get(item.name), dict):
            found[item.name] = _plain(row[item.name])
    return found
