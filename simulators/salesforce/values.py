"""Reads what clients send into what is stored, a column at a time, with the platform's row errors.

Stored forms: text as text, numbers as float rounded to the field's scale, booleans as 0 or 1, dates as
``YYYY-MM-DD``, datetimes as ``YYYY-MM-DDTHH:MM:SS.mmm+0000``, ids with 18 characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from itertools import repeat
from typing import Any, Final

from simulators.salesforce import ids
from simulators.salesforce.errors import RowError
from simulators.salesforce.schema import NUMBER_TYPES, TEXT_TYPES, Field

EMAIL = re.compile(r"^[^@\s,;<>()\"]+@[^@\s.]+(\.[^@\s.]+)+$")
DATE = re.compile(r"^(\d{4}-\d\d-\d\d)(T.*)?$")
NULL_MARK = "#N/A"
LARGEST_INT = 2**31 - 1


class _Absent:
    """The mark of "not sent": the stored value stays, or a create takes the default."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
Errors = dict[int, RowError]
Reader = Callable[[Field, Any], Any]


class Refused(Exception):
    """One value that its field does not take."""

    def __init__(self, code: str, message: str, field: Field) -> None:
        super().__init__(message)
        self.error = RowError(code, message, (field.name,))


def from_csv(field: Field, cells: list[str]) -> tuple[list[Any], Errors]:
    """Typed values of one CSV column: an empty cell is absent, ``#N/A`` is null."""
    reader, plain = READERS.get(field.type, _text), field.type in PLAIN_TEXT
    if plain and (not cells or max(map(len, cells)) <= field.length) and not field.restricted:
        if "" not in cells and NULL_MARK not in cells:
            return list(cells), {}
        return [ABSENT if cell == "" else None if cell == NULL_MARK else cell for cell in cells], {}
    # dates, counts and shares repeat, so each distinct cell is read once
    known: dict[str, Any] = {"": ABSENT, NULL_MARK: _null(field)}
    refused: dict[str, RowError] = {}
    if field.type in NUMBER_TYPES and (numbers := _plain_numbers(field, set(cells) - known.keys())):
        known |= numbers
        return [known[cell] for cell in cells], {}
    for cell in set(cells) - known.keys():
        try:
            known[cell] = reader(field, cell)
        except Refused as refusal:
            known[cell], refused[cell] = ABSENT, refusal.error
    errors = {index: refused[cell] for index, cell in enumerate(cells) if cell in refused} if refused else {}
    return [known[cell] for cell in cells], errors


def from_json(field: Field, given: list[Any]) -> tuple[list[Any], Errors]:
    """Typed values of one JSON column: ABSENT stays, null and empty text clear."""
    reader = READERS.get(field.type, _text)
    values: list[Any] = []
    errors: Errors = {}
    for index, value in enumerate(given):
        if value is ABSENT:
            values.append(ABSENT)
        elif value is None or value == "":
            values.append(_null(field))
        else:
            try:
                values.append(reader(field, value))
            except Refused as refused:
                values.append(ABSENT)
                errors.setdefault(index, refused.error)
    return values, errors


def _null(field: Field) -> Any:
    return 0 if field.type == "boolean" else None


def _wrong(field: Field, value: Any) -> Refused:
    if isinstance(value, str):
        message = f"{field.label}: value not of required type: {value}"
        return Refused("INVALID_TYPE_ON_FIELD_IN_RECORD", message, field)
    token = "VALUE_TRUE" if value is True else "VALUE_FALSE" if value is False else "START_OBJECT"
    token = "START_ARRAY" if isinstance(value, list) else token
    text = f"Cannot deserialize instance of {field.type} from {token} value {value!r}"
    return Refused("JSON_PARSER_ERROR", text, field)


def _text(field: Field, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise _wrong(field, value)
    text = str(value)
    if len(text) > field.length:
        message = f"{field.label}: data value too large: {text[:255]} (max length={field.length})"
        raise Refused("STRING_TOO_LONG", message, field)
    if field.restricted and text not in field.values:
        message = f"{field.label}: bad value for restricted picklist field: {text}"
        raise Refused("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, field)
    return text


def _email(field: Field, value: Any) -> str:
    text = _text(field, value)
    if not EMAIL.match(text):
        raise Refused("INVALID_EMAIL_ADDRESS", f"{field.label}: invalid email address: {text}", field)
    return text


def _boolean(field: Field, value: Any) -> int:
    text = str(value).lower()
    if text in ("true", "1"):
        return 1
    if text in ("false", "0"):
        return 0
    raise _wrong(field, value)


def _number(field: Field, value: Any) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        found = float(value)
        if not abs(found) < 10.0 ** (field.precision - field.scale):
            raise OverflowError
        rounded = round(found, field.scale)
        return rounded if rounded == found else _half_up(value, scale=field.scale)
    except OverflowError as error:
        message = f"{field.label}: value outside of valid range on numeric field: {value}"
        raise Refused("NUMBER_OUTSIDE_VALID_RANGE", message, field) from error
    except (ValueError, TypeError, InvalidOperation) as error:
        raise _wrong(field, value) from error


def _plain_numbers(field: Field, cells: set[str]) -> dict[str, float] | None:
    """All cells at once, or None when one of them needs a closer look: no number, too large, too many digits."""
    try:
        found = list(map(float, cells))
    except ValueError:
        return None
    most = 10.0 ** (field.precision - field.scale)
    if not found or max(found) >= most or min(found) <= -most:
        return None
    return dict(zip(cells, found, strict=True)) if list(map(round, found, repeat(field.scale))) == found else None


def _half_up(value: Any, *, scale: int) -> float:
    exact = Decimal(value if isinstance(value, str) else repr(value))
    return float(exact.quantize(Decimal(1).scaleb(-scale), rounding=ROUND_HALF_UP))


def _int(field: Field, value: Any) -> int:
    try:
        number = Decimal(str(value))
        if isinstance(value, bool) or number != number.to_integral_value():
            raise ValueError
    except (InvalidOperation, ValueError) as error:
        raise _wrong(field, value) from error
    if abs(number) > LARGEST_INT:
        message = f"{field.label}: value outside of valid range on numeric field: {value}"
        raise Refused("NUMBER_OUTSIDE_VALID_RANGE", message, field)
    return int(number)


def _date(field: Field, value: Any) -> str:
    match = DATE.match(value) if isinstance(value, str) else None
    try:
        if match is None:
            raise ValueError
        return date.fromisoformat(match[1]).isoformat()
    except ValueError as error:
        raise _wrong(field, value) from error


def _datetime(field: Field, value: Any) -> str:
    try:
        return stamp(parse_datetime(value))
    except (ValueError, TypeError) as error:
        raise _wrong(field, value) from error


def parse_datetime(text: str) -> datetime:
    """ISO-8601 with or without milliseconds, colon or zone; without a zone it is UTC."""
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def stamp(moment: datetime) -> str:
    """The form datetimes are stored and answered in: milliseconds, ``+0000`` without a colon."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}+0000"


def _reference(field: Field, value: Any) -> str:
    found = ids.full(value) if isinstance(value, str) else None
    if found is None:
        raise Refused("MALFORMED_ID", f"{field.label}: id value of incorrect type: {value}", field)
    return found


PLAIN_TEXT = TEXT_TYPES - {"email"}
READERS: dict[str, Reader] = {
    "email": _email,
    "boolean": _boolean,
    "int": _int,
    "date": _date,
    "datetime": _datetime,
    "id": _reference,
    "reference": _reference,
} | dict.fromkeys(NUMBER_TYPES, _number)
