"""Primitive values between JSON and the store.

Source: fact sheet sections 2.4 (JSON value encoding) and 2.5 (dates in bodies, Long as string).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

_DATE = re.compile(r"/Date\((-?\d+)([+-]\d+)?\)/$")
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?(Z|[+-]\d\d:?\d\d)?$")
_INT32 = 2**31
_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999
_INT64 = 2**63


def epoch_ms(value: Any) -> int:
    """A date as ``/Date(ms)/``, ISO text (UTC without a zone) or milliseconds."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is not a date")
    if isinstance(value, int | float):
        return _in_calendar(value)
    if found := _DATE.match(value):
        return _in_calendar(int(found[1]))
    if not _ISO.match(value):
        raise ValueError(f"{value!r} is not a date; expected /Date(milliseconds)/ or ISO 8601")
    moment = datetime.fromisoformat(value)
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)


def _in_calendar(ms: int | float) -> int:
    """Milliseconds that Edm.DateTime can express: the years 1 to 9999."""
    if not _FIRST_MS <= ms <= _LAST_MS:
        raise ValueError(f"{ms} milliseconds is outside the years 1 to 9999")
    return int(ms)


def iso(value: int | None) -> str | None:
    """Epoch milliseconds as ISO 8601 text in UTC."""
    if value is None:
        return None
    moment = datetime.fromtimestamp(value / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a string")
    return value


def _boolean(value: Any) -> int:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is not a Boolean")
    return int(value)


def _integer(value: Any, *, limit: int, text: bool) -> int:
    if isinstance(value, str) and text:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is not an integer")
    if not -limit <= value < limit:
        raise ValueError(f"{value} is out of range")
    return value


def _double(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a finite number")
    return number


def _decimal(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is not a decimal")
    try:
        return str(Decimal(str(value)))
    except InvalidOperation as error:
        raise ValueError(f"{value!r} is not a decimal") from error


_READERS: dict[str, Callable[[Any], Any]] = {
    "S": _text,
    "L": _text,
    "B": _boolean,
    "I": lambda value: _integer(value, limit=_INT32, text=False),
    "Lg": lambda value: _integer(value, limit=_INT64, text=True),
    "D": _double,
    "BD": _decimal,
    "T": epoch_ms,
}


def stored(kind: str, value: Any) -> Any:
    """The stored form of one primitive; raises ValueError saying what is wrong."""
    return None if value is None else _READERS[kind](value)


def from_text(kind: str, text: str) -> Any:
    """The stored form of a primitive written as text (ImpEx, key segments)."""
    if kind == "B":
        return int(text.strip().lower() == "true")
    if kind in ("I", "Lg"):
        return _integer(int(text), limit=_INT32 if kind == "I" else _INT64, text=False)
    if kind == "T" and text.lstrip("-").isdigit():
        return _in_calendar(int(text))
    return stored(kind, text)


def java_double(value: float) -> str:
    """A double as Java prints it: plain from 0.001 to 10 million, else with E."""
    size = abs(value)
    if value == 0 or 1e-3 <= size < 1e7:
        return repr(value)
    digits = Decimal(repr(value))
    exponent = digits.adjusted()
    return f"{float(digits.scaleb(-exponent))!r}E{exponent}"
