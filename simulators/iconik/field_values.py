"""What a metadata field may hold, and how the three write modes change it. Source: fact sheet section 9."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from simulators.iconik import shapes
from simulators.iconik.shapes import Invalid
from simulators.iconik.store import Row

MODES = ("overwrite", "append", "delete")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_SCORED = {"string", "text", "tag_cloud", "string_exact"}


def value_of(field: Row, value: Any) -> Any:
    """The value as it is stored. Raises Invalid in iconik's words."""
    kind = field["field_type"]
    value = _CHECKS.get(kind, shapes.text)(value)
    if kind == "drop_down":
        legal = [option.get("value") for option in field.get("options") or []]
        if legal and value not in legal:
            raise Invalid(shapes.CHOICE)
    return _bounded(field, value)


def _bounded(field: Row, value: Any) -> Any:
    least, most = field.get("min_value"), field.get("max_value")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if least is not None and value < least:
            raise Invalid(f"Must be at least {least}.")
        if most is not None and value > most:
            raise Invalid(f"Must be at most {most}.")
    return value


def _day(value: Any) -> str:
    try:
        return date.fromisoformat(shapes.text(value)[:10]).isoformat()
    except ValueError:
        raise Invalid("Not a valid date.") from None


def _email(value: Any) -> str:
    if not _EMAIL.fullmatch(shapes.text(value)):
        raise Invalid("Not a valid email address.")
    return str(value)


_CHECKS: dict[str, shapes.Check] = {
    "integer": shapes.integer,
    "float": shapes.decimal,
    "boolean": shapes.boolean,
    "date": _day,
    "datetime": shapes.moment,
    "email": _email,
    "url": shapes.address,
}


def entry_of(field: Row, value: Any) -> Row:
    """The stored entry: drop-downs carry their label, free text with several values a score."""
    if field["field_type"] == "drop_down":
        options = {option.get("value"): option.get("label") for option in field.get("options") or []}
        return {"label": options.get(value) or value, "value": value}
    if field["field_type"] in _SCORED and field.get("multi"):
        return {"score": 1, "value": value}
    return {"value": value}


def written(field: Row, given: Any, stored: list[Row]) -> list[Row]:
    """The entries of a field after one write. Raises Invalid with a sentence."""
    if not isinstance(given, dict):
        raise Invalid("Invalid input type.")
    mode = given.get("mode") or "overwrite"
    if mode not in MODES:
        raise Invalid(shapes.CHOICE)
    values = [value_of(field, value) for value in _given(given)]
    if mode == "delete":
        return [one for one in stored if one["value"] not in values]
    known = [one["value"] for one in stored] if mode == "append" else []
    kept = list(stored) if mode == "append" else []
    for value in values:
        if value not in known or mode == "overwrite":
            kept.append(entry_of(field, value))
            known.append(value)
    if len(kept) > 1 and not field.get("multi"):
        raise Invalid("Field does not allow multiple values.")
    return kept


def _given(entry: Row) -> list[Any]:
    values = entry.get("field_values")
    if values is None:
        return []
    if not isinstance(values, list) or not all(isinstance(one, dict) and "value" in one for one in values):
        raise Invalid("field_values must be a list of objects with a value.")
    found = [one["value"] for one in values]
    return [value for value in found if value is not None]


def same(left: list[Row], right: list[Row]) -> bool:
    return [one["value"] for one in left] == [one["value"] for one in right]


def as_text(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else str(value)
