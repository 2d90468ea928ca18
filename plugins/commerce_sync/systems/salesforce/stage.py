"""The stage of a load: the changes in sending order, encoded once, in a DuckDB file on local disk.

Rows are ordered by operation, shape (which lookups are cleared), parent, key; their ordinals are the same in
every process that stages the same batch, so that a resumed load knows which rows a job holds. Memory is
bounded by DuckDB's limit whatever the number of rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb
import fsspec

from commerce_sync.batches import Batch
from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.salesforce.cells import (
    NULL_MARK,
    Column,
    csv_sql,
    kind_of,
    literal,
    quoted,
    staged_sql,
    text_sql,
)

Operation = Literal["upsert", "update", "delete"]
SMALL_SHAPE_ROWS = 200
"""A shape with fewer rows is not worth a job of its own and goes through Collections."""
CHUNK_ROWS = 200
MEMORY_LIMIT = "512MB"
THREADS = min(4, os.cpu_count() or 1)
"""Each thread of a sort needs its share of the memory limit."""


@dataclass(frozen=True, slots=True)
class Group:
    """Neighbouring rows that belong into one job: ordinals [first, end), CSV bytes, and their shape.

    ``bound``: the rows share a parent and must not be written by two jobs at a time.
    """

    first: int
    end: int
    rows: int
    size_bytes: int
    shape: int
    bound: bool


class Stage:
    """The staged rows of one load and the results that came back for them; close it when done."""

    def __init__(self, folder: Path, target: Target, fields: tuple[Field, ...], changes: Batch) -> None:
        self.folder = folder
        self.target = target
        self.con = connect(folder, changes.uri)
        self.columns: dict[Operation, list[Column]] = {"upsert": [], "update": [], "delete": []}
        types = self._types(changes)
        self._check(fields, types)
        self._stage_upserts(fields, types, changes)
        self._stage_deletes(changes)
        self._number()
        self._refuse_duplicates()

    def close(self) -> None:
        """Release the DuckDB file."""
        self.con.close()

    def rows(self, operation: Operation) -> int:
        """Number of rows of an operation that are to be sent."""
        return int(self.one(f"SELECT count(*) FROM staged WHERE op = '{operation}'"))

    def one(self, query: str) -> Any:
        """The single value a query gives."""
        return self.con.execute(query).fetchall()[0][0]

    def _types(self, changes: Batch) -> dict[str, str]:
        rows = self.con.execute(f"DESCRIBE SELECT * FROM {changes.scan()}").fetchall()
        return {row[0]: row[1] for row in rows}

    def _check(self, fields: tuple[Field, ...], types: dict[str, str]) -> None:
        names = [field.name for field in fields]
        if self.target.external_id not in names:
            raise ConfigurationError(
                f"the mapping to {self.target.object} has no field {self.target.external_id!r}, its external id; "
                f"it has: {', '.join(names)}"
            )
        if missing := [name for name in names if name not in types]:
            raise ConfigurationError(f"the change batch lacks column {missing[0]!r}; it has: {', '.join(types)}")

    def _stage_upserts(self, fields: tuple[Field, ...], types: dict[str, str], changes: Batch) -> None:
        columns = [
            Column(field=field, staged=f"c{index}", kind=kind_of(types[field.name]))
            for index, field in enumerate(fields)
        ]
        self.columns["upsert"] = columns
        cells = ", ".join(f"{staged_sql(c.field, types[c.field.name])} AS {c.staged}" for c in columns)
        key = next(c.staged for c in columns if c.field.name == self.target.external_id)
        lookups = [c for c in columns if c.field.lookup]
        shape = " + ".join(f"({c.staged} IS NOT DISTINCT FROM '')::INT * {1 << i}" for i, c in enumerate(lookups))
        parent = f"nullif({lookups[0].staged}, '')" if lookups else "NULL"
        marks = " OR ".join(f"{c.staged} IS NOT DISTINCT FROM '{NULL_MARK}'" for c in columns)
        size = " + ".join(_cell_bytes(c.staged) for c in columns)
        self.con.execute(
            f"CREATE VIEW upserts AS SELECT *, nullif({key}, '') AS match, {parent} AS parent, "
            f"{shape or '0'} AS shape, {marks} AS marked, {size} AS bytes "
            f"FROM (SELECT _key, _target_id, {cells} FROM {changes.scan()} WHERE _kind <> 'DELETED')"
        )

    def _stage_deletes(self, changes: Batch) -> None:
        """Stage DELETED rows by the leg's policy: nothing to send, deletes by id, or updates by id."""
        policy = self.target.on_delete
        operation = {"ignore": "ignore", "delete": "delete"}.get(str(policy), "update")
        cells = ""
        if isinstance(policy, dict):
            self.columns["update"] = self._constants(policy)
            cells = "".join(f", {_constant(self.con, sql)} AS d{i}" for i, sql in enumerate(policy.values()))
        self.con.execute(
            f"CREATE TABLE deletes AS SELECT _key, _target_id, '{operation}' AS op{cells} "
            f"FROM {changes.scan()} WHERE _kind = 'DELETED'"
        )

    def _constants(self, policy: dict[str, str]) -> list[Column]:
        columns = []
        for index, (name, sql) in enumerate(policy.items()):
            kind = kind_of(self.one(f"SELECT typeof({sql})"))
            columns.append(Column(field=Field(name=name, value=sql), staged=f"d{index}", kind=kind))
        return columns

    def _number(self) -> None:
        """Merge both into ``staged`` with ordinals in sending order, evaluating every expression once."""
        size = " + ".join(["22", *(_cell_bytes(column.staged) for column in self.columns["update"])])
        self.con.execute(
            "CREATE TABLE staged AS SELECT row_number() OVER () - 1 AS n, * FROM ("
            f"SELECT 'upsert' AS op, NOT (marked OR {self._small_shapes()}) AS bulk, * FROM upserts "
            "WHERE match IS NOT NULL UNION ALL BY NAME "
            f"SELECT op, true AS bulk, _key, _target_id, _target_id AS match, 0 AS shape, {size} AS bytes, "
            "* EXCLUDE (op, _key, _target_id) FROM deletes WHERE op <> 'ignore' AND _target_id IS NOT NULL "
            "ORDER BY op DESC, bulk DESC, shape, parent NULLS FIRST, match)"
        )
        self.con.execute(
            "CREATE TABLE results (round INT, op VARCHAR, match VARCHAR, ok BOOLEAN, id VARCHAR, created BOOLEAN, "
            "code VARCHAR, reason VARCHAR, fields VARCHAR, processed BOOLEAN)"
        )

    def _small_shapes(self) -> str:
        """SQL: whether a row's shape has so few rows that Collections serve them better than a job."""
        counts = self.con.execute("SELECT shape, count(*) FROM upserts WHERE shape <> 0 GROUP BY shape").fetchall()
        small = ", ".join(str(shape) for shape, rows in counts if rows < SMALL_SHAPE_ROWS)
        return f"shape IN ({small})" if small else "false"

    def _refuse_duplicates(self) -> None:
        twice = self.con.execute("SELECT op, count(*) FROM staged GROUP BY op, match HAVING count(*) > 1").fetchall()
        if twice:
            raise ConfigurationError(
                f"{len(twice)} external ids occur more than once in the changes for {self.target.object} "
                f"({twice[0][1]} times the first): make the mapping's {self.target.external_id} unique per key"
            )

    def groups(self, operation: Operation, where: str) -> Iterator[Group]:
        """Yield the groups of an operation in order; rows without a parent come in chunks."""
        cursor = self.con.cursor()
        cursor.execute(
            f"SELECT min(n), max(n) + 1, count(*), sum(bytes), shape, parent IS NOT NULL FROM staged "
            f"WHERE op = '{operation}' AND {where} "
            f"GROUP BY shape, parent, CASE WHEN parent IS NULL THEN n // {CHUNK_ROWS} END ORDER BY 1"
        )
        while rows := cursor.fetchmany(50_000):
            yield from (Group(*row) for row in rows)

    def sizes(self, first: int, end: int, where: str) -> Iterator[tuple[int, int]]:
        """Yield (ordinal, CSV bytes) of single rows."""
        cursor = self.con.cursor()
        cursor.execute(f"SELECT n, bytes FROM staged WHERE n >= {first} AND n < {end} AND {where} ORDER BY n")
        while rows := cursor.fetchmany(50_000):
            yield from rows

    def write_csv(self, path: Path, operation: Operation, *, first: int, end: int, shape: int, where: str) -> int:
        """Write the rows of an ordinal range as Bulk CSV (LF, UTF-8, header = field names); returns the rows."""
        select = ", ".join(self._csv_columns(operation, shape))
        result = self.con.cursor().execute(
            f"COPY (SELECT {select} FROM staged WHERE n >= {first} AND n < {end} AND op = '{operation}' AND {where} "
            f"ORDER BY n) TO {literal(str(path))} (FORMAT csv, HEADER true, DELIMITER ',', QUOTE '\"', ESCAPE '\"', "
            "NULLSTR '')"
        )
        return int(result.fetchall()[0][0])

    def _csv_columns(self, operation: Operation, shape: int) -> list[str]:
        columns = self.columns[operation]
        ids = [] if operation == "upsert" else ['match AS "Id"']
        lookups = [c.staged for c in columns if c.field.lookup]
        cleared = {name for i, name in enumerate(lookups) if shape >> i & 1}
        return ids + [f"{csv_sql(c.staged)} AS {quoted(c.header(cleared=c.staged in cleared))}" for c in columns]

    def records(self, operation: Operation, ordinals: Sequence[int]) -> list[tuple[str, dict[str, Any]]]:
        """(match, JSON record) of the given rows, in their order."""
        columns = self.columns[operation]
        cells = "".join(f", {c.staged}" for c in columns)
        rows = (
            self.con.cursor()
            .execute(f"SELECT match{cells} FROM staged WHERE n IN ({', '.join(map(str, ordinals))}) ORDER BY n")
            .fetchall()
        )
        return [(row[0], _record(operation, columns, row)) for row in rows]


def connect(folder: Path, uri: str) -> duckdb.DuckDBPyConnection:
    """A DuckDB file in a scratch folder that can read the batch at ``uri``; UTC, bounded memory, spills there."""
    con = duckdb.connect(str(folder / "stage.duckdb"), config={"memory_limit": MEMORY_LIMIT, "threads": THREADS})
    con.execute("SET TimeZone = 'UTC'")
    con.execute(f"SET temp_directory = {literal(str(folder / 'spill'))}")
    fs, _ = fsspec.core.url_to_fs(uri)
    if fs.protocol not in ("file", ("file", "local")):
        con.register_filesystem(fs)
    return con


def _cell_bytes(staged: str) -> str:
    """An upper bound of a cell's bytes in the CSV: quotes around it, inner quotes doubled, a separator."""
    return f"coalesce(greatest(strlen(replace({staged}, '\"', '\"\"')), 4), 0) + 3"


def _constant(con: duckdb.DuckDBPyConnection, sql: str) -> str:
    """The staged cell of a SQL literal; null clears."""
    type_text = con.execute(f"SELECT typeof({sql})").fetchall()[0][0]
    text = text_sql("v", "VARCHAR" if type_text == '"NULL"' else type_text)
    row = con.execute(f"SELECT {text} FROM (SELECT {sql} AS v)").fetchall()[0]
    return literal("" if row[0] is None else row[0])


def _record(operation: Operation, columns: list[Column], row: tuple[Any, ...]) -> dict[str, Any]:
    record: dict[str, Any] = {} if operation == "upsert" else {"Id": row[0]}
    for column, cell in zip(columns, row[1:], strict=True):
        column.put(record, cell)
    return record


__all__ = ["Group", "Operation", "Stage", "connect", "text_sql"]
