"""Rows that plain expectations surely accept, told apart in SQL: Great Expectations then looks at the others only.

A proof may only be wrong in one way: it may fail to prove a good row, which is then judged like any other. So it is
made for expectations, arguments and types whose meaning pandas and DuckDB share, and for no others.
"""

from __future__ import annotations

import math
import re
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import duckdb

from commerce_sync.gate_rows import Rows, literal, quoted
from commerce_sync.mapping import Check

NOT_NULL = "ExpectColumnValuesToNotBeNull"
TEXTS, REALS = frozenset(("VARCHAR",)), frozenset(("DOUBLE", "DECIMAL"))
INTEGERS = frozenset(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"))
MOMENTS = frozenset(("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"))
CALENDAR = "TIMESTAMP '0001-01-01' AND TIMESTAMP '9999-12-31'"
"""What Python's dates can tell; others have pandas give up."""
EXACT = 2**53
"""Up to here a double holds every integer."""
PRINTABLE = "[ -~]*"
"""Over these characters RE2 and Python's ``re`` agree on classes, word boundaries, ``.``, ``$`` and case."""
STRANGE = ("[:", "{,")
"""What RE2 and Python's ``re`` take for different things without a word: POSIX classes, repeats without a lower end."""
BOUNDS = frozenset(("min_value", "max_value", "strict_min", "strict_max"))


@dataclass(frozen=True, slots=True)
class _Column:
    """A column as the frames have it: its SQL, its DuckDB type without the size, and the session to ask."""

    con: duckdb.DuckDBPyConnection
    sql: str
    kind: str


@dataclass(frozen=True, slots=True)
class Proof:
    """SQL conditions, never null.   accepted: Great Expectations would accept the row.   missing: it would not judge
    the row for want of a value.
    """

    column: str
    accepted: str
    missing: str

    @property
    def decided(self) -> str:
        """SQL: whether the row needs no judge."""
        return f"({self.accepted} OR {self.missing})"


def proof(check: Check, rows: Rows) -> Proof | None:
    """How to tell accepted rows in SQL, None for what only Great Expectations knows.

    Raises ConfigurationError for a column the rows do not have.
    """
    known, given = _WAYS.get(check.expect), check.arguments
    if known is None or not set(given) <= {"column", "mostly"} | known[0] or not isinstance(given.get("column"), str):
        return None
    sql, kind = rows.typed(given["column"])
    column = _Column(rows.con, sql, kind.partition("(")[0])
    if column.kind not in TEXTS | REALS | INTEGERS | MOMENTS or kind.endswith("]"):
        return None
    condition = known[1](column, given)
    if condition is None:
        return None
    missing = f"({sql} IS NULL OR isnan({sql}))" if column.kind in REALS else f"({sql} IS NULL)"
    sane = {**dict.fromkeys(REALS, f"isfinite({sql}) AND "), **dict.fromkeys(MOMENTS, f"{sql} BETWEEN {CALENDAR} AND ")}
    judged = check.expect != NOT_NULL
    return Proof(
        given["column"], f"coalesce({sane.get(column.kind, '')}{condition}, false)", missing if judged else "false"
    )


@contextmanager
def undecided(rows: Rows, proofs: Sequence[Proof]) -> Iterator[tuple[Rows, int, list[int]]]:
    """The rows that some proof does not decide; how many the others are, and how many of them each proof misses.

    They are kept in a table, since telling them apart is most of the work.
    """
    table = f"gate_doubtful_{uuid.uuid4().hex}"
    tops = (proof.column if proof.column in rows.types else proof.column.partition(".")[0] for proof in proofs)
    names = dict.fromkeys((*(("_key",) if rows.has_key else ()), *tops))
    decided = " AND ".join(proof.decided for proof in proofs)
    try:
        rows.con.execute(
            f"CREATE TABLE {table} AS SELECT {', '.join(map(quoted, names))} FROM {rows.relation} WHERE NOT ({decided})"
        )
        every, doubtful = _counts(rows, rows.relation, proofs), _counts(rows, table, proofs)
        proven, *missing = (of_all - of_some for of_all, of_some in zip(every, doubtful, strict=True))
        yield replace(rows, relation=table, rows=doubtful[0]), proven, missing
    finally:
        rows.con.execute(f"DROP TABLE IF EXISTS {table}")


def _counts(rows: Rows, relation: str, proofs: Sequence[Proof]) -> tuple[int, ...]:
    missing = ", ".join(f"count(*) FILTER ({proof.missing})" for proof in proofs)
    found: tuple[int, ...] = rows.con.execute(f"SELECT count(*), {missing} FROM {relation}").fetchall()[0]
    return found


def _present(column: _Column, given: dict[str, Any]) -> str | None:
    return f"{column.sql} IS NOT NULL"


def _between(column: _Column, given: dict[str, Any]) -> str | None:
    return _within(column.sql, column.kind, given)


def _lengths(column: _Column, given: dict[str, Any]) -> str | None:
    return _within(f"length({column.sql})", "BIGINT", given) if column.kind in TEXTS else None


def _within(sql: str, kind: str, given: dict[str, Any]) -> str | None:
    parts = []
    for end, sign in (("min", ">"), ("max", "<")):
        value, strict = given.get(f"{end}_value"), given.get(f"strict_{end}", False)
        bound = _bound(value, kind)
        if not isinstance(strict, bool) or (value is not None and bound is None):
            return None
        if bound:
            parts.append(f"{sql} {sign}{'' if strict else '='} {bound}")
    return " AND ".join(parts) or None


def _bound(value: Any, kind: str) -> str | None:
    """SQL of an end, None for one that may mean something else to pandas than to DuckDB."""
    if kind in MOMENTS:
        if not isinstance(value, date) or (isinstance(value, datetime) and value.tzinfo):
            return None
        plain = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
        return f"TIMESTAMP '{plain.isoformat(sep=' ')}'"
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= EXACT
    if kind in INTEGERS:
        return str(value) if whole else None
    fraction = isinstance(value, float) and math.isfinite(value)
    return f"{float(value)!r}::DOUBLE" if kind in REALS and (whole or fraction) else None


def _in_set(column: _Column, given: dict[str, Any]) -> str | None:
    values = given.get("value_set")
    if not isinstance(values, list | tuple) or not values:
        return None
    listed = [_member(value, column.kind) for value in values]
    return f"{column.sql} IN ({', '.join(map(str, listed))})" if all(listed) else None


def _member(value: Any, kind: str) -> str | None:
    if kind in TEXTS:
        return literal(value) if isinstance(value, str) and "\0" not in value else None
    return _bound(value, kind) if kind in INTEGERS else None


def _not_in_set(column: _Column, given: dict[str, Any]) -> str | None:
    inside = _in_set(column, given)
    return f"NOT ({inside})" if inside else None


def _matches(column: _Column, given: dict[str, Any]) -> str | None:
    found = _found(column, given)
    return f"{found} AND {_is_printable(column)}" if found else None


def _matches_not(column: _Column, given: dict[str, Any]) -> str | None:
    found = _found(column, given)
    return f"NOT {found} AND {_is_printable(column)}" if found else None


def _found(column: _Column, given: dict[str, Any]) -> str | None:
    pattern = given.get("regex")
    if column.kind not in TEXTS or not isinstance(pattern, str) or not _is_common(column.con, pattern):
        return None
    return f"regexp_matches({column.sql}, {literal(pattern)})"


def _is_printable(column: _Column) -> str:
    return f"regexp_full_match({column.sql}, {literal(PRINTABLE)})"


def _is_common(con: duckdb.DuckDBPyConnection, pattern: str) -> bool:
    """Whether a pattern means the same to RE2 and to Python's ``re``, over printable ASCII."""
    if not pattern.isascii() or not pattern.isprintable() or any(mark in pattern for mark in STRANGE):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what Python means to change is not common either
            re.compile(pattern)
        con.execute("SELECT regexp_matches('', ?)", [pattern])
    except (re.error, Warning, duckdb.InvalidInputException):
        return False
    return True


_Way = Callable[[_Column, dict[str, Any]], str | None]
_WAYS: dict[str, tuple[frozenset[str], _Way]] = {
    NOT_NULL: (frozenset(), _present),
    "ExpectColumnValuesToBeBetween": (BOUNDS, _between),
    "ExpectColumnValueLengthsToBeBetween": (BOUNDS, _lengths),
    "ExpectColumnValuesToBeInSet": (frozenset(("value_set",)), _in_set),
    "ExpectColumnValuesToNotBeInSet": (frozenset(("value_set",)), _not_in_set),
    "ExpectColumnValuesToMatchRegex": (frozenset(("regex",)), _matches),
    "ExpectColumnValuesToNotMatchRegex": (frozenset(("regex",)), _matches_not),
}
"""Expectation -> the arguments it may have beside ``column`` and ``mostly``, and the SQL of its condition."""
