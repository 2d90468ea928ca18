"""The records, in SQLite: one table per object, so that SOQL becomes SQL and a million rows stay cheap.

It is also what the control API reads and changes: raw stored values, no API semantics.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from simulators.clock import Clock
from simulators.salesforce import ids, values
from simulators.salesforce.schema import NUMBER_TYPES, Field, Schema, SObject
from simulators.salesforce.state import State, digest, running_numbers
from simulators.system import Row

STAMPS = ("CreatedDate", "LastModifiedDate", "SystemModstamp")


class Store:
    """Tables, lookups and running numbers; the only holder of the SQLite connection."""

    def __init__(self, schema: Schema, *, clock: Clock, path: Path | None = None) -> None:
        self.schema, self.clock = schema, clock
        self.db = sqlite3.connect(str(path) if path else ":memory:", isolation_level=None, check_same_thread=False)
        self.db.execute("PRAGMA page_size=16384")  # with plain rowid tables a fifth faster than 4 KB without
        # a file must stay whole when the process is killed; memory needs no more than roll-backs
        self.db.execute(f"PRAGMA journal_mode={'WAL' if path else 'MEMORY'}")
        self.db.execute("PRAGMA synchronous=OFF")
        self.db.execute("PRAGMA cache_size=-200000")
        self.db.execute("PRAGMA temp_store=MEMORY")
        self.db.execute("PRAGMA case_sensitive_like=OFF")
        self.db.create_function("fold", 1, _fold, deterministic=True)
        self.commit_lag_s = 0.0  # how long before they can be read records were stamped
        self.numbers: dict[str, int] = {}
        self._indexed: set[tuple[str, str]] = set()
        self._last = clock.now() - timedelta(milliseconds=1)
        self.user_id = ids.make("005", 1)
        self.org_id = ids.make("00D", 1)
        self.standard_book = ids.make("01s", 1)
        self.seed_rows: dict[str, list[Row]] = {}
        self.state = State(self.db) if path else None
        self.restored = self._restore(path) if path else False

    def _restore(self, path: Path) -> bool:
        """Whether the file already holds an org; raises ValueError when its fields are others."""
        assert self.state is not None
        known, mine = self.state.fact("tables"), digest([table_sql(item) for item in self.schema.objects.values()])
        if known is None:
            self.state.note("tables", mine)
            return False
        if known != mine:
            raise ValueError(f"{path} was made for other fields; start with the same --org, or remove the file")
        if self.state.fact("seeded") is None:
            return False
        self.numbers = running_numbers(self.db, self.schema)
        return True

    def empty(self) -> None:
        """Back to an org as it is delivered: a user, the organization, the standard price book."""
        self.numbers.clear()
        self._indexed.clear()
        for item in self.schema.objects.values():
            self.db.execute(f'DROP TABLE IF EXISTS "{item.name}"')
            self.db.execute(table_sql(item))
            for key in item.fields.values():
                if key.external_id or key.unique or key.id_lookup:
                    self.ensure_index(item.name, key.name)
        for kind, rows in self.seed_rows.items():
            self.load(kind, rows)
        if self.state is not None:
            self.state.clear_jobs()

    def seeded(self) -> None:
        """Note in the state file that the org is whole, so that the next start keeps it."""
        if self.state is not None:
            self.state.note("seeded", "yes")

    def ensure_index(self, kind: str, name: str) -> None:
        """Index a column the first time somebody filters on it."""
        if (kind, name) not in self._indexed and name != "Id":
            self._indexed.add((kind, name))
            self.db.execute(f'CREATE INDEX IF NOT EXISTS "{kind}_{name}" ON "{kind}" ("{name}")')

    def moment(self) -> str:
        """The stamp of a commit: the simulated time, never going back by itself."""
        now = self.clock.now() - timedelta(seconds=self.commit_lag_s)
        if now <= self._last < now + timedelta(seconds=5):
            now = self._last + timedelta(milliseconds=1)
        self._last = now
        return values.stamp(now)

    def next_ids(self, item: SObject, count: int) -> list[str]:
        start = self.take_numbers(item.prefix, count)
        return ids.block(item.prefix, start, count)

    def take_numbers(self, series: str, count: int) -> int:
        """Reserve ``count`` running numbers; gives the first."""
        first = self.numbers.get(series, 100)
        self.numbers[series] = first + count
        return first

    def pairs(self, item: SObject, key: Field, wanted: Iterable[Any]) -> list[tuple[Any, str]]:
        """(value, Id) of the living records whose ``key`` is among ``wanted``."""
        sql = (
            f'SELECT "{key.name}", "Id" FROM "{item.name}" '
            f'WHERE "{key.name}" IN (SELECT value FROM json_each(?)) AND "IsDeleted" = 0'
        )
        return self.db.execute(sql, (json.dumps(list(wanted)),)).fetchall()

    def rows_by_id(self, item: SObject, names: list[str], wanted: Iterable[str]) -> dict[str, tuple[Any, ...]]:
        """Id -> the named columns, deleted records included."""
        columns = ", ".join(f'"{name}"' for name in ["Id", *names])
        sql = f'SELECT {columns} FROM "{item.name}" WHERE "Id" IN (SELECT value FROM json_each(?))'
        return {row[0]: row[1:] for row in self.db.execute(sql, (json.dumps(list(wanted)),))}

    # --- control API -------------------------------------------------------------------------------

    def records(self, kind: str, *, where: dict[str, str], limit: int | None, offset: int) -> tuple[list[Row], int]:
        item = self._known(kind)
        tests, given = [], []
        for name, value in where.items():
            key = self._field(item, name)
            tests.append(f'"{key.name}" = ?')
            given.append(_compared(key, value))
        clause = f" WHERE {' AND '.join(tests)}" if tests else ""
        total = self.db.execute(f'SELECT count(*) FROM "{item.name}"{clause}', given).fetchone()[0]
        names = list(item.fields)
        columns = ", ".join(f'"{name}"' for name in names)
        paging = f" LIMIT {-1 if limit is None else limit} OFFSET {offset}"
        found = self.db.execute(f'SELECT {columns} FROM "{item.name}"{clause} ORDER BY "Id"{paging}', given)
        return [_raw(item, dict(zip(names, row, strict=True))) for row in found], total

    def load(self, kind: str, rows: list[Row]) -> int:
        item = self._known(kind)
        names = [name for name, spec in item.fields.items() if spec.formula is None and spec.type != "address"]
        fresh, now = self.next_ids(item, len(rows)), self.moment()
        filled = [
            self._filled(item, row, fallback=key, now=now, number=index)
            for index, (row, key) in enumerate(zip(rows, fresh, strict=True))
        ]
        columns, marks = ", ".join(f'"{name}"' for name in names), ", ".join("?" * len(names))
        sql = f'INSERT OR REPLACE INTO "{item.name}" ({columns}) VALUES ({marks})'
        self.db.execute("BEGIN")
        self.db.executemany(sql, [tuple(row.get(name) for name in names) for row in filled])
        self.db.execute("COMMIT")
        return len(rows)

    def patch(self, kind: str, key: str, values: Row) -> None:
        item = self._known(kind)
        given = {
            self._field(item, name).name: _stored(self._field(item, name), value) for name, value in values.items()
        }
        # somebody else's edit moves the timestamps, unless the test sets them itself
        given = {"LastModifiedDate": self.moment(), "SystemModstamp": self.moment()} | given
        sets = ", ".join(f'"{name}" = ?' for name in given)
        changed = self.db.execute(
            f'UPDATE "{item.name}" SET {sets} WHERE "Id" = ?', (*given.values(), ids.full(key) or key)
        )
        if changed.rowcount == 0:
            raise LookupError(f"{item.name} has no record {key}")

    def delete(self, kind: str, key: str) -> None:
        self.patch(kind, key, {"IsDeleted": True})

    def _known(self, kind: str) -> SObject:
        item = self.schema.find(kind)
        if item is None:
            raise LookupError(f"object {kind!r} is unknown; legal: {', '.join(self.schema.objects)}")
        return item

    def _field(self, item: SObject, name: str) -> Field:
        found = item.find(name)
        if found is None:
            raise ValueError(f"{item.name} has no field {name!r}; it has: {', '.join(item.fields)}")
        return found

    def _filled(self, item: SObject, row: Row, *, fallback: str, now: str, number: int) -> Row:
        given = {self._field(item, name).name: value for name, value in row.items() if name != "attributes"}
        given = {name: _stored(item.fields[name], value) for name, value in given.items()}
        base: Row = {name: spec.default for name, spec in item.fields.items() if spec.default is not None}
        base |= {"Id": fallback, "IsDeleted": 0, "CreatedById": self.user_id, "LastModifiedById": self.user_id}
        base |= dict.fromkeys(STAMPS, now)
        if "OwnerId" in item.fields:
            base["OwnerId"] = self.user_id
        for spec in item.fields.values():
            if spec.auto_number:
                base[spec.name] = f"{self.take_numbers(item.name, 1):08d}"
        return base | given


def table_sql(item: SObject) -> str:
    """CREATE TABLE of one object; formulas and compound addresses are generated columns."""
    columns = []
    for spec in item.fields.values():
        kind = "REAL" if spec.type in NUMBER_TYPES else "INTEGER" if spec.type in ("int", "boolean") else "TEXT"
        folded = kind == "TEXT" and not spec.case_sensitive and spec.type not in ("id", "reference", "date", "datetime")
        line = f'"{spec.name}" {kind}' + (" COLLATE NOCASE" if folded else "")
        formula = _address(item, spec.name) if spec.type == "address" else spec.formula
        if spec.name == "Id":
            line += " PRIMARY KEY"
        columns.append(f"{line} GENERATED ALWAYS AS ({formula}) VIRTUAL" if formula else line)
    return f'CREATE TABLE "{item.name}" ({", ".join(columns)})'


def _address(item: SObject, name: str) -> str:
    start = name.removesuffix("Address")
    parts = {part.lower(): f"{start}{part}" for part in ("Street", "City", "State", "Country", "Latitude", "Longitude")}
    parts["postalCode"] = f"{start}PostalCode"
    known = {key: column for key, column in parts.items() if column in item.fields}
    pairs = ", ".join(f"'{key}', \"{column}\"" for key, column in known.items())
    given = " || ".join(f"coalesce(\"{column}\", '')" for column in known.values())
    return f"CASE WHEN {given} = '' THEN NULL ELSE json_object({pairs}, 'geocodeAccuracy', NULL) END"


def _fold(text: Any) -> Any:
    return text.casefold() if isinstance(text, str) else text


def _stored(spec: Field, value: Any) -> Any:
    if value is None:
        return None
    if spec.type == "datetime":
        return values.stamp(values.parse_datetime(value))
    if spec.type in ("id", "reference"):
        return ids.full(value) or value
    return int(value) if isinstance(value, bool) else value


def _compared(spec: Field, text: str) -> Any:
    if spec.type == "boolean":
        return int(text.lower() in ("true", "1"))
    return float(text) if spec.type in (*NUMBER_TYPES, "int") else _stored(spec, text)


def _raw(item: SObject, row: Row) -> Row:
    for name, value in row.items():
        if value is not None and item.fields[name].type == "boolean":
            row[name] = bool(value)
    return row
