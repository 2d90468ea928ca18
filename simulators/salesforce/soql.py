"""Syntax tree -> SQLite: names are checked against the schema, parents become joins, text folds case."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from simulators.salesforce import describe, soql_tree
from simulators.salesforce.errors import ApiError
from simulators.salesforce.schema import Field, SObject
from simulators.salesforce.soql_names import Names
from simulators.salesforce.soql_tree import Column, Logic, Malformed, Query
from simulators.salesforce.soql_where import DATE_PARTS, Comparison
from simulators.salesforce.store import Store

LARGEST_OFFSET = 2000


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
    return Compiler(soql_tree.parse(text), store=store, deleted=deleted, text=text).plan()


class Compiler:
    def __init__(self, query: Query, *, store: Store, deleted: bool, text: str, link: Field | None = None) -> None:
        self.query, self.store, self.deleted, self.text, self.link = query, store, deleted, text, link
        self.names = Names(query, schema=store.schema, text=text)
        self.item, self.resolve = self.names.item, self.names.resolve
        self.given: list[Any] = []

    def plan(self) -> Plan:
        query = self.query
        aggregate = not query.counts_only and (bool(query.groups) or any(self._is_aggregate(c) for c in query.columns))
        selected, outputs = self._selected(aggregate=aggregate)
        where = self._where()
        tail = self._tail(aggregate=aggregate)
        source = f'"{self.item.name}" AS t0 {" ".join(self.names.joins)}'
        head = "SELECT count(*)" if query.counts_only else f"SELECT {', '.join(selected)}"
        plan = Plan(self.item, f"{head} FROM {source}{where}{tail}", self.given, outputs, {})
        plan.parents = {path: parent.item for path, parent in self.names.parents.items() if path}
        plan.aggregate, plan.counts_only, plan.limit = aggregate, query.counts_only, query.limit
        plan.children = [self._child(child) for child in query.children]
        return plan

    def _child(self, child: Query) -> tuple[str, str, Field, Plan]:
        known = self.item.children.get(child.kind.lower())
        if known is None:
            message = f"Didn't understand relationship '{child.kind}' in FROM part of query call."
            raise ApiError(400, "INVALID_TYPE", self.names.at(child.positions["from"]) + message)
        relationship, (name, lookup) = child.kind, known
        child.kind = name
        compiler = Compiler(child, store=self.store, deleted=self.deleted, text=self.text, link=lookup)
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
        for path, parent in self.names.parents.items():
            if path:
                selected.append(parent.sql(parent.item.fields["Id"]))
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

    def semi_join(self, query: Query) -> str:
        """The SELECT of ``IN (SELECT field FROM ...)``; nulls in it match nothing."""
        if len(query.columns) != 1 or query.columns[0].function is not None or query.children or query.counts_only:
            raise Malformed("a semi join selects exactly one field")
        inner = Compiler(query, store=self.store, deleted=self.deleted, text=self.text)
        sql, _, _ = inner.resolve(query.columns[0].path)
        where = inner._where()
        self.given += inner.given
        guard = f" AND {sql} IS NOT NULL" if where else f" WHERE {sql} IS NOT NULL"
        return f'SELECT {sql} FROM "{inner.item.name}" AS t0 {" ".join(inner.names.joins)}{where}{guard}'

    def condition(self, node: Any) -> str:
        if isinstance(node, Logic):
            if node.operator == "not":
                return f"NOT coalesce({self.condition(node.parts[0])}, 0)"
            return "(" + f" {node.operator.upper()} ".join(self.condition(part) for part in node.parts) + ")"
        return Comparison(self, node).sql()

    def _tail(self, *, aggregate: bool) -> str:
        query, tail = self.query, ""
        if query.groups:
            tail += " GROUP BY " + ", ".join(self._group(column) for column in query.groups)
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

    def _group(self, column: Column) -> str:
        """A field to group by; numbers, for one, cannot be. A date function makes a groupable value of any moment."""
        sql, spec = self.expression(column)
        if column.function is None and spec is not None and not describe.is_groupable(spec):
            message = f"field '{column.path}' can not be grouped in a query call"
            raise ApiError(400, "MALFORMED_QUERY", message)
        return sql

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
