"""The truth: items in SQLite, one table per deployment, savepoints for rollback.

Stored forms: String text, localized String a JSON object by language, Boolean 0/1, Date epoch milliseconds,
BigDecimal text, reference the other item's pk, primitive collection and map JSON. A pk carries its table in
its lowest eight bits, as a real PK carries its type code, so any pk can be followed without knowing its type.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from simulators.clock import Clock
from simulators.sap_commerce.types import Attribute, TypeSystem

_COLUMN_TYPES = {"B": "INTEGER", "I": "INTEGER", "Lg": "INTEGER", "D": "REAL", "T": "INTEGER", "ref": "INTEGER"}
_UNINDEXED_TIMES = {"OrderEntry", "CartEntry", "QuoteEntry", "RefundEntry", "EnumerationValue", "ItemVersionMarker"}
_TABLE_BITS = 8
_DEFINING = {
    "IntegrationObject",
    "IntegrationObjectItem",
    "IntegrationObjectItemAttribute",
    "InboundChannelConfiguration",
    "IntegrationObjectItemVirtualAttribute",
    "IntegrationObjectVirtualAttributeDescriptor",
    "Script",
    "WebhookConfiguration",
    "EnumerationValue",
}


@dataclass(frozen=True, slots=True)
class Saved:
    """One committed change of an item; ``kept`` is what the observer wanted to keep of a deleted one."""

    kind: str  # created, updated, deleted
    pk: int
    itemtype: str
    kept: Any = None


class Observer(Protocol):
    """Who wants to know what was saved; asked only while ``active``."""

    @property
    def active(self) -> bool: ...

    def deleting(self, pk: int, itemtype: str) -> Any: ...

    def saved(self, changes: list[Saved]) -> None: ...


class Store:
    """Items of all types. ``version`` grows with every write; whoever caches compares it."""

    def __init__(self, path: str, *, types: TypeSystem, clock: Clock) -> None:
        self.types, self.clock = types, clock
        self.tables = types.tables()
        self._numbers = {table: number for number, table in enumerate(self.tables)}
        self._names = list(self.tables)
        self.db = sqlite3.connect(path, isolation_level=None, cached_statements=512, check_same_thread=False)
        # a file must stay whole when the process is killed; memory needs no more than roll-backs
        self.db.execute(f"PRAGMA journal_mode={'MEMORY' if path == ':memory:' else 'WAL'}")
        for pragma in ("synchronous=OFF", "cache_size=-65536", "temp_store=MEMORY"):
            self.db.execute(f"PRAGMA {pragma}")
        self.version = 0
        self.definitions = 0  # grows when integration objects may have changed
        self._last: dict[str, int] = {}
        self._depth = 0
        self.observer: Observer | None = None
        self._saved: list[Saved] = []

    def close(self) -> None:
        self.db.close()

    def create_tables(self) -> None:
        """Create the tables without indexes; bulk loads come before ``create_indexes``."""
        for table, columns in self.tables.items():
            names = ", ".join(f'"{a.name}" {_COLUMN_TYPES.get(a.kind, "TEXT")}' for a in columns.values())
            self.db.execute(f'CREATE TABLE "{table}" (pk INTEGER PRIMARY KEY, itemtype TEXT, {names})')
        self.db.execute(
            "CREATE TABLE links (relation TEXT, source INTEGER, target INTEGER, position INTEGER,"
            " PRIMARY KEY (relation, source, target)) WITHOUT ROWID"
        )
        self.db.execute("CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT)")

    def create_indexes(self) -> None:
        self.db.execute("CREATE INDEX links_back ON links (relation, target)")
        for number, (table, columns) in enumerate(self._index_columns()):
            names = ", ".join(f'"{name}"' for name in columns)
            self.db.execute(f'CREATE INDEX i{number} ON "{table}" ({names})')

    def _index_columns(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Natural keys, the far ends of collections, and modifiedtime where deltas are read."""
        owned = self._inverse_columns()
        for table in self.tables:
            ends = owned.get(table, set())
            natural = [a.name for a in self.types.get(table).natural_key]
            natural = [n for n in natural if n in ends] + [n for n in natural if n not in ends]
            if natural:
                yield table, tuple(natural)
            for name in sorted(ends - set(natural[:1])):
                yield table, (name,)
            if table not in _UNINDEXED_TIMES:
                yield table, ("modifiedtime",)

    def _inverse_columns(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for item_type in self.types:
            for attribute in item_type.attributes.values():
                if attribute.kind == "children":
                    found.setdefault(self.types.get(attribute.target).table, set()).add(attribute.inverse)
        return found

    def replace_with(self, other: sqlite3.Connection) -> None:
        """Become an exact copy of another store's database."""
        other.backup(self.db)
        self._last.clear()
        self._changed("IntegrationObject")

    def _changed(self, table: str) -> None:
        self.version += 1
        self.definitions += table in _DEFINING

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; may be nested."""
        self._depth += 1
        name, known = f"s{self._depth}", len(self._saved)
        self.db.execute(f"SAVEPOINT {name}")
        try:
            yield
        except BaseException:
            self.db.execute(f"ROLLBACK TO {name}")
            self._changed("IntegrationObject")
            del self._saved[known:]
            raise
        finally:
            self.db.execute(f"RELEASE {name}")
            self._depth -= 1
            self._announce()

    def _note(self, kind: str, pk: int, itemtype: str, kept: Any = None) -> None:
        self._saved.append(Saved(kind, pk, itemtype, kept))
        self._announce()

    def _announce(self) -> None:
        """Tell the observer what was saved, once nothing can be rolled back any more."""
        if self._depth == 0 and self._saved and self.observer is not None:
            changes, self._saved = self._saved, []
            self.observer.saved(changes)

    @property
    def _observed(self) -> bool:
        return self.observer is not None and self.observer.active

    def now_ms(self) -> int:
        return int(self.clock.timestamp() * 1000)

    def new_pk(self, table: str) -> int:
        if table not in self._last:
            (highest,) = self.db.execute(f'SELECT coalesce(max(pk), 0) FROM "{table}"').fetchone()
            self._last[table] = highest >> _TABLE_BITS
        self._last[table] += 1
        return (self._last[table] << _TABLE_BITS) | self._numbers[table]

    def forget_numbers(self) -> None:
        """Read the highest pks again, after rows went in past ``insert``."""
        self._last.clear()

    def table_of(self, pk: int) -> str:
        return self._names[pk & ((1 << _TABLE_BITS) - 1)]

    def insert(self, code: str, values: dict[str, Any]) -> int:
        """Store a new item; both system times are now unless given."""
        table = self.types.get(code).table
        pk, now = self.new_pk(table), self.now_ms()
        row = {"creationtime": now, "modifiedtime": now} | values
        names = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join("?" * (len(row) + 2))
        self.db.execute(f'INSERT INTO "{table}" (pk, itemtype, {names}) VALUES ({marks})', (pk, code, *row.values()))
        self._changed(table)
        if self._observed:
            self._note("created", pk, code)
        return pk

    def update(self, pk: int, values: dict[str, Any]) -> None:
        """Overwrite columns; ``modifiedtime`` becomes now unless given."""
        row = {"modifiedtime": self.now_ms()} | values
        sets = ", ".join(f'"{name}" = ?' for name in row)
        self.db.execute(f'UPDATE "{self.table_of(pk)}" SET {sets} WHERE pk = ?', (*row.values(), pk))
        self._changed(self.table_of(pk))
        if self._observed:
            self._note("updated", pk, self.itemtype(pk))

    def delete(self, pk: int) -> None:
        """Remove an item and what is part of it; references to it read as null afterwards."""
        item_type = self.types.get(self.itemtype(pk))
        kept = self.observer.deleting(pk, item_type.code) if self.observer and self._observed else None
        for attribute in item_type.attributes.values():
            if attribute.part_of:
                for child in self.collection(pk, attribute):
                    self.delete(child)
        self.db.execute(f'DELETE FROM "{self.table_of(pk)}" WHERE pk = ?', (pk,))
        self.db.execute("DELETE FROM links WHERE source = ? OR target = ?", (pk, pk))
        self._changed(self.table_of(pk))
        if self._observed:
            self._note("deleted", pk, item_type.code, kept)

    def itemtype(self, pk: int) -> str:
        """The exact type of an item; LookupError when it is gone."""
        found = self.db.execute(f'SELECT itemtype FROM "{self.table_of(pk)}" WHERE pk = ?', (pk,)).fetchone()
        if found is None:
            raise LookupError(f"item {pk} does not exist")
        code: str = found[0]
        return code

    def value(self, pk: int | None, name: str) -> Any:
        """One column of an item; None when there is no such item."""
        if pk is None:
            return None
        found = self.db.execute(f'SELECT "{name}" FROM "{self.table_of(pk)}" WHERE pk = ?', (pk,)).fetchone()
        return found[0] if found else None

    def exists(self, pk: int | None) -> bool:
        return pk is not None and self.value(pk, "pk") is not None

    def find(self, codes: Iterable[str], conditions: dict[str, Any]) -> list[int]:
        """The pks of items of these exact types whose columns equal the values (null equals null)."""
        codes = list(codes)
        table = self.types.get(codes[0]).table
        tests = [f'"{name}" IS ?' for name in conditions]
        tests.append(f"itemtype IN ({', '.join('?' * len(codes))})")
        sql = f'SELECT pk FROM "{table}" WHERE {" AND ".join(tests)} ORDER BY pk'
        return [pk for (pk,) in self.db.execute(sql, (*conditions.values(), *codes))]

    def collection(self, pk: int, attribute: Attribute) -> list[int]:
        """The items of a collection, in order."""
        if attribute.kind == "children":
            table = self.types.get(attribute.target).table
            sql = f'SELECT pk FROM "{table}" WHERE "{attribute.inverse}" = ? AND itemtype IN'
            codes = self.types.subtypes(attribute.target)
            sql += f" ({', '.join('?' * len(codes))}) ORDER BY pk"
            return [child for (child,) in self.db.execute(sql, (pk, *codes))]
        near, far = ("target", "source") if attribute.reverse else ("source", "target")
        sql = f"SELECT {far} FROM links WHERE relation = ? AND {near} = ? ORDER BY position"
        return [child for (child,) in self.db.execute(sql, (attribute.relation, pk))]

    def add_to_collection(self, pk: int, attribute: Attribute, members: Iterable[int]) -> None:
        """Append members; those already there stay where they are."""
        if attribute.kind == "children":
            for member in members:
                if self.value(member, attribute.inverse) != pk:
                    self.update(member, {attribute.inverse: pk})
            return
        for member in members:
            source, target = (member, pk) if attribute.reverse else (pk, member)
            self.db.execute(
                "INSERT OR IGNORE INTO links SELECT ?, ?, ?, coalesce(max(position), -1) + 1 FROM links"
                " WHERE relation = ? AND source = ?",
                (attribute.relation, source, target, attribute.relation, source),
            )
        self.version += 1

    def remove_from_collection(self, pk: int, attribute: Attribute, members: Iterable[int]) -> None:
        """Take members out; those that are part of the owner die."""
        for member in members:
            if attribute.kind == "children":
                if attribute.part_of:
                    self.delete(member)
                else:
                    self.update(member, {attribute.inverse: None})
                continue
            source, target = (member, pk) if attribute.reverse else (pk, member)
            self.db.execute(
                "DELETE FROM links WHERE relation = ? AND source = ? AND target = ?",
                (attribute.relation, source, target),
            )
        self.version += 1

    def fact(self, name: str) -> Any:
        """A remembered JSON value about the database itself, such as its seed."""
        found = self.db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return json.loads(found[0]) if found else None

    def remember(self, name: str, value: Any) -> None:
        self.db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))
