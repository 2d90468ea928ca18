"""Primitive values: what the JSON may hold for each DuckDB type, and how a column of it becomes an Arrow
array.

Int64, Double and Decimal arrive as strings or as numbers, DateTime as ``/Date(ms)/`` or ``/Date(ms+zzzz)/``
(the offset is for display only, OData 2.0 JSON format section 4: the milliseconds are UTC already).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

import pyarrow as pa

from commerce_sync.errors import ConfigurationError

_DATE = re.compile(r"/Date\((-?\d+)(?:[+-]\d+)?\)/")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INTEGERS = {
    "tinyint": pa.int8(), "smallint": pa.int16(), "integer": pa.int32(), "bigint": pa.int64(),
    "utinyint": pa.uint8(), "usmallint": pa.uint16(), "uinteger": pa.uint32(), "ubigint": pa.uint64(),
}  # fmt: skip
_PLAIN: dict[str, tuple[pa.DataType, Any]] = {
    **{name: (arrow, int | None) for name, arrow in _INTEGERS.items()},
    "float": (pa.float32(), float | None),
    "double": (pa.float64(), float | None),
    "boolean": (pa.bool_(), bool | None),
    "varchar": (pa.string(), str | None),
}
_DATES = {
    "timestamp": pa.timestamp("us"),
    "timestamp_ms": pa.timestamp("ms"),
    "timestamp_ns": pa.timestamp("ns"),
    "timestamp_s": pa.timestamp("s"),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
}
LEGAL = sorted([*_PLAIN, *_DATES, "decimal(p,s)", "struct(...)", "list"])


@dataclass(frozen=True, slots=True)
class Scalar:
    """decoded: the type msgspec builds; convert: values -> array, None when Arrow takes them as they are."""

    path: str
    arrow: pa.DataType
    decoded: Any
    convert: Callable[[list[Any]], pa.Array] | None = None

    def array(self, values: list[Any]) -> pa.Array:
        """The column. Raises ConfigurationError naming the column for a value outside its type."""
        try:
            if self.convert:
                return self.convert(values)
            return pa.array(values, self.arrow)
        except (pa.ArrowException, OverflowError, ValueError, InvalidOperation) as error:
            raise ConfigurationError(f"column {self.path!r} cannot hold a value as {self.arrow}: {error}; "
                                     "change its type in columns") from error  # fmt: skip


def scalar(parsed: Any, *, path: str) -> Scalar:
    """The scalar for a parsed DuckDB type. Raises ConfigurationError naming the legal types."""
    if parsed.id in _PLAIN:
        return Scalar(path, *_PLAIN[parsed.id])
    if parsed.id in _DATES:
        return Scalar(path, _DATES[parsed.id], str | None, _dates(_DATES[parsed.id]))
    if parsed.id == "decimal":
        sizes = dict(parsed.children)
        arrow = pa.decimal128(sizes["precision"], sizes["scale"])
        return Scalar(path, arrow, Decimal | None, _decimals(arrow))
    raise ConfigurationError(f"column {path!r} has type {parsed}; legal types are: {', '.join(LEGAL)}")


def _dates(arrow: pa.DataType) -> Callable[[list[Any]], pa.Array]:
    def convert(values: list[Any]) -> pa.Array:
        milliseconds = pa.array(_milliseconds(values), pa.int64()).cast(pa.timestamp("ms"))
        if pa.types.is_timestamp(arrow) and arrow.tz:
            return milliseconds.cast(pa.timestamp("us")).cast(arrow)
        # Coarser types cut off the rest, as DuckDB's casts do.
        return milliseconds.cast(arrow, safe=False)

    return convert


def _milliseconds(values: list[Any]) -> list[int | None]:
    try:
        return [None if text is None else int(text[6:-2]) for text in values]
    except ValueError:
        return [None if text is None else date_ms(text) for text in values]


def date_ms(text: str) -> int:
    """Milliseconds since 1970 of ``/Date(ms)/``, ``/Date(ms+zzzz)/`` or ISO 8601 (UTC without a zone)."""
    found = _DATE.fullmatch(text)
    if found:
        return int(found[1])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no date; legal: /Date(ms)/, /Date(ms+zzzz)/, ISO 8601") from error
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(milliseconds=1)


def _decimals(arrow: pa.Decimal128Type) -> Callable[[list[Any]], pa.Array]:
    step = Decimal(1).scaleb(-arrow.scale)

    def convert(values: list[Any]) -> pa.Array:
        # Prices are Doubles in SAP: 0.30000000000000004 is meant as 0.30, so round as DuckDB's cast does.
        rounded = [None if value is None else value.quantize(step, ROUND_HALF_UP) for value in values]
        return pa.array(rounded, arrow)

    return convert
