"""One encoding of values for both protocols: the text of a cell, and what its absence means.

A staged cell is one of three: text (set it), the empty text (clear the field), NULL (leave the field). Bulk
CSV writes them as the text, ``#N/A`` and nothing; JSON as a value, ``null`` and omission. Salesforce keeps no
empty strings, so an empty source text clears. Source: Bulk API 2.0 Developer Guide, Valid Date Format in
Records and Prepare CSV Files; REST API Developer Guide, upsert and relationship fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Field

NULL_MARK = "#N/A"
POLYMORPHIC = frozenset({"WhoId", "WhatId"})
"""Lookups to several objects; a reference by external id has to name the object."""

Kind = Literal["text", "raw"]


@dataclass(frozen=True, slots=True)
class Column:
    """One field as it travels. ``staged`` is its column in the stage; ``kind`` "raw" goes unquoted into JSON."""

    field: Field
    staged: str
    kind: Kind

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


def kind_of(type_text: str) -> Kind:
    """How a DuckDB type goes into JSON."""
    numbers = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "DECIMAL", "DOUBLE", "FLOAT", "BOOLEAN")
    return "raw" if type_text.removeprefix("U").startswith(numbers) else "text"


def text_sql(name: str, type_text: str) -> str:
    """SQL for the text of a value of a DuckDB type, NULL for null and for what is not a number.

    Booleans ``true``/``false``, dates ISO, timestamps ISO in UTC with milliseconds and Z, decimals plain, lists
    joined with ``;`` (multi-select picklists), line ends LF. Raises ConfigurationError for nested types.
    """
    column = quoted(name)
    if type_text.endswith("[]") and "(" not in type_text:
        return f"array_to_string({column}, ';')"
    if type_text.startswith(("STRUCT", "MAP", "UNION")) or type_text.endswith("[]"):
        raise ConfigurationError(
            f"field {name!r} is a {type_text}; Salesforce fields hold text, numbers, dates, booleans or lists of text"
        )
    if type_text.startswith("TIMESTAMP"):
        at_utc = f"{column} AT TIME ZONE 'UTC'" if type_text.endswith("TIME ZONE") else f"{column}::TIMESTAMP"
        return f"strftime({at_utc}, '%Y-%m-%dT%H:%M:%S.%g') || 'Z'"
    if type_text == "TIME":
        return f"strftime(DATE '2000-01-01' + {column}, '%H:%M:%S.%g') || 'Z'"
    if type_text in ("DOUBLE", "FLOAT"):
        return _plain_double(column)
    if type_text == "BLOB":
        return f"base64({column})"
    if type_text == "VARCHAR":
        return f"replace(replace({column}, chr(13) || chr(10), chr(10)), chr(13), chr(10))"
    return f"{column}::VARCHAR"


def staged_sql(field: Field, type_text: str) -> str:
    """SQL of the staged cell: text, '' to clear, NULL to leave."""
    text = text_sql(field.name, type_text)
    absent = "''" if field.on_null == "clear" else "NULL"
    return f"coalesce({text}, {absent})"


def csv_sql(staged: str) -> str:
    """SQL of the CSV cell of a staged cell."""
    return f"CASE WHEN {staged} = '' THEN '{NULL_MARK}' ELSE {staged} END"


def quoted(name: str) -> str:
    """A SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def _plain_double(column: str) -> str:
    digits = f"rtrim(rtrim(format('{{:.15f}}', {column}), '0'), '.')"
    plain = f"CASE WHEN {column}::VARCHAR LIKE '%e%' THEN {digits} ELSE {column}::VARCHAR END"
    return f"CASE WHEN isfinite({column}) THEN {plain} END"
