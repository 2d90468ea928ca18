"""``$filter`` and ``$orderby`` to SQL.

Source: fact sheet section 2.4: eq ne gt lt ge le and or; one level of navigation; no functions; a comparison
with a missing value is never true (so ``ne`` does not find nulls), as in the platform's own queries [assumed].
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from simulators.sap_commerce.errors import ODataError, bad_request
from simulators.sap_commerce.rows import Joins, key_conditions, malformed_key
from simulators.sap_commerce.schema import IntegrationObject, Item, ItemAttribute

_TOKEN = re.compile(
    r"\s*(?:(?P<date>[Dd]ate[Tt]ime'[^']*')|(?P<string>'(?:[^']|'')*')"
    r"|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[mMlLdDfF]?)(?![\w.])|(?P<word>[A-Za-z_][\w/]*)|(?P<sign>[(),]))"
)
_OPERATORS = {"eq": "=", "ne": "<>", "gt": ">", "lt": "<", "ge": ">=", "le": "<="}
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,7}))?)?)?$")
_NUMERIC = ("I", "Lg", "D", "BD")


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str


@dataclass(slots=True)
class Filter:
    """A recursive descent over the tokens of one filter; ``values`` collects the SQL parameters."""

    item: Item
    service: IntegrationObject
    joins: Joins
    tokens: list[Token] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def sql(self, text: str) -> str:
        """The SQL condition; raises ODataError 400 for what the API refuses."""
        self.tokens = _tokens(text)
        condition = self._alternatives()
        if self.tokens:
            raise _malformed(f"'{self.tokens[0].text}' was not expected")
        return condition

    def _alternatives(self) -> str:
        parts = [self._conjunction()]
        while self._take_word("or"):
            parts.append(self._conjunction())
        return f"({' OR '.join(parts)})"

    def _conjunction(self) -> str:
        parts = [self._operand()]
        while self._take_word("and"):
            parts.append(self._operand())
        return " AND ".join(parts)

    def _operand(self) -> str:
        token = self._next()
        if token == Token("sign", "("):
            condition = self._alternatives()
            if self._next() != Token("sign", ")"):
                raise _malformed("a closing parenthesis is missing")
            return condition
        if token.kind != "word":
            raise _malformed(f"a property was expected before '{token.text}'")
        if token.text == "not" or (self.tokens and self.tokens[0] == Token("sign", "(")):
            raise _unsupported(token.text)
        return self._comparison(token.text)

    def _comparison(self, path: str) -> str:
        operator = self._next()
        if operator.text not in _OPERATORS:
            raise _unsupported(operator.text)
        literal = self._next()
        names = path.split("/")
        if len(names) > 2:
            raise bad_request("filter_not_supported", f"Filtering by nested path [{path}] is not supported.")
        first = self._attribute(self.item, names[0])
        if len(names) == 1:
            return self._own(first, operator.text, literal)
        return self._nested(first, names[1], operator.text, literal)

    def _attribute(self, item: Item, name: str) -> ItemAttribute:
        if name in item.attributes:
            return item.attributes[name]
        if name in item.virtual:
            code = "filter_by_virtual_attribute_not_supported"
            raise bad_request(code, f"Filtering by virtual attribute [{name}] is not supported.")
        if name == "integrationKey" and item is self.item:
            raise bad_request("integration_key_not_supported", "Filtering by [integrationKey] is not supported.")
        raise bad_request("odata_error", f"Invalid filter expression: no property [{name}] in [{item.code}].")

    def _own(self, attribute: ItemAttribute, operator: str, literal: Token) -> str:
        if not attribute.is_property:
            message = f"Filtering by navigation property [{attribute.name}] without an attribute is not supported."
            raise bad_request("filter_not_supported", message)
        return self._test((attribute,), operator, literal)

    def _nested(self, first: ItemAttribute, name: str, operator: str, literal: Token) -> str:
        if not first.is_reference or first.target not in self.service.items:
            raise bad_request("filter_not_supported", f"Filtering by [{first.name}] is not supported.")
        target = self.service.items[first.target]
        if name == "integrationKey":
            return self._by_key(first, target, operator, literal)
        second = self._attribute(target, name)
        if not second.is_property:
            raise bad_request("filter_not_supported", f"Filtering by nested [{name}] is not supported.")
        return self._test((first, second), operator, literal)

    def _by_key(self, first: ItemAttribute, target: Item, operator: str, literal: Token) -> str:
        if operator not in ("eq", "ne") or literal.kind != "string":
            raise _unsupported(operator)
        key = _string(literal.text)
        try:
            tests, values = key_conditions(key, service=self.service, item=target, joins=self.joins, prefix=(first,))
        except ValueError as error:
            raise malformed_key(target, key) from error
        self.values += values
        condition = f"({' AND '.join(tests)})"
        return condition if operator == "eq" else f"NOT {condition}"

    def _test(self, path: tuple[ItemAttribute, ...], operator: str, literal: Token) -> str:
        column, kind = self.joins.column(path), path[-1].attribute.kind
        if literal == Token("word", "null"):
            if operator not in ("eq", "ne"):
                raise _malformed(f"null cannot be compared with '{operator}'")
            return f"{column} IS {'NOT ' if operator == 'ne' else ''}NULL"
        self.values.append(literal_value(kind, literal, name=path[-1].name))
        column = f"CAST({column} AS REAL)" if kind == "BD" else column
        return f"{column} {_OPERATORS[operator]} ?"

    def _next(self) -> Token:
        if not self.tokens:
            raise _malformed("it ends too early")
        return self.tokens.pop(0)

    def _take_word(self, word: str) -> bool:
        if self.tokens and self.tokens[0] == Token("word", word):
            self.tokens.pop(0)
            return True
        return False


def literal_value(kind: str, literal: Token, *, name: str) -> Any:
    """A literal in stored form; it must fit the property's type."""
    if kind in ("S", "L") and literal.kind == "string":
        return _string(literal.text)
    if kind == "BD" and literal.kind == "string":
        return float(_string(literal.text))
    if kind in _NUMERIC and literal.kind == "number":
        number = literal.text.rstrip("mMlLdDfF")
        whole = int(number) if number.lstrip("-").isdigit() else None
        return whole if whole is not None and -(2**63) <= whole < 2**63 else float(number)
    if kind == "B" and literal.text in ("true", "false"):
        return int(literal.text == "true")
    if kind == "T" and literal.kind == "date":
        return _moment(literal.text)
    raise bad_request("odata_error", f"Invalid filter expression: [{literal.text}] does not fit property [{name}].")


def _moment(text: str) -> int:
    found = _DATE.match(text[text.index("'") + 1 : -1])
    if found is None:
        raise _malformed(f"{text} is not a date; expected DateTime'2012-05-29T09:13:28'")
    *whole, fraction = found.groups()
    try:
        year, month, day, hour, minute, second = (int(part or 0) for part in whole)
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise _malformed(f"{text}: {error}") from error
    return int(moment.timestamp()) * 1000 + int((fraction or "0").ljust(7, "0")[:3])


def _string(text: str) -> str:
    return text[1:-1].replace("''", "'")


def _tokens(text: str) -> list[Token]:
    found: list[Token] = []
    place, text = 0, text.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise _malformed(f"cannot read '{text[place:]}'")
        found.append(Token(str(match.lastgroup), match[match.lastgroup or 0]))
        place = match.end()
    return found


def _malformed(reason: str) -> ODataError:
    return bad_request("odata_error", f"Invalid filter expression: {reason}.")


def _unsupported(operator: str) -> ODataError:
    return bad_request("operator_not_supported", f"The operator [{operator}] is not supported.")


def order_by(text: str, *, item: Item, joins: Joins) -> str:
    """SQL for ``$orderby``: immediate attributes; a navigation property sorts by its primary key."""
    terms: list[str] = []
    for term in text.split(","):
        name, _, direction = term.strip().partition(" ")
        if direction.strip() not in ("", "asc", "desc"):
            raise bad_request("odata_error", f"Invalid order by expression: [{term.strip()}].")
        terms.append(f"{_order_column(name, item=item, joins=joins)} {direction.strip() or 'asc'}")
    return ", ".join(terms)


def _order_column(name: str, *, item: Item, joins: Joins) -> str:
    if "/" in name:
        raise bad_request("order_by_nested_attribute_not_supported", f"Ordering by nested [{name}] is not supported.")
    if name == "integrationKey":
        raise bad_request("order_by_integration_key_not_supported", "Ordering by [integrationKey] is not supported.")
    if name in item.virtual:
        code = "order_by_virtual_attribute_not_supported"
        raise bad_request(code, f"Ordering by virtual attribute [{name}] is not supported.")
    if name not in item.attributes:
        raise bad_request("odata_error", f"Invalid order by expression: no property [{name}] in [{item.code}].")
    attribute = item.attributes[name]
    if attribute.many:
        raise bad_request("invalid_query_parameter", f"Ordering by collection [{name}] is not supported.")
    return joins.column((attribute,))
