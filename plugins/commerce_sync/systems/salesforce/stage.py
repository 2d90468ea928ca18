"""The stage of a load: the changes in sending order, each expression evaluated when a row is written.

A row's ordinal is its place in the change batch itself, or, where lookups ask for an order (jobs of one shape, the
children of one parent together), its place in a sorted copy on local disk. Ordinals are the same in every process
that stages the same batch, so that a resumed load knows which rows a job holds; ``order`` tells one order from
another. Memory is bounded by DuckDB's limit whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb
import fsspec

from commerce_sync.batches import Batch
from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.salesforce.cells import Column, column_of, constant, literal, quoted, text_sql
from commerce_sync.systems.salesforce.ordered import Ordered

Operation = Literal["upsert", "update", "delete"]
SMALL_SHAPE_ROWS = 200
"""A shape with fewer rows is not worth a job of its own and goes through Collections."""
CHUNK_ROWS = 256
"""A row group of a batch is a multiple of it: jobs then end where row groups do."""
MEMORY_LIMIT = "192MB"
FLUSH = "8MB"
THREADS = 1
"""DuckDB's own; the load's threads work beside each other, and every further one needs memory of its own."""
LEAVE = "_leave"
"""Column of a batch that names, per row, the fields that are not sent."""
THERE = "((_target_id IS NOT NULL) <> (n IN (SELECT n FROM turned)))"
"""SQL: whether a row's record is at the target already; ``turned``: rows for which the target said otherwise."""
REDRIVEN = "n IN (SELECT n FROM redrive)"
"""SQL: the rows that go again."""
CSV = "(FORMAT csv, HEADER true, DELIMITER ',', QUOTE '\"', ESCAPE '\"', NULLSTR '')"
PASSING = "(FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE 65536)"


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


@dataclass(frozen=True, slots=True)
class Round:
    """Rows of one operation that are sent together. number: 0 for all rows, then the ones that go again.

    where: SQL over a staged row.
    """

    operation: Operation
    number: int
    where: str


class Stage:
    """The staged rows of one load and the results that came back for them; close it when done.

    View ``staged`` has n, op, bulk, shape, parent, match (external id, or record id), _key, _target_id, r0, r1, ...
    order: a number that is another one when ordinals mean other rows.
    """

    def __init__(self, folder: Path, target: Target, fields: tuple[Field, ...], changes: Batch) -> None:
        self.folder = folder
        self.target = target
        self.con = connect(folder, changes.uri)
        types = self._types(changes)
        self._check(fields, types)
        self._raw = {field.name: f"r{index}" for index, field in enumerate(fields)}
        upserts = [column_of(field, self._raw[field.name], types[field.name]) for field in fields]
        self._beside = ["_key", "_kind", "_target_id"]
        if LEAVE in types:
            self._beside.append(LEAVE)
            upserts = [column.left_if(_left(column.field)) for column in upserts]
        self._parents = [column.cell for column in upserts if column.field.lookup]
        self.con.execute("CREATE TABLE turned (n BIGINT)")
        self.create_only = _create_only(target, fields)
        upserts = [c.left_if(THERE) if c.field.name in self.create_only else c for c in upserts]
        policy = target.on_delete
        updates = self._constants(policy) if isinstance(policy, dict) else []
        self.columns: dict[Operation, list[Column]] = {"upsert": upserts, "update": updates, "delete": []}
        self._rows = Ordered.of(changes)
        self._lookups = [column for column in upserts if column.field.lookup]
        self._all_upserts = not self._any("_kind = 'DELETED'")
        self._slow = self._not_for_bulk()
        if self._lookups:
            self._sort()
        self.con.execute(f"CREATE VIEW staged AS {self.staged()}")
        self._counts, self.order = self._survey()
        self.con.execute(
            "CREATE TABLE results (round INT, op VARCHAR, n BIGINT, ok BOOLEAN, id VARCHAR, created BOOLEAN, "
            "code VARCHAR, reason VARCHAR, fields VARCHAR, processed BOOLEAN)"
        )

    def close(self) -> None:
        """Release DuckDB's memory and files."""
        self.con.close()

    def rows(self, operation: Operation) -> int:
        """Number of rows of an operation that are to be sent."""
        return self._counts.get(operation, 0)

    @property
    def all_rows(self) -> int:
        """Number of rows that are to be sent."""
        return sum(self._counts.values())

    def one(self, query: str) -> Any:
        """The single value a query gives."""
        return self.con.cursor().execute(query).fetchall()[0][0]

    def staged(self, *, first: int = 0, end: int | None = None) -> str:
        """SQL of view ``staged`` for the ordinals in [first, end)."""
        return (
            f"SELECT n, {self._op()} AS op, {self._bulk()} AS bulk, {self._shape()} AS shape, {self._parent()} AS "
            f"parent, {self._match()} AS match, * EXCLUDE (n) FROM ({self._all(first=first, end=end)}) "
            f"WHERE {self._sendable()}"
        )

    def unsent(self) -> str:
        """SQL of the rows that are not sent: n, _key, _kind, _target_id, r0, ..."""
        return f"SELECT * FROM ({self._all()}) WHERE NOT ({self._sendable()})"

    def _sendable(self) -> str:
        """SQL: whether a row is to be sent and has something to match its answer by."""
        return f"{self._match()} IS NOT NULL AND {self._op()} <> 'ignore'"

    def _all(self, *, first: int = 0, end: int | None = None) -> str:
        raw = "".join(f", {quoted(name)} AS {alias}" for name, alias in self._raw.items())
        return self._rows.scan(f"{', '.join(self._beside)}{raw}", first=first, end=end)

    def _op(self) -> str:
        if self._all_upserts:
            return "'upsert'"
        policy = self.target.on_delete
        operation = "update" if isinstance(policy, dict) else policy
        return f"CASE WHEN _kind = 'DELETED' THEN {literal(operation)} ELSE 'upsert' END"

    def _match(self) -> str:
        cell = next(c.cell for c in self.columns["upsert"] if c.field.name == self.target.external_id)
        if self._all_upserts:
            return f"nullif({cell}, '')"
        return f"CASE WHEN _kind = 'DELETED' THEN _target_id ELSE nullif({cell}, '') END"

    def _shape(self) -> str:
        """SQL: which lookups a row clears, as bits."""
        bits = [f"({c.cell} IS NOT DISTINCT FROM '')::INT * {1 << i}" for i, c in enumerate(self._lookups)]
        return self._upserts_only(" + ".join(bits), other="0") if bits else "0"

    def _parent(self) -> str:
        return self._upserts_only(f"nullif({self._parents[0]}, '')") if self._lookups else "NULL::VARCHAR"

    def _bulk(self) -> str:
        return self._upserts_only(f"NOT ({self._slow})", other="true") if self._slow else "true"

    def _upserts_only(self, sql: str, *, other: str = "NULL") -> str:
        return sql if self._all_upserts else f"CASE WHEN _kind = 'DELETED' THEN {other} ELSE {sql} END"

    def _any(self, condition: str) -> bool:
        return bool(self.one(f"SELECT EXISTS (FROM ({self._all()}) WHERE {condition})"))

    def _not_for_bulk(self) -> str:
        """SQL of the upserts that Collections serve better than a job, empty when there are none.

        Texts that Bulk would read as null, and shapes with few rows.
        """
        marks = " OR ".join(sorted({c.mark for c in self.columns["upsert"]} - {"false"}))
        slow = [f"coalesce({marks}, false)"] if marks and self._any(marks) else []
        if self._lookups:
            counts = self.con.execute(
                f"SELECT {self._shape()} AS shape, count(*) FROM ({self._all()}) WHERE _kind <> 'DELETED' GROUP BY 1"
            ).fetchall()
            small = ", ".join(str(shape) for shape, rows in counts if shape and rows < SMALL_SHAPE_ROWS)
            slow += [f"{self._shape()} IN ({small})"] if small else []
        return " OR ".join(slow)

    def _sort(self) -> None:
        """Put a copy in sending order on local disk: by operation, shape, parent, key."""
        path = self.folder / "ordered.parquet"
        columns = ", ".join(f"{alias} AS {quoted(name)}" for name, alias in self._raw.items())
        order = (
            f"{self._op()} AS op, {self._bulk()} AS bulk, {self._shape()} AS shape, {self._parent()} AS parent, "
            f"{self._match()} AS match"
        )
        rows = self.con.execute(
            f"COPY (SELECT {', '.join(self._beside)}, {columns} FROM (SELECT *, {order} FROM ({self._all()})) "
            f"ORDER BY op DESC, bulk DESC, shape, parent NULLS FIRST, match, _key) TO {literal(str(path))} {PASSING}"
        ).fetchall()[0][0]
        self._rows = Ordered(((str(path), rows),))

    def _survey(self) -> tuple[dict[str, int], int]:
        """Rows by operation, and the fingerprint of their order. Raises ConfigurationError for a key held twice."""
        counts, order = {}, 0
        # The outer hash mixes: without it, the marks of all orders would add up to the same.
        for op, rows, different, mark in self.con.execute(
            "SELECT op, count(*), count(DISTINCT hash(match)), bit_xor(hash(hash(match, n))) FROM staged GROUP BY op"
        ).fetchall():
            if different < rows:
                self._refuse_duplicates()
            counts[op] = rows
            order ^= mark
        return counts, order

    def _refuse_duplicates(self) -> None:
        twice = self.con.execute("SELECT op, count(*) FROM staged GROUP BY op, match HAVING count(*) > 1").fetchall()
        if twice:
            raise ConfigurationError(
                f"{len(twice)} external ids occur more than once in the changes for {self.target.object} "
                f"({twice[0][1]} times the first): make the mapping's {self.target.external_id} unique per key"
            )

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

    def _constants(self, policy: dict[str, str]) -> list[Column]:
        return [_constant(self.con, name, sql) for name, sql in policy.items()]

    def groups(
        self, operation: Operation, where: str, *, exact: bool = True, chunk: int = CHUNK_ROWS
    ) -> Iterator[Group]:
        """Yield the groups of an operation in order: large parents one by one, all other rows in chunks.

        A parent with more than ``chunk`` rows is large; a chunk holds smaller ones as a whole.
        """
        cursor = self.con.cursor()
        cursor.execute(
            "SELECT min(first), max(last), sum(rows)::BIGINT, sum(size)::BIGINT, shape, bound FROM ("
            f"SELECT min(n) AS first, max(n) + 1 AS last, count(*) AS rows, sum({self._size(operation, exact=exact)}) "
            f"AS size, shape, parent IS NOT NULL AS bound FROM staged WHERE op = '{operation}' AND {where} "
            f"GROUP BY shape, parent, CASE WHEN parent IS NULL THEN n // {chunk} END"
            f") GROUP BY shape, bound, rows > {chunk}, first // {chunk} ORDER BY 1"
        )
        while rows := cursor.fetchmany(50_000):
            yield from (Group(*row) for row in rows)

    def sizes(self, operation: Operation, *, first: int, end: int, where: str) -> Iterator[tuple[int, int]]:
        """Yield (ordinal, CSV bytes) of single rows."""
        cursor = self.con.cursor()
        cursor.execute(
            f"SELECT n, {self._size(operation)} FROM ({self.staged(first=first, end=end)}) "
            f"WHERE op = '{operation}' AND {where} ORDER BY n"
        )
        while rows := cursor.fetchmany(50_000):
            yield from rows

    def _size(self, operation: Operation, *, exact: bool = True) -> str:
        """SQL of a row's bytes in the CSV, never too few; inexact: as if texts were nothing but quotes."""
        ids = ["22"] if operation != "upsert" else []
        return " + ".join([*ids, *(column.size if exact else column.most for column in self.columns[operation])])

    def write_csv(self, path: Path, operation: Operation, *, first: int, end: int, shape: int, where: str) -> int:
        """Write the rows of an ordinal range as Bulk CSV (LF, UTF-8, header = field names); returns the rows."""
        select = ", ".join(self._csv_columns(operation, shape))
        # A range is read in its order; only a join could disturb it.
        order = " ORDER BY n" if REDRIVEN in where else ""
        result = self.con.cursor().execute(
            f"COPY (SELECT {select} FROM ({self.staged(first=first, end=end)}) WHERE op = '{operation}' AND {where}"
            f"{order}) TO {literal(str(path))} {CSV}"
        )
        return int(result.fetchall()[0][0])

    def _csv_columns(self, operation: Operation, shape: int) -> list[str]:
        ids = [] if operation == "upsert" else ['match AS "Id"']
        cleared = {column.field.name for i, column in enumerate(self._lookups) if shape >> i & 1}
        return ids + [
            f"{c.csv} AS {quoted(c.header(cleared=c.field.name in cleared))}" for c in self.columns[operation]
        ]

    def hold(self, operation: Operation, where: str) -> list[tuple[int, str | None]]:
        """Set the rows that meet ``where`` aside as cells (table ``held``); their (ordinal, parent), by parent."""
        cursor = self.con.cursor()
        cells = "".join(f", {c.cell} AS c{i}" for i, c in enumerate(self.columns[operation]))
        cursor.execute(
            f"CREATE OR REPLACE TABLE held AS SELECT n, parent, match{cells} FROM staged "
            f"WHERE op = '{operation}' AND {where}"
        )
        return cursor.execute("SELECT n, parent FROM held ORDER BY parent NULLS FIRST, n").fetchall()

    def records(self, operation: Operation, ordinals: Sequence[int]) -> list[tuple[str, dict[str, Any]]]:
        """(match, JSON record) of the given rows, which were set aside, in their order."""
        columns = self.columns[operation]
        rows = (
            self.con.cursor()
            .execute(f"SELECT * EXCLUDE (n, parent) FROM held WHERE n IN ({', '.join(map(str, ordinals))}) ORDER BY n")
            .fetchall()
        )
        return [(row[0], _record(operation, columns, row)) for row in rows]


def connect(folder: Path, uri: str) -> duckdb.DuckDBPyConnection:
    """DuckDB over the batch at ``uri``: UTC, bounded memory, spills into a scratch folder."""
    con = duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "threads": THREADS})
    # Without the flush, DuckDB's allocator keeps for 10 s what was freed, beyond the memory limit.
    for name, value in (
        ("TimeZone", "UTC"), ("enable_progress_bar", "false"), ("temp_directory", str(folder / "spill")),
        ("allocator_flush_threshold", FLUSH), ("allocator_bulk_deallocation_flush_threshold", FLUSH),
    ):  # fmt: skip
        con.execute(f"SET {name} = {literal(value)}")
    fs, _ = fsspec.core.url_to_fs(uri)
    if fs.protocol not in ("file", ("file", "local")):
        con.register_filesystem(fs)
    return con


def _left(field: Field) -> str:
    """SQL: whether a row leaves a field alone."""
    return f"coalesce(list_contains({LEAVE}, {literal(field.name)}), false)"


def _create_only(target: Target, fields: tuple[Field, ...]) -> frozenset[str]:
    """Fields that are sent with new records only: some objects let nobody change the parent of a record."""
    names, legal = target.options.get("create_only", ()), [field.name for field in fields]
    if unknown := sorted(set(names) - set(legal) | ({target.external_id} & set(names))):
        raise ConfigurationError(
            f"target option create_only names {unknown[0]!r}; it may name any field of the mapping to {target.object} "
            f"but its external id: {', '.join(legal)}"
        )
    return frozenset(names)


def _constant(con: duckdb.DuckDBPyConnection, name: str, sql: str) -> Column:
    """The column of a SQL literal; null clears."""
    type_text = con.execute(f"SELECT typeof({sql})").fetchall()[0][0]
    text = text_sql("v", "VARCHAR" if type_text == '"NULL"' else type_text)
    cell = con.execute(f"SELECT {text} FROM (SELECT {sql} AS v)").fetchall()[0][0]
    return constant(name, sql, type_text=type_text, cell="" if cell is None else cell)


def _record(operation: Operation, columns: list[Column], row: tuple[Any, ...]) -> dict[str, Any]:
    record: dict[str, Any] = {} if operation == "upsert" else {"Id": row[0]}
    for column, cell in zip(columns, row[1:], strict=True):
        column.put(record, cell)
    return record
