"""What a body may hold: required fields, types, closed choices; the messages are those of iconik's validator.

Source: the schemas of the published OpenAPI documents, as the fact sheet sections 3 to 14 list them. Fields the
API calls read-only are taken silently and ignored, because clients send back what they have read.
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from simulators.iconik.call import Call, Row
from simulators.iconik.errors import invalid
from simulators.iconik.store import stamp

MISSING = "Missing data for required field."
NULL = "Field may not be null."
CHOICE = "Not a valid choice."
UNKNOWN = "Unknown field."
LONGEST_INTEGER = 18
_URL = re.compile(r"https?://[^\s/]+\S*", re.IGNORECASE)
Check = Callable[[Any], Any]


class Invalid(ValueError):
    """One value that does not fit; the text is what the API answers."""


@dataclass(frozen=True, slots=True)
class Shape:
    """``fields`` name -> check; ``required`` must be there on create and full update."""

    fields: dict[str, Check]
    required: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise Invalid("Not a valid string.")
    return value


def identifier(value: Any) -> str:
    try:
        return str(uuid.UUID(value))
    except (ValueError, TypeError, AttributeError):
        raise Invalid("Not a valid UUID.") from None


def integer(value: Any) -> int:
    """Numbers may come as text, as recorded for file sizes."""
    if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)) > LONGEST_INTEGER:
        raise Invalid("Not a valid integer.")
    try:
        number = float(value)
        whole = int(value)
    except (ValueError, OverflowError):
        raise Invalid("Not a valid integer.") from None
    if number != whole and not isinstance(value, int):
        raise Invalid("Not a valid integer.")
    return whole


def decimal(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Invalid("Not a valid number.")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise Invalid("Not a valid number.") from None
    if not math.isfinite(number):
        raise Invalid("Not a valid number.")
    return number


def boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise Invalid("Not a valid boolean.")


def moment(value: Any) -> str:
    """Any ISO moment; one without an offset counts as UTC. Gives the stored form."""
    try:
        parsed = datetime.fromisoformat(text(value).replace("Z", "+00:00"))
        return stamp(parsed if parsed.tzinfo else datetime.fromisoformat(parsed.isoformat() + "+00:00"))
    except (ValueError, OverflowError):
        raise Invalid("Not a valid datetime.") from None


def address(value: Any) -> str:
    if not _URL.fullmatch(text(value)):
        raise Invalid("Not a valid URL.")
    return str(value)


def mapping(value: Any) -> Row:
    if not isinstance(value, dict):
        raise Invalid("Not a valid mapping type.")
    return value


def anything(value: Any) -> Any:
    return value


def one_of(*legal: str) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in legal:
            raise Invalid(CHOICE)
        return value

    return check


def list_of(item: Check, *, most: int | None = None) -> Check:
    def check(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise Invalid("Not a valid list.")
        if most is not None and len(value) > most:
            raise Invalid(f"Longer than maximum length {most}.")
        return [item(one) for one in value]

    return check


def read(call: Call, shape: Shape, *, partial: bool = False) -> Row:
    """The checked body. Raises the field form of the error with every fault found."""
    return checked(call.json_object(), shape, partial=partial, settings=call.site.settings)


def checked(body: Row, shape: Shape, *, partial: bool, settings: Row) -> Row:
    values: Row = {}
    faults: Row = {name: MISSING for name in shape.required if not partial and name not in body}
    for name, value in body.items():
        if name in shape.fields:
            try:
                values[name] = _value(shape, name, value)
            except Invalid as fault:
                faults[name] = str(fault)
        elif name not in shape.read_only and settings["unknown_fields"] == "refuse":
            faults[name] = UNKNOWN
    if faults:
        as_lists = settings["field_errors_as_lists"]
        raise invalid({name: [fault] if as_lists else fault for name, fault in faults.items()})
    return values


def _value(shape: Shape, name: str, value: Any) -> Any:
    if value is None:
        if name in shape.required:
            raise Invalid(NULL)
        return None
    return shape.fields[name](value)
