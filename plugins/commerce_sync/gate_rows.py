"""The rows a gate looks at: frames in bounded chunks, and the failing rows, kept in DuckDB where they can spill.

Frames hold what pandas can compare: integers as nullable ``Int64``, decimals as float64, dates and timestamps as
naive UTC ``datetime64``, text as ``str``.
"""

from __future__ import annotations

import difflib
import math
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb

from commerce_sync.batches import Batch
from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.mapping import RowRule

if TYPE_CHECKING:
    import pandas as pd

INTERNAL = ("_key", "_kind", "_fingerprint", "_target_id")
MASK = "***"
EXAMPLES = 5
VALUE_LENGTH = 80
REASON_LENGTH = 2000
_LITERAL = re.compile(r"'(?:[^']|'')*'")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_PASSING = (duckdb.IOException, duckdb.OutOfMemoryException, OSError, MemoryError)


@dataclass(frozen=True, slots=True)
class Rows:
    """One batch as the gate sees it.

    relation: SQL of its rows, without deletes.   types: column -> DuckDB type.   hidden: columns whose values are
    never shown.   hides_all: no value is ever shown (what is personal in the source is not known by field name).
    """

    con: duckdb.DuckDBPyConnection
    title: str
    relation: str
    rows: int
    types: dict[str, str] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    hides_all: bool = False

    @property
    def has_key(self) -> bool:
        """Whether failing rows can be named."""
        return "_key" in self.types

    def hides(self, column: str) -> bool:
        """Whether values of the column are masked; ``email`` and ``Email`` are the same column in SQL."""
        return self.hides_all or column.casefold() in self.hidden

    def payload(self) -> list[str]:
        """The columns a mapping or a system gave the batch, without our own."""
        return [name for name in self.types if name not in INTERNAL]

    def expression(self, column: str, *, exact: bool = False) -> str:
        """SQL of a column for a frame; ``unit.uid`` reads inside a struct. Raises ConfigurationError for no column."""
        return f"{self.typed(column, exact=exact)[0]} AS {quoted(column)}"

    def typed(self, column: str, *, exact: bool = False) -> tuple[str, str]:
        """SQL of a column as frames have it, and its DuckDB type in the batch."""
        sql = quoted(column)
        kind = self.types.get(column)
        if kind is None:
            sql = ".".join(quoted(step) for step in column.split("."))
            kind = self._nested(column, sql)
        return _comparable(sql, kind, exact=exact), kind

    def _nested(self, column: str, sql: str) -> str:
        if column.partition(".")[0] in self.types:
            try:
                return str(self.con.execute(f"DESCRIBE SELECT {sql} FROM {self.relation}").fetchall()[0][1])
            except duckdb.BinderException:
                pass
        close = difflib.get_close_matches(column, self.payload(), n=3)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise ConfigurationError(
            f"column {column!r} is not in the {self.title}; {hint}it has: {', '.join(self.payload())}"
        )

    def schema(self) -> pd.DataFrame:
        """The payload columns without a row."""
        select = ", ".join(self.expression(name) for name in self.payload())
        return _frame(self.con.sql(f"SELECT {select} FROM {self.relation} LIMIT 0").to_arrow_table())

    def frame(self, columns: Iterable[str], *, ordered: bool = False) -> pd.DataFrame:
        """All rows of a few columns; ordered by key for checks that compare neighbours (a batch has no order)."""
        order = " ORDER BY _key" if ordered and self.has_key else ""
        return _frame(self.con.sql(self._select(columns) + order).to_arrow_table())

    def chunks(self, columns: Iterable[str], *, size: int) -> Iterator[pd.DataFrame]:
        """Rows in frames of ``size``, each row once; a second cursor reads, so the session stays free for writing."""
        cursor = self.con.cursor()
        try:
            for part in cursor.sql(self._select(columns)).to_arrow_reader(size):
                yield _frame(part)
        finally:
            cursor.close()

    def groups(self, columns: tuple[str, ...], *, beside: Iterable[str], size: int) -> Iterator[pd.DataFrame]:
        """Rows in frames of about ``size`` such that rows with equal values are in the same frame."""
        number = max(1, math.ceil(self.rows / size))
        group = f"hash({', '.join(_path(self, column) for column in columns)})"
        if len(columns) == 1 and self.has_key:  # nulls equal nothing here: spread them
            group = f"CASE WHEN {_path(self, columns[0])} IS NULL THEN hash(_key) ELSE {group} END"
        select = self._select((*columns, *beside), exact=True)
        for index in range(number):
            yield _frame(self.con.sql(f"{select} WHERE {group} % {number} = {index}").to_arrow_table())

    def _select(self, columns: Iterable[str], *, exact: bool = False) -> str:
        wanted = dict.fromkeys((*(("_key",) if self.has_key else ()), *columns))
        return f"SELECT {', '.join(self.expression(name, exact=exact) for name in wanted)} FROM {self.relation}"

    def mentioned(self, text: str) -> tuple[str, ...]:
        """Columns a condition speaks of, in the batch's order."""
        words = {word.casefold() for word in re.findall(r"\w+", _LITERAL.sub("", text))}
        return tuple(name for name in self.types if name.casefold() in words)

    def cause(self, text: str, *, columns: Iterable[str]) -> str:
        """An error's text on one line; quoted parts, which may be values, are masked where values are hidden."""
        line = " ".join(text.split())[:500]
        return _QUOTED.sub(f"'{MASK}'", line) if any(self.hides(name) for name in columns) else line


def open_rows(
    con: duckdb.DuckDBPyConnection,
    batch: Batch | None,
    *,
    title: str,
    rows: int,
    hidden: frozenset[str],
    hides_all: bool = False,
    where: str = "true",
) -> Rows:
    """A batch as the gate sees it; a batch without parts, or none at all, has no columns."""
    masked = frozenset(name.casefold() for name in hidden)
    if batch is None or not batch.parts:
        return Rows(con, title, "(SELECT 1 WHERE false)", rows, hidden=masked, hides_all=hides_all)
    scan = batch.scan()
    types = {row[0]: row[1] for row in con.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()}
    relation = f"(SELECT * FROM {scan} WHERE {where})"
    return Rows(con, title, relation, rows, types=types, hidden=masked, hides_all=hides_all)


class Failures:
    """The failing rows of all checks of a gate: key, place of the check, the values found."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con
        self._table = f"gate_failures_{uuid.uuid4().hex}"
        con.execute(f"CREATE TEMP TABLE {self._table} (_key VARCHAR, place INTEGER, found VARCHAR)")

    def drop(self) -> None:
        """Forget everything."""
        self.con.execute(f"DROP TABLE IF EXISTS {self._table}")

    def add(self, place: int, rows: Rows, failing: pd.DataFrame, *, columns: tuple[str, ...]) -> None:
        """Remember the rows of a frame that failed one check."""
        import pyarrow as pa

        keys = failing["_key"].tolist() if rows.has_key else [None] * len(failing)
        values = {name: [_shown(rows, name, item) for item in failing[name]] for name in columns}
        found = [", ".join(line) for line in zip(*values.values(), strict=True)] if values else [""] * len(keys)
        table = pa.table({"k": pa.array(keys, pa.string()), "f": pa.array(found, pa.string())})
        view = f"{self._table}_new"
        self.con.register(view, table)
        self.con.execute(f"INSERT INTO {self._table} SELECT k, {place}, f FROM {view}")
        self.con.unregister(view)

    def add_rules(self, rows: Rows, rules: Mapping[int, RowRule]) -> None:
        """Remember the rows for which a rule is false or null; one pass for all rules, at any size."""
        conditions = {place: _holds(rule) for place, rule in rules.items()}
        cases = ", ".join(
            f"CASE WHEN NOT {conditions[place]} THEN {{'place': {place}, 'found': {_found(rows, rule)}}} END"
            for place, rule in rules.items()
        )
        every = " AND ".join(conditions.values())
        failing = f"SELECT _key, unnest([{cases}]) AS failure FROM {rows.relation} WHERE NOT ({every})"
        statement = f"SELECT _key, failure.place, failure.found FROM ({failing}) WHERE failure IS NOT NULL"
        try:
            self.con.execute(f"INSERT INTO {self._table} {statement}")
        except duckdb.Error as error:
            raise _rule_fault(rows, rules, error) from None  # the cause may quote a value

    def tally(self) -> dict[int, tuple[int, tuple[str, ...]]]:
        """Per place: how many rows failed, and at most five different values found."""
        found = self.con.execute(
            f"SELECT place, sum(n)::BIGINT, min(found, {EXAMPLES}) "
            f"FROM (SELECT place, found, count(*) AS n FROM {self._table} GROUP BY ALL) GROUP BY place"
        ).fetchall()
        return {place: (count, tuple(item for item in items or () if item)) for place, count, items in found}

    def quarantine(self, changes: Batch, *, labels: Mapping[int, tuple[str, str]]) -> str:
        """SQL of the rows to set aside: ``_key, expectation, reason``, one row per key, only keys among the changes.

        labels: place -> (name, text before the values), for the checks whose failing rows are set aside.
        """
        nothing = "SELECT NULL::VARCHAR AS _key, NULL::VARCHAR AS expectation, NULL::VARCHAR AS reason WHERE false"
        if not labels or not changes.parts:
            return nothing
        listed = ", ".join(f"({place}, {literal(name)}, {literal(text)})" for place, (name, text) in labels.items())
        return (
            "SELECT _key, string_agg(name, '; ' ORDER BY place) AS expectation, "
            f"left(string_agg(label || found, '; ' ORDER BY place), {REASON_LENGTH}) AS reason FROM ("
            f"SELECT _key, place, name, label, min(found) AS found FROM {self._table} "
            f"JOIN (VALUES {listed}) AS named(place, name, label) USING (place) GROUP BY ALL) "
            f"WHERE _key IN (SELECT _key FROM {changes.scan()}) GROUP BY _key"
        )


def with_nan(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with ``NaN`` for missing integers: comparing two columns, pandas' ``NA`` has no truth value."""
    import pandas as pd

    missing = [str(name) for name in frame if isinstance(frame[name].dtype, pd.Int64Dtype | pd.UInt64Dtype)]
    plain = {name: frame[name].astype(object).where(frame[name].notna(), float("nan")) for name in missing}
    return frame.assign(**plain) if plain else frame


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """An SQL string."""
    return "'" + text.replace("'", "''") + "'"


def _path(rows: Rows, column: str) -> str:
    return quoted(column) if column in rows.types else ".".join(quoted(step) for step in column.split("."))


def _comparable(sql: str, kind: str, *, exact: bool) -> str:
    if kind.startswith(("DECIMAL", "HUGEINT", "UHUGEINT")) and not kind.endswith("]") and not exact:
        return f"CAST({sql} AS DOUBLE)"
    if kind == "DATE":
        return f"CAST({sql} AS TIMESTAMP)"
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"({sql} AT TIME ZONE 'UTC')"
    return f"CAST({sql} AS VARCHAR)" if kind.startswith("ENUM") else sql


def _frame(part: Any) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    names = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")
    nullable = {getattr(pa, name)(): pd.Int64Dtype() for name in names} | {pa.uint64(): pd.UInt64Dtype()}
    frame: pd.DataFrame = part.to_pandas(types_mapper=nullable.get)
    return frame


def _shown(rows: Rows, column: str, value: Any) -> str:
    if rows.hides(column):
        return f"{column}={MASK}"
    import pandas as pd

    text = "null" if pd.api.types.is_scalar(value) and pd.isna(value) else str(value)
    return f"{column}={text[:VALUE_LENGTH]}"


def _holds(rule: RowRule) -> str:
    return f"coalesce((\n{rule.sql}\n)::BOOLEAN, false)"


def _found(rows: Rows, rule: RowRule) -> str:
    shown = [
        literal(f"{name}={MASK}")
        if rows.hides(name)
        else f"concat({literal(name + '=')}, coalesce(left({quoted(name)}::VARCHAR, {VALUE_LENGTH}), 'null'))"
        for name in rows.mentioned(rule.sql)
    ]
    return f"concat_ws(', ', {', '.join(shown)})" if shown else "''"


def _rule_fault(rows: Rows, rules: Mapping[int, RowRule], error: duckdb.Error) -> Exception:
    """Which rule it was, found by running each alone."""
    if isinstance(error, _PASSING):
        return RetryableError(f"row rules could not be counted: {error}")
    for rule in rules.values():
        try:
            rows.con.execute(f"SELECT count(*) FROM {rows.relation} WHERE {_holds(rule)}").fetchall()
        except duckdb.Error as own:
            cause = rows.cause(str(own), columns=rows.mentioned(rule.sql))
            return ConfigurationError(
                f"row rule {rule.name!r} ({rule.sql}) cannot be evaluated: {cause}; correct its sql"
            )
    return ConfigurationError(f"row rules cannot be evaluated together: {rows.cause(str(error), columns=rows.types)}")
