"""iconik's JSON as typed columns: nested values into the DuckDB types a source declares.

Lists and single values meet halfway (metadata comes as lists): a list of one fills a scalar column, a value fills a
list column. Texts become numbers, dates and times; a value that does not fit is an error that names column and asset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from commerce_sync.errors import ConfigurationError
from commerce_sync.systems.iconik.client import Row

Convert = Callable[[Any], Any]


def schema(columns: dict[str, str]) -> pa.Schema:
    """Arrow schema of DuckDB type texts."""
    return _schema(tuple(columns.items()))


@cache
def _schema(columns: tuple[tuple[str, str], ...]) -> pa.Schema:
    nulls = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in columns)
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        empty: pa.Table = con.sql(f"SELECT {nulls} WHERE false").to_arrow_table()
    return empty.schema


def members(found: pa.Schema, column: str) -> dict[str, pa.DataType]:
    """Names and types inside a STRUCT or STRUCT[] column; empty for any other and for one that is not there."""
    if column not in found.names:
        return {}
    kind = found.field(column).type
    kind = kind.value_type if pa.types.is_list(kind) else kind
    return {item.name: item.type for item in kind} if pa.types.is_struct(kind) else {}


def table(rows: Sequence[Row], columns: dict[str, str]) -> pa.Table:
    """Rows as a table. Raises ConfigurationError for a value that does not fit its column."""
    found = schema(columns)
    arrays = [pa.array(_converted(rows, item), type=item.type) for item in found]
    return pa.Table.from_arrays(arrays, schema=found)


def _converted(rows: Iterable[Row], item: pa.Field) -> list[Any]:
    convert, name = converter(item.type), item.name
    values = []
    for row in rows:
        try:
            values.append(convert(row.get(name)))
        except (ValueError, TypeError, InvalidOperation) as error:
            raise ConfigurationError(
                f"column {name!r} of {row.get('id')} does not fit {item.type}: {error}; correct its type in the source"
            ) from error
    return values


def converter(kind: pa.DataType) -> Convert:
    """A function that makes a JSON value fit an Arrow type. It raises ValueError, TypeError or InvalidOperation."""
    if pa.types.is_struct(kind):
        return _struct(kind)
    if pa.types.is_list(kind):
        return _listed(converter(kind.value_type))
    return _single(_scalar(kind))


def _struct(kind: pa.StructType) -> Convert:
    inner = [(item.name, converter(item.type)) for item in kind]

    def convert(value: Any) -> Row | None:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise TypeError(f"{str(value)[:60]!r} has no members")
        return {name: one(value.get(name)) for name, one in inner}

    return convert


def _listed(inner: Convert) -> Convert:
    def convert(value: Any) -> list[Any] | None:
        if value is None:
            return None
        return [inner(one) for one in (value if isinstance(value, list) else [value])]

    return convert


def _single(inner: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if isinstance(value, list):
            if len(value) > 1:
                raise ValueError(f"there are {len(value)} values; declare it as a list (VARCHAR[])")
            value = value[0] if value else None
        return None if value is None else inner(value)

    return convert


def _scalar(kind: pa.DataType) -> Convert:
    if pa.types.is_timestamp(kind):
        return _moment_aware if kind.tz else lambda value: _moment(value).replace(tzinfo=None)
    if pa.types.is_date(kind):
        return lambda value: date.fromisoformat(str(value)[:10])
    if pa.types.is_boolean(kind):
        return _boolean
    if pa.types.is_integer(kind):
        return _integer
    if pa.types.is_floating(kind):
        return float
    if pa.types.is_decimal(kind):
        return lambda value: Decimal(str(value)).quantize(Decimal(1).scaleb(-kind.scale))
    return _text


def _moment(value: Any) -> datetime:
    """A moment in UTC; iconik leaves the offset out in some places and means UTC."""
    at = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


_moment_aware: Convert = _moment


def moment(value: Any) -> datetime:
    """A moment as iconik writes it."""
    return _moment(value)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    known = {"true": True, "false": False}.get(str(value).lower())
    if known is None:
        raise ValueError(f"{value!r} is neither true nor false")
    return known


def _integer(value: Any) -> int:
    number = Decimal(str(value))
    if number != number.to_integral_value():
        raise ValueError(f"{value!r} is not a whole number")
    return int(number)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return msgspec.json.encode(value).decode() if isinstance(value, dict) else str(value)
