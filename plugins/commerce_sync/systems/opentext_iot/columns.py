"""A source's columns as SQL over what the platform gave: plain values, and STRUCTs out of JSON, typed value by value.

A value that does not fit its declared type is null and the record's ``problem`` says so; it does not stop the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from commerce_sync.errors import ConfigurationError

if TYPE_CHECKING:
    from duckdb.sqltypes import DuckDBPyType


def projection(columns: Mapping[str, str], *, given: Mapping[str, str], nested: Mapping[str, str], what: str) -> str:
    """SQL select list for the declared columns.

    given: legal column -> SQL.   nested: legal column of JSON objects -> SQL of the JSON text.
    Raises ConfigurationError naming the legal columns, or the type that cannot be read.
    """
    legal = ", ".join([*given, *nested])
    parts = []
    for name, type_text in columns.items():
        if name not in given and name not in nested:
            raise ConfigurationError(f"{what} have no column {name!r}; there are: {legal}")
        type_ = parsed(type_text, what=f"column {name!r} of {what}")
        if name == "problem":
            sql = _problem(columns, given, nested, what=what)
        else:
            sql = typed(nested[name], type_) if name in nested else plain(given[name], type_text)
        parts.append(f"{sql} AS {_quoted(name)}")
    return ", ".join(parts)


def parsed(type_text: str, *, what: str) -> DuckDBPyType:
    """A type as DuckDB reads it. Raises ConfigurationError for one it does not know."""
    import duckdb

    try:
        return duckdb.sqltype(type_text)
    except duckdb.Error as error:
        raise ConfigurationError(f"{what} has type {type_text!r}, which is none: {error}") from error


def plain(sql: str, type_text: str) -> str:
    """A value cast to its declared type."""
    return f"CAST({sql} AS {type_text})"


def typed(json: str, type_: DuckDBPyType) -> str:
    """A JSON value as a value of that type; what does not fit is null."""
    if type_.id == "struct":
        fields = ", ".join(
            f"{_quoted(name)} := {typed(_member(json, name), child)}" for name, child in _children(type_)
        )
        return f"CASE WHEN json_type({json}) = 'OBJECT' THEN struct_pack({fields}) END"
    if type_.id in ("list", "array", "map", "union"):
        return f"TRY_CAST(({json})::JSON AS {type_})"
    if str(type_) == "JSON":
        return f"({json})::JSON"
    text = f"json_extract_string({json}, '$')"
    if type_.id == "timestamp":
        return f"(TRY_CAST({text} AS TIMESTAMPTZ) AT TIME ZONE 'UTC')"
    return text if type_.id == "varchar" else f"TRY_CAST({text} AS {type_})"


def _children(type_: DuckDBPyType) -> list[tuple[str, DuckDBPyType]]:
    """Fields of a STRUCT with their types."""
    return type_.children  # type: ignore[return-value]  # of an ENUM it would be something else


def _member(json: str, name: str) -> str:
    path = name.replace('"', '\\"').replace("'", "''")
    return f"json_extract({json}, '$.\"{path}\"')"


def _problem(columns: Mapping[str, str], given: Mapping[str, str], nested: Mapping[str, str], *, what: str) -> str:
    """What the record itself says, else the first value that does not fit its declared type."""
    found = [given.get("problem", "NULL")]
    for name, type_text in columns.items():
        if name in nested:
            type_ = parsed(type_text, what=what)
            found += _misfits(nested[name], type_, place=name)
    return f"coalesce({', '.join(found)}, NULL)"


def _misfits(json: str, type_: DuckDBPyType, *, place: str) -> list[str]:
    if type_.id != "struct":
        shown = place.replace("'", "''")
        return [
            f"CASE WHEN json_type({json}) <> 'NULL' AND ({typed(json, type_)}) IS NULL "
            f"THEN '{shown} does not fit {type_}' END"
        ]
    return [
        text
        for name, child in _children(type_)
        for text in _misfits(_member(json, name), child, place=f"{place}.{name}")
    ]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
