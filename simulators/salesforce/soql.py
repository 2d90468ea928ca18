"""Syntax tree -> SQLite: names are checked against the schema, parents become joins, text folds case."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from simulators.salesforce import ids, periods, soql_tree, values
from simulators.salesforce.errors import ApiError
from simulators.salesforce.schema import NUMBER_TYPES, TEXT_TYPES, Field, Schema, SObject
from simulators.salesforce.soql_tree import Column, Literal, Logic, Malformed, Query, Test
from simulators.salesforce.store import Store

LARGEST_OFFSET = 2000
MOST_LEVELS = 5
DATE_PARTS = {"calendar_year": (1, 4), "calendar_month": (6, 2), "day_in_month": (9, 2), "hour_in_day": (12, 2)}


@dataclass(slots=True)
class Output:
    """One column of the answer: its path from the root, and its field (None for aggregates)."""

    path: tuple[str, ...]
    field: Field | None
    kind: str
    is_number: bool = False


@dataclass(slots=True)
class Plan:
    """SQL with its parameters, and how to read the rows."""

    item: SObject
    sql: str
    given: list[Any]
    outputs: list[Output]
    parents: dict[tuple[str, ...], SObject]
    children: list[tuple[str, str, Field, Plan]] = field(default_factory=list)
    aggregate: bool = False
    counts_only: bool = False
    limit: int | None = None  # of a child subquery, for each parent


def compile_query(text: str, *, store: Store, deleted: bool) -> Plan:
    """The plan of one SOQL statement; raises ApiError as the platform words it."""
    return _Compiler(soql_tree.parse(text), store=store, deleted=deleted, text=text).plan()


class _Compiler:
    def __init__(self, query: Query, *, store: Store, deleted: bool, text: str, link: Field | None = None) -> None:
        self.query, self.store, self.deleted, self.text, self.link = query, store, deleted, text, link
        self.schema: Schema = store.schema
        self.joins: dict[tuple[str, ...], str] = {}
        self.join_sql: list[str] = []
        self.parents: dict[tuple[str, ...], SObject] = {}
        self.given: list[Any] = []
        self.item = self._object()

    def _object(self) -> SObject:
        found = self.schema.find(self.query.kind)
        if found is None:
            message = (
                f"sObject type '{self.query.kind}' is not supported. If you are attempting to use a custom object, be "
                "sure to append the '__c' after the entity name. Please reference your WSDL or the describe call for "
                "the appropriate names."
            )
            raise ApiError(400, "INVALID_TYPE", self._at(self.query.positions["from"]) + message)
        return found

    def _at(self, position: int) -> str:
        """The two line excerpt with a caret that precedes messages about a place."""
        start = max(0, position - 40)
        excerpt = " ".join(self.text[start : position + 30].split("\n"))
        caret = " " * (position - start) + "^"
        return f"\n{excerpt}\n{caret}\nERROR at Row:1:Column:{position + 1}\n"

    def plan(self) -> Plan:
        query = self.query
        aggregate = not query.counts_only and (bool(query.groups) or any(self._is_aggregate(c) for c in query.columns))
        selected, outputs = self._selected(aggregate=aggregate)
        where = self._where()
        tail = self._tail(aggregate=aggregate)
        source = f'"{self.item.name}" AS t0 {" ".join(self.join_sql)}'
        head = "SELECT count(*)" if query.counts_only else f"SELECT {', '.join(selected)}"
        plan = Plan(self.item, f"{head} FROM {source}{where}{tail}", self.given, outputs, self.parents)
        plan.aggregate, plan.counts_only, plan.limit = aggregate, query.counts_only, query.limit
        plan.children = [self._child(child) for child in query.children]
        return plan

    def _child(self, child: Query) -> tuple[str, str, Field, Plan]:
        known = self.item.children.get(child.kind.lower())
        if known is None:
            message = f"Didn't understand relationship '{child.kind}' in FROM part of query call."
            raise ApiError(400, "INVALID_TYPE", self._at(child.positions["from"]) + message)
        relationship, (name, lookup) = child.kind, known
        child.kind = name
        compiler = _Compiler(child, store=self.store, deleted=self.deleted, text=self.text, link=lookup)
        self.store.ensure_index(name, lookup.name)
        return str(lookup.children or relationship), name, lookup, compiler.plan()

    @staticmethod
    def _is_aggregate(column: Column) -> bool:
        return column.function is not None and column.function != "fields"

    def _selected(self, *, aggregate: bool) -> tuple[list[str], list[Output]]:
        if self.query.counts_only:
            return [], []
        return self._aggregates() if aggregate else self._fields()

    def _fields(self) -> tuple[list[str], list[Output]]:
        selected, outputs = ['t0."Id"'], [Output(("Id",), None, "hidden")]
        if self.link is not None:
            selected.append(f't0."{self.link.name}"')
            outputs.append(Output((self.link.name,), None, "hidden"))
        for column in self._expanded():
            sql, spec, path = self.resolve(column.path)
            if path not in [output.path for output in outputs if output.kind != "hidden"]:
                selected.append(sql)
                outputs.append(Output(path, spec, spec.type))
        for path in self.parents:
            selected.append(f'{self.joins[path]}."Id"')
            outputs.append(Output((*path, "Id"), None, "parent"))
        return selected, outputs

    def _expanded(self) -> list[Column]:
        found: list[Column] = []
        for column in self.query.columns:
            if column.function != "fields":
                found.append(column)
                continue
            if self.query.limit is None or self.query.limit > 200:
                raise Malformed("The SOQL FIELDS function must have a LIMIT of at most 200")
            which = column.path.lower()
            specs = [s for s in self.item.fields.values() if which == "all" or s.custom == (which == "custom")]
            found += [Column(spec.name) for spec in specs]
        return found

    def _aggregates(self) -> tuple[list[str], list[Output]]:
        selected, outputs, unnamed = [], [], 0
        for column in self.query.columns:
            sql, spec = self.expression(column)
            if not column.function and sql not in [self.expression(group)[0] for group in self.query.groups]:
                raise Malformed(f"Field must be grouped or aggregated: {column.path}")
            name = column.alias or column.path.rsplit(".", 1)[-1]
            if column.function is not None and column.alias is None:
                name, unnamed = f"expr{unnamed}", unnamed + 1
            elif column.function is None and column.alias is None and spec is not None:
                name = spec.name
            counting = column.function in ("count", "count_distinct")
            selected.append(sql)
            kind = "int" if counting or column.function in DATE_PARTS else spec.type if spec else "double"
            outputs.append(Output((name,), spec, kind))
        return selected, outputs

    def expression(self, column: Column) -> tuple[str, Field | None]:
        """SQL of a column that may be calculated."""
        if column.path == "*":
            return "count(*)", None
        sql, spec, _ = self.resolve(column.path)
        if column.function is None:
            return sql, spec
        if column.function in DATE_PARTS:
            start, length = DATE_PARTS[column.function]
            return f"CAST(substr({sql}, {start}, {length}) AS INTEGER)", spec
        if column.function == "day_only":
            return f"substr({sql}, 1, 10)", spec
        if column.function == "count_distinct":
            return f"count(DISTINCT {sql})", spec
        return f"{column.function}({sql})", spec

    def resolve(self, path: str) -> tuple[str, Field, tuple[str, ...]]:
        """(SQL, field, canonical path) of a dotted name; joins the parents on the way."""
        parts = path.split(".")
        if parts[0].lower() in (self.query.alias, self.item.name.lower()) and len(parts) > 1:
            parts = parts[1:]
        if len(parts) - 1 > MOST_LEVELS:
            raise ApiError(400, "INVALID_FIELD", f"{path}: only {MOST_LEVELS} levels of parents are allowed")
        item, alias = self.item, "t0"
        walked: tuple[str, ...] = ()
        for part in parts[:-1]:
            item, alias, walked = self._join(part, item=item, alias=alias, walked=walked, path=path)
        spec = item.find(parts[-1])
        if spec is None:
            self._no_column(parts[-1], item=item, path=path)
        assert spec is not None
        return f'{alias}."{spec.name}"', spec, (*walked, spec.name)

    def _join(
        self, part: str, *, item: SObject, alias: str, walked: tuple[str, ...], path: str
    ) -> tuple[SObject, str, tuple[str, ...]]:
        lookup = item.by_relationship.get(part.lower())
        if lookup is None:
            where = self._at(self.query.positions.get(path.lower(), 0))
            message = f"Didn't understand relationship '{part}' in field path. If you are attempting to use a custom "
            raise ApiError(400, "INVALID_FIELD", f"{where}{message}relationship, be sure to append the '__r'.")
        walked = (*walked, str(lookup.relationship))
        target = self.schema.objects[lookup.targets[0]]
        if walked not in self.joins:
            self.joins[walked] = f"t{len(self.joins) + 1}"
            self.parents[walked] = target
            joined = self.joins[walked]
            self.join_sql.append(f'LEFT JOIN "{target.name}" AS {joined} ON {joined}."Id" = {alias}."{lookup.name}"')
        return target, self.joins[walked], walked

    def _no_column(self, name: str, *, item: SObject, path: str) -> None:
        where = self._at(self.query.positions.get(path.lower(), 0))
        message = (
            f"No such column '{name}' on entity '{item.name}'. If you are attempting to use a custom field, be sure "
            "to append the '__c' after the custom field name. Please reference your WSDL or the describe call for "
            "the appropriate names."
        )
        raise ApiError(400, "INVALID_FIELD", where + message)

    def _where(self) -> str:
        tests = [] if self.deleted else ['t0."IsDeleted" = 0']
        if not self.deleted and "IsArchived" in self.item.fields and self.item.name == "Task":
            tests.append('coalesce(t0."IsArchived", 0) = 0')
        if self.link is not None:
            tests.insert(0, f't0."{self.link.name}" IN (SELECT value FROM json_each(?))')
            self.given.append(None)  # the parents of one page; filled in when the page is known
        if self.query.where is not None:
            tests.append(self.condition(self.query.where))
        return f" WHERE {' AND '.join(tests)}" if tests else ""

    def condition(self, node: Any) -> str:
        if isinstance(node, Logic):
            if node.operator == "not":
                return f"NOT coalesce({self.condition(node.parts[0])}, 0)"
            return "(" + f" {node.operator.upper()} ".join(self.condition(part) for part in node.parts) + ")"
        return Comparison(self, node).sql()

    def _tail(self, *, aggregate: bool) -> str:
        query, tail = self.query, ""
        if query.groups:
            tail += " GROUP BY " + ", ".join(self.expression(column)[0] for column in query.groups)
        if query.having is not None:
            tail += " HAVING " + self.condition(query.having)
        orders = [] if query.counts_only else [self._order_sql(order) for order in query.orders]
        if not orders and not aggregate and not query.counts_only:
            orders = ['t0."Id"']
        tail += f" ORDER BY {', '.join(orders)}" if orders else ""
        if query.offset > LARGEST_OFFSET:
            message = f"Maximum SOQL offset allowed is {LARGEST_OFFSET}"
            raise ApiError(400, "NUMBER_OUTSIDE_VALID_RANGE", message)
        if self.link is None and (query.limit is not None or query.offset):
            tail += f" LIMIT {-1 if query.limit is None else query.limit} OFFSET {query.offset}"
        return tail

    def _order_sql(self, order: soql_tree.Order) -> str:
        aliases = {column.alias.lower() for column in self.query.columns if column.alias}
        if order.column.path.lower() in aliases:
            sql = next(
                self.expression(c)[0]
                for c in self.query.columns
                if (c.alias or "").lower() == order.column.path.lower()
            )
        else:
            sql, _ = self.expression(order.column)
        direction = "DESC" if order.descending else "ASC"
        return f"{sql} {direction} NULLS {'LAST' if order.nulls_last else 'FIRST'}"


class Comparison:
    """One test of a WHERE or HAVING clause, with literals checked against the field's type."""

    def __init__(self, compiler: _Compiler, test: Test) -> None:
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
        if value.kind == "null":
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
            inner = _Compiler(value, store=self.compiler.store, deleted=self.compiler.deleted, text=self.compiler.text)
            sql, _, _ = inner.resolve(value.columns[0].path)
            where = inner._where()
            tests = f'SELECT {sql} FROM "{inner.item.name}" AS t0 {" ".join(inner.join_sql)}{where}'
            self.compiler.given += inner.given
            guard = f" AND {sql} IS NOT NULL" if where else f" WHERE {sql} IS NOT NULL"
            return f"{self.column} {word} ({tests}{guard})"
        if not isinstance(value, list):
            raise Malformed("expecting a list after IN")
        given = [self._typed(literal) for literal in value if literal.kind != "null"]
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
