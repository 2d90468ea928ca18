"""Values of Salesforce's answers as Arrow columns of declared DuckDB types, the same from JSON as from Bulk CSV.

JSON gives numbers, booleans, text and null; CSV gives text and null. Numbers of JSON come as ``int`` or, exactly
as they were written, as ``Decimal`` (see ``decode``), never as float.
Source: REST API Developer Guide, Valid Date and DateTime Formats; Bulk API 2.0, Query Results.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import time
from decimal import Decimal
from functools import partial
from typing import Any

import pyarrow as pa

from commerce_sync.errors import ConfigurationError

Values = list[Any]

_INTEGERS = {
    "tinyint": pa.int8(), "smallint": pa.int16(), "integer": pa.int32(), "bigint": pa.int64(),
    "utinyint": pa.uint8(), "usmallint": pa.uint16(), "uinteger": pa.uint32(), "ubigint": pa.uint64(),
}  # fmt: skip
_FLOATS = {"float": pa.float32(), "double": pa.float64()}
_MOMENTS = {
    "timestamp": pa.timestamp("us"), "timestamp_ms": pa.timestamp("ms"), "timestamp_ns": pa.timestamp("ns"),
    "timestamp_s": pa.timestamp("s"), "timestamp with time zone": pa.timestamp("us", tz="UTC"),
}  # fmt: skip
_DATE_LENGTH = len("2026-01-31")
LEGAL = sorted(
    [*_INTEGERS, *_FLOATS, *_MOMENTS, "boolean", "date", "decimal(p,s)", "time", "varchar", "varchar[]", "struct(...)"]
)


@dataclass(frozen=True, slots=True)
class Scalar:
    """How the values of one column become an Arrow array. ``path``: the column's name, for messages."""

    path: str
    kind: str
    arrow: pa.DataType
    convert: Callable[[Values], pa.Array]

    def array(self, values: Values) -> pa.Array:
        """The column. Raises ConfigurationError naming it for a value outside its type."""
        try:
            return self.convert(values)
        except (pa.ArrowException, ArithmeticError, ValueError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"column {self.path!r} cannot hold a value as {self.kind.upper()}: {error}; change its type in columns"
            ) from error


def scalar(parsed: Any, *, path: str) -> Scalar:
    """The scalar for a type parsed by ``duckdb.sqltype``. Raises ConfigurationError naming the legal types."""
    arrow, convert = _plain(parsed)
    if convert is None:
        raise ConfigurationError(f"column {path!r} has type {parsed}; legal types are: {', '.join(LEGAL)}")
    return Scalar(path, str(parsed).lower(), arrow, convert)


def _plain(parsed: Any) -> tuple[pa.DataType, Callable[[Values], pa.Array] | None]:
    kind = parsed.id
    if kind in _INTEGERS:
        return _INTEGERS[kind], partial(_integers, _INTEGERS[kind])
    if kind in _FLOATS:
        return _FLOATS[kind], partial(_floats, _FLOATS[kind])
    if kind in _MOMENTS:
        return _MOMENTS[kind], partial(_moments, _MOMENTS[kind])
    if kind == "decimal":
        sizes = dict(parsed.children)
        arrow = pa.decimal128(sizes["precision"], sizes["scale"])
        return arrow, partial(_decimals, arrow)
    if kind == "list" and parsed.children[0][1].id == "varchar":
        return pa.list_(pa.string()), _choices
    others = {"varchar": (pa.string(), _texts), "boolean": (pa.bool_(), _booleans), "date": (pa.date32(), _dates),
              "time": (pa.time64("us"), _times)}  # fmt: skip
    return others.get(kind, (pa.null(), None))


def _texts(values: Values) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        raise ValueError("it is a compound value; read its parts, such as BillingCity, or declare a STRUCT")
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _choices(values: Values) -> pa.Array:
    """Multi-select picklists, which travel as ``a;b``."""
    return pa.array([None if value is None else value.split(";") for value in values], pa.list_(pa.string()))


def _booleans(values: Values) -> pa.Array:
    return pa.array([None if value is None else _boolean(value) for value in values], pa.bool_())


def _boolean(value: Any) -> bool:
    said = str(value).lower()
    if said not in ("true", "false"):
        raise ValueError(f"{value!r} is neither true nor false")
    return said == "true"


def _integers(arrow: pa.DataType, values: Values) -> pa.Array:
    return pa.array([value if value is None or type(value) is int else _whole(value) for value in values], arrow)


def _whole(value: Any) -> int:
    # Salesforce writes numbers without decimals as 5.0 all the same.
    exact = _number(value)
    if exact != exact.to_integral_value():
        raise ValueError(f"{value} is not whole")
    return int(exact)


def _number(value: Any) -> Decimal:
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is no number")
    try:
        return Decimal(value)
    except decimal.InvalidOperation as error:
        raise ValueError(f"{value!r} is no number") from error


def _floats(arrow: pa.DataType, values: Values) -> pa.Array:
    return pa.array([None if value is None else float(_number(value)) for value in values], arrow)


def _decimals(arrow: pa.Decimal128Type, values: Values) -> pa.Array:
    step = Decimal(1).scaleb(-arrow.scale)
    with decimal.localcontext() as context:
        context.prec = 76
        context.rounding = decimal.ROUND_HALF_UP
        return pa.array([None if value is None else _number(value).quantize(step) for value in values], arrow)


def _moments(arrow: pa.DataType, values: Values) -> pa.Array:
    zoned = _instants(values)
    if arrow.tz:
        return zoned.cast(arrow)
    # Coarser types cut off the rest, as DuckDB's casts do.
    return zoned.cast(pa.timestamp("us")).cast(arrow, safe=False)


def _instants(values: Values) -> pa.Array:
    whole = [value + "T00:00:00Z" if value is not None and len(value) == _DATE_LENGTH else value for value in values]
    return pa.array(whole, pa.string()).cast(pa.timestamp("us", tz="UTC"))


def _dates(values: Values) -> pa.Array:
    return pa.array([value and value[:_DATE_LENGTH] for value in values], pa.string()).cast(pa.date32())


def _times(values: Values) -> pa.Array:
    """``10:30:00.000Z``: times of day have no zone."""
    return pa.array([value and time.fromisoformat(value.removesuffix("Z")) for value in values], pa.time64("us"))
