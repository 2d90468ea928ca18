"""Binds the SQL of a mapping to its columns: finds unknown columns, types and functions before anything runs."""

from __future__ import annotations

from collections.abc import Mapping as Lookups
from typing import Any

import duckdb

from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Mapping, Source

Types = dict[str, str]
Lines = Lookups[tuple[str | int, ...], int]
UNSTORABLE = {
    "HUGEINT": "::BIGINT or ::DECIMAL(18,0)",
    "UHUGEINT": "::UBIGINT or ::DECIMAL(18,0)",
    "INTERVAL": "to a number of days or seconds",
    '"NULL"': "::VARCHAR or another type",
}
OWNER = "owner"
"""Column in which an aggregate says whom its figures belong to."""
BEFORE = "before"
"""What an aggregate's SQL calls the figures it gave last time (see ``Mapping.memory``)."""
AS_OF = "as_of"
"""Column that aggregate legs find in their records: the UTC date of the run's start."""


def check(mapping: Mapping, lines: Lines | None = None) -> Types:
    """DuckDB type of every target field. Raises ConfigurationError naming file, line and the candidates.

    lines: key path in the YAML -> line number, as far as known.
    """
    binder = _Binder(_session(), mapping, lines or {})
    for source in mapping.sources:
        binder.create_source(source)
    record = binder.record_types()
    binder.create_record(record)
    return binder.field_types()


def record_types(mapping: Mapping) -> Types:
    """Column name -> DuckDB type of the records that get mapped: source columns, or the aggregate's columns."""
    binder = _Binder(_session(), mapping, {})
    for source in mapping.sources:
        binder.create_source(source)
    return binder.record_types()


def field_types(mapping: Mapping) -> Types:
    """DuckDB type of every target field of a mapping that has been checked before."""
    return check(mapping)


def _session() -> duckdb.DuckDBPyConnection:
    """As a step's session: times are UTC, and the variable ``now`` is the run's time."""
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    con.execute("SET VARIABLE now = TIMESTAMPTZ '2026-01-01 00:00:00+00'")
    return con


class _Binder:
    def __init__(self, con: duckdb.DuckDBPyConnection, mapping: Mapping, lines: Lines) -> None:
        self._con = con
        self._mapping = mapping
        self._lines = lines

    def create_source(self, source: Source) -> None:
        single = not any(key[:2] == ("from", source.name) for key in self._lines)
        at: tuple[str | int, ...] = ("from",) if single else ("from", source.name)
        for name, type_text in source.columns.items():
            self._type(type_text, (*at, "columns", name))
        owner = ", _owner VARCHAR" if self._mapping.aggregate else ""
        self._con.execute(f'CREATE TABLE "{source.name}" ({_columns(source.columns)}{owner})')
        if source.owner is not None:
            self._describe(source.owner, f'"{source.name}"', (*at, "owner"))

    def create_record(self, types: Types) -> None:
        self._con.execute(f"CREATE TABLE record ({_columns(types)})")

    def record_types(self) -> Types:
        if self._mapping.aggregate is None:
            return dict(self._mapping.source.columns)
        self._create_memory()
        rows = self._bind(f"DESCRIBE {self._mapping.aggregate}", ("aggregate",))
        found = {row[0]: row[1] for row in rows}
        self._check_memory(found)
        if OWNER not in found:
            fault = f"has to give a column named {OWNER!r}; it gives: {', '.join(found)}"
            raise self._fault(fault, ("aggregate",))
        return found | {AS_OF: "DATE"}

    def _create_memory(self) -> None:
        for name, type_text in self._mapping.memory.items():
            self._type(type_text, ("memory", name))
        self._con.execute(f"CREATE TABLE {BEFORE} ({_columns({OWNER: 'VARCHAR', **self._mapping.memory})})")

    def _check_memory(self, found: Types) -> None:
        for name, type_text in self._mapping.memory.items():
            wanted = str(duckdb.sqltype(type_text))
            if found.get(name) != wanted:
                fault = f"is {wanted}, the aggregate gives {found.get(name, 'no such column')}"
                raise self._fault(f"{fault}; its columns: {', '.join(found)}", ("memory", name))

    def field_types(self) -> Types:
        self._describe(self._mapping.key, "record", ("key",))
        if self._mapping.where is not None:
            self._describe(f"({self._mapping.where})::BOOLEAN", "record", ("where",))
        types = self._target_types()
        self._con.execute(f"CREATE TABLE changes ({_columns(types)})")
        if self._mapping.approval is not None and self._mapping.approval.rows is not None:
            marked = "(SELECT *, ''::VARCHAR AS _key, ''::VARCHAR AS _kind FROM changes)"
            self._describe(f"({self._mapping.approval.rows})::BOOLEAN", marked, ("approval", "rows"))
        for index, rule in enumerate(self._mapping.checks.rows):
            self._describe(f"({rule.sql})::BOOLEAN", "changes", ("checks", "rows", index))
        return types

    def _target_types(self) -> Types:
        """Fields may use the fields above them by name."""
        types: Types = {}
        above = ""
        for item in self._mapping.fields:
            row = self._bind(
                f'DESCRIBE SELECT {above}({item.value}) AS "{item.name}" FROM record', ("fields", item.name)
            )
            types[item.name] = self._storable(str(row[-1][1]), item.name)
            above += f'({item.value}) AS "{item.name}", '
        return types

    def _storable(self, type_text: str, name: str) -> str:
        if type_text in UNSTORABLE:
            at = ("fields", name)
            raise self._fault(f"gives {type_text}, which a batch cannot keep; cast it: {UNSTORABLE[type_text]}", at)
        return type_text

    def _describe(self, expression: str, relation: str, at: tuple[str | int, ...]) -> str:
        return str(self._bind(f"DESCRIBE SELECT {expression} AS value FROM {relation}", at)[0][1])

    def _type(self, text: str, at: tuple[str | int, ...]) -> None:
        try:
            duckdb.sqltype(text)
        except (duckdb.Error, RuntimeError) as error:
            raise self._fault(f"{text!r} is not a DuckDB type: {_first_line(error)}", at) from error

    def _bind(self, statement: str, at: tuple[str | int, ...]) -> list[Any]:
        try:
            return self._con.execute(statement).fetchall()
        except duckdb.Error as error:
            raise self._fault(_first_line(error), at) from error

    def _fault(self, text: str, at: tuple[str | int, ...]) -> ConfigurationError:
        line = next((self._lines[at[:end]] for end in range(len(at), 0, -1) if at[:end] in self._lines), None)
        where = f"{self._mapping.path}:{line}" if line else self._mapping.path
        return ConfigurationError(f"{where}: {'.'.join(str(item) for item in at)}: {text}")


def _columns(types: Types) -> str:
    return ", ".join(f'"{name}" {type_text}' for name, type_text in types.items())


def _first_line(error: Exception) -> str:
    """DuckDB's complaint without the picture of the statement; candidates stay."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(line for line in lines if not line.startswith(("LINE ", "^")))
