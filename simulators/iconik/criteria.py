"""Search criteria as SQL over the index: filter nodes, the query language, sort keys and what comes after them.

Source: fact sheet section 10. Names of verified terms are columns; any other name is looked up in the document,
so lists (``in_collections``, ``metadata.sku``) match when one of their values does.
"""

from __future__ import annotations

import re
from typing import Any

from simulators.iconik import shapes
from simulators.iconik.errors import bad_request
from simulators.iconik.index import COLUMNS
from simulators.iconik.store import Row

COLUMN_NAMES = set(COLUMNS) - {"words", "doc"}
DOC_TYPES = ("assets", "collections", "segments", "saved_searches", "saved_search_groups")
OPERATORS = ("AND", "OR", "NOT", "NESTED")
LAST_TEXT, LAST_NUMBER = "\U0010ffff", -9e99
DEEPEST = 20
_NAME = re.compile(r"[\w.\- ]{1,200}")
_TOKEN = re.compile(r'\(|\)|(?:[\w.\-]+:)?"[^"]*"|[^\s()]+')
Sql = tuple[str, list[Any]]


def path_of(name: Any) -> str:
    """The JSON path of a field; its parts are quoted, so any name is safe."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise bad_request(f"Bad request: {name!r} is not a field name")
    return "$." + ".".join(f'"{part}"' for part in name.split("."))


def joined(parts: list[Sql], *, by: str) -> Sql:
    if not parts:
        return "1", []
    return "(" + f" {by} ".join(sql for sql, _ in parts) + ")", [value for _, given in parts for value in given]


def where(criteria: Row) -> Sql:
    """The whole condition of a search body."""
    parts: list[Sql] = []
    if wanted := _list(criteria, "doc_types"):
        if unknown := [one for one in wanted if one not in DOC_TYPES]:
            raise shapes.invalid({"doc_types": f"{shapes.CHOICE} {unknown}"})
        parts.append((f"object_type IN ({', '.join('?' * len(wanted))})", wanted))
    if criteria.get("filter"):
        parts.append(_node(criteria["filter"], depth=0))
    for one in _list(criteria, "facets_filters"):
        if not isinstance(one, dict):
            raise bad_request("Bad request: facets_filters must be objects with name and value_in")
        parts.append(_one_of(one.get("name"), _list(one, "value_in")))
    query = criteria.get("query")
    if query is not None and not isinstance(query, str):
        raise shapes.invalid({"query": "Not a valid string."})
    if query and query.strip() not in ("", "*"):
        parts.append(_Query(query, fields=_list(criteria, "search_fields")).sql())
    return joined(parts, by="AND")


def _list(row: Row, name: str) -> list[Any]:
    value = row.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise shapes.invalid({name: "Not a valid list."})
    return value


def _node(node: Any, *, depth: int) -> Sql:
    if not isinstance(node, dict) or depth > DEEPEST:
        raise shapes.invalid({"filter": "Invalid input type."})
    operator = node.get("operator") or "AND"
    if operator not in OPERATORS:
        raise shapes.invalid({"filter": {"operator": shapes.CHOICE}})
    parts = [_term(one) for one in _list(node, "terms")]
    parts += [_node(one, depth=depth + 1) for one in _list(node, "filters")]
    if operator == "NOT":
        sql, given = joined(parts, by="OR") if parts else ("0", [])
        return f"NOT {sql}", given
    return joined(parts, by="OR" if operator == "OR" else "AND")


def _term(term: Any) -> Sql:
    if not isinstance(term, dict):
        raise shapes.invalid({"filter": {"terms": "Invalid input type."}})
    name, parts = term.get("name"), []
    if not name:
        raise shapes.invalid({"filter": {"terms": {"name": shapes.MISSING}}})
    if term.get("value") is not None:
        parts.append(_one_of(name, [term["value"]]))
    if term.get("value_in"):
        parts.append(_one_of(name, _list(term, "value_in")))
    if term.get("range"):
        parts.append(_range(name, term["range"]))
    for key, expected in (("exists", True), ("missing", False)):
        if isinstance(term.get(key), bool):
            parts.append(_exists(name, term[key] is expected))
    return joined(parts, by="AND")


def _one_of(name: Any, wanted: list[Any]) -> Sql:
    texts = [_text(value) for value in wanted]
    marks = ", ".join("?" * len(texts))
    path = path_of(name)
    if name in COLUMN_NAMES:
        return f"coalesce({name}, '') IN ({marks})", texts
    shown = "CASE type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE CAST(value AS TEXT) END"
    return f"EXISTS (SELECT 1 FROM json_each(doc, ?) WHERE {shown} IN ({marks}))", [path, *texts]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise shapes.invalid({"filter": {"value": "Not a valid string."}})
    return str(value)


def _exists(name: Any, wanted: bool) -> Sql:
    sql = "EXISTS (SELECT 1 FROM json_each(doc, ?) WHERE type <> 'null')"
    return (sql if wanted else f"NOT {sql}"), [path_of(name)]


def _range(name: Any, asked: Any) -> Sql:
    if not isinstance(asked, dict):
        raise shapes.invalid({"filter": {"range": "Invalid input type."}})
    bounds = [(sign, asked[key]) for key, sign in (("min", ">="), ("max", "<=")) if asked.get(key) not in (None, "")]
    path = path_of(name)
    if name in ("date_created", "date_modified"):  # columns with an index
        return joined([(f"{name} {sign} ?", [_bounds(name, bound)[0]]) for sign, bound in bounds], by="AND")
    tests: list[Sql] = []
    for sign, bound in bounds:
        words, number = _bounds(name, bound)
        either = f"((type IN ('integer', 'real') AND value {sign} ?) OR (type = 'text' AND value {sign} ?))"
        tests.append((either, [number, words]))
    clause, given = joined(tests, by="AND")
    return f"EXISTS (SELECT 1 FROM json_each(doc, ?) WHERE {clause})", [path, *given]


def _bounds(name: Any, bound: Any) -> tuple[str, float | None]:
    """A bound as text and as number; moments in the form they are stored in."""
    words = _text(bound)
    try:
        number: float | None = shapes.decimal(bound)
    except shapes.Invalid:
        number = None
    if isinstance(name, str) and name.startswith("date_"):
        try:
            words = shapes.moment(words)
        except shapes.Invalid as fault:
            raise shapes.invalid({"filter": {"range": str(fault)}}) from None
    return words, number


def order_of(criteria: Row) -> list[tuple[str, str, list[Any]]]:
    """[(asc|desc, sql expression, parameters)]; the id comes last, so that the order is total."""
    keys, seen = [], set()
    for one in _list(criteria, "sort"):
        if not isinstance(one, dict) or not one.get("name"):
            raise shapes.invalid({"sort": {"name": shapes.MISSING}})
        order = one.get("order") or "asc"
        if order not in ("asc", "desc"):
            raise shapes.invalid({"sort": {"order": shapes.CHOICE}})
        seen.add(one["name"])
        keys.append((order, *_sort_key(one["name"], order)))
    if not keys:
        keys.append(("desc", *_sort_key("date_created", "desc")))
    if "id" not in seen:
        keys.append(("asc", "id", []))
    return keys


def _sort_key(name: str, order: str) -> tuple[str, list[Any]]:
    if name in ("id", "date_created", "date_modified"):
        return f"coalesce({name}, '')", []
    last = LAST_TEXT if order == "asc" else LAST_NUMBER  # documents without the field come last
    if name in COLUMN_NAMES:
        return f"coalesce({name}, ?)", [last]
    first = "(SELECT value FROM json_each(doc, ?) LIMIT 1)"
    return f"coalesce({first}, ?)", [path_of(name), last]


def behind(keys: list[tuple[str, str, list[Any]]], after: list[Any]) -> Sql:
    """Only what comes behind the given sort keys."""
    fits = [isinstance(value, str | float) or (isinstance(value, int) and abs(value) < 2**63) for value in after]
    if len(after) != len(keys) or not all(fits):
        count = len(keys)
        raise bad_request(f"Bad request: search_after must hold the {count} sort keys of the last object (_sort)")
    branches: list[Sql] = []
    for place, (order, sql, given) in enumerate(keys):
        equal = [(f"{left} = ?", [*more, value]) for (_, left, more), value in zip(keys[:place], after, strict=False)]
        sign = ">" if order == "asc" else "<"
        branches.append(joined([*equal, (f"{sql} {sign} ?", [*given, after[place]])], by="AND"))
    return joined(branches, by="OR")


class _Query:
    """Free text with ``field:value``, quotes, ``*``, AND, OR, NOT and parentheses; never refuses a text."""

    def __init__(self, text: str, *, fields: list[Any]) -> None:
        self.tokens = _TOKEN.findall(text)[:200]
        self.fields = [name for name in fields if isinstance(name, str) and name != "metadata"] if fields else []
        self.place = 0

    def sql(self) -> Sql:
        parts = []
        while self.place < len(self.tokens):
            parts.append(self._either(0))
            if self.place < len(self.tokens) and self.tokens[self.place] == ")":
                self.place += 1
        return joined(parts, by="AND")

    def _peek(self) -> str | None:
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def _either(self, depth: int) -> Sql:
        parts = [self._all(depth)]
        while self._peek() == "OR":
            self.place += 1
            parts.append(self._all(depth))
        return joined(parts, by="OR")

    def _all(self, depth: int) -> Sql:
        parts = []
        while self._peek() not in (None, ")", "OR"):
            if self._peek() == "AND":
                self.place += 1
                continue
            parts.append(self._one(depth))
        return joined(parts, by="AND")

    def _one(self, depth: int) -> Sql:
        token = self.tokens[self.place]
        self.place += 1
        if token == "NOT" and self._peek() not in (None, ")"):
            sql, given = self._one(depth)
            return f"NOT ({sql})", given
        if token == "(" and depth < DEEPEST:
            inside = self._either(depth + 1)
            if self._peek() == ")":
                self.place += 1
            return inside
        return self._word(token)

    def _word(self, token: str) -> Sql:
        name, colon, value = token.partition(":")
        if colon and value and _NAME.fullmatch(name) and not value.startswith("//"):
            return _like(name, value.strip('"'))
        pattern = f"%{_pattern(token.strip(chr(34)))}%"
        if not self.fields:
            return "words LIKE ? ESCAPE '\\'", [pattern]
        return joined([_like(name, token.strip('"'), around=True) for name in self.fields], by="OR")


def _like(name: str, value: str, *, around: bool = False) -> Sql:
    pattern = _pattern(value)
    pattern = f"%{pattern}%" if around else pattern
    return "EXISTS (SELECT 1 FROM json_each(doc, ?) WHERE lower(value) LIKE ? ESCAPE '\\')", [path_of(name), pattern]


def _pattern(text: str) -> str:
    for character in "\\%_":
        text = text.replace(character, f"\\{character}")
    return text.replace("*", "%").casefold()
