"""Whether the items that a plan's rows refer to are there: asked for by their keys, many with one request.

A reference that creates what it does not find (auto-create, part-of) cannot miss. Of an item that has nothing but a
code ``$metadata`` does not tell whether it is a dynamic enumeration, which grows by itself: such misses are warnings.
Source: fact sheet, 2.2 (annotations), 2.4 (filters reach one reference deep), 2.5 (``missing_nav_property``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from commerce_sync.systems.foreseen import COMING, Rule, literal, quoted
from commerce_sync.systems.sap_commerce.client import SapCommerceClient
from commerce_sync.systems.sap_commerce.owned import key_paths
from commerce_sync.systems.sap_commerce.payload import Branch
from commerce_sync.systems.sap_commerce.predict_values import Sent, refusal
from commerce_sync.systems.sap_commerce.protocol import literal as odata
from commerce_sync.systems.sap_commerce.schema import EntityType, Navigation, Schema

if TYPE_CHECKING:
    import duckdb

KEYS_PER_REQUEST = 20
AT_ONCE = 4
PAGE_ROWS = 1000
NO_ENUMERATIONS = frozenset({"DeliveryMode", "Discount", "Title", "Unit", "VariantType", "Vendor", "Warehouse"})
"""Types that have a code only in many integration objects, and are items all the same. Source: fact sheet, 1.4."""
_WHOLE = ("Edm.Int64", "Edm.Int32", "Edm.Int16", "Edm.Byte", "Edm.SByte")
_COMPARABLE = ("Edm.String", *_WHOLE)
Path = tuple[str, ...]
NULL = "chr(0)"


class References:
    """The references of one payload. warnings: what may be refused, and cannot be told for sure."""

    def __init__(
        self, client: SapCommerceClient, con: duckdb.DuckDBPyConnection, schema: Schema, sent: Mapping[str, Sent]
    ) -> None:
        self._client, self._con, self._schema, self._sent = client, con, schema, sent
        self._missing: dict[str, tuple[str, Navigation]] = {}
        self.warnings: list[str] = []

    def rules(self, path: str, *, where: str = "true") -> Iterator[Rule]:
        """A reference at ``path`` to an item that is not there."""
        if path not in self._missing:
            return
        table, navigation = self._missing[path]
        text = f"'Item referenced by attribute [{navigation.name}] does not exist in the system.'"
        when = f"({where} AND _key IN (SELECT _key FROM {table}))"
        yield refusal(when, "missing_nav_property", text, path)

    async def look(self, branch: Branch, *, at: str = "") -> None:
        """Ask for what the references of a branch, and of those below it, mean."""
        for name, leaf in branch.leaves.items():
            if (navigation := branch.entity.navigations.get(name)) is not None:
                await self._leaf(f"{at}{name}", navigation, self._sent[leaf.name])
        for name, nested in branch.branches.items():
            values = dict(_values(nested, self._sent))
            await self._one(f"{at}{name}", branch.entity.navigations[name], "travelling", values, unless=_empty(values))
            await self.look(nested, at=f"{at}{name}.")

    async def _leaf(self, path: str, navigation: Navigation, sent: Sent) -> None:
        """A field whose values are references: a struct, or a list of structs."""
        import duckdb

        parsed: Any = duckdb.sqltype(sent.type_text)
        element = parsed.children[0][1] if parsed.id == "list" else parsed
        if element.id != "struct":
            return
        rows = "travelling"
        if parsed.id == "list":
            rows = f"(SELECT _key, _kind, unnest({sent.value}) AS element FROM travelling)"
        top = "element" if parsed.id == "list" else sent.value
        values = dict(_inner(element, top))
        await self._one(path, navigation, rows, values, unless=f"{top} IS NULL")

    async def _one(
        self, path: str, navigation: Navigation, rows: str, values: Mapping[Path, str], *, unless: str
    ) -> None:
        entity = self._schema.types[navigation.target]
        parts = list(_key_parts(self._schema, entity))
        if navigation.creates or not parts or any(part not in values for part in parts):
            return
        asked = self._asked(entity, parts)
        if asked is None:
            self.warnings.append(f"{path}: whether its {entity.name} is there cannot be asked for")
            return
        where = f"_kind <> 'DELETED' AND NOT ({unless})"
        columns = ", ".join(
            f"coalesce(CAST({values[part]} AS VARCHAR), {NULL}) AS k{at}" for at, part in enumerate(parts)
        )
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE wanted AS SELECT _key, {columns} FROM {rows} WHERE {where}")
        await self._hold(entity, parts, asked)
        table = f"missing_{len(self._missing)}"
        self._con.execute(
            f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT DISTINCT _key FROM {self._not_held(entity, parts)}"
        )
        self._judge(path, navigation, entity, table)

    def _not_held(self, entity: EntityType, parts: Sequence[Path]) -> str:
        names = ", ".join(f"k{at}" for at in range(len(parts)))
        coming = "false"
        if len(parts) == 1:
            sets = ", ".join(literal(name) for name, kind in self._schema.sets.items() if kind == entity.name)
            coming = f"""k0 IN (SELECT key FROM {COMING} WHERE object IN ({sets or "''"})
                AND external_id = {literal(parts[0][0])})"""
        return f"wanted WHERE ({names}) NOT IN (SELECT ({names}) FROM held) AND NOT {coming}"

    def _judge(self, path: str, navigation: Navigation, entity: EntityType, table: str) -> None:
        count = self._con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
        is_bare = set(entity.properties) <= {"code", "integrationKey"} and not entity.navigations
        if is_bare and entity.name not in NO_ENUMERATIONS:
            if count:
                self.warnings.append(
                    f"{path}: {count} rows name a {entity.name} that is not there; the shop makes it if that is a "
                    "dynamic enumeration, and refuses the rows if not"
                )
            return
        self._missing[path] = (table, navigation)

    # Asking

    def _asked(self, entity: EntityType, parts: Sequence[Path]) -> str | None:
        """The key property to filter by: an own one that can be compared."""
        own = [path[0] for path in parts if len(path) == 1 and entity.properties[path[0]].type in _COMPARABLE]
        if not own or entity.name not in self._schema.sets.values():
            return None
        return own[0]

    async def _hold(self, entity: EntityType, parts: Sequence[Path], asked: str) -> None:
        """Table ``held``: the keys that are there, of those that are wanted."""
        import pyarrow as pa

        place = list(parts).index((asked,))
        rows = self._con.execute(f"SELECT DISTINCT k{place} FROM wanted WHERE k{place} <> {NULL}").fetchall()
        values = [str(value) for (value,) in rows]
        found = await self._read(entity, parts, asked, values) if values else []
        names = [f"k{at}" for at in range(len(parts))]
        schema = pa.schema([(name, pa.string()) for name in names])
        table = pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in found], schema=schema)
        self._con.register("kept", table)
        self._con.execute("CREATE OR REPLACE TEMP TABLE held AS SELECT * FROM kept")
        self._con.unregister("kept")

    async def _read(
        self, entity: EntityType, parts: Sequence[Path], asked: str, values: Sequence[str]
    ) -> list[list[str]]:
        entity_set = next(name for name, kind in self._schema.sets.items() if kind == entity.name)
        edm, expand = entity.properties[asked].type, ",".join(key_paths(self._schema, entity))
        if edm in _WHOLE:
            values = [value for value in values if value.lstrip("-").isdecimal()]
        slots, found = asyncio.Semaphore(AT_ONCE), list[list[str]]()
        every = (
            len(values) > PAGE_ROWS
            and await self._client.count(entity_set) < PAGE_ROWS * len(values) / KEYS_PER_REQUEST
        )
        size = len(values) if every else KEYS_PER_REQUEST

        async def ask(part: Sequence[str]) -> None:
            terms = [f"{asked} eq {odata(int(v) if edm in _WHOLE else v, long=edm == 'Edm.Int64')}" for v in part]
            query: dict[str, Any] = {"$top": PAGE_ROWS} | ({} if every else {"$filter": " or ".join(terms)})
            async with slots:
                async for page in self._client.pages(entity_set, query | ({"$expand": expand} if expand else {})):
                    found.extend([_text(row, part_path) for part_path in parts] for row in page)

        await asyncio.gather(*(ask(values[start : start + size]) for start in range(0, len(values), max(size, 1))))
        return found


def _key_parts(schema: Schema, entity: EntityType, *, at: Path = ()) -> Iterator[Path]:
    """Paths of the properties an item is found by, through the references that are part of its key."""
    yield from ((*at, item.name) for item in entity.properties.values() if item.unique and not item.localized)
    for item in entity.navigations.values():
        if item.unique and not item.many:
            yield from _key_parts(schema, schema.types[item.target], at=(*at, item.name))


def _values(branch: Branch, sent: Mapping[str, Sent], *, at: Path = ()) -> Iterator[tuple[Path, str]]:
    """Path within a reference -> SQL of its value."""
    for name, leaf in branch.leaves.items():
        yield (*at, name), sent[leaf.name].value
    for name, nested in branch.branches.items():
        yield from _values(nested, sent, at=(*at, name))


def _inner(parsed: Any, sql: str, *, at: Path = ()) -> Iterator[tuple[Path, str]]:
    for name, child in parsed.children:
        here = f"{sql}.{quoted(name)}"
        if child.id == "struct":
            yield from _inner(child, here, at=(*at, name))
        else:
            yield (*at, name), here


def _empty(values: Mapping[Path, str]) -> str:
    return " AND ".join(f"{value} IS NULL" for value in values.values()) or "true"


def _text(row: Mapping[str, Any], path: Path) -> str:
    value: Any = row
    for step in path:
        value = (value or {}).get(step)
    return "\0" if value is None else str(value)
