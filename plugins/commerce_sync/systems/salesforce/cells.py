"""One encoding of values for both protocols: the text of a cell, and what its absence means.

A cell is one of three: text (set it), the empty text (clear the field), NULL (leave the field). Bulk
CSV writes them as the text, ``#N/A`` and nothing; JSON as a value, ``null`` and omission. A batch may name fields to
leave per row, in its column ``_leave``. Salesforce keeps no empty strings, so an empty source text clears.
Source: Bulk API 2.0 Developer Guide, Valid Date Format in Records and Prepare CSV Files; REST API Developer Guide,
upsert and relationship fields.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Field

NULL_MARK = "#N/A"
POLYMORPHIC = frozenset({"WhoId", "WhatId"})
"""Lookups to several objects; a reference by external id has to name the object."""

Kind = Literal["text", "raw"]


NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "DECIMAL", "DOUBLE", "FLOAT", "BOOLEAN")
NEVER_EMPTY = (*NUMBERS, "DATE", "TIME", "UUID")
BARE = ("VARCHAR", "DOUBLE", "FLOAT")
"""What is measured as it is; other types as their text."""
LONGEST = {"BOOLEAN": 5, "TINYINT": 4, "SMALLINT": 6, "INTEGER": 11, "BIGINT": 20, "DATE": 17, "TIMESTAMP": 30}
LONGEST_OTHER = 41
"""Bytes a value takes at most; doubles beyond +-1e15 take more."""


@dataclass(frozen=True, slots=True)
class Column:
    """One field as it travels; ``kind`` "raw" goes unquoted into JSON. The rest is SQL over a row of the stage:

    cell: the cell.   csv: its form in the CSV.   size: its bytes there, separator included, never too few.
    most: the same, quickly told and up to twice as much.
    mark: whether the cell is a text that Bulk would read as null.
    """

    field: Field
    kind: Kind = "text"
    cell: str = "NULL"
    csv: str = "NULL"
    size: str = "0"
    most: str = "0"
    mark: str = "false"

    @property
    def relation(self) -> str:
        """``Account`` for ``AccountId`` (or ``Account``), ``Plan__r`` for ``Plan__c``."""
        name = self.field.name
        if name.endswith("__c"):
            return name[:-1] + "r"
        return name[:-2] if name.endswith("Id") and name != "Id" else name

    @property
    def id_name(self) -> str:
        """The field that holds the parent's record id: where a lookup is cleared."""
        name = self.field.name
        return name if name.endswith(("__c", "Id")) else name + "Id"

    def header(self, *, cleared: bool) -> str:
        """The CSV header; ``cleared``: the job empties this lookup in all of its rows."""
        lookup = self.field.lookup
        if lookup is None:
            return self.field.name
        if cleared:
            return self.id_name
        path = f"{self.relation}.{lookup.external_id}"
        return f"{lookup.object}:{path}" if self.id_name in POLYMORPHIC else path

    def left_if(self, condition: str) -> Column:
        """The same column, its field left alone in rows that meet a SQL condition."""

        def unless(sql: str) -> str:
            return f"CASE WHEN NOT ({condition}) THEN {sql} END"

        mark = self.mark if self.mark == "false" else f"(NOT ({condition}) AND {self.mark})"
        return replace(self, cell=unless(self.cell), csv=unless(self.csv), mark=mark)

    def put(self, record: dict[str, Any], cell: str | None) -> None:
        """Set, clear or leave this field in a JSON record."""
        if cell is None:
            return
        lookup = self.field.lookup
        if cell == "":
            record[self.id_name if lookup else self.field.name] = None
        elif lookup is None:
            record[self.field.name] = msgspec.Raw(cell.encode()) if self.kind == "raw" else cell
        else:
            parent: dict[str, Any] = {lookup.external_id: cell}
            if self.id_name in POLYMORPHIC:
                parent["attributes"] = {"type": lookup.object}
            record[self.relation] = parent


def column_of(field: Field, source: str, type_text: str) -> Column:
    """How a field whose values are in column ``source`` of a DuckDB type travels."""
    text, clears = text_sql(source, type_text, name=field.name), field.on_null == "clear"
    never_empty = type_text.removeprefix("U").startswith(NEVER_EMPTY) and not type_text.endswith("]")
    if never_empty:
        csv = f"coalesce({text}, '{NULL_MARK}')" if clears else text
    elif clears:
        csv = f"coalesce(nullif({text}, ''), '{NULL_MARK}')"
    else:
        csv = f"CASE WHEN {text} = '' THEN '{NULL_MARK}' ELSE {text} END"
    # On a bare column the Parquet statistics answer what they can without reading it.
    measured = quoted(source) if type_text in BARE else text
    size = _plain_bytes(measured, type_text) if never_empty else _text_bytes(measured)
    return Column(
        field=field,
        kind=kind_of(type_text),
        cell=f"coalesce({text}, '')" if clears else text,
        csv=csv,
        size=size,
        most=size if never_empty else f"2 * coalesce(strlen({measured}), 0) + {len(NULL_MARK) + 3}",
        mark="false" if never_empty else f"{measured} = '{NULL_MARK}'",
    )


def constant(name: str, sql: str, *, type_text: str, cell: str) -> Column:
    """A field that gets one value, a SQL literal, in every row."""
    kind, text = kind_of(type_text), literal(cell)
    csv = literal(cell or NULL_MARK)
    size = str(2 * len(cell.encode()) + len(NULL_MARK) + 3)
    return Column(field=Field(name=name, value=sql), kind=kind, cell=text, csv=csv, size=size, most=size)


def kind_of(type_text: str) -> Kind:
    """How a DuckDB type goes into JSON."""
    return "raw" if type_text.removeprefix("U").startswith(NUMBERS) and not type_text.endswith("]") else "text"


def text_sql(source: str, type_text: str, *, name: str | None = None) -> str:
    """SQL for the text of column ``source`` of a DuckDB type, NULL for null and for what is not a number.

    Booleans ``true``/``false``, dates ISO, timestamps ISO in UTC with milliseconds and Z, decimals plain, lists
    joined with ``;`` (multi-select picklists), line ends LF. Raises ConfigurationError for nested types.
    """
    column = quoted(source)
    if type_text.endswith("[]") and "(" not in type_text:
        return f"array_to_string({column}, ';')"
    if type_text.startswith(("STRUCT", "MAP", "UNION")) or type_text.endswith("[]"):
        raise ConfigurationError(
            f"field {name or source!r} is a {type_text}; Salesforce fields hold text, numbers, dates, booleans or "
            "lists of text"
        )
    if type_text.startswith("TIMESTAMP"):
        at_utc = f"{column} AT TIME ZONE 'UTC'" if type_text.endswith("TIME ZONE") else f"{column}::TIMESTAMP"
        return f"strftime({at_utc}, '%Y-%m-%dT%H:%M:%S.%gZ')"
    if type_text == "TIME":
        return f"strftime(DATE '2000-01-01' + {column}, '%H:%M:%S.%g') || 'Z'"
    if type_text in ("DOUBLE", "FLOAT"):
        return _plain_double(column)
    if type_text == "BLOB":
        return f"base64({column})"
    if type_text == "VARCHAR":
        # Most texts have none to replace, and looking is cheaper than replacing.
        unified = f"replace(replace({column}, chr(13) || chr(10), chr(10)), chr(13), chr(10))"
        return f"CASE WHEN contains({column}, chr(13)) THEN {unified} ELSE {column} END"
    return f"{column}::VARCHAR"


def quoted(name: str) -> str:
    """A SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def _plain_double(column: str) -> str:
    """Digits without an exponent; DuckDB writes the usual magnitudes that way by itself."""
    usual = f"abs({column}) < 1e15 AND (abs({column}) >= 1e-3 OR {column} = 0)"
    digits = f"rtrim(rtrim(format('{{:.15f}}', {column}), '0'), '.')"
    plain = f"CASE WHEN {column}::VARCHAR LIKE '%e%' THEN {digits} ELSE {column}::VARCHAR END"
    return f"CASE WHEN {usual} THEN {column}::VARCHAR WHEN isfinite({column}) THEN {plain} END"


def _plain_bytes(value: str, type_text: str) -> str:
    longest = next((size for name, size in LONGEST.items() if type_text.removeprefix("U").startswith(name)), None)
    more = f" + coalesce((abs({value}) >= 1e15)::INT, 0) * 300" if type_text in BARE else ""
    return f"{longest or LONGEST_OTHER} + 1{more}"


def _text_bytes(text: str) -> str:
    """With quotes around it and inner quotes doubled."""
    doubled = f"CASE WHEN contains({text}, '\"') THEN strlen(replace({text}, '\"', '\"\"')) ELSE strlen({text}) END"
    return f"coalesce(greatest({doubled}, {len(NULL_MARK)}), {len(NULL_MARK)}) + 3"
