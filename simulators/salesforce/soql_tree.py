"""SOQL text -> syntax tree; the subset clients and flows send.  Grammar: SOQL reference, API 67."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from simulators.salesforce.errors import ApiError

TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>'(?:\\.|[^'\\])*')
    | (?P<datetime>\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d)?)
    | (?P<date>\d{4}-\d\d-\d\d)
    | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<word>[A-Za-z_][\w]*(?:\.[A-Za-z_]\w*)*(?::\d+)?)
    | (?P<op><=|>=|!=|<>|[=<>(),])
    )""",
    re.VERBOSE,
)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
FUNCTIONS = {"count", "count_distinct", "sum", "avg", "min", "max"}
DATE_FUNCTIONS = {"calendar_year", "calendar_month", "day_in_month", "day_only", "hour_in_day"}
CLAUSES = {
    "from", "where", "with", "group", "having", "order", "limit", "offset", "for", "using", "all", "and", "or", "asc",
    "desc", "nulls",
}  # fmt: skip


@dataclass(slots=True)
class Column:
    """A field path; ``function`` and ``alias`` when it is calculated."""

    path: str
    function: str | None = None
    alias: str | None = None


@dataclass(slots=True)
class Literal:
    kind: str  # string, number, bool, null, date, datetime, period
    value: Any


@dataclass(slots=True)
class Test:
    column: Column
    operator: str
    value: Any  # Literal, list of Literal, or Query for a semi-join


@dataclass(slots=True)
class Logic:
    operator: str  # and, or, not
    parts: list[Any]


@dataclass(slots=True)
class Order:
    column: Column
    descending: bool = False
    nulls_last: bool = False


@dataclass(slots=True)
class Query:
    kind: str = ""
    alias: str | None = None
    columns: list[Column] = field(default_factory=list)
    children: list[Query] = field(default_factory=list)
    where: Any = None
    groups: list[Column] = field(default_factory=list)
    having: Any = None
    orders: list[Order] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0
    counts_only: bool = False
    positions: dict[str, int] = field(default_factory=dict)


class Malformed(ApiError):
    """SOQL the grammar does not allow."""

    def __init__(self, message: str) -> None:
        super().__init__(400, "MALFORMED_QUERY", message)


def parse(text: str) -> Query:
    """The tree of one statement; raises Malformed, HTTP 400 MALFORMED_QUERY."""
    if len(text) > 100_000:
        raise ApiError(400, "QUERY_TOO_COMPLICATED", "SOQL statement is longer than 100,000 characters")
    parser = _Parser(text)
    query = parser.query()
    if parser.word() is not None:
        parser.unexpected()
    return query


def _tokens(text: str) -> list[tuple[str, str, int]]:
    found, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = TOKEN.match(text, at)
        if match is None:
            raise Malformed(f"unexpected token: '{text[at:].strip()[:20]}'")
        kind = str(match.lastgroup)
        found.append((kind, match[kind], match.start(kind)))
        at = match.end()
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0

    def word(self) -> str | None:
        return self.tokens[self.at][1].lower() if self.at < len(self.tokens) else None

    def unexpected(self) -> None:
        if self.at < len(self.tokens):
            raise Malformed(f"unexpected token: '{self.tokens[self.at][1]}'")
        raise Malformed("unexpected token: '<EOF>'")

    def take(self, *words: str) -> bool:
        """Consume these words when all of them come next."""
        following = [token[1].lower() for token in self.tokens[self.at : self.at + len(words)]]
        if following != list(words):
            return False
        self.at += len(words)
        return True

    def expect(self, *words: str) -> None:
        if not self.take(*words):
            self.unexpected()

    def next(self, *kinds: str) -> tuple[str, str, int]:
        if self.at >= len(self.tokens) or self.tokens[self.at][0] not in kinds:
            self.unexpected()
        self.at += 1
        return self.tokens[self.at - 1]

    def query(self) -> Query:
        query = Query()
        self.expect("select")
        self._select(query)
        self.expect("from")
        _, query.kind, query.positions["from"] = self.next("word")
        if self.word() not in CLAUSES | {None, ")", ","} and self.tokens[self.at][0] == "word":
            query.alias = self.next("word")[1].lower()
        self._clauses(query)
        return query

    def _select(self, query: Query) -> None:
        while True:
            if self.take("("):
                query.children.append(self.query())
                self.expect(")")
            else:
                column = self._column(query)
                if column.path == "*" and column.alias is None and self.word() == "from" and not query.columns:
                    query.counts_only = True
                query.columns.append(column)
            if not self.take(","):
                return

    def _column(self, query: Query | None = None) -> Column:
        _, name, position = self.next("word")
        column = self._call(name) if self.word() == "(" else Column(name)
        if query is not None:
            query.positions.setdefault(column.path.lower(), position)
            if self.at < len(self.tokens) and self.tokens[self.at][0] == "word" and self.word() not in CLAUSES:
                column.alias = self.next("word")[1]
        return column

    def _call(self, name: str) -> Column:
        function = name.lower()
        self.expect("(")
        if function not in FUNCTIONS | DATE_FUNCTIONS | {"fields", "tolabel", "format", "convertcurrency"}:
            raise Malformed(f"unexpected token: '{name}'")
        path = "*" if self.word() == ")" else self._column().path
        self.expect(")")
        if function in ("tolabel", "format", "convertcurrency"):
            return Column(path)
        return Column(path, function=function)

    def _clauses(self, query: Query) -> None:
        if self.take("using", "scope"):
            self.next("word")
        if self.take("where"):
            query.where = self._condition()
        if self.take("with"):
            self.next("word")
        if self.take("group", "by"):
            query.groups = self._list(self._column)
        if self.take("having"):
            query.having = self._condition()
        self._closing_clauses(query)

    def _closing_clauses(self, query: Query) -> None:
        if self.take("order", "by"):
            query.orders = self._list(self._order)
        if self.take("limit"):
            query.limit = self._count()
        if self.take("offset"):
            query.offset = self._count()
        if self.take("for"):
            self.next("word")
        if self.word() == "all":
            raise Malformed("ALL ROWS not allowed in this context")

    def _count(self) -> int:
        text = self.next("number")[1]
        if not text.isdigit():
            raise Malformed(f"unexpected token: '{text}'")
        return int(text)

    def _list(self, item: Any) -> list[Any]:
        found = [item()]
        while self.take(","):
            found.append(item())
        return found

    def _order(self) -> Order:
        order = Order(self._column())
        order.descending = self.take("desc") or (self.take("asc") and False)
        if self.take("nulls", "last"):
            order.nulls_last = True
        else:
            self.take("nulls", "first")
        return order

    def _condition(self) -> Any:
        first = self._term()
        for operator in ("and", "or"):
            if self.word() == operator:
                parts = [first]
                while self.take(operator):
                    parts.append(self._term())
                if self.word() in ("and", "or"):  # SOQL wants brackets around a mixture
                    self.unexpected()
                return Logic(operator, parts)
        return first

    def _term(self) -> Any:
        if self.take("not"):
            return Logic("not", [self._term()])
        if self.take("("):
            inner = self._condition()
            self.expect(")")
            return inner
        column = self._column()
        return Test(column, self._operator(), self._value())

    def _operator(self) -> str:
        if self.take("not", "in"):
            return "not in"
        for word in ("in", "like", "includes", "excludes"):
            if self.take(word):
                return word
        operator = self.next("op")[1]
        if operator in "(),":
            self.at -= 1
            self.unexpected()
        return "!=" if operator == "<>" else operator

    def _value(self) -> Any:
        if self.take("("):
            inner: Any = self.query() if self.word() == "select" else self._list(self._literal)
            self.expect(")")
            return inner
        return self._literal()

    def _literal(self) -> Literal:
        kind, text, _ = self.next("string", "datetime", "date", "number", "word")
        if kind == "string":
            return Literal("string", ESCAPE.sub(_unescape, text[1:-1]))
        if kind == "number":
            return Literal("number", float(text) if re.search(r"[.eE]", text) else int(text))
        if kind == "word":
            return _word_literal(text)
        return Literal(kind, text)


def _word_literal(text: str) -> Literal:
    low = text.lower()
    if low in ("true", "false"):
        return Literal("bool", int(low == "true"))
    return Literal("null", None) if low == "null" else Literal("period", low)


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] == "u" and len(code) == 5:
        return chr(int(code[1:], 16))
    # in LIKE patterns \_ and \% stay escaped until the pattern is translated
    return ESCAPES.get(code, match[0] if code in "_%" else code)
