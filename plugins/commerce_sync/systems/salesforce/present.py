"""What the org holds now for records a leg is about to write, shaped like the leg's changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Field, Lookup, Target
from commerce_sync.systems.salesforce.cells import POLYMORPHIC, Column
from commerce_sync.systems.salesforce.client import SalesforceClient, packs, room_for_keys, text_literal
from commerce_sync.systems.salesforce.paging import Pages, Query
from commerce_sync.systems.salesforce.shape import Record, Shape, shape_of

log = logging.getLogger(__name__)
TARGET_KEY = "_target_key"
AT_ONCE = 4
"""Queries under way at a time; of those that take long an org allows 25."""


async def current(
    client: SalesforceClient, target: Target, fields: Sequence[Field], keys: Sequence[str], *, types: Mapping[str, str]
) -> pa.Table:
    """The present values of the mapped fields of existing records.

    keys: values of the target's external id, any number; asked for in queries of about 200, as many as fit in a URL.
    types: field -> DuckDB type text of the values the leg sends.
    Gives ``_target_key`` (the key as asked) and a column per field: a lookup comes as its parent's external id,
    empty fields are null. Keys without a record are absent; so are keys that several records hold, which writing
    refuses as well. Keys match as Salesforce matches them: without case unless the field is declared
    case-sensitive. Two keys that differ in case may so give the same record twice.
    Raises ConfigurationError for a field the user cannot see or whose values do not fit the type.
    """
    wanted = list(dict.fromkeys(key for key in keys if key))
    shape = _shape(fields, types)
    records = await _by_key(client, target, shape, wanted) if wanted else []
    by_key = await _matched(client, target, records, wanted)
    found = list(by_key.values())
    for field in fields:
        if field.lookup is not None and _is_polymorphic(field):
            await _resolve(client, field.lookup, found, name=Column(field).id_name)
    table = shape.table(found)
    return table.add_column(0, TARGET_KEY, pa.array(list(by_key), pa.string()))


def _is_polymorphic(field: Field) -> bool:
    return Column(field).id_name in POLYMORPHIC


def _shape(fields: Sequence[Field], types: Mapping[str, str]) -> Shape:
    if missing := [field.name for field in fields if field.name not in types]:
        raise ConfigurationError(f"no type is given for the fields {missing}; types has: {', '.join(types)}")
    paths = {field.name: _path(field) for field in fields}
    return shape_of({field.name: types[field.name] for field in fields}, renamed=paths)


def _path(field: Field) -> str:
    if field.lookup is None:
        return field.name
    column = Column(field)
    # Through a lookup to several objects no external id can be read: its id is, and looked up afterwards.
    return column.id_name if _is_polymorphic(field) else f"{column.relation}.{field.lookup.external_id}"


async def _by_key(client: SalesforceClient, target: Target, shape: Shape, keys: list[str]) -> list[Record]:
    columns = tuple(dict.fromkeys([*shape.fields(), target.external_id]))
    return await where_in(client, target.object, columns, target.external_id, keys)


async def where_in(
    client: SalesforceClient, object_name: str, columns: tuple[str, ...], name: str, values: Iterable[str]
) -> list[Record]:
    slots, pages = asyncio.Semaphore(AT_ONCE), Pages(client)
    start = Query(object_name, columns).soql()

    async def ask(pack: list[str]) -> list[Record]:
        query = Query(object_name, columns, (f"{name} IN ({', '.join(pack)})",))
        async with slots:
            return [record async for page in pages.read(query) for record in page.records]

    parts = packs([text_literal(value) for value in values], room_for_keys(start))
    found = await asyncio.gather(*(ask(pack) for pack in parts))
    return [record for records in found for record in records]


async def _matched(
    client: SalesforceClient, target: Target, records: list[Record], keys: list[str]
) -> dict[str, Record]:
    """Key as asked -> its record, for keys that exactly one record holds."""
    if not records:
        return {}
    fold = await _folding(client, target)
    # A record found by two spellings of its key comes twice when these were asked for in different queries.
    by_id = {record["Id"]: record for record in records}
    held: dict[str, list[Record]] = {}
    for record in by_id.values():
        held.setdefault(fold(str(record[target.external_id])), []).append(record)
    several = sum(len(found) > 1 for found in held.values())
    if several:
        log.warning("%s: %d keys are held by several records and left out", target.object, several)
    return {key: found[0] for key in keys if len(found := held.get(fold(key), [])) == 1}


async def _folding(client: SalesforceClient, target: Target) -> Any:
    """How values of the external id compare."""
    described = await client.describe(target.object)
    spec = next(item for item in described["fields"] if item["name"] == target.external_id)
    return str if spec["caseSensitive"] or spec["type"] in ("id", "reference") else str.casefold


async def _resolve(client: SalesforceClient, lookup: Lookup, records: list[Record], *, name: str) -> None:
    """Put the parent's external id where its record id is; null for a parent of another object."""
    ids = {str(record[name]) for record in records if record[name] is not None}
    parents = await where_in(client, lookup.object, ("Id", lookup.external_id), "Id", sorted(ids)) if ids else []
    known = {parent["Id"]: parent[lookup.external_id] for parent in parents}
    # The same record may be there under two spellings of its key.
    for record in {record["Id"]: record for record in records}.values():
        record[name] = known.get(record[name])
