"""Tests of WHERE and HAVING -> SQL, with literals checked against the field's type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulators.salesforce import ids, periods, values
from simulators.salesforce.errors import ApiError
from simulators.salesforce.schema import NUMBER_TYPES, TEXT_TYPES
from simulators.salesforce.soql_tree import Literal, Malformed, Query, Test

if TYPE_CHECKING:
    from simulators.salesforce.soql import Compiler

DATE_PARTS = {"calendar_year": (1, 4), "calendar_month": (6, 2), "day_in_month": (9, 2), "hour_in_day": (12, 2)}


class Comparison:
    """One test."""

    def __init__(self, compiler: Compiler, test: Test) -> None:
        self.compiler, self.test = compiler, test
        self.column, self.spec = compiler.expression(test.column)
        if test.column.function in ("count", "count_distinct", *DATE_PARTS):
            self.spec = None
        elif (
            test.column.function is None and self.spec is not None and self.spec.is_key and "." not in test.column.path
        ):
            compiler.store.ensure_index(compiler.item.name, self.spec.name)

    def sql(self) -> str:
        operator, value = self.test.operator, self.test.value
        if operator in ("in", "not in"):
            return self._membership(negated=operator == "not in")
        if operator in ("includes", "excludes"):
            return self._includes(negated=operator == "excludes")
        if not isinstance(value, Literal):
            raise Malformed(f"unexpected list after '{operator}'")
        if operator == "like":
            return self._like(value)
        if _is_null(value):
            return f"{self.column} IS {'NOT ' if operator == '!=' else ''}NULL"
        if value.kind == "period":
            return self._period(value, operator)
        return self._plain(self._typed(value), operator)

    def _plain(self, given: Any, operator: str) -> str:
        column, mark = self._folded(given)
        self.compiler.given.append(given)
        if operator == "!=":
            return f"({column} <> {mark} OR {self.column} IS NULL)"
        return f"{column} {operator} {mark}"

    def _folded(self, given: Any) -> tuple[str, str]:
        """SQLite folds ASCII by itself; anything else goes through the fold function."""
        sensitive = self.spec is None or self.spec.case_sensitive or self.spec.type not in TEXT_TYPES
        if sensitive or not isinstance(given, str) or given.isascii():
            return self.column, "?"
        return f"fold({self.column})", "fold(?)"

    def _typed(self, literal: Literal) -> Any:
        kind = self.spec.type if self.spec else "double"
        value = literal.value
        if kind in ("id", "reference"):
            return self._id(value)
        accepted = {"number"} if kind in (*NUMBER_TYPES, "int") else {"bool"} if kind == "boolean" else {kind}
        accepted = {"string"} if kind in TEXT_TYPES else accepted
        if literal.kind not in accepted:
            raise self._wrong_type(literal)
        if kind == "datetime":
            try:
                return values.stamp(values.parse_datetime(value))
            except ValueError as error:
                raise Malformed(f"line 1, no viable date '{value}'") from error
        return value

    def _id(self, value: Any) -> Any:
        if value == "" or not isinstance(value, str):
            return value
        found = ids.full(value)
        if found is None:
            name = self.spec.name if self.spec else "Id"
            raise ApiError(400, "INVALID_QUERY_FILTER_OPERATOR", f"{name}: invalid ID field: {value}")
        return found

    def _wrong_type(self, literal: Literal) -> ApiError:
        assert self.spec is not None
        name, kind = self.spec.name, self.spec.type
        quotes = "should not be" if literal.kind == "string" else "must be of type " + kind + " and should be"
        message = (
            f"filter criteria is invalid: value of filter criterion for field '{name}' must be of type {kind} "
            f"and {quotes} enclosed in quotes"
            if literal.kind == "string"
            else f"value of filter criterion for field '{name}' must be of type {kind}"
        )
        return ApiError(400, "INVALID_FIELD", message)

    def _membership(self, *, negated: bool) -> str:
        value, word = self.test.value, "NOT IN" if negated else "IN"
        if isinstance(value, Query):
            return f"{self.column} {word} ({self.compiler.semi_join(value)})"
        if not isinstance(value, list):
            raise Malformed("expecting a list after IN")
        given = [self._typed(literal) for literal in value if not _is_null(literal)]
        with_null = len(given) < len(value)
        odd = next((one for one in given if self._folded(one)[1] != "?"), None)
        column, mark = self._folded(odd)
        self.compiler.given += given
        marks = f"({', '.join([mark] * len(given))})"
        if negated:
            return f"({column} NOT IN {marks}{'' if with_null else f' OR {self.column} IS NULL'})"
        return f"({column} IN {marks}{f' OR {self.column} IS NULL' if with_null else ''})"

    def _includes(self, *, negated: bool) -> str:
        tests = []
        for literal in self.test.value:
            parts = []
            for part in str(literal.value).split(";"):
                self.compiler.given.append(f"%;{part};%")
                parts.append(f"(';' || {self.column} || ';') LIKE ?")
            tests.append(f"({' AND '.join(parts)})")
        found = " OR ".join(tests)
        return f"NOT coalesce({found}, 0)" if negated else f"({found})"

    def _like(self, literal: Literal) -> str:
        if self.spec is None or self.spec.type not in TEXT_TYPES | {"id", "reference"}:
            raise ApiError(400, "INVALID_FIELD", f"invalid operator on {self.test.column.path}: like")
        column, mark = self._folded(literal.value)
        self.compiler.given.append(literal.value)
        return f"{column} LIKE {mark} ESCAPE '\\'"

    def _period(self, literal: Literal, operator: str) -> str:
        today = self.compiler.store.clock.now().date()
        span = periods.days_of(literal.value, today=today)
        if span is None or self.spec is None or self.spec.type not in ("date", "datetime"):
            raise Malformed(f"unexpected token: '{literal.value}'")
        first, beyond = span
        if operator in ("=", "!="):
            self.compiler.given += [first.isoformat(), beyond.isoformat()]
            inside = f"({self.column} >= ? AND {self.column} < ?)"
            return inside if operator == "=" else f"NOT coalesce({inside}, 0)"
        if operator == ">" and beyond > today:
            # unverified: a span that reaches today would have nothing after it, yet people write this test
            operator = ">="
        # stored moments begin with their day, so a day compares with both dates and datetimes
        edge = {">=": first, "<": first, ">": beyond, "<=": beyond}[operator]
        self.compiler.given.append(edge.isoformat())
        return f"{self.column} {'>=' if operator in ('>', '>=') else '<'} ?"


def _is_null(literal: Literal) -> bool:
    """Nothing holds an empty text, so asking for one is asking for null (unverified)."""
    return literal.kind == "null" or (literal.kind == "string" and literal.value == "")
