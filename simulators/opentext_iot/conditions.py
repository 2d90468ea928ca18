"""Conditions of thresholds and triggers: ``{"all": [{"expr": "temperatureC > 8"}]}``.

``all`` and ``expr`` are verified; the grammar is assumed: field, operator, literal; ``all`` and ``any`` nest.
Source: fact sheet 4, 7.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

import msgspec

from simulators.opentext_iot.documents import Body
from simulators.opentext_iot.errors import invalid

DEEPEST = 10
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_EXPRESSION = re.compile(r"\s*([A-Za-z_][\w.]{0,100})\s*(>=|<=|==|!=|>|<)\s*(\S.{0,200}?)\s*", re.DOTALL)


def parsed(expression: Any) -> tuple[str, str, Any]:
    """(field, operator, literal) of one expression; ApiError 400 when it is none."""
    found = _EXPRESSION.fullmatch(expression) if isinstance(expression, str) else None
    if found is None:
        raise invalid(f"expr {str(expression)[:80]!r} is not: field, one of {' '.join(OPERATORS)}, literal")
    return found[1], found[2], _literal(found[3])


def _literal(text: str) -> Any:
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return text[1:-1]
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise invalid(f"the literal {text[:80]!r} is neither a number, true, false nor a quoted text") from error
    if isinstance(value, (list, dict)):
        raise invalid(f"the literal {text[:80]!r} must be a single value")
    return value


def check(condition: Any, *, depth: int = 0) -> None:
    """ApiError 400 when a condition is malformed."""
    if not isinstance(condition, dict) or depth > DEEPEST:
        raise invalid("condition must be an object with all, any or expr")
    names = [name for name in ("all", "any") if name in condition]
    if "expr" in condition or not names:
        parsed(condition.get("expr"))
    if "expr" in condition and names:
        raise invalid("a condition has expr, or all and any, not both")
    for name in names:
        if not isinstance(condition[name], list) or not condition[name]:
            raise invalid(f"{name} must be a list of conditions")
        for one in condition[name]:
            check(one, depth=depth + 1)


def holds(condition: Body, values: dict[str, Any]) -> list[Body] | None:
    """The expressions that are met, or None when the condition is not."""
    if "expr" in condition:
        return _met(condition["expr"], values)
    found = [holds(one, values) for name in ("all", "any") for one in condition.get(name, [])]
    met = [one for one in found if one is not None]
    if len(met) == len(found) or ("any" in condition and met):
        return [line for one in met for line in one]
    return None


def _met(expression: str, values: dict[str, Any]) -> list[Body] | None:
    field, word, literal = parsed(expression)
    if field not in values:
        return None
    try:
        is_met = OPERATORS[word](values[field], literal)
    except TypeError:  # a text against a number is not met
        return None
    return [{"field": field, "value": values[field], "expr": expression}] if is_met else None
