"""What the shop holds now for records a leg is about to write, under the names of the leg's fields.

Read through the integration object the leg writes to: a field ``defaultB2BUnit.uid`` is read by expanding the
reference, a lookup comes as the key it is written by.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.sap_commerce import decode
from commerce_sync.systems.sap_commerce.client import SapCommerceClient
from commerce_sync.systems.sap_commerce.loader import LoadOptions
from commerce_sync.systems.sap_commerce.protocol import literal
from commerce_sync.systems.sap_commerce.schema import EntityType

if TYPE_CHECKING:
    import pyarrow as pa

TARGET_KEY = "_target_key"
KEYS_PER_REQUEST = 20
AT_ONCE = 4
_WHOLE = {"Edm.Int64": "BIGINT", "Edm.Int32": "INTEGER", "Edm.Int16": "SMALLINT"}


@dataclass(frozen=True, slots=True)
class _Asked:
    """What to read: the set, the column that tells records apart, and the columns of the fields."""

    entity_set: str
    key: str
    by_key: bool
    """Whether ``key`` is the integration key, which cannot be filtered by."""
    long: bool
    columns: dict[str, str]


async def current(
    client: SapCommerceClient, target: Target, fields: Sequence[Field], keys: Sequence[str], *, types: Mapping[str, str]
) -> pa.Table:
    """``_target_key`` (the key as asked) and the present values of ``fields``; keys without a record are absent.

    keys: values of the target's external id where that is a property of the entity, otherwise integration keys.
    types: field -> DuckDB type text of the values the leg sends.
    Raises ConfigurationError for a field the integration object does not have, or a value that does not fit its type.
    """
    import pyarrow as pa

    if missing := [item.name for item in fields if item.name not in types]:
        raise ConfigurationError(f"no type is given for the fields {missing}; types has: {', '.join(types)}")
    schema = await client.metadata()
    options = LoadOptions.of(target)
    asked = _asked(schema.entity(options.entity_set), options.entity_set, target.external_id, fields, types)
    schema.check(options.entity_set, asked.columns)
    wanted = list(dict.fromkeys(key for key in keys if key))
    tables = await _tables(client, asked, wanted)
    rows = pa.concat_tables([decode.layout(asked.columns).empty(), *tables])
    return _named(rows, asked, fields, wanted)


def _asked(
    entity: EntityType, entity_set: str, external_id: str, fields: Sequence[Field], types: Mapping[str, str]
) -> _Asked:
    known = entity.properties.get(external_id)
    by_key = known is None or external_id == "integrationKey"
    key, edm = ("integrationKey", "Edm.String") if known is None or by_key else (external_id, known.type)
    tree: dict[str, Any] = {}
    for item in fields:
        _place(tree, _path(item), types[item.name])
    columns = {name: _type_text(node) for name, node in tree.items()} | {key: _WHOLE.get(edm, "VARCHAR")}
    return _Asked(entity_set, key, by_key, edm == "Edm.Int64", columns)


def _path(item: Field) -> list[str]:
    return item.name.split(".") + ([item.lookup.external_id] if item.lookup else [])


def _place(tree: dict[str, Any], path: Sequence[str], type_text: str) -> None:
    for step in path[:-1]:
        tree = tree.setdefault(step, {})
    tree[path[-1]] = type_text


def _type_text(node: Any) -> str:
    if isinstance(node, str):
        return node
    return "STRUCT(" + ", ".join(f'"{name}" {_type_text(child)}' for name, child in node.items()) + ")"


async def _tables(client: SapCommerceClient, asked: _Asked, keys: list[str]) -> list[pa.Table]:
    slots = asyncio.Semaphore(AT_ONCE)
    step = 1 if asked.by_key else KEYS_PER_REQUEST

    async def look(part: list[str]) -> list[pa.Table]:
        async with slots:
            return await (_by_key(client, asked, part[0]) if asked.by_key else _by_filter(client, asked, part))

    found = await asyncio.gather(*(look(keys[start : start + step]) for start in range(0, len(keys), step)))
    return [table for tables in found for table in tables]


async def _by_key(client: SapCommerceClient, asked: _Asked, key: str) -> list[pa.Table]:
    layout = decode.layout(asked.columns)
    entity = await client.get(asked.entity_set, key, expand=layout.expand or None)
    return [] if entity is None else [layout.page(msgspec.json.encode({"d": {"results": [entity]}})).table]


async def _by_filter(client: SapCommerceClient, asked: _Asked, keys: list[str]) -> list[pa.Table]:
    layout = decode.layout(asked.columns)
    whole = asked.columns[asked.key] in _WHOLE.values()
    values = [int(key) if whole else key for key in keys if not whole or key.lstrip("-").isdecimal()]
    if not values:
        return []
    where = " or ".join(f"{asked.key} eq {literal(value, long=asked.long)}" for value in values)
    query: dict[str, str | int | None] = {"$filter": where, "$expand": layout.expand, "$top": 1000}
    page = layout.page(await client.page(asked.entity_set, query))
    tables = [page.table]
    while page.next:
        page = layout.page(await client.page_at(page.next))
        tables.append(page.table)
    return tables


def _named(rows: pa.Table, asked: _Asked, fields: Sequence[Field], wanted: Sequence[str]) -> pa.Table:
    """Columns named like the fields. A filter compares without case on some databases: exact keys only."""
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = rows[asked.key].cast(pa.string())
    columns = {TARGET_KEY: keys}
    for item in fields:
        path = _path(item)
        column = rows[path[0]]
        columns[item.name] = pc.struct_field(column, path[1:]) if path[1:] else column
    return pa.table(columns).filter(pc.is_in(keys, value_set=pa.array(list(wanted), pa.string())))
