"""The filter language of webhooks, over the event body: ``data.status="CLOSED" AND (a=1 OR b=null)``.

Operators ``= != < > <= >=``, ``/regex/``, AND, OR, parentheses, dotted paths, ``null``.
Source: fact sheet section 13, after iconik's page on webhooks.
"""

from __future__ import annotations

import re
from typing import Any

from simulators.iconik.store import Row

_TOKEN = re.compile(
    r"""\s*(?:(?P<sign>[()]|!=|<=|>=|=|<|>)|"(?P<quoted>(?:[^"\\]|\\.)*)"|/(?P<regex>(?:[^/\\]|\\.)*)/|(?P<word>[^\s()=!<>"]+))"""
)
DEEPEST = 50
OPERATORS = ("=", "!=", "<", ">", "<=", ">=")
Token = tuple[str, str]


def matches(query: str, event: Row) -> bool:
    """Whether an event passes. Raises ValueError when the query cannot be read."""
    return _Reader(_tokens(query), event).whole()


def _tokens(query: str) -> list[Token]:
    tokens: list[Token] = []
    place = 0
    while place < len(query.rstrip()):
        found = _TOKEN.match(query, place)
        if found is None:
            raise ValueError(f"query {query!r} cannot be read at {place}")
        kind = found.lastgroup or ""
        tokens.append((kind, found[kind]))
        place = found.end()
    return tokens


class _Reader:
    def __init__(self, tokens: list[Token], event: Row) -> None:
        self.tokens, self.event, self.place = tokens, event, 0

    def whole(self) -> bool:
        result = self._either(0)
        if self.place != len(self.tokens):
            raise ValueError(f"query has {self.tokens[self.place][1]!r} where it should end")
        return result

    def _next(self) -> Token:
        if self.place >= len(self.tokens):
            raise ValueError("query ends too early")
        self.place += 1
        return self.tokens[self.place - 1]

    def _at(self, word: str) -> bool:
        here = self.tokens[self.place][1] if self.place < len(self.tokens) else ""
        if here.upper() != word:
            return False
        self.place += 1
        return True

    def _either(self, depth: int) -> bool:
        if depth > DEEPEST:
            raise ValueError("query is nested too deeply")
        result = self._both(depth)
        while self._at("OR"):
            result = self._both(depth) or result
        return result

    def _both(self, depth: int) -> bool:
        result = self._one(depth)
        while self._at("AND"):
            result = self._one(depth) and result
        return result

    def _one(self, depth: int) -> bool:
        kind, path = self._next()
        if (kind, path) == ("sign", "("):
            result = self._either(depth + 1)
            if not self._at(")"):
                raise ValueError("query misses a closing parenthesis")
            return result
        operator, (sort, text) = self._next()[1], self._next()
        if kind != "word" or sort == "sign" or operator not in OPERATORS:
            raise ValueError(f"query has {path!r} {operator!r} {text!r}; legal is: path, one of {OPERATORS}, value")
        return _compare(_value(self.event, path), operator, sort, text)


def _value(event: Row, path: str) -> Any:
    found: Any = event
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _compare(value: Any, operator: str, kind: str, text: str) -> bool:
    if kind == "regex":
        try:
            hit = re.search(text, str(value)) is not None
        except re.error as error:
            raise ValueError(f"query has a bad expression /{text}/: {error}") from error
        return hit if operator == "=" else not hit
    if kind == "word" and text == "null":
        return (value is None) == (operator == "=")
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    if operator in ("=", "!="):
        return (shown == text) == (operator == "=")
    return _ordered(value, operator, text)


def _ordered(value: Any, operator: str, text: str) -> bool:
    if value is None:
        return False
    try:
        left, right = float(value), float(text)
    except (TypeError, ValueError):
        return _holds(str(value) < text, str(value) == text, operator)
    return _holds(left < right, left == right, operator)


def _holds(less: bool, same: bool, operator: str) -> bool:
    return (less if operator[0] == "<" else not less and not same) or (same and operator.endswith("="))
